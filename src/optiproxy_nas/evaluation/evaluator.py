"""Evaluating architectures: what a user's function or a benchmark answers, checked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.archive import with_columns
from optiproxy_nas.algorithm.budget import QueryLedger, charges
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.errors import EvaluationError, OptiProxyError, ParameterError
from optiproxy_nas.evaluation.answers import Outcome, read_answer, read_answers
from optiproxy_nas.evaluation.trials import check_failures
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.spaces.base import SearchSpace

_log = logging.getLogger(__name__)

# An architecture -> a number, or {metric: number} with "value"; where the objective has
# fidelities, the number of epochs is a second argument. Or a :class:`Batched` one.
Evaluate = Callable[..., Any]


class Batched:
    """A function of a whole batch of architectures [n] (and epochs), made by :func:`batched`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self._function(*arguments)


def batched(function: Callable[..., Any]) -> Batched:
    """Mark an evaluation that takes a list of architectures at once, as ``evaluate=batched(f)``.

    It gives n numbers in the same order, a mapping of columns ``{metric: [n numbers]}``, or what
    has labels (Series, DataFrame, a dict by architecture), which is matched by label. NaN, None
    and what is masked mean that the trial failed. An error fails the batch and ends the search.

    Raises:
        ParameterError: it is no function.
    """
    if isinstance(function, Batched):
        return function
    if not callable(function):
        raise ParameterError(
            f"batched({function!r:.200}): it takes a function of a list of architectures."
        )
    return Batched(function)


def outcomes(
    objective: Objective,
    evaluate: Evaluate,
    architectures: Sequence[str],
    epochs: Sequence[int] | None = None,
) -> Iterator[Outcome | None]:
    """Evaluate architectures, and give the outcome of each in their order, as it comes.

    What raises or gives no finite number fails; a metric of the objective may be +inf (it cannot
    run there), the value may not. None: an error ended the batch before; it is raised after it.

    Args:
        objective: of the search.
        evaluate: of the search.
        architectures: [n].
        epochs: [n] of training, where the objective has fidelities.

    Raises:
        EvaluationError: an answer is of a type or shape that cannot be used, or a batched
            evaluation raised.
        OptiProxyError: a batched evaluation raised one of ours.
    """
    if isinstance(evaluate, Batched):
        yield from _of_batch(objective, evaluate, architectures, epochs)
        return
    for number, architecture in enumerate(architectures):
        arguments = (architecture,) if epochs is None else (architecture, epochs[number])
        begun = time.perf_counter()
        try:
            answer = evaluate(*arguments)
        except Exception as error:
            _log.debug("The evaluation of %s failed", architecture, exc_info=True)
            outcome = Outcome({}, f"{type(error).__name__}: {error}")
        else:
            outcome = read_answer(objective, answer, architecture)
        yield outcome._replace(seconds=time.perf_counter() - begun)


def evaluated_rows(
    objective: Objective, batch: pd.DataFrame, metrics: Sequence[Mapping[str, float]]
) -> pd.DataFrame:
    """Return complete trials with ``value``, the objective's metrics and what follows from them.

    Args:
        objective: of the search.
        batch: rows of ``make_batch`` [n].
        metrics: of each, by name.
    """
    names = ("value", *objective.metrics)
    columns = {name: np.array([row[name] for row in metrics], dtype=np.float64) for name in names}
    evaluated = with_columns(batch, columns)
    derived = objective.derived_columns(evaluated)
    return with_columns(evaluated, derived) if derived else evaluated


def evaluate_trials(
    objective: Objective, batch: pd.DataFrame, evaluate: Evaluate
) -> tuple[pd.DataFrame, list[Outcome]]:
    """Evaluate a batch: return the rows of its complete trials, and the outcome of each trial.

    Raises:
        EvaluationError: as of :func:`outcomes`.
    """
    found = _outcomes_of(objective, batch, evaluate)
    complete = [row for row, outcome in enumerate(found) if not outcome.error]
    rows = batch if len(complete) == len(batch) else batch.iloc[complete].reset_index(drop=True)
    return evaluated_rows(objective, rows, [found[row].metrics for row in complete]), found


def _outcomes_of(objective: Objective, batch: pd.DataFrame, evaluate: Evaluate) -> list[Outcome]:
    """Return the outcome of each trial of a batch, in their order."""
    epochs = batch["epochs"].tolist() if objective.fidelities else None
    names = batch["architecture"].tolist()
    found = outcomes(objective, evaluate, names, epochs)
    return [outcome for outcome in found if outcome is not None]


def evaluate_batch(
    space: SearchSpace,
    batch: pd.DataFrame,
    evaluate: Evaluate,
    parameters: SearchParameters,
    archive: pd.DataFrame | None = None,
    failed: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Charge a batch and evaluate it (Algorithm 2, line 9), as a node of a declared pipeline.

    Args:
        space: the search space.
        batch: the trials, of ``make_batch``.
        evaluate: of the search.
        parameters: of the search.
        archive: D before them; None before the initial sample.
        failed: the failed trials before them (:func:`failed_rows`).

    Returns:
        the rows of the batch's complete trials, and all failed trials so far.

    Raises:
        BudgetError: the batch exceeds what is left of the budget; nothing was asked.
        EvaluationError: an answer cannot be used.
        FailedTrialsError: too many trials failed.
    """
    objective, price = parameters.objective, parameters.objective.price
    before = [table for table in (archive, failed) if table is not None and len(table)]
    ledger = QueryLedger(parameters.budget)
    for table in before:
        ledger.charge(charges(space, table, price))
    ledger.charge(charges(space, batch, price))
    complete = 0 if archive is None else len(archive)
    flags = [False] * sum(map(len, before))
    for number, place in enumerate([] if failed is None else failed["after"]):
        flags[place + number] = True
    rows: list[int] = []  # of the complete trials, in the order in which they are over
    metrics: list[Mapping[str, float]] = []
    lost: list[int] = []  # of the failed ones
    after: list[int] = []
    errors: list[str] = []
    again = list(range(len(batch)))  # in a round of their own after the others, as in a search
    for retries_left in range(parameters.failures.retries, -1, -1):
        trials, again = again, []
        _, found = (
            evaluate_trials(objective, batch.iloc[trials], evaluate) if trials else (None, [])
        )
        for row, outcome in zip(trials, found, strict=True):
            if outcome.error and retries_left:
                again.append(row)
                continue
            flags.append(bool(outcome.error))
            check_failures(parameters.failures, flags, outcome.error)
            if outcome.error:
                lost.append(row)
                after.append(complete + len(rows))
                errors.append(outcome.error)
            else:
                rows.append(row)
                metrics.append(outcome.metrics)
    kept = batch if rows == list(range(len(batch))) else batch.iloc[rows].reset_index(drop=True)
    new = failed_rows(batch.iloc[lost], after, errors)
    tables = [new] if failed is None or failed.empty else [failed, new]
    return evaluated_rows(objective, kept, metrics), pd.concat(tables, ignore_index=True)


def failed_rows(rows: pd.DataFrame, after: Sequence[int], errors: Sequence[str]) -> pd.DataFrame:
    """Return the table of failed trials: the columns of a batch, and two more.

    Args:
        rows: of batches [n].
        after: of each, how many rows of D were told before it; so what was spent is known.
        errors: of each, why it failed.
    """
    return rows.assign(
        after=np.array(after, dtype=np.int64), error=pd.array(list(errors), dtype="str")
    ).reset_index(drop=True)


def _of_batch(
    objective: Objective,
    evaluate: Batched,
    architectures: Sequence[str],
    epochs: Sequence[int] | None,
) -> Iterator[Outcome | None]:
    """Call a batched evaluation once, or once a number of epochs, and give each outcome."""
    found: list[Outcome | None] = [None] * len(architectures)
    groups: dict[int | None, list[int]] = {}
    for row in range(len(architectures)):
        groups.setdefault(None if epochs is None else int(epochs[row]), []).append(row)
    try:
        for number in sorted(groups, key=lambda epochs: epochs or 0):
            rows = groups[number]
            names = [architectures[row] for row in rows]
            begun = time.perf_counter()
            answer = _call(evaluate, list(names), number)  # which may change its list
            seconds = (time.perf_counter() - begun) / len(rows)
            for row, outcome in zip(rows, read_answers(objective, answer, names), strict=True):
                found[row] = outcome._replace(seconds=seconds)
    except BaseException:
        if any(found):
            yield from found
        raise
    yield from found


def _call(evaluate: Batched, names: list[str], epochs: int | None) -> Any:
    """Call a batched evaluation; an error of it is one of ours."""
    try:
        return evaluate(names) if epochs is None else evaluate(names, epochs)
    except OptiProxyError:
        raise
    except Exception as error:
        raise EvaluationError(
            f"The batched evaluation failed: {type(error).__name__}: {error}. Where single "
            "architectures fail, give NaN for them.",
            architectures=names,
        ) from error


def taking_architectures(space: SearchSpace, evaluate: Evaluate) -> Evaluate:
    """Return a user's function, of architectures as ``space.architecture`` gives them, as one of
    texts; a :func:`batched` one stays batched."""

    def one(text: str, *epochs: int) -> Any:
        return evaluate(space.architecture(text), *epochs)

    def several(texts: Sequence[str], *epochs: int) -> Any:
        return evaluate([space.architecture(text) for text in texts], *epochs)

    return Batched(several) if isinstance(evaluate, Batched) else one
