"""How an asynchronous search stands: its workers, its trials, and how long it will take."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import NamedTuple

from optiproxy_nas.core.numbers import duration, value_text
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.trials import Trial

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error
AHEAD = 0.05  # share of a training that the method may take before it is asked ahead of need


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
    """Counts the trials of a search and the time of its workers.

    Args:
        search: what is counted of it is read while nobody asks it.
        clock: returns seconds.
    """

    def __init__(self, search: AskTell, clock: Callable[[], float]) -> None:
        self._search, self._clock = search, clock
        self._begun = self._last = clock()
        self._idle = self._in_all = 0.0  # worker-seconds while budget was left
        self._complete = self._failed = self._resumed = 0
        self._trial_seconds = 0.0
        self._timed = 0
        self._best, self._spent, self._waiting, self._trials = math.nan, 0, 0, 0

    def say_used(self, workers: int) -> None:
        """Say how many workers are used, where the budget pays for fewer trials."""
        search = self._search
        left = (search.budget - search.spent) // search.objective.price.cheapest + search.waiting
        if workers > left > 0:
            _log.warning("%d of %d workers are used: the budget pays for no more.", left, workers)

    def needed_ahead(self, workers: int, proposing: float) -> int:
        """Return how many trials will end while the method is asked; 0 where it takes no time.

        Args:
            workers: that there are.
            proposing: seconds that the method takes.
        """
        trial = self._trial_seconds / self._timed if self._timed else math.nan
        if workers == 1 or not proposing > AHEAD * trial:
            return 0
        return min(workers, math.ceil(workers * proposing / trial)) if trial > 0 else workers

    def trial_over(self, trial: Trial, is_new: bool) -> None:
        """Count a trial; one that the journal had is not new."""
        self._complete += trial.state == "complete"
        self._failed += trial.state == "failed"
        self._resumed += not is_new

    def attempt_ended(self, seconds: float) -> None:
        """Count how long an attempt took, in seconds of the clock."""
        self._trial_seconds += seconds
        self._timed += 1

    def pass_time(self, workers: int, busy: int, has_budget: bool) -> None:
        """Count the time since the last call, in which so many workers were busy."""
        now = self._clock()
        if has_budget:
            self._in_all += workers * (now - self._last)
            self._idle += max(0, workers - busy) * (now - self._last)
        self._last = now

    def read_search(self) -> None:
        """Read how the search stands; while nobody asks it."""
        search = self._search
        self._best, self._spent, self._waiting = search.best, search.spent, search.waiting
        self._trials = search.trial_count

    def status(self, workers: int, busy: int, proposing_seconds: float) -> Status:
        """Return how the search stands."""
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
            budget,
            seconds,
            eta,
            proposing_seconds,
            self._idle / self._in_all if self._in_all else 0.0,
        )
