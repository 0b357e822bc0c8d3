"""Trials as rows: a table or list of them, checked against a space, as a batch and its outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.archive import make_batch
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError
from optiproxy_nas.core.secrets import masked
from optiproxy_nas.evaluation.answers import Outcome, read_answer
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.journal_table import last_attempts
from optiproxy_nas.evaluation.trials import Trial, column_of
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.objectives.trial_order import STOPPED
from optiproxy_nas.problems import VALUE
from optiproxy_nas.spaces.base import SearchSpace

_OPEN = ("waiting", "running")  # states of trials that gave nothing yet


def trials_as_table(trials: Sequence[Trial], metrics: Sequence[str] = ()) -> pd.DataFrame:
    """Return trials as a table; complete ones have the metrics that they have.

    Where none is complete, it has the columns of ``metrics`` all the same.
    """
    complete = any(trial.state == "complete" for trial in trials)
    absent = dict.fromkeys(["value"] if complete else ["value", *metrics], np.nan)
    fields = ["architecture", "epochs", "error", "seconds", "state", STOPPED]
    rows: list[dict[str, Any]] = [
        {
            **absent,
            **{column_of(name, fields): metric for name, metric in trial.metrics.items()},
            **{name: getattr(trial, name) for name in fields},
        }
        for trial in trials
    ]
    return pd.DataFrame(rows, columns=None if rows else [*absent, *fields])


def rows_of_trials(
    search: AskTell, trials: Sequence[Trial]
) -> tuple[pd.DataFrame, list[Outcome], list[int]]:
    """Return what :func:`batch_of_table` does of the trials' table, with all metrics of each."""
    rows, outcomes, places = rows_of(search, trials_as_table(trials, search.objective.metrics))
    whole = [
        outcome._replace(
            metrics={} if outcome.error else {**outcome.metrics, **trials[place].metrics},
            curve=trials[place].curve,
            output=trials[place].output,
        )
        for outcome, place in zip(outcomes, places, strict=True)
    ]
    return rows, whole, places


def rows_of(search: AskTell, table: pd.DataFrame) -> tuple[pd.DataFrame, list[Outcome], list[int]]:
    """Return the trials of a table, as :func:`batch_of_table`, for a search."""
    return batch_of_table(search.space, search.objective, table, search.target_name)


def batch_of_table(
    space: SearchSpace, objective: Objective, table: pd.DataFrame, target: str = VALUE
) -> tuple[pd.DataFrame, list[Outcome], list[int]]:
    """Return the trials of a table that are over, not open, as a batch.

    Args:
        space: of the search.
        objective: of the search.
        table: one row a trial.
        target: a column that may stand for ``value``.

    Returns:
        the batch [n], the outcome of each, and its place in the table.
    """
    table = _with_architectures(space, last_attempts(table))
    columns_of = {name: _column(name, table) for name in (target, *objective.metrics)}
    if VALUE in table:
        columns_of[target] = VALUE
    needed = ["architecture", *columns_of.values()]
    needed += ["epochs"] if objective.fidelities else []
    names = [str(name) for name in table.columns]
    if missing := [name for name in needed if names.count(name) != 1 or name not in table]:
        raise DataError(
            f"Trials to start from need the columns {', '.join(needed)}, each once; of "
            f"{', '.join(missing)} there is none, or more than one, among {', '.join(names)}.",
            missing=missing,
        )
    is_open = table["state"].isin(_OPEN) if "state" in names else pd.Series(False, table.index)
    places = np.flatnonzero(~is_open.to_numpy(dtype=bool)).tolist()
    table = table.loc[:, ~table.columns.duplicated()].iloc[places]
    table = table.reset_index(drop=True)
    texts = table["architecture"].tolist()
    try:
        codes = space.from_string(texts)
    except InvalidArchitectureError as error:
        raise type(error)(
            f"Trials to start from are not of space {space.name!r}: {error.message}", **error.data
        ) from None
    columns: dict[str, Any] = objective.price.initial_columns(len(texts))
    if objective.fidelities:
        columns = _fidelity_columns(objective, table)
    rows = make_batch(space, codes, 0, **columns)
    identities = objective.price.identities(space, rows, codes)
    first = {identity: row for row, identity in reversed(list(enumerate(identities)))}
    if twice := [row for row, identity in enumerate(identities) if first[identity] != row]:
        raise DataError(
            f"Trials to start from hold {rows['architecture'].iloc[twice[0]]} twice, in rows "
            f"{first[identities[twice[0]]]} and {twice[0]} (from 0). Keep one of them.",
            rows=twice,
        )
    given = table.to_dict("records")
    return rows, [_outcome(objective, row, target, columns_of) for row in given], places


def _with_architectures(space: SearchSpace, table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its architectures in one column, also where each choice has its own.

    Cells that are empty, or NaN, are of choices that do not exist.
    """
    choices = [name for name in space.node_labels if name in table]
    if "architecture" in table or not choices:
        return table
    rows = table[choices].astype(object).where(table[choices].notna(), None).to_dict("records")
    given = [{name: it for name, it in row.items() if it is not None} for row in rows]
    return table.assign(architecture=pd.Series(given, table.index, dtype=object))


def _fidelity_columns(objective: Objective, table: pd.DataFrame) -> dict[str, Any]:
    """Return ``epochs`` and ``cost`` of trials, which are made at a fidelity of the objective."""
    allowed = [fidelity.epochs for fidelity in objective.fidelities]
    other = table.loc[~table["epochs"].isin(allowed), "epochs"]
    if len(other):
        raise DataError(
            f"Trials to start from were made with {other.iloc[0]} {objective.price.unit}; this "
            f"objective has {', '.join(map(str, allowed))}.",
            allowed=allowed,
        )
    return objective.price.fidelity_columns(table["epochs"].to_numpy(dtype=np.int64))


def _column(metric: str, table: pd.DataFrame) -> str:
    """Return the column of a metric, also where a trial has a field of its name."""
    renamed = f"metrics.{metric}"
    return renamed if renamed in table else metric


def _outcome(
    objective: Objective, row: dict[Any, Any], target: str, columns: Mapping[str, str]
) -> Outcome:
    """Return what a row of a table gave."""
    error: Any = row.get("error")
    seconds: Any = row.get("seconds")
    is_number = isinstance(seconds, Real) and not isinstance(seconds, bool)
    took = float(seconds) if is_number and 0 <= float(seconds) < math.inf else None
    if isinstance(error, str) and error:
        return Outcome({}, masked(error), took)
    metrics = {name: row[column] for name, column in columns.items()}
    outcome = read_answer(objective, metrics, str(row["architecture"]), target)
    return outcome._replace(seconds=took, stopped=row.get(STOPPED) is True)
