"""Evaluating the trials of a batch, a table; one whole batch is a node of a declared pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.archive import with_columns
from optiproxy_nas.algorithm.budget import QueryLedger, charges
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.function_evaluator import Evaluate, as_evaluator
from optiproxy_nas.evaluation.trials import check_failures, trial_seed
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.objectives.trial_order import STOPPED
from optiproxy_nas.spaces.base import SearchSpace


def evaluated_rows(
    objective: Objective,
    batch: pd.DataFrame,
    metrics: Sequence[Mapping[str, float]],
    stopped: Sequence[bool] | None = None,
) -> pd.DataFrame:
    """Return complete trials with ``value``, the objective's metrics and what follows from them.

    Args:
        objective: of the search.
        batch: rows of ``make_batch`` [n].
        metrics: of each, by name.
        stopped: whether each was ended early; None: none can be.
    """
    names = ("value", *objective.metrics)
    columns: dict[str, Any] = {
        name: np.array([row[name] for row in metrics], dtype=np.float64) for name in names
    }
    if stopped is not None:
        columns[STOPPED] = np.array(stopped, dtype=bool)
    evaluated = with_columns(batch, columns)
    derived = objective.derived_columns(evaluated)
    return with_columns(evaluated, derived) if derived else evaluated


def evaluate_trials(
    objective: Objective, batch: pd.DataFrame, evaluate: Evaluate
) -> tuple[pd.DataFrame, list[Outcome]]:
    """Evaluate a batch: return the rows of its complete trials, and the outcome of each trial.

    Raises:
        EvaluationError: as of :meth:`Evaluator.outcomes`.
    """
    requests = requests_of(objective, batch)
    outcomes = as_evaluator(evaluate).outcomes(objective, requests)
    found = [outcome for outcome in outcomes if outcome is not None]
    complete = [row for row, outcome in enumerate(found) if not outcome.error]
    rows = batch if len(complete) == len(batch) else batch.iloc[complete].reset_index(drop=True)
    return evaluated_rows(objective, rows, [found[row].metrics for row in complete]), found


def requests_of(
    objective: Objective, batch: pd.DataFrame, first: int = 0, seed: int = 0
) -> list[Request]:
    """Return the first attempts at the trials of a batch.

    Args:
        objective: of the search.
        batch: rows of ``make_batch`` [n].
        first: number of the batch's first trial.
        seed: of the search.
    """
    count = len(batch)
    epochs = batch["epochs"].tolist() if objective.fidelities else [None] * count
    numbers = range(first, first + count)
    return [
        Request(number, 1, architecture, trained, trial_seed(seed, number))
        for number, architecture, trained in zip(
            numbers, batch["architecture"].tolist(), epochs, strict=True
        )
    ]


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
    ledger = QueryLedger(parameters.search_budget)
    for table in before:
        ledger.charge(charges(space, table, price))
    ledger.charge(charges(space, batch, price))
    complete = 0 if archive is None else len(archive)
    flags = [False] * sum(map(len, before))
    for number, place in enumerate([] if failed is None else failed["after"]):
        flags[place + number] = True
    rows: list[int] = []  # of the complete trials, in the order in which they are over
    outcomes: list[Outcome] = []
    lost: list[int] = []  # of the failed ones
    after: list[int] = []
    errors: list[str] = []
    evaluator = as_evaluator(evaluate, space)
    requests = requests_of(objective, batch, len(flags), parameters.seed)
    again = list(range(len(batch)))  # in a round of their own after the others, as in a search
    for attempt in range(1, parameters.failures.retries + 2):
        trials, again = again, []
        asked = [requests[row]._replace(attempt=attempt) for row in trials]
        found = evaluator.outcomes(objective, asked) if asked else iter(())
        for row, outcome in zip(trials, found, strict=True):
            if outcome is None:
                continue
            if outcome.error and attempt <= parameters.failures.retries:
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
                outcomes.append(outcome)
    kept = batch if rows == list(range(len(batch))) else batch.iloc[rows].reset_index(drop=True)
    new = failed_rows(batch.iloc[lost], after, errors)
    tables = [new] if failed is None or failed.empty else [failed, new]
    metrics = [outcome.metrics for outcome in outcomes]
    can_stop = parameters.stopping.rule is not None
    stopped = [outcome.stopped for outcome in outcomes] if can_stop else None
    evaluated = evaluated_rows(objective, kept, metrics, stopped)
    return evaluated, pd.concat(tables, ignore_index=True)


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
