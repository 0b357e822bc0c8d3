"""A search that goes on with its journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.initial import rows_of
from optiproxy_nas.evaluation.journal_history import AttemptEnded, History
from optiproxy_nas.evaluation.journal_table import journal_trials, trials_table
from optiproxy_nas.evaluation.trials import Asked, Trial

OnTaken = Callable[[Trial], Any]


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


def repeat_history(search: AskTell, history: History, on_taken: OnTaken | None = None) -> None:
    """Let a search repeat what its journal has, before its first ``ask``.

    Where it has stopped it is asked nothing more, and what had ended of its open trials is taken.

    Args:
        search: with the arguments with which the journal was written.
        history: of the journal.
        on_taken: called with each trial that was taken: over, or to be tried again.

    Raises:
        OptiProxyError: as of :meth:`AskTell.ask`, or of ``on_taken``.
    """
    search.ask(0)  # repeats what it was given to go on from
    missing = _repeat_serial(search, history.serial, on_taken)
    for event in history.events:
        if isinstance(event, Asked):
            if not search.stopped:
                search.propose(event.wanted)
            continue
        request, outcome = event
        trial_id = request.architecture, request.epochs
        if (trial := search.begin_as(request)) is None:
            missing.add(trial_id)
            continue
        missing.discard(trial_id)
        taken = search.take(trial, outcome)
        if on_taken is not None:
            on_taken(taken)
    if not search.stopped:
        search.end_repeating(len(missing))


def _repeat_serial(
    search: AskTell, ended: Sequence[AttemptEnded], on_taken: OnTaken | None
) -> set[tuple[str, int | None]]:
    """Let a search repeat what one has done that waits for each batch; return what is missing."""
    if not ended:
        return set()
    search.expect(rows_of(search, trials_table(ended))[0])
    left = {(it.architecture, it.epochs, it.attempt): outcome for it, outcome in ended}
    is_whole = True  # the batch that waits was evaluated
    while left and is_whole and not search.stopped:
        if not search.waiting:
            if not search.propose():
                break
            continue
        for request in search.upcoming():
            key = request.architecture, request.epochs, request.attempt
            if (outcome := left.pop(key, None)) is None:
                is_whole = False
                continue
            taken = search.take(search.begin(request.number), outcome)
            if on_taken is not None:
                on_taken(taken)
            if search.stopped:
                break
    return {(architecture, epochs) for architecture, epochs, _ in left}
