"""The loop of a search on many workers: one that becomes free gets the next proposal at once.

Results are written to the journal as they come, also while the method is asked, and told after it.
The method is asked again where no proposal waits for a worker that is free. So the order of the
journal's lines is the order in which the search was asked and told, and decides what it proposed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from optiproxy_nas.core.errors import EvaluationError, FailedTrialsError, OptiProxyError
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.asking import Asking
from optiproxy_nas.evaluation.evaluator import Evaluator
from optiproxy_nas.evaluation.interrupts import Interrupts
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.journal_replay import repeat_history
from optiproxy_nas.evaluation.journal_writer import JournalWriter
from optiproxy_nas.evaluation.loop import Callback
from optiproxy_nas.evaluation.running_trials import RunningTrials
from optiproxy_nas.evaluation.status import Accounts, Status
from optiproxy_nas.evaluation.trials import Trial

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error
TICK = 0.5  # seconds between two looks at signals, and at a disk that was full
BRIEF = 0.02  # seconds between two looks at the method, while it is asked
PATIENCE = 10.0  # seconds in which the journal can be written again once nothing runs any more


def drive_asynchronously(
    search: AskTell,
    evaluator: Evaluator,
    callbacks: Iterable[Callback] = (),
    *,
    journal: Journal | None = None,
    on_status: Callable[[Status], Any] | None = None,
    in_thread: bool = True,
    grace: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Keep the workers of an evaluator busy, until a search has nothing more to ask for.

    What the journal has is repeated first. Where the search is stopped, the trials that run are
    finished and told. With one worker it is the search of :func:`evaluation.loop.drive`.

    Args:
        search: not asked yet.
        evaluator: trains, on its workers; one that trains one at a time is one worker.
        callbacks: called after each trial that is over, those of the journal included.
        journal: that is open, of this search.
        on_status: called with the status, where it has changed and at least each second.
        in_thread: ask the method in a thread of its own, so that meanwhile results are received;
            for trainings outside of this process.
        grace: seconds that running trials get after SIGTERM.
        clock: returns seconds, of which the status and the decision to ask ahead are made.

    Raises:
        EvaluationError: an answer cannot be used, no training can begin, or none can be heard of.
            What can be rejoined with the journal runs on: ``data["running"]``, by number.
        FailedTrialsError: too many trials failed.
        JournalError: the journal cannot be written; what runs was finished and told first.
        KeyboardInterrupt: Ctrl-C or SIGTERM, once running trials are finished, or cancelled.
        OptiProxyError: as of :meth:`AskTell.ask`. All of them have ``data["archive"]`` and
            ``data["trials"]``.
    """
    driver = _Driver(search, evaluator, tuple(callbacks), journal, on_status, in_thread, clock)
    try:
        driver.repeat()  # nothing runs, so Ctrl-C ends it at once
        driver.run(grace)
    except OptiProxyError as error:
        if journal is not None and type(error) is EvaluationError:
            running = len(error.data.get("running", []))
            joins = f", and joins those of the {running} trials that still run" if running else ""
            error.advise(f"The same search goes on with its journal{joins}.")
        search.keep_trials(error)
        raise


class _Driver:
    def __init__(
        self,
        search: AskTell,
        evaluator: Evaluator,
        callbacks: tuple[Callback, ...],
        journal: Journal | None,
        on_status: Callable[[Status], Any] | None,
        in_thread: bool,
        clock: Callable[[], float],
    ) -> None:
        self._search, self._callbacks, self._in_thread = search, callbacks, in_thread
        self._journal, self._writer = journal, JournalWriter(journal, clock)
        self._asking = Asking(search, in_thread, clock)
        self._accounts = Accounts(search, self._asking, on_status, clock)
        self._running = RunningTrials(search, evaluator, self._writer, self._accounts, clock)
        self._is_dry = False  # the method has nothing to propose before another answer
        self._failure: OptiProxyError | None = None  # raised when nothing runs any more

    def repeat(self) -> None:
        """Repeat what the search was given to go on from, and what its journal has."""
        repeat_history(self._search, self._journal, self._over)

    def run(self, grace: float) -> None:
        """Search until there is nothing more to ask for."""
        running, in_this_thread = self._running, not self._in_thread
        with Interrupts(grace, lambda: len(running), in_this_thread) as self._interrupts:
            try:
                self._accounts.begin(running.workers)
                if self._journal is not None:
                    running.rejoin(self._journal.history.begun)
                while not self._has_ended():
                    self._listen()
            except Exception as error:
                self._leave(error)
                raise
            except BaseException:
                try:
                    running.cancel()
                finally:
                    self._take_received()
                    if self._writer.has_unwritten:
                        running.leave()
                raise
        if self._failure is not None:
            raise self._failure
        if self._interrupts.is_ending:
            raise KeyboardInterrupt

    def _has_ended(self) -> bool:
        """Do what can be done now; return whether nothing runs, and nothing more is to be begun.

        Raises:
            JournalError: it cannot be written.
            KeyboardInterrupt: what runs is to be cancelled.
        """
        search, writer, is_ending = self._search, self._writer, self._interrupts.is_ending
        if self._interrupts.is_over:
            raise KeyboardInterrupt
        if is_ending and not self._running:
            self._asking.abandon()
        if not self._asking.is_under_way:
            self._settle()
            self._begin()
            self._ask()
        self._accounts.show(self._running.workers, len(self._running))
        if self._running or self._asking.is_under_way:
            return False
        if writer.error is not None:
            if is_ending or writer.failing_seconds(self._running.last_end) >= PATIENCE:
                raise writer.error
            return False
        if is_ending or search.stopped or self._failure is not None or self._is_dry:
            return True
        return not (search.waiting or search.can_ask)

    @property
    def _may_begin(self) -> bool:
        is_over = self._interrupts.is_ending or self._search.stopped or self._failure
        return not (is_over or self._writer.has_unwritten)

    def _begin(self) -> None:
        """Hand out trials that wait, one for each worker that is free."""
        for request in self._search.upcoming(self._running.free):
            if not self._may_begin:
                return
            try:
                self._running.begin(request)
            except OptiProxyError as error:
                self._fail(error)

    def _ask(self) -> None:
        """Ask the method where workers are free and nothing waits, or will be so before long."""
        search, workers = self._search, self._running.workers
        while self._may_begin and search.can_ask and not (search.waiting or self._is_dry):
            free, ahead = self._running.free, self._accounts.needed_ahead(workers)
            if not (free or ahead):
                return
            wanted = 0 if workers == 1 else free + ahead
            if not self._writer.ask(search.times_asked, wanted):
                return
            with self._interrupts.at_once():
                self._asking.begin(wanted)
            if self._in_thread:
                return
            self._take_proposals()
            self._begin()

    def _take_proposals(self) -> None:
        self._accounts.has_changed = True
        try:
            self._is_dry = not self._asking.take()
        except OptiProxyError as error:
            self._fail(error)

    def _fail(self, error: OptiProxyError) -> None:
        """Begin nothing more; the first error is raised when nothing runs any more."""
        if self._failure is None and self._running:
            _log.warning("%s %d trials are finishing.", error.message, len(self._running))
        self._failure = self._failure or error

    def _listen(self) -> None:
        """Wait until a trial has ended or the method has answered, but not for long."""
        asks = self._asking.is_under_way
        if self._running:
            self._hear(None if not self._in_thread else BRIEF if asks else TICK)
        elif asks:
            self._asking.wait(TICK)
        else:  # the disk is full, or a cluster has no workers now
            time.sleep(TICK)
        if self._writer.has_unwritten:
            self._writer.write()
        if asks and self._asking.wait(0):
            self._take_proposals()

    def _hear(self, seconds: float | None) -> bool:
        """Receive what has ended; return whether anything has."""
        try:
            with self._interrupts.at_once():
                ended = self._running.poll(seconds)
        except EvaluationError as error:
            if "request" not in error.data:  # else one answer cannot be used
                raise
            self._fail(error)
            return True
        self._running.receive(ended)
        return bool(ended)

    def _settle(self) -> None:
        """Tell the search what was received."""
        while self._running.received:
            self._is_dry, self._accounts.has_changed = False, True
            try:
                self._over(self._search.take(*self._running.received.popleft()))
            except FailedTrialsError as error:
                self._fail(error)

    def _over(self, trial: Trial) -> None:
        if trial.state == "waiting":  # it is tried again
            return
        for callback in self._callbacks:
            callback(self._search, trial)
        self._search.check_failures()

    def _leave(self, error: Exception) -> None:
        """Receive what has ended, and have run on what a later process can rejoin."""
        with suppress(Exception):  # most likely of the error that is raised already
            while self._in_thread and self._running and self._hear(0.0):
                pass
        left: list[int] = []
        with suppress(Exception):
            if self._journal is None:
                self._running.cancel()
            else:
                left = self._running.leave()
        self._take_received()
        if isinstance(error, EvaluationError):
            error.data["running"] = left

    def _take_received(self) -> None:
        """Wait no longer for the method; what was received is written and told all the same."""
        self._asking.abandon()
        self._writer.write()
        while self._running.received:
            self._search.take(*self._running.received.popleft())
