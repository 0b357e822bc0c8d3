"""A search that goes on with its journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from optiproxy_nas.core.errors import FailedTrialsError, JournalError
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.journal_history import AttemptEnded, Begun, Retries
from optiproxy_nas.evaluation.journal_table import journal_trials, trials_table
from optiproxy_nas.evaluation.trial_rows import rows_of
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


def repeat_history(
    search: AskTell, journal: Journal | None, on_taken: OnTaken | None = None
) -> None:
    """Let a search repeat what it was given to go on from, and what its journal has.

    That is done before its first ``ask``. Where it has stopped it is asked nothing more, and what
    had ended of its open trials is taken. Then the lines that follow in the journal are in order.

    Args:
        search: with the arguments with which the journal was written; how often it tries again what
            failed may differ.
        journal: that is open; None: there is none.
        on_taken: called with each trial that was taken: over, or to be tried again.

    Raises:
        FailedTrialsError: of ``on_taken``, at the end, unless a trial that failed is tried again.
        JournalError: it is of a search that proposed otherwise (in what), or cannot be written.
        OptiProxyError: as of :meth:`AskTell.ask`, or of ``on_taken``.
    """
    search.ask(0)
    if journal is None:
        return
    retries, first = search.retries, search.trial_count
    failure: FailedTrialsError | None = None

    def take(request: Request, outcome: Outcome, final: bool = False) -> None:
        nonlocal failure
        taken = search.take(search.begin(request.number), outcome, final)
        try:
            if on_taken is not None:
                on_taken(taken)
        except FailedTrialsError as error:
            failure = failure or error

    missing = _repeat_serial(search, journal.history.serial, take)
    for event in [*journal.history.events, Retries(retries)]:
        if isinstance(event, Asked):
            if not search.stopped:
                search.propose(event.wanted)
        elif isinstance(event, Retries):
            if event.most is not None and search.allow_retries(event.most, first):
                failure = None
        elif _is_proposed(search, event[0], journal.path) and not isinstance(event, Begun):
            missing.discard((event[0].architecture, event[0].epochs))
            take(*event)
    journal.begin_order(search.times_asked, retries)
    if failure is not None:
        raise failure
    if not search.stopped:
        search.end_repeating(len(missing))


def _is_proposed(search: AskTell, request: Request, path: Path) -> bool:
    """Return whether a search has a trial that its journal has; not where it ended before.

    Raises:
        JournalError: it proposes another one in its place.
    """
    names = ["architecture", "epochs", "attempt", "repeat"]
    if (found := search.next_request(request.number)) is not None:
        names = [name for name in names if getattr(request, name) != getattr(found, name)]
    elif not search.can_ask:
        return False
    if not names:
        return True
    before, now = (_text(it, names) for it in (request, found))
    raise JournalError(
        f"The journal {str(path)!r} has trial {request.number} with {before}; this search has "
        f"{now}. Another version or machine searches in another way.",
        advice="Go on where the journal was begun, or with another journal and "
        f"initial={str(path)!r}, which starts warm from its trials.",
        path=str(path),
        number=request.number,
        names=names,
    )


def _text(request: Request | None, names: Sequence[str]) -> str:
    """Return ``architecture 0123, attempt 2``; ``none`` where there is no such trial."""
    if request is None:
        return "none"
    return ", ".join(f"{name} {getattr(request, name)}" for name in names)


def _repeat_serial(
    search: AskTell, ended: Sequence[AttemptEnded], take: Callable[..., None]
) -> set[tuple[str, int | None]]:
    """Let a search repeat what one has done that waits for each batch; return what is missing.

    A trial that failed, and of which there is no further attempt, was not tried again.
    """
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
            attempts = (request.architecture, request.epochs, request.attempt)
            if (outcome := left.pop(attempts, None)) is None:
                is_whole = False
                continue
            take(request, outcome, (*attempts[:2], request.attempt + 1) not in left)
            if search.stopped:
                break
    return {(architecture, epochs) for architecture, epochs, _ in left}
