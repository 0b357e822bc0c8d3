"""Trials made before a search: read from a result, a table or a file, checked against the space."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.archive import make_batch
from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError
from optiproxy_nas.evaluation.answers import Outcome, read_answer
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.spaces.base import SearchSpace

_log = logging.getLogger(__name__)

# The result of a search; a table or a list of trials made by hand or by any method; a file of one.
Initial = SearchRecord | pd.DataFrame | Sequence[Trial] | str | Path

READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".parquet": pd.read_parquet,
    ".json": pd.read_json,
}
# Parameters in which a search that goes on may differ from what it was.
_MAY_CHANGE = ("budget", "failures")


def apply_initial(search: AskTell, parameters: RunParameters, initial: Initial) -> None:
    """Let a search go on from, or start warm from, trials that were made before.

    It goes on where ``initial`` is the result of this same search (equal parameters but for the
    budget): it repeats what it did, answered from the result, and ends as if it had never stopped.
    Else it starts warm: the trials are in the archive before the first proposal, and are not
    charged.

    Raises:
        DataError: a file or table that cannot be read, or lacks a column; a trial twice.
        InvalidArchitectureError: an architecture that is not of the space.
    """
    if isinstance(initial, str | Path):
        initial = read_trials(Path(initial))
    same = isinstance(initial, SearchRecord) and _decisive(initial.parameters) == _decisive(
        parameters
    )
    if isinstance(initial, SearchRecord):
        trials = [trial for trial in initial.trials if trial.state in ("complete", "failed")]
        if same:  # what it was started from is in the record, too
            trials = [trial for trial in trials if trial.charged]
            before = [trial for trial in initial.trials if not trial.charged]
            if before:
                search.start_from(*_rows(search.space, search.objective, _table(before)))
        table = _table(trials)
    else:
        table = initial if isinstance(initial, pd.DataFrame) else _table(initial)
    if table.empty:
        return
    rows, outcomes = _rows(search.space, search.objective, table)
    if same:
        search.replay(rows, outcomes)
        _log.info("The search goes on from %d trials.", len(rows))
    else:
        search.start_from(rows, outcomes)
        _log.info("The search starts from %d trials made before, not charged.", len(rows))


def read_trials(path: Path) -> SearchRecord | pd.DataFrame:
    """Return the saved result, or the table, that a file holds.

    Raises:
        DataError: there is no such file, or it is none of these.
    """
    if not path.exists():
        raise DataError(f"There is no file {str(path)!r} to start from.", path=str(path))
    if path.suffix not in READERS:
        return SearchRecord.load(path)
    try:
        table: pd.DataFrame = READERS[path.suffix](path)
    except (OSError, ValueError) as error:
        raise DataError(f"{str(path)!r} cannot be read as {path.suffix}: {error}") from error
    return table


def _decisive(parameters: RunParameters) -> dict[str, Any]:
    """Return what decides the search, without what may change and mere labels."""
    values = parameters.model_dump(mode="json")
    return {name: value for name, value in values.items() if name not in _MAY_CHANGE}


def _table(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return trials as a table."""
    return pd.DataFrame(
        [
            {
                "architecture": trial.architecture,
                "epochs": trial.epochs,
                "error": trial.error,
                "seconds": trial.seconds,
                **({"value": np.nan} | dict(trial.metrics)),
            }
            for trial in trials
        ]
    )


def _rows(
    space: SearchSpace, objective: Objective, table: pd.DataFrame
) -> tuple[pd.DataFrame, list[Outcome]]:
    """Return a table's trials as a batch [n], and their outcomes."""
    needed = ["architecture", "value", *objective.metrics]
    needed += ["epochs"] if objective.fidelities else []
    if missing := [name for name in needed if name not in table]:
        raise DataError(
            f"Trials to start from need the columns {', '.join(needed)}; there "
            f"{'are' if len(missing) > 1 else 'is'} no {', '.join(missing)} among "
            f"{', '.join(map(str, table.columns))}.",
            missing=missing,
        )
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
            f"Trials to start from hold {texts[twice[0]]} twice, in rows "
            f"{first[identities[twice[0]]]} and {twice[0]} (from 0). Keep one of them.",
            rows=twice,
        )
    return rows, [_outcome(objective, row) for row in table.to_dict("records")]


def _fidelity_columns(objective: Objective, table: pd.DataFrame) -> dict[str, Any]:
    """Return ``epochs`` and ``cost`` of trials, which are made at a fidelity of the objective."""
    allowed = [fidelity.epochs for fidelity in objective.fidelities]
    other = table.loc[~table["epochs"].isin(allowed), "epochs"]
    if len(other):
        raise DataError(
            f"Trials to start from were made with {other.iloc[0]} epochs; this objective has "
            f"{', '.join(map(str, allowed))}.",
            allowed=allowed,
        )
    count = len(table)
    low, full = objective.price.initial_columns(count), objective.price.full_columns(count)
    is_full = (table["epochs"] == allowed[-1]).to_numpy()
    return {name: np.where(is_full, full[name], low[name]) for name in full}


def _outcome(objective: Objective, row: dict[Any, Any]) -> Outcome:
    """Return what a row of a table gave."""
    error, seconds = row.get("error"), row.get("seconds")
    took = float(seconds) if seconds is not None and not pd.isna(seconds) else None
    if isinstance(error, str) and error:
        return Outcome({}, error, took)
    metrics = {name: row[name] for name in ("value", *objective.metrics)}
    return read_answer(objective, metrics, str(row["architecture"]))._replace(seconds=took)
