"""A search that goes on with its journal."""

from __future__ import annotations

from pathlib import Path

from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.initial import rows_of
from optiproxy_nas.evaluation.journal_file import is_trial, outcome_of, read_records
from optiproxy_nas.evaluation.journal_table import journal_trials


def expect_journal(search: AskTell, path: Path) -> None:
    """Let a search propose again what its journal has before a rule of its method ends it.

    Args:
        search: whose evaluator gives what the journal has.
        path: of the journal.

    Raises:
        JournalError: it cannot be read.
    """
    table = journal_trials(path)
    if len(table):
        search.expect(rows_of(search, table)[0])


def replay_journal(search: AskTell, path: Path) -> None:
    """Give a search what its journal has, before its first ``ask``; it repeats what it did.

    Args:
        search: with the arguments with which the journal was written.
        path: of the journal.

    Raises:
        JournalError: it cannot be read.
    """
    header, lines = read_records(path)
    lines = [line for line in lines if is_trial(line)]
    if not lines:
        return
    table = journal_trials(path)
    rows, _, _ = rows_of(search, table)
    trials = list(zip(table["architecture"], table["epochs"], strict=True))
    row_of = {trial: row for row, trial in enumerate(trials)}
    attempts: list[list[Outcome]] = [[] for _ in trials]
    events: list[int | None] = []
    for line in lines:
        row = row_of[line["architecture"], line["epochs"]]
        attempts[row].append(outcome_of(line, header["target"]))
        # Written by ``search``, it does not say when the method was asked: as soon as it could be.
        asked = line.get("asked", 0) - events.count(None)
        events += [*[None] * asked, row]
    is_asked = all("asked" in line for line in lines)
    search.replay(rows, attempts, events if is_asked else (), final=False)
    search.ask(0)
