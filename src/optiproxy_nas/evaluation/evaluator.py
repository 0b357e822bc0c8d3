"""Evaluating trials: what an evaluation answers, checked, as columns of the archive."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.archive import with_columns
from optiproxy_nas.algorithm.budget import QueryLedger, charges
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError, EvaluationError
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.spaces.base import SearchSpace

# Architecture strings [n] -> what they are worth: values [n]; where the objective has metrics, a
# mapping of columns [n]; where it has fidelities, the number of epochs is a second argument.
Evaluate = Callable[..., Any]


def evaluate_batch(
    space: SearchSpace,
    batch: pd.DataFrame,
    evaluate: Evaluate,
    parameters: SearchParameters,
    archive: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the batch with its answers (Algorithm 2, line 9), charged to the ledger first.

    Raises:
        BudgetError: the batch exceeds what is left of the budget; nothing was asked.
        DataError: the evaluation gave something else than finite numbers.
    """
    price = parameters.objective.price
    paid = {} if archive is None else charges(space, archive, price)
    ledger = QueryLedger(parameters.budget, paid)
    costs = charges(space, batch, price)
    return charge_and_evaluate(parameters.objective, batch, evaluate, ledger, costs)


def charge_and_evaluate(
    objective: Objective,
    batch: pd.DataFrame,
    evaluate: Evaluate,
    ledger: QueryLedger,
    costs: Mapping[Hashable, int],
) -> pd.DataFrame:
    """Charge the trials of a batch, then evaluate them: what every search does with new queries.

    Args:
        objective: of the search.
        batch: the trials.
        evaluate: of the search.
        ledger: of the search; the charge is added to it.
        costs: identity -> cost of the batch's trials.

    Raises:
        BudgetError: they exceed what is left of the budget; nothing was asked.
        DataError: as of :func:`evaluate_trials`.
    """
    ledger.charge(costs)
    return evaluate_trials(objective, batch, evaluate)


def evaluate_trials(objective: Objective, batch: pd.DataFrame, evaluate: Evaluate) -> pd.DataFrame:
    """Return ``batch`` with ``value``, the objective's metrics and what follows from them.

    Raises:
        DataError: a column is missing, or holds something else than one number an architecture; a
            metric may be +inf (it cannot run there), the value may not.
    """
    architectures = batch["architecture"].tolist()
    if objective.fidelities:
        columns = {name: np.empty(len(batch)) for name in ("value", *objective.metrics)}
        for epochs, rows in batch.groupby("epochs", sort=True).indices.items():
            asked = [architectures[row] for row in rows]
            answered = _checked(objective, evaluate(asked, int(str(epochs))), asked)
            for name, values in answered.items():
                columns[name][rows] = values
    else:
        columns = _checked(objective, evaluate(architectures), architectures)
    evaluated = with_columns(batch, columns)
    derived = objective.derived_columns(evaluated)
    return with_columns(evaluated, derived) if derived else evaluated


@contextmanager
def keeping_answers(
    evaluate: Evaluate, batch: pd.DataFrame, archive: Callable[[], pd.DataFrame]
) -> Iterator[Evaluate]:
    """Give ``evaluate`` for one batch; a failure inside becomes an error that keeps every answer.

    Args:
        evaluate: of the search.
        batch: the trials to evaluate.
        archive: returns D before them, where it is needed.

    Raises:
        EvaluationError: the evaluation raised, or its answer cannot be used. ``data`` has
            ``archive``, ``architectures`` (of the batch) and ``answers``: one
            ``{"arguments", "answer"}`` for each call of ``evaluate`` that returned, usable or not.
    """
    answers: list[dict[str, Any]] = []

    def ask(*arguments: Any) -> Any:
        answer = evaluate(*arguments)
        answers.append({"arguments": arguments, "answer": answer})
        return answer

    try:
        yield ask
    except Exception as error:
        before = archive()
        answered = "; what it has answered since is in data['answers']" if answers else ""
        raise EvaluationError(
            f"The evaluation failed after {len(before)} queries, which are kept in this error's "
            f"data['archive']{answered}: {error}",
            archive=before,
            architectures=batch["architecture"].tolist(),
            answers=answers,
        ) from error


def _checked(objective: Objective, answer: Any, architectures: Sequence[str]) -> dict[str, Floats]:
    """Return an answer as ``value`` and the metrics, [n] each."""
    if not objective.metrics:
        return {"value": finite(answer, architectures)}
    needed = ("value", *objective.metrics)
    if not isinstance(answer, Mapping | pd.DataFrame) or not set(needed) <= set(answer):
        got = list(answer) if isinstance(answer, Mapping | pd.DataFrame) else repr(answer)
        raise DataError(
            f"The evaluation must give a mapping with the columns {', '.join(needed)}, one "
            f"number an architecture in each; it gave {got}.",
            needed=list(needed),
        )
    columns = {"value": finite(answer["value"], architectures)}
    for metric in objective.metrics:
        columns[metric] = finite(answer[metric], architectures, metric, may_not_run=True)
    return columns


def finite(
    answer: Any, architectures: Sequence[str], what: str = "evaluation", may_not_run: bool = False
) -> Floats:
    """Return an answer as values [n]; with ``may_not_run``, +inf is one too.

    Raises:
        DataError: something else than one finite number an architecture.
    """
    try:
        values = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    good = np.isfinite(values) | (may_not_run & np.isposinf(values))
    if values.shape != (len(architectures),) or not good.all():
        if values.shape != (len(architectures),):
            wrong = f"gave {_short(answer)}"
        else:
            first = int(np.argmin(good))
            wrong = f"gave {values[first]} for {architectures[first]}"
        also = ", or +inf where it cannot run" if may_not_run else ""
        raise DataError(
            f"The {what} of {len(architectures)} architectures {wrong}; it must give one finite "
            f"number for each{also}.",
            architectures=list(architectures),
        )
    return values


def _short(answer: Any) -> str:
    """Return a few words about an answer that cannot be used."""
    try:
        return f"{len(answer)} of them ({type(answer).__name__})"
    except TypeError:
        return f"{answer!r} ({type(answer).__name__})"
