"""Trials made before a search: read from a result, a table or a file, checked against the space."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.archive import make_batch
from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.bounded_files import read_parquet, refuse_endless
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError, ParameterError
from optiproxy_nas.core.secrets import masked
from optiproxy_nas.evaluation.answers import Outcome, read_answer
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.comparable import check_comparable
from optiproxy_nas.evaluation.journal_file import is_journal, read_records
from optiproxy_nas.evaluation.journal_table import journal_trials, last_attempts
from optiproxy_nas.evaluation.optuna_study import is_study, trials_of_study
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.evaluation.record_file import plug_ins_of, read_record
from optiproxy_nas.evaluation.trials import Trial, column_of
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.objectives.trial_order import STOPPED
from optiproxy_nas.problems import VALUE
from optiproxy_nas.spaces.base import SearchSpace

_log = logging.getLogger(__name__)


class OptunaStudy(Protocol):
    """An ``optuna.Study``, as far as it is read: Optuna may not be installed."""

    @property
    def trials(self) -> list[Any]:
        """Its trials."""

    @property
    def directions(self) -> list[Any]:
        """The direction of each of its objectives."""


# The result of a search; a table or a list of trials made by hand or by any method; a file of one.
Initial = SearchRecord | pd.DataFrame | Sequence[Trial] | OptunaStudy | str | Path

READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": pd.read_csv,
    ".parquet": read_parquet,
    ".json": pd.read_json,
}
_OPEN = ("waiting", "running")  # states of trials that gave nothing yet


def apply_initial(
    search: AskTell, parameters: RunParameters, initial: Initial, target: str = VALUE
) -> None:
    """Let a search go on from, or start warm from, trials that were made before.

    It goes on where ``initial`` is the result of this same search (equal parameters but for the
    budget): it repeats what it did, answered from the result, and ends as if it had never stopped.
    Else it starts warm: the trials are in the archive before the first proposal, and are not
    charged. A result or a journal says what its values are, and must agree with the search; a table
    and a list of trials are taken on trust. Of an Optuna study the parameters' names and values
    must be those of the space, and its direction that of the search.

    Args:
        search: that was not asked yet.
        parameters: of it, as they are recorded.
        initial: the trials.
        target: the metric that is searched for, with its unit; ``value``: nobody says which.

    Raises:
        DataError: a file or table that cannot be read, or lacks a column; a trial twice.
        EvaluationError: a value of a type that cannot be used.
        InvalidArchitectureError: an architecture that is not of the space.
        ParameterError: ``initial`` is something else, or of another space, direction, target or
            dataset.
    """
    decisive = parameters.decisive
    if is_study(initial):
        initial = trials_of_study(initial, search.space, search.objective.order.direction)
    if isinstance(initial, str | Path):
        path = Path(initial)
        if path.is_file() and is_journal(path):
            header, _ = read_records(path)
            if header:
                label = header.get("target_label", target)  # of those of before, nobody knows
                check_comparable(header, label, decisive, target, repr(str(path)))
        initial = read_trials(path, plug_ins_of(parameters.model_dump(mode="json")).values())
    if isinstance(initial, pd.DataFrame):
        _start_warm(search, *rows_of(search, initial)[:2])
    elif not isinstance(initial, SearchRecord):
        _start_warm(search, *_trial_rows(search, _trials(initial))[:2])
    elif initial.parameters.decisive == decisive:
        _go_on(search, initial)
    else:
        source = initial.parameters.decisive
        check_comparable(source, initial.target, decisive, target, "the result of a search")
        _start_warm(search, *_trial_rows(search, initial.trials)[:2])


def _start_warm(search: AskTell, rows: pd.DataFrame, outcomes: Sequence[Outcome]) -> None:
    """Give a search trials that are not charged, without those that were ended early."""
    whole = [row for row, outcome in enumerate(outcomes) if not outcome.stopped]
    if whole:
        rows = rows.iloc[whole].reset_index(drop=True)
        search.start_from(rows, [outcomes[row] for row in whole])
        _log.info("The search starts from %d trials made before, not charged.", len(rows))


def _go_on(search: AskTell, record: SearchRecord) -> None:
    """Let a search repeat itself from its record, what it was started from included."""
    before = [trial for trial in record.trials if not trial.charged]
    _start_warm(search, *_trial_rows(search, before)[:2])
    charged = [trial for trial in record.trials if trial.charged]
    rows, outcomes, places = _trial_rows(search, charged)
    if outcomes:
        row_of = {charged[place].number: row for row, place in enumerate(places)}
        events = [row_of[it] if isinstance(it, int) else it for it in record.events]
        search.replay(rows, outcomes, events)
        if record.test:
            tested = record.answer_training.request
            search.tests[tested.architecture, tested.epochs, tested.repeat] = record.test
        search.confirmations = record.confirmations
        _log.info("The search goes on from %d trials.", len(rows))


def read_trials(path: Path, trusted: Collection[str] = ()) -> SearchRecord | pd.DataFrame:
    """Return the saved result, or the trials of the table or journal, that a file holds.

    Args:
        path: of the file.
        trusted: plug-ins that a saved result may name, as the search itself does.

    Raises:
        DataError: there is no such file, or it is none of these.
    """
    if not path.exists():
        raise DataError(f"There is no file {str(path)!r} to start from.", path=str(path))
    if path.is_file() and is_journal(path):
        return journal_trials(path)
    suffix = path.suffix.lower()
    if suffix not in READERS:
        try:
            return SearchRecord(**read_record(path, trusted))
        except DataError as error:
            if "plug_ins" not in error.data:
                raise
            raise DataError(
                f"{error.message} That is initial=SearchResult.load({str(path)!r}, trusted=True).",
                **error.data,
            ) from None
    try:
        refuse_endless(path)
        if path.is_file() and not path.stat().st_size:
            raise ValueError("it is empty, and has neither a heading nor a trial")
        table: pd.DataFrame = READERS[suffix](path)
    except Exception as error:  # a damaged table can raise almost anything
        raise DataError(f"{str(path)!r} cannot be read as {path.suffix}: {error}") from error
    return table


def _trials(initial: Any) -> list[Trial]:
    """Return a list of trials, and refuse what is none."""
    trials = list(initial) if isinstance(initial, Iterable) else [initial]
    if wrong := [trial for trial in trials if not isinstance(trial, Trial)]:
        raise ParameterError(
            f"initial = {initial!r:.200} ({type(initial).__name__}) has {wrong[0]!r:.200}, which "
            "is no Trial. Give the result of a search, a list of its trials, a DataFrame with the "
            "columns architecture and value, or a file of one of these."
        )
    return trials


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


def _trial_rows(
    search: AskTell, trials: Sequence[Trial]
) -> tuple[pd.DataFrame, list[Outcome], list[int]]:
    """Return what :func:`_rows` does of the trials' table, with all metrics of each."""
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
    """Return the trials of a table, as :func:`_rows`, for a search."""
    return _rows(search.space, search.objective, table, search.target_name)


def _rows(
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
