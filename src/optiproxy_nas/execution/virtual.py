"""Workers on a virtual clock: hours of a cluster in seconds, the same each time.

A training gives its answer at once, as from a table, and takes some virtual seconds; some jobs
crash, some take much longer than they should. Which ones follows from the seed and their keys.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.execution.base import Executor
from optiproxy_nas.execution.jobs import Ended, Job, Key, Training, reason_of
from optiproxy_nas.execution.serial import Reports

CRASH = "the worker crashed (simulated)"  # why a job failed
Seconds = Callable[[Job], float]  # virtual seconds that a job takes on a sound worker


class Span(NamedTuple):
    """Time that a worker spent on a job.

    Attributes:
        key: of the job.
        begun: when, in virtual seconds.
        ended: when; of a job that runs, when it will end.
    """

    key: Key
    begun: float
    ended: float


@dataclass(frozen=True)
class Faults:
    """Jobs that do not go as they should.

    Attributes:
        crashes: share of jobs that fail, each after some part of its time; in [0, 1].
        stragglers: share of jobs that take longer; in [0, 1].
        factor: how many times as long these take.
    """

    crashes: float = 0.0
    stragglers: float = 0.0
    factor: float = 10.0

    def __post_init__(self) -> None:
        for name in ("crashes", "stragglers"):
            if not 0 <= getattr(self, name) <= 1:
                raise ParameterError(f"{name} = {getattr(self, name)}: a share is from 0 to 1.")
        if not self.factor >= 1:
            raise ParameterError(f"factor = {self.factor}: stragglers take at least as long.")


NO_FAULTS = Faults()


def lognormal_seconds(median: float, sigma: float, seed: int) -> Seconds:
    """Return times that follow a log-normal distribution, and from the seed and the job's key.

    Args:
        median: in seconds.
        sigma: standard deviation of their logarithm.
        seed: of the times.
    """

    def seconds(job: Job) -> float:
        return median * math.exp(sigma * _random(seed, job.key, "seconds").gauss(0.0, 1.0))

    return seconds


class VirtualExecutor(Executor):
    """An executor whose workers run on a virtual clock, which :meth:`poll` moves on.

    Args:
        training: gives the answer of a job; what it raises fails the job.
        seconds: that a job takes.
        workers: jobs at the same time.
        seed: decides, with the key of a job, whether it crashes or takes longer.
        faults: how many do.

    Attributes:
        workers: as above.
        now: virtual seconds since the start.
        spans: of all jobs that have begun, in this order.
    """

    def __init__(
        self,
        training: Training,
        seconds: Seconds,
        workers: int = 1,
        seed: int = 0,
        faults: Faults = NO_FAULTS,
    ) -> None:
        if workers < 1:
            raise ParameterError(f"workers = {workers}: at least one.", name="workers")
        self.workers, self.now = workers, 0.0
        self.spans: list[Span] = []
        self._training, self._seconds, self._seed, self._faults = training, seconds, seed, faults
        self._waiting: deque[Job] = deque()
        self._running: dict[Key, tuple[Ended, int]] = {}  # what will become of it, its span
        self._ends: list[tuple[float, int, Key]] = []  # a heap; the span tells equal times apart
        self._over: list[Ended] = []  # not polled yet

    def submit(self, job: Job) -> str:
        """Take a job, which begins when a worker is free; nothing can be joined again."""
        self._waiting.append(job)
        self._begin()
        return ""

    def poll(self, seconds: float | None = None) -> list[Ended]:
        """Move the clock to the next end of a job, or by ``seconds``; return what has ended."""
        limit = math.inf if seconds is None else self.now + seconds
        if not self._over:
            end = min(self._next_end(), limit)
            if math.isfinite(end):
                self.pass_until(end)
        over, self._over = self._over, []
        return over

    def pass_until(self, time: float) -> None:
        """Move the clock on, as while a method proposes; what ends meanwhile waits to be polled.

        Args:
            time: in virtual seconds since the start; not before ``now``.
        """
        while (end := self._next_end()) <= time:
            self.now = end
            _, _, key = heapq.heappop(self._ends)
            self._over.append(self._running.pop(key)[0])
            self._begin()
        self.now = max(self.now, time)

    def cancel(self, keys: Collection[Key] | None = None) -> None:
        """End these jobs (None: all); others begin in their place."""

        def is_meant(job: Job) -> bool:
            return keys is None or job.key in keys

        self._waiting = deque(job for job in self._waiting if not is_meant(job))
        self._over = [ended for ended in self._over if not is_meant(ended.job)]
        for key, (ended, place) in list(self._running.items()):
            if is_meant(ended.job):
                self.spans[place] = self.spans[place]._replace(ended=self.now)
                del self._running[key]
        self._begin()

    def running(self) -> list[Key]:
        """Return the keys of the jobs that run, in the order in which they began."""
        return list(self._running)

    def close(self) -> None:
        """End all jobs."""
        self.cancel()

    def busy_share(self, until: float) -> float:
        """Return the share of the workers' time before ``until`` in which they had a job.

        Args:
            until: virtual seconds, above 0.
        """
        busy = sum(max(0.0, min(span.ended, until) - span.begun) for span in self.spans)
        return busy / (self.workers * until)

    def _begin(self) -> None:
        """Let waiting jobs begin where workers are free."""
        while self._waiting and len(self._running) < self.workers:
            job = self._waiting.popleft()
            ended = self._fate(job)
            place = len(self.spans)
            self.spans.append(Span(job.key, self.now, self.now + ended.seconds))
            self._running[job.key] = ended, place
            heapq.heappush(self._ends, (self.spans[place].ended, place, job.key))

    def _next_end(self) -> float:
        """Return when the next job ends; infinite where none runs."""
        while self._ends:
            end, place, key = self._ends[0]
            if key in self._running and self._running[key][1] == place:
                return end
            heapq.heappop(self._ends)  # it was cancelled
        return math.inf

    def _fate(self, job: Job) -> Ended:
        """Return what becomes of a job that begins now."""
        seconds = float(self._seconds(job))
        if not 0 <= seconds < math.inf:
            raise ParameterError(f"A job cannot take {seconds} virtual seconds.")
        random = _random(self._seed, job.key, "faults")
        crashes, straggles = (random.random() for _ in range(2))
        if straggles < self._faults.stragglers:
            seconds *= self._faults.factor
        if crashes < self._faults.crashes:
            return Ended(job, error=CRASH, seconds=seconds * random.random())
        if job.timeout is not None and seconds > job.timeout:
            reason = f"timed out after {job.timeout:g} s (evaluation.timeout)"
            return Ended(job, error=reason, seconds=job.timeout)
        ended = Ended(job, seconds=seconds)
        try:
            ended.answer = self._training(job, Reports(ended.curve))
        except (Exception, SystemExit) as error:
            ended.error = reason_of(error)
        return ended


def _random(seed: int, key: Key, purpose: str) -> Random:
    """Return the stream of one purpose of one job; that of a text is equal on every machine."""
    return Random(f"{seed}/{'/'.join(map(str, key))}/{purpose}")
