"""Timing a function again and again, until its median and a quantile are as precise as asked for.

Three things make timings of one function differ: other processes take the core away; after that,
and after a pause, caches are cold; and the machine itself is faster now and slower then. So a run
counts only where the core was not taken away since the function has run for a millisecond, and the
clock is the processor time of the thread where one thread does the work. Runs come in bursts with
pauses between them, spread over time. What is left is correlated, so the interval is that of batch
means (batches of consecutive runs), widened by what cannot be seen from inside: what differs from
one process to the next (``DRIFT``, ``INTERRUPTED``), and runs that were disturbed though the core
was not taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from optiproxy_nas.core.arrays import Floats

Run = Callable[[], Any]
Timer = Callable[[Run], tuple[float, float]]  # seconds that a run took, and that are its own

PAUSE = 0.02  # seconds between two bursts: as if the function were called now and then
WARM = 0.001  # seconds of undisturbed runs, one at least, before a run counts
BURST, LEAST = 0.02, 5  # seconds of runs, and runs, after which a burst ends
# By how much longer than its own time a run took, where the core was taken away: seconds, and
# share of long runs, of which no moment is without an interrupt.
TAKEN, TAKEN_SHARE = 5e-5, 0.01
FASTEST = 0.05  # share of all runs that is taken where too few count
COLD = 0.3  # share by which cold caches make a run slower, at least; see docs/latency.md
LONGEST = 10.0  # times as long as asked for, where runs are too few for the quantile
BATCHES = 4  # of consecutive runs, each longer than most of what makes runs alike
# Relative sd between timings of one function in different processes, and by how much the share of
# runs that an interrupt lengthens differs: measured, see "What was tried" in docs/latency.md.
DRIFT, INTERRUPTED = 0.025, 0.02


class Estimate(NamedTuple):
    """A value in seconds, and how far another timing may be from it at the confidence."""

    value: float
    half: float  # of the interval
    sampled: float = 0.0  # what of it more runs would narrow

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return max(0.0, self.value - self.half)

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self.value + self.half

    @property
    def precision(self) -> float:
        """Half of the interval, as a share of the value."""
        return self.half / self.value


class Series:
    """The runs of one function.

    Args:
        run: the function.
        timer: of its runs.
        quantile: that is estimated beside the median, in (0.5, 1).

    Attributes:
        counted: seconds of the runs that count, in order.
        every: seconds of all runs, in order.
        taken: number of runs during which the core was taken away.
    """

    def __init__(self, run: Run, timer: Timer, quantile: float) -> None:
        self._run, self._timer, self._quantile = run, timer, quantile
        # The least number of runs of which the quantile lies within.
        self._block = math.ceil(1 / (1 - quantile) - 1e-9)
        self._needed = self._block * BATCHES
        self.counted: list[float] = []
        self.every: list[float] = []
        self.taken = 0

    def burst(self, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Run the function for a while: warm it up, then count.

        Args:
            limit: time of the clock at which it ends, after the first five runs of all.
            clock: in seconds.
        """
        warm, total, runs = 0.0, 0.0, 0
        while total < BURST or runs < LEAST:
            took, seconds = self._timer(self._run)
            self.every.append(seconds)
            total, runs = total + seconds, runs + 1
            if took - seconds > max(TAKEN, TAKEN_SHARE * seconds):
                self.taken, warm = self.taken + 1, 0.0
            elif warm < WARM:
                warm += seconds
            else:
                self.counted.append(seconds)
            if clock() >= limit and len(self.every) >= LEAST:
                return

    @property
    def is_sufficient(self) -> bool:
        """Whether more runs may narrow the intervals, but are not needed for them.

        Of undisturbed runs four in five count, so that enough do long before the second condition.
        """
        return len(self.counted) >= self._needed or len(self.every) >= 2 * self._needed

    @property
    def is_disturbed(self) -> bool:
        """Whether too few runs count because the core was taken away, not because few were made."""
        few = min(self._needed, len(self.every) / 2)
        return self.taken > 0 and len(self.counted) < few

    @property
    def is_short(self) -> bool:
        """Whether too few runs were made, though nothing took the core away."""
        return not self.is_disturbed and len(self.counted) < self._needed

    @property
    def used(self) -> list[float]:
        """Seconds of the runs that are estimated from."""
        return self.every if self.is_disturbed or not self.counted else self.counted

    def estimates(self, confidence: float) -> tuple[Estimate, Estimate]:
        """Return the median and the quantile, after one burst at least.

        Args:
            confidence: of the intervals, in (0, 1).
        """
        estimate = self._estimate_of_few
        if self.is_disturbed:
            estimate = self._estimate_of_fastest
        elif len(self.counted) >= self._needed:
            estimate = self._estimate
        return estimate(0.5, confidence), estimate(self._quantile, confidence)

    def is_precise(self, precision: float, confidence: float) -> bool:
        """Return whether more runs are not needed, of two blocks a batch or more.

        Both intervals are narrow enough then, but for what no further run would narrow.
        """
        if len(self.counted) < 2 * self._needed:
            return False
        return all(one.sampled <= precision * one.value for one in self.estimates(confidence))

    def _estimate(self, quantile: float, confidence: float) -> Estimate:
        """Return the median over blocks of the blocks' quantiles, and its interval."""
        size = self._block
        blocks = np.array(self.counted[: len(self.counted) // size * size]).reshape(-1, size)
        values = _quantiles(blocks, quantile)
        value = float(np.median(values))
        batches = [np.median(batch) for batch in np.array_split(values, BATCHES)]
        error = float(np.std(batches, ddof=1)) / math.sqrt(BATCHES)
        inside = math.sqrt(2) * float(special.stdtrit(BATCHES - 1, (1 + confidence) / 2)) * error
        # As large a share of the runs that count may be disturbed unseen.
        unseen = self.taken / (self.taken + len(self.counted))
        lower = value - float(np.median(_quantiles(blocks, quantile * (1 - unseen))))
        sampled = math.hypot(inside, lower, least_precision(confidence) * value)
        # A quantile between the runs with an interrupt and those without is the one or the other.
        shares = [quantile - INTERRUPTED, quantile, min(1.0, quantile + INTERRUPTED)]
        around = np.quantile(self.counted, shares)
        return Estimate(value, math.hypot(sampled, float(np.diff(around).max())), sampled)

    def _estimate_of_few(self, quantile: float, confidence: float) -> Estimate:
        """Return the quantile of too few undisturbed runs; the interval is as wide as they are."""
        value, spread = float(np.quantile(self.used, quantile)), float(np.ptp(self.used))
        return Estimate(value, math.hypot(spread, least_precision(confidence) * value))

    def _estimate_of_fastest(self, quantile: float, confidence: float) -> Estimate:
        """Return the quantile of the fastest runs, where the core was taken in nearly all of them.

        The interval has the fastest of all runs and the median of all, and is widened by what cold
        caches do, since these may be those of all runs.
        """
        value, middle = (float(it) for it in np.quantile(self.every, [FASTEST * quantile, 0.5]))
        seen = max(middle - value, value - min(self.every))
        return Estimate(value, math.hypot(seen, (COLD + least_precision(confidence)) * value))


def _quantiles(blocks: Floats, quantile: float) -> Floats:
    """Return the quantile of each block [n, size]: [n]; unbiased in the median, which is taken."""
    found: Floats = np.quantile(blocks, quantile, axis=1, method="median_unbiased")
    return found


def least_precision(confidence: float) -> float:
    """Return the precision below which no interval gets, however many runs there are."""
    return math.sqrt(2) * float(special.ndtri((1 + confidence) / 2)) * DRIFT


def time_until_precise(
    series: Sequence[Series],
    precision: float,
    confidence: float,
    least: float,
    most: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Any] = time.sleep,
) -> None:
    """Run functions in turn, burst by burst, until the intervals of all are narrow enough.

    Slow functions are run for longer than asked for (``LONGEST`` times at most), until their runs
    are enough for the quantile.

    Args:
        series: of the functions.
        precision: half of an interval, as a share of the value.
        confidence: of the intervals.
        least, most: seconds for each function.
        clock: in seconds.
        sleep: waits for seconds.
    """
    begun, waiting, looked = clock(), list(series), 0.0
    limit, longest = (begun + times * most * len(series) for times in (1, LONGEST))
    while waiting:
        for one in waiting:
            sleep(PAUSE)
            one.burst(limit if one.is_sufficient else longest, clock)
        elapsed = clock() - begun
        if clock() >= limit:
            enough = clock() >= longest
            waiting = [one for one in waiting if not (enough or one.is_sufficient)]
        elif elapsed >= least * len(series) and elapsed >= 1.1 * looked:
            looked = elapsed
            waiting = [one for one in waiting if not one.is_precise(precision, confidence)]


def processor_timer(run: Run) -> tuple[float, float]:
    """Time a run by the processor time of this thread, for functions that it alone computes."""
    wall, own = time.perf_counter(), time.thread_time()
    run()
    own = time.thread_time() - own
    return time.perf_counter() - wall, own


def wall_timer(run: Run) -> tuple[float, float]:
    """Time a run by the clock, for functions that several threads compute."""
    wall = time.perf_counter()
    run()
    wall = time.perf_counter() - wall
    return wall, wall
