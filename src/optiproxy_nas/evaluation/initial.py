"""Trials made before a search: it goes on from them, or starts warm; they are read from files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.bounded_files import read_parquet, refuse_endless
from optiproxy_nas.core.errors import DataError, ParameterError
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.comparable import check_comparable
from optiproxy_nas.evaluation.journal_file import is_journal, read_records
from optiproxy_nas.evaluation.journal_table import journal_trials
from optiproxy_nas.evaluation.optuna_study import is_study, trials_of_study
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.evaluation.record_file import plug_ins_of, read_record
from optiproxy_nas.evaluation.trial_rows import rows_of, rows_of_trials
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.problems import VALUE

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
        _start_warm(search, *rows_of_trials(search, _trials(initial))[:2])
    elif initial.parameters.decisive == decisive:
        _go_on(search, initial)
    else:
        source = initial.parameters.decisive
        check_comparable(source, initial.target, decisive, target, "the result of a search")
        _start_warm(search, *rows_of_trials(search, initial.trials)[:2])


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
    _start_warm(search, *rows_of_trials(search, before)[:2])
    charged = [trial for trial in record.trials if trial.charged]
    rows, outcomes, places = rows_of_trials(search, charged)
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
