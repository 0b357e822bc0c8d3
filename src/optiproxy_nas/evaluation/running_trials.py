"""The trials that run on workers: begun, heard of, cancelled, or left to a later process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.evaluation.journal_history import Begun
from optiproxy_nas.evaluation.journal_writer import JournalWriter
from optiproxy_nas.evaluation.status import Accounts
from optiproxy_nas.evaluation.trials import Trial


class Running(NamedTuple):
    """A trial that was handed out."""

    trial: Trial
    request: Request
    begun: float  # by the clock


class RunningTrials:
    """The trials of a search that run, and the outcomes of those that have ended.

    Args:
        search: whose trials these are.
        evaluator: trains them.
        writer: of the journal, which has each begin and each outcome at once.
        accounts: count their time.
        clock: returns seconds.

    Attributes:
        received: trials that have ended, with their outcomes, and that the search was not told yet.
        last_end: when a trial has ended last, by the clock.
    """

    def __init__(
        self,
        search: AskTell,
        evaluator: Evaluator,
        writer: JournalWriter,
        accounts: Accounts,
        clock: Callable[[], float],
    ) -> None:
        self._search, self._evaluator, self._clock = search, evaluator, clock
        self._writer, self._accounts = writer, accounts
        self._running: dict[int, Running] = {}  # by number
        self.received: deque[tuple[Trial, Outcome]] = deque()
        self.last_end = clock()

    def __len__(self) -> int:
        return len(self._running)

    @property
    def workers(self) -> int:
        """How many can run at the same time, now."""
        return self._evaluator.workers

    @property
    def free(self) -> int:
        """How many workers have no trial."""
        return max(0, self.workers - len(self))

    def rejoin(self, begun: Iterable[Begun]) -> None:
        """Take over what an earlier process has begun and still runs; the rest waits."""
        waiting = {request.key: request for request in self._search.upcoming()}
        for earlier, handle in begun:
            request = waiting.get(earlier.key)
            if request is not None and handle and self._evaluator.rejoin(request, handle):
                self._add(request)

    def begin(self, request: Request) -> None:
        """Hand out a trial that waits.

        Raises:
            OptiProxyError: it cannot begin.
        """
        handle = self._evaluator.submit(request)
        self._add(request)
        self._writer.begun(request, handle)

    def poll(self, seconds: float | None) -> list[tuple[Request, Outcome]]:
        """Return what has ended, after so many seconds at most; it is to be received.

        Raises:
            EvaluationError: as of :meth:`Evaluator.poll`.
        """
        try:
            return self._evaluator.poll(self._search.objective, seconds)
        except EvaluationError as error:
            if isinstance(request := error.data.get("request"), Request):
                self._running.pop(request.number, None)
            raise

    def receive(self, ended: Iterable[tuple[Request, Outcome]]) -> None:
        """Write what trials gave, each once."""
        self._accounts.pass_time(self.workers, len(self))
        for request, outcome in ended:
            running = self._running.get(request.number)
            if running is None or running.request.key != request.key:
                continue  # it has ended before, or was given up
            del self._running[request.number]
            self.received.append((running.trial, outcome))
            self.last_end = self._clock()
            self._accounts.attempt_ended(self.last_end - running.begun)
            self._writer.ended(request, outcome, partial(self._evaluator.release, request))

    def cancel(self) -> None:
        """End what runs."""
        self._evaluator.cancel()
        self._running.clear()

    def leave(self) -> list[int]:
        """Have run on what a later process can rejoin, and end the rest; return what runs on."""
        left = [it.number for it in self._evaluator.leave() if it.number in self._running]
        self._running.clear()
        return left

    def _add(self, request: Request) -> None:
        self._accounts.pass_time(self.workers, len(self))
        trial = self._search.begin(request.number)
        self._running[request.number] = Running(trial, request, self._clock())
        self._accounts.has_changed = True
