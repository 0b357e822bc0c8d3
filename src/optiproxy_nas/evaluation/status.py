"""How a search stands: what is spent; its workers, its trials, and how long it will take."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from optiproxy_nas.core.numbers import duration, value_text
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.asking import Asking
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.objectives.base import Objective

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error
AHEAD = 0.05  # share of a training that the method may take before it is asked ahead of need


def charge_of(request: Request, objective: Objective) -> int:
    """Return what a training is charged, in the objective's unit; 0 for one that is tried again."""
    if request.attempt > 1:
        return 0
    charged = 1 if request.epochs is None else request.epochs
    if request.folder and not request.repeat:  # it continues the training of the rung below
        rungs = [fidelity.epochs for fidelity in objective.fidelities]
        charged -= max((rung for rung in rungs if rung < charged), default=0)
    return charged


def journal_note(trainings: int) -> str:
    """Return the line that says how many trainings a search takes from its journal."""
    noun = "training was" if trainings == 1 else "trainings were"
    return f"{trainings} {noun} taken from the journal, and cost nothing again."


class Status(NamedTuple):
    """An asynchronous search at one moment.

    Attributes:
        workers: that there are.
        busy: trials that run.
        waiting: trials that wait for a worker.
        complete: trials, of which those before a resumption are part.
        failed: trials, likewise.
        best: the best eligible value; NaN while there is none.
        spent: in the objective's unit, open and failed trials included.
        spent_on_ended: of it, without the open ones.
        budget: what may be spent.
        seconds: since the search was begun, or resumed.
        eta_seconds: until it ends, at the pace so far; NaN while nobody can tell.
        proposing_seconds: that the method has taken in all.
        idle_share: of the workers' time while there was budget left, what passed without a trial,
            in [0, 1].
    """

    workers: int
    busy: int
    waiting: int
    complete: int
    failed: int
    best: float
    spent: int
    spent_on_ended: int
    budget: int
    seconds: float
    eta_seconds: float
    proposing_seconds: float
    idle_share: float

    def text(self, target: str) -> str:
        """Return ``3/4 busy, 12 complete, 1 failed, best 83.20 %, ETA 2 min 3 s``.

        Args:
            target: the metric that is searched for.
        """
        parts = [
            f"{self.busy}/{self.workers} busy",
            f"{self.waiting} waiting" if self.waiting else "",
            f"{self.complete} complete",
            f"{self.failed} failed" if self.failed else "",
            "" if math.isnan(self.best) else f"best {value_text(target, self.best)}",
            "" if not self.eta_seconds > 0 else f"ETA {duration(round(self.eta_seconds))}",
        ]
        return ", ".join(filter(None, parts))


class Accounts:
    """Counts the trials of a search and the time of its workers, and shows how it stands.

    Args:
        search: what is counted of it is read while nobody asks it.
        asking: of its method.
        on_status: called with the status; None: it is not shown.
        clock: returns seconds.

    Attributes:
        has_changed: whether more than the time has, since it was shown.
    """

    def __init__(
        self,
        search: AskTell,
        asking: Asking,
        on_status: Callable[[Status], Any] | None,
        clock: Callable[[], float],
    ) -> None:
        self._search, self._asking, self._clock = search, asking, clock
        self._on_status, self.has_changed, self._shown = on_status, True, -math.inf
        self._begun = self._last = clock()
        self._idle = self._in_all = 0.0  # worker-seconds while budget was left
        self._complete = self._failed = self._resumed = 0  # trials that are over
        self._trial_seconds = 0.0
        self._timed = 0
        self._best, self._spent, self._waiting, self._trials = math.nan, 0, 0, 0
        self._spent_on_ended = 0

    def begin(self, workers: int) -> None:
        """Count from here on; say so where the budget pays for fewer trials than workers."""
        search = self._search
        self._resumed, self._begun = len(search.failures), self._clock()
        self._last = self._begun
        left = (search.budget - search.spent) // search.objective.price.cheapest + search.waiting
        if workers > left > 0:
            _log.warning("%d of %d workers are used: the budget pays for no more.", left, workers)

    def needed_ahead(self, workers: int) -> int:
        """Return how many trials will end while the method is asked; 0 where it takes no time."""
        trial = self._trial_seconds / self._timed if self._timed else math.nan
        proposing = self._asking.last_seconds
        if workers == 1 or not proposing > AHEAD * trial:
            return 0
        return min(workers, math.ceil(workers * proposing / trial)) if trial > 0 else workers

    def attempt_ended(self, seconds: float) -> None:
        """Count how long an attempt took, in seconds of the clock."""
        self._trial_seconds += seconds
        self._timed += 1

    def pass_time(self, workers: int, busy: int) -> None:
        """Count the time since the last call, in which so many workers were busy."""
        now, search = self._clock(), self._search
        if self._asking.is_under_way or search.can_ask or search.waiting:
            self._in_all += workers * (now - self._last)
            self._idle += max(0, workers - busy) * (now - self._last)
        self._last = now

    def show(self, workers: int, busy: int) -> None:
        """Show the status where it has changed, or a second has passed."""
        self.pass_time(workers, busy)
        if self._on_status is not None and (self.has_changed or self._last - self._shown >= 1.0):
            self.has_changed, self._shown = False, self._last
            if not self._asking.is_under_way:
                self._read_search()
            self._on_status(self._status(workers, busy))

    def _read_search(self) -> None:
        search, failures = self._search, self._search.failures
        self._best, self._spent, self._waiting = search.best, search.spent, search.waiting
        self._spent_on_ended = search.spent_on_ended
        self._trials, self._failed = search.trial_count, sum(failures)
        self._complete = len(failures) - self._failed

    def _status(self, workers: int, busy: int) -> Status:
        seconds, budget = self._clock() - self._begun, self._search.budget
        over = self._complete + self._failed - self._resumed
        eta = math.nan
        if over and self._spent:
            missing = (budget - self._spent) * self._trials / self._spent + busy + self._waiting
            eta = seconds * missing / over
        return Status(
            workers,
            busy,
            self._waiting,
            self._complete,
            self._failed,
            self._best,
            self._spent,
            self._spent_on_ended,
            budget,
            seconds,
            eta,
            self._asking.seconds,
            self._idle / self._in_all if self._in_all else 0.0,
        )
