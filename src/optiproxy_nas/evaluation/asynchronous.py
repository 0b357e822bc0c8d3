"""The loop of a search on many workers: one that becomes free gets the next proposal at once.

Results are written to the journal as they come, also while the method is asked, and told after it.
The method is asked again where no proposal waits for a worker that is free. So the order of the
journal's lines is the order in which the search was asked and told, and decides what it proposed.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from optiproxy_nas.core.errors import FailedTrialsError, OptiProxyError
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.asking import Asking
from optiproxy_nas.evaluation.concurrent import ConcurrentEvaluator, concurrent
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.evaluation.interrupts import Interrupts
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.journal_history import History
from optiproxy_nas.evaluation.journal_replay import repeat_history
from optiproxy_nas.evaluation.journal_writer import JournalWriter
from optiproxy_nas.evaluation.loop import Callback
from optiproxy_nas.evaluation.status import Accounts, Status
from optiproxy_nas.evaluation.trials import Trial

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error
TICK = 0.5  # seconds between two looks at signals, and at a disk that was full
BRIEF = 0.02  # seconds between two looks at the method, while it is asked
PATIENCE = 10.0  # seconds in which the journal can be written again once nothing runs any more


class Running(NamedTuple):
    """A trial that was handed out."""

    trial: Trial
    request: Request
    begun: float  # by the clock


def drive_asynchronously(
    search: AskTell,
    evaluator: Evaluator | ConcurrentEvaluator,
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
        EvaluationError: an answer cannot be used, or no training can begin.
        FailedTrialsError: too many trials failed.
        JournalError: the journal cannot be written; what runs was finished and told first.
        KeyboardInterrupt: Ctrl-C or SIGTERM, once running trials are finished, or cancelled.
        OptiProxyError: as of :meth:`AskTell.ask`. All of them have ``data["archive"]`` and
            ``data["trials"]``.
    """
    workers = evaluator if isinstance(evaluator, ConcurrentEvaluator) else concurrent(evaluator)
    driver = _Driver(search, workers, tuple(callbacks), journal, on_status, in_thread, clock)
    try:
        driver.repeat()  # nothing runs, so Ctrl-C ends it at once
        with Interrupts(grace, lambda: driver.busy, at_once=not in_thread) as interrupts:
            driver.run(interrupts)
    except OptiProxyError as error:
        search.keep_trials(error)
        raise


class _Driver:
    def __init__(
        self,
        search: AskTell,
        evaluator: ConcurrentEvaluator,
        callbacks: tuple[Callback, ...],
        journal: Journal | None,
        on_status: Callable[[Status], Any] | None,
        in_thread: bool,
        clock: Callable[[], float],
    ) -> None:
        self._search, self._evaluator, self._callbacks = search, evaluator, callbacks
        self._journal, self._writer = journal, JournalWriter(journal, clock)
        self._on_status, self._in_thread, self._clock = on_status, in_thread, clock
        self._asking = Asking(search, in_thread, clock)
        self._accounts = Accounts(search, clock)
        self._running: dict[int, Running] = {}  # by number
        self._received: deque[tuple[Trial, Outcome]] = deque()  # not told yet
        self._is_dry = False  # the method has nothing to propose before another answer
        self._failure: OptiProxyError | None = None  # raised when nothing runs any more
        self._has_changed, self._shown = True, -math.inf

    @property
    def busy(self) -> int:
        """How many trials run."""
        return len(self._running)

    def repeat(self) -> None:
        """Repeat what the search was given to go on from, and what its journal has."""
        history = History() if self._journal is None else self._journal.history
        repeat_history(self._search, history, lambda trial: self._over(trial, is_new=False))
        if self._journal is not None:
            self._journal.begin_order(self._search.times_asked)

    def run(self, interrupts: Interrupts) -> None:
        """Search until there is nothing more to ask for."""
        try:
            self._rejoin()
            while True:
                if not self._asking.is_under_way:
                    self._settle()
                if self._may_begin(interrupts):
                    self._begin()
                    self._ask()
                self._show()
                is_quiet = not self._running and not self._asking.is_under_way
                if is_quiet and self._has_ended(interrupts):
                    break
                if interrupts.is_over:
                    raise KeyboardInterrupt
                self._listen()
        except BaseException:
            self._abandon()
            raise
        if self._failure is not None:
            raise self._failure
        if interrupts.is_ending:
            raise KeyboardInterrupt

    def _rejoin(self) -> None:
        """Rejoin what an earlier process has begun and still runs; the rest waits to be begun."""
        waiting = {(it.key, it.architecture): it for it in self._search.upcoming()}
        for begun, handle in [] if self._journal is None else self._journal.history.begun:
            request = waiting.get((begun.key, begun.architecture))
            if request is not None and handle and self._evaluator.rejoin(request, handle):
                self._note_running(request)
        self._accounts.say_used(self._evaluator.workers)

    def _may_begin(self, interrupts: Interrupts) -> bool:
        if self._asking.is_under_way or self._search.stopped or self._failure is not None:
            return False
        return not interrupts.is_ending and not self._writer.has_unwritten

    def _begin(self) -> None:
        """Hand out trials that wait, one for each worker that is free."""
        free = self._evaluator.workers - self.busy
        for request in self._search.upcoming(max(0, free)):
            try:
                handle = self._evaluator.submit(request)
            except OptiProxyError as error:
                self._fail(error)
                return
            self._note_running(request)
            self._writer.begun(request, handle)
            if self._writer.has_unwritten:
                return

    def _note_running(self, request: Request) -> None:
        self._count_time()
        trial = self._search.begin(request.number)
        self._running[request.number] = Running(trial, request, self._clock())
        self._has_changed = True

    def _ask(self) -> None:
        """Ask the method where workers are free and nothing waits, or will be so before long."""
        search, workers = self._search, self._evaluator.workers
        while search.can_ask and not search.waiting and not self._is_dry:
            free = workers - self.busy
            ahead = self._accounts.needed_ahead(workers, self._asking.last_seconds)
            if free <= 0 and not ahead:
                return
            wanted = 0 if workers == 1 else max(free, 0) + ahead
            if not self._writer.ask(search.times_asked, wanted):
                return
            self._asking.begin(wanted)
            if self._in_thread:
                return
            self._take_proposals()
            self._begin()

    def _take_proposals(self) -> None:
        self._has_changed = True
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
            seconds = None if not self._in_thread else BRIEF if asks else TICK
            ended = self._evaluator.poll(self._search.objective, seconds)
            self._count_time()
            for request, outcome in ended:
                self._receive(request, outcome)
        elif asks:
            self._asking.wait(TICK)
        else:  # the disk is full, or a cluster has no workers now
            time.sleep(TICK)
        if self._writer.has_unwritten:
            self._writer.write()
        if asks and self._asking.wait(0):
            self._take_proposals()

    def _receive(self, request: Request, outcome: Outcome) -> None:
        """Write what a trial gave, once; it is told when nobody asks the method."""
        running = self._running.get(request.number)
        if running is None or running.request.key != request.key:
            return  # it has ended before, or was given up
        del self._running[request.number]
        self._received.append((running.trial, outcome))
        self._accounts.attempt_ended(self._clock() - running.begun)
        self._writer.ended(request, outcome)

    def _settle(self) -> None:
        """Tell the search what was received."""
        while self._received:
            self._is_dry, self._has_changed = False, True
            try:
                self._over(self._search.take(*self._received.popleft()))
            except FailedTrialsError as error:
                self._fail(error)

    def _over(self, trial: Trial, is_new: bool = True) -> None:
        if trial.state == "waiting":  # it is tried again
            return
        self._accounts.trial_over(trial, is_new)
        for callback in self._callbacks:
            callback(self._search, trial)
        self._search.check_failures()

    def _has_ended(self, interrupts: Interrupts) -> bool:
        """Return whether nothing is to be begun any more, now that nothing runs.

        Raises:
            JournalError: it cannot be written.
        """
        search, writer = self._search, self._writer
        if writer.error is not None:
            if writer.failing_seconds >= PATIENCE or interrupts.is_ending:
                raise writer.error
            return False
        if search.stopped or self._failure is not None or interrupts.is_ending:
            return True
        return self._is_dry or not (search.waiting or search.can_ask)

    def _abandon(self) -> None:
        """End what runs; what was received is told all the same."""
        self._evaluator.cancel()
        if self._asking.is_under_way:
            self._asking.wait()
            self._asking.is_under_way = False
        while self._received:
            self._search.take(*self._received.popleft())

    def _show(self) -> None:
        """Give the status where it has changed, or a second has passed."""
        self._count_time()
        if self._on_status is None:
            return
        if self._has_changed or self._clock() - self._shown >= 1.0:
            if not self._asking.is_under_way:
                self._accounts.read_search()
            self._has_changed, self._shown = False, self._clock()
            facts = self._evaluator.workers, self.busy, self._asking.seconds
            self._on_status(self._accounts.status(*facts))

    def _count_time(self) -> None:
        asks, search = self._asking.is_under_way, self._search
        has_budget = asks or search.can_ask or bool(search.waiting)
        self._accounts.pass_time(self._evaluator.workers, self.busy, has_budget)
