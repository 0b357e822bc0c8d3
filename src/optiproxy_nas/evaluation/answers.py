"""Asking an evaluation, so that what it has answered is not lost where it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd

from optiproxy_nas.core.errors import BudgetError, EvaluationError
from optiproxy_nas.objectives.base import Evaluate


@contextmanager
def keeping_answers(
    evaluate: Evaluate, batch: pd.DataFrame, archive: pd.DataFrame | Callable[[], pd.DataFrame]
) -> Iterator[Evaluate]:
    """``evaluate`` for one batch; what fails inside becomes an error that holds all that is known.

    Args:
        evaluate: what a search asks.
        batch: the architectures that are asked for.
        archive: D before them, or what makes it where it is needed.

    Raises:
        EvaluationError: the evaluation raised, or its answer cannot be used. ``data`` has
            ``archive``, ``architectures`` (of the batch) and ``answers``: one
            ``{"arguments", "answer"}`` for each call of ``evaluate`` that returned, usable or not.
        BudgetError: as it is; nothing was asked.
    """
    answers: list[dict[str, Any]] = []

    def ask(*arguments: Any) -> Any:
        answer = evaluate(*arguments)
        answers.append({"arguments": arguments, "answer": answer})
        return answer

    try:
        yield ask
    except BudgetError:
        raise
    except Exception as error:
        before = archive() if callable(archive) else archive
        told = "; what it has answered since is in data['answers']" if answers else ""
        raise EvaluationError(
            f"The evaluation failed after {len(before)} queries, which are kept in this error's "
            f"data['archive']{told}: {error}",
            archive=before,
            architectures=batch["architecture"].tolist(),
            answers=answers,
        ) from error
