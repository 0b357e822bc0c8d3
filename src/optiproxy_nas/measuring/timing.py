"""Timing a function again and again, until its median and a quantile are as precise as asked for.

Three things make timings of one function differ: other processes take the core away; after that,
and after a pause, caches are cold; and the machine itself is slower at times (``speed.py``). So a
run counts only where the core was not taken away since the function has run for a millisecond, and
where the machine was as fast as usual right before and after; the clock is the processor time of
the thread where one thread does the work. Runs come in bursts with pauses between them, spread over
time. What is left is correlated, so the interval is that of batch means (batches of consecutive
runs), widened by what cannot be seen from inside (``DRIFT``, ``INTERRUPTED``, ``UNSEEN``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.measuring.speed import LEVEL, USUAL, Run, Speed, Timer

PAUSE = 0.02  # seconds between two bursts: as if the function were called now and then
WARM = 0.001  # seconds of undisturbed runs, one at least, before a run counts
STRETCH = 0.002  # seconds of runs between two probes of the speed
PROBED = 0.0002  # seconds of runs after a probe before one counts, where they are short
BURST, LEAST = 0.02, 5  # seconds of runs, and runs, after which a burst ends
# By how much longer than its own time a run took, where the core was taken away: seconds, and
# share of long runs, of which no moment is without an interrupt.
TAKEN, TAKEN_SHARE = 5e-5, 0.01
FASTEST = 0.05  # share of all runs that is taken where too few count
COLD = 0.3  # share by which cold caches make a run slower, at least; see docs/latency.md
LONGEST = 10.0  # times as long as asked for, where runs are too few for the quantile
BATCHES = 4  # of consecutive runs, each longer than most of what makes runs alike
# Between timings of one function in different processes: relative sd of the median, and of the
# quantile; by how much the share of runs
# that an interrupt lengthens differs, and by what part of the share of runs that are seen to be
# disturbed it does more. Measured, see "How well it agrees" in docs/latency.md.
DRIFT, DRIFT_ABOVE, INTERRUPTED, UNSEEN = 0.03, 0.045, 0.06, 0.3


class Estimate(NamedTuple):
    """A value in seconds, and how far another timing may be from it at the confidence."""

    value: float
    half: float  # of the interval

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
        speed: of the machine meanwhile.

    Attributes:
        every: seconds of all runs, in order.
        taken: number of runs during which the core was taken away.
        undisturbed: number of runs before and during which it was not.
    """

    def __init__(self, run: Run, timer: Timer, quantile: float, speed: Speed) -> None:
        self._run, self._timer, self._quantile, self._speed = run, timer, quantile, speed
        # The least number of runs of which the quantile lies within.
        self._block = math.ceil(1 / (1 - quantile) - 1e-9)
        self._needed = self._block * BATCHES
        self._stretches: list[Floats] = []  # of undisturbed runs
        # Of the machine in each: the slower one of its cores, the faster one of its memory.
        self._paces: list[tuple[float, float]] = []
        self.every: list[float] = []
        self.taken, self.undisturbed = 0, 0

    def burst(self, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Run the function for a while: warm it up, then count.

        Args:
            limit: time of the clock at which it ends, after the first five runs of all.
            clock: in seconds.
        """
        warm, total, runs, ended = 0.0, 0.0, 0, False
        first = len(self._stretches)
        memory = self._speed.memory.pace()  # before the caches are warm
        before = self._speed.cores.pace()
        while not ended:
            stretch: list[float] = []
            begun = total
            while total - begun < STRETCH and not ended:
                took, seconds = self._timer(self._run)
                self.every.append(seconds)
                total, runs = total + seconds, runs + 1
                if took - seconds > max(TAKEN, TAKEN_SHARE * seconds):
                    self.taken, warm = self.taken + 1, 0.0
                elif warm < WARM:
                    warm += seconds
                else:
                    stretch.append(seconds)
                ended = (total >= BURST and runs >= LEAST) or (
                    clock() >= limit and len(self.every) >= LEAST
                )
            after = self._speed.cores.pace()
            if stretch:
                self._stretches.append(np.array(stretch))
                self._paces.append((max(before, after), memory))
                self.undisturbed += len(stretch)
            before, warm = after, warm if seconds >= WARM else min(warm, WARM - PROBED)
        memory = min(memory, self._speed.memory.pace())
        self._paces[first:] = [(cores, memory) for cores, _ in self._paces[first:]]

    @property
    def counted(self) -> int:
        """The number of undisturbed runs while the machine was as fast as usual."""
        return len(self._runs(1.0))

    @property
    def is_sufficient(self) -> bool:
        """Whether more runs may narrow the intervals, but are not needed for them.

        Of undisturbed runs four in five count, so that enough do long before the second condition.
        """
        return len(self.every) >= 2 * self._needed or self.counted >= self._needed

    @property
    def is_disturbed(self) -> bool:
        """Whether too few runs count because the core was taken away, not because few were made."""
        few = min(self._needed, len(self.every) / 2)
        return self.taken > 0 and self.undisturbed < few

    @property
    def is_short(self) -> bool:
        """Whether too few runs were made, though nothing took the core away."""
        return not self.is_disturbed and self.undisturbed < self._needed

    @property
    def used(self) -> Floats:
        """Seconds of the runs that are estimated from, in order."""
        if self.is_disturbed or not self.undisturbed:
            return np.array(self.every)
        return self._runs(self._slowest)

    def speed(self, quantile: float = 0.5) -> float:
        """Return the speed of the machine in the runs that are used, as a share of the usual one.

        Args:
            quantile: of the runs, the slowest last.
        """
        speed = self._speed
        slowness = float(speed.slowness([speed.cores.level], [speed.memory.level])[0])
        if self.undisturbed and not self.is_disturbed:
            lengths = [len(stretch) for stretch in self._stretches]
            of_runs = np.repeat(self._slowness, lengths)
            slowness = float(np.quantile(of_runs[of_runs <= self._slowest], quantile))
        return 1 / (USUAL * slowness) if slowness > 1 else 1.0

    def estimates(self, confidence: float) -> tuple[Estimate, Estimate]:
        """Return the median and the quantile, after one burst at least.

        Args:
            confidence: of the intervals, in (0, 1).
        """
        estimate = self._estimate
        if self.is_disturbed:
            estimate = self._estimate_of_fastest
        elif self.is_short:
            estimate = self._estimate_of_few
        return estimate(0.5, confidence), estimate(self._quantile, confidence)

    def is_precise(self, precision: float, confidence: float) -> bool:
        """Return whether both intervals are narrow enough, with two blocks a batch or more."""
        if self.counted < 2 * self._needed:
            return False
        return all(one.precision <= precision for one in self.estimates(confidence))

    @property
    def _slowness(self) -> Floats:
        """By how much the machine was slower in each stretch [n]; up to 1 it was as usual."""
        if not self._paces:
            return np.zeros(0)
        cores, memory = zip(*self._paces, strict=True)
        return self._speed.slowness(cores, memory)

    def _runs(self, slowness: float) -> Floats:
        """Return the seconds of undisturbed runs while the machine was as slow or faster."""
        pairs = zip(self._slowness, self._stretches, strict=True)
        found: Floats = np.concatenate([[], *(runs for slow, runs in pairs if slow <= slowness)])
        return found

    @property
    def _slowest(self) -> float:
        """The slowness up to which runs are used: 1, or where these are few a greater one.

        Then it is that of the fastest tenth of them, or of as many as are needed.
        """
        if self.counted >= self._needed:
            return 1.0
        slowness = self._slowness
        order = np.argsort(slowness)
        runs = np.cumsum([len(self._stretches[place]) for place in order])
        enough = int(np.searchsorted(runs, max(self._needed, LEVEL * self.undisturbed)))
        return float(slowness[order[min(enough, len(order) - 1)]])

    def _estimate(self, quantile: float, confidence: float) -> Estimate:
        """Return the median over blocks of the blocks' quantiles, and its interval."""
        size, used = self._block, self.used
        blocks = used[: len(used) // size * size].reshape(-1, size)
        values = _quantiles(blocks, quantile)
        value = float(np.median(values))
        batches = [np.median(batch) for batch in np.array_split(values, BATCHES)]
        error = float(np.std(batches, ddof=1)) / math.sqrt(BATCHES)
        inside = math.sqrt(2) * float(special.stdtrit(BATCHES - 1, (1 + confidence) / 2)) * error
        sampled = math.hypot(inside, least_precision(confidence, quantile) * value)
        # A quantile between the runs with an interrupt and those without is the one or the other.
        differs = INTERRUPTED + UNSEEN * self.taken / (self.taken + self.undisturbed)
        shares = np.clip(quantile + differs * np.array([-1, 0, 1]), 0, 1)
        either = max(np.diff([np.median(_quantiles(blocks, share)) for share in shares]))
        return Estimate(value, math.hypot(sampled, either) + (1 - self.speed(quantile)) * value)

    def _estimate_of_few(self, quantile: float, confidence: float) -> Estimate:
        """Return the quantile of too few undisturbed runs; the interval is as wide as they are."""
        used = self.used
        value, spread = float(np.quantile(used, quantile)), float(np.ptp(used))
        least = least_precision(confidence, quantile) * value
        return Estimate(value, math.hypot(spread, least) + (1 - self.speed(quantile)) * value)

    def _estimate_of_fastest(self, quantile: float, confidence: float) -> Estimate:
        """Return the quantile of the fastest runs, where the core was taken in nearly all of them.

        The interval has the fastest of all runs and the median of all, and is widened by what cold
        caches do, since these may be those of all runs.
        """
        value, middle = (float(it) for it in np.quantile(self.every, [FASTEST * quantile, 0.5]))
        seen = max(middle - value, value - min(self.every))
        half = math.hypot(seen, (COLD + least_precision(confidence, quantile)) * value)
        return Estimate(value, half + (1 - self.speed()) * value)


def _quantiles(blocks: Floats, quantile: float) -> Floats:
    """Return the quantile of each block [n, size]: [n]; unbiased in the median, which is taken."""
    found: Floats = np.quantile(blocks, quantile, axis=1, method="median_unbiased")
    return found


def least_precision(confidence: float, quantile: float) -> float:
    """Return the precision below which no interval gets, however many runs there are."""
    drift = DRIFT_ABOVE if quantile > 0.5 else DRIFT
    return math.sqrt(2) * float(special.ndtri((1 + confidence) / 2)) * drift


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
