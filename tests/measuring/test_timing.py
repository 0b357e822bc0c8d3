"""The interval of a timing holds another timing, also where runs are correlated."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from optiproxy_nas.measuring.speed import Speed
from optiproxy_nas.measuring.timing import (
    BATCHES,
    COLD,
    LEAST,
    Estimate,
    Series,
    processor_timer,
    time_until_precise,
    wall_timer,
)

LATENCY = 3e-3  # seconds of a run on a machine that does nothing else
PROBE = 3e-5  # seconds of the computation that its speed is told by
SLOW = 1.6  # times as long as usual: what runs in a slow stretch takes


class Machine:
    """A machine with a clock of its own: its speed wanders, and other processes take the core."""

    def __init__(
        self,
        seed: int,
        wander: float = 0.05,
        taken: float = 0.02,
        slow: Callable[[float], bool] = lambda now: False,
    ) -> None:
        self.now = 0.0
        self._random = np.random.default_rng(seed)
        self._process = 0.015 * self._random.standard_normal()  # of each process another one
        self._wander, self._taken, self._slow = wander, taken, slow
        self._speed = wander * self._random.standard_normal()
        self._cold = 0.0  # share of a run by which it is slower

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self._pass(seconds)
        self._cold = 0.8

    def time(self, run: Callable[[], object]) -> tuple[float, float]:
        factor = math.exp(self._process + self._speed + 0.02 * abs(self._random.standard_normal()))
        seconds, self._cold = LATENCY * factor * self._slowness() * (1 + self._cold), 0.0
        took = seconds
        if self._random.random() < self._taken:
            took, self._cold = seconds + 3e-3, 0.8
        self._pass(took)
        return took, seconds

    def probe(self, run: Callable[[], object]) -> tuple[float, float]:
        seconds = PROBE * self._slowness() * (1 + 0.01 * abs(self._random.standard_normal()))
        self._pass(seconds)
        return seconds, seconds

    def _slowness(self) -> float:
        return SLOW if self._slow(self.now) else 1.0

    def _pass(self, seconds: float) -> None:
        """Let time pass; the speed is forgotten in a tenth of a second."""
        self.now += seconds
        keep = math.exp(-seconds / 0.1)
        noise = self._wander * math.sqrt(1 - keep * keep)
        self._speed = keep * self._speed + noise * self._random.standard_normal()


def timed(machine: Machine, precision: float = 0.15, usual: float | None = None) -> Series:
    series = Series(lambda: None, machine.time, 0.9, Speed(machine.probe, usual))
    time_until_precise([series], precision, 0.95, 1.0, 5.0, machine.clock, machine.sleep)
    return series


def steady() -> Speed:
    return Speed(lambda run: (PROBE, PROBE))


def every_other(seconds: float) -> Callable[[float], bool]:
    return lambda now: int(now / seconds) % 2 == 1


def estimates(series: Series) -> tuple[Estimate, Estimate]:
    return series.estimates(0.95)


def share_inside(found: list[Estimate]) -> float:
    pairs = [first.low <= second.value <= first.high for first, second in permutations(found, 2)]
    return sum(pairs) / len(pairs)


def test_two_timings_agree_within_the_interval_in_95_of_100() -> None:
    timings = [timed(Machine(seed)) for seed in range(25)]
    for kind in zip(*map(estimates, timings), strict=True):
        assert share_inside(list(kind)) >= 0.93  # of 600 pairs
        assert all(one.precision <= 0.15 for one in kind)
    # Where the runs are taken for independent, the interval is too narrow.
    naive = []
    for series in timings:
        runs = np.sort(series.used)
        ranks = len(runs) / 2 + math.sqrt(2) * 1.96 * math.sqrt(len(runs)) / 2 * np.array([-1, 1])
        low, high = runs[ranks.astype(int)]
        naive.append(Estimate(float(np.median(runs)), (high - low) / 2))
    assert share_inside(naive) < 0.8


def test_runs_after_a_pause_or_after_another_process_do_not_count() -> None:
    series = timed(Machine(0, wander=0.0, taken=0.2))
    assert series.taken > 10
    assert max(series.used) < 1.2 * LATENCY < max(series.every)


def test_a_noisier_machine_is_measured_for_longer_and_at_most_for_the_limit() -> None:
    quiet, noisy = Machine(1, wander=0.01), Machine(1, wander=0.6)
    timed(quiet)
    series = timed(noisy)
    assert quiet.now < 1.5 < 4.5 < noisy.now < 5.1
    assert estimates(series)[0].precision > 0.15  # the interval is what it is


def test_where_the_core_is_always_taken_the_fastest_runs_are_the_best_guess() -> None:
    undisturbed, _ = estimates(timed(Machine(2)))
    series = timed(Machine(2, taken=0.8))
    assert series.is_disturbed
    median, _ = estimates(series)
    assert median.value == pytest.approx(undisturbed.value, rel=0.3)
    assert median.low <= min(series.every)
    assert median.high >= np.median(series.every) > 1.5 * LATENCY  # most runs were cold
    assert median.precision >= COLD
    still = Series(
        lambda: None, lambda _: (1.0, 0.01), 0.9, steady()
    )  # a clock that tells no runs apart
    for _ in range(20):
        still.burst(1.0, lambda: 0.0)
    assert still.is_disturbed
    assert still.estimates(0.95)[0].precision > still.estimates(0.5)[0].precision > COLD


def estimate_of_quantile(interrupted: float, taken: float = 0.0) -> Estimate:
    """Estimate where shares of the runs are longer by a fifth, and lose the core."""
    draws = np.random.default_rng(0)

    def time(run: Callable[[], object]) -> tuple[float, float]:
        seconds = 1e-3 * (1 + 0.2 * (draws.random() < interrupted))
        return seconds + 1e-3 * (draws.random() < taken), seconds

    series = Series(lambda: None, time, 0.9, steady())
    for _ in range(100):
        series.burst(math.inf, lambda: 0.0)
    return estimates(series)[1]


def test_runs_that_may_be_disturbed_unseen_widen_the_interval_of_the_quantile() -> None:
    calm, busy = (estimate_of_quantile(0.2, taken) for taken in (0.0, 0.4))
    assert calm.precision < 0.15 < 0.19 < busy.precision


def test_a_quantile_between_runs_with_an_interrupt_and_those_without_has_both_in_its_interval() -> (
    None
):
    few, edge, many = map(estimate_of_quantile, (0.02, 0.09, 0.3))
    assert few.precision < 0.15
    assert many.precision < 0.15
    assert edge.low < few.value
    assert edge.high > many.value


def noting(order: list[str], name: str, burst: Callable[..., None], *given: Any) -> None:
    order.append(name)
    burst(*given)


def test_several_functions_are_run_in_turn() -> None:
    machine = Machine(3)
    order: list[str] = []
    both = [Series(lambda: None, machine.time, 0.9, steady()) for _ in range(2)]
    for name, series in zip("ab", both, strict=True):
        noted = partial(noting, order, name, series.burst)
        series.burst = noted  # type: ignore[method-assign]
    time_until_precise(both, 0.15, 0.95, 1.0, 5.0, machine.clock, machine.sleep)
    assert order[:4] == ["a", "b", "a", "b"]
    assert machine.now >= 2.0


@pytest.mark.parametrize(("slower", "seconds"), [(100, 16), (1000, 51), (10_000, 151)])
def test_a_slow_function_is_run_for_longer_and_its_interval_is_wide_where_runs_are_few(
    slower: int, seconds: float
) -> None:
    machine = Machine(4, wander=0.02, taken=0.0)

    def time(run: Callable[[], object]) -> tuple[float, float]:
        machine._pass((slower - 1) * LATENCY)
        took, own = machine.time(run)
        return took + (slower - 1) * LATENCY, own + (slower - 1) * LATENCY

    series = Series(lambda: None, time, 0.9, Speed(machine.probe))
    time_until_precise([series], 0.15, 0.95, 1.0, 5.0, machine.clock, machine.sleep)
    assert 0.85 * seconds < machine.now < 1.1 * seconds
    assert len(series.every) >= LEAST
    assert (series.counted >= 10 * BATCHES) == (slower == 100)
    assert not series.is_disturbed
    for one in estimates(series):
        assert one.low <= slower * LATENCY * 1.05
        assert one.half >= (0 if slower == 100 else np.ptp(series.used))


def test_an_interrupt_in_a_long_run_does_not_count_as_taken() -> None:
    series = Series(lambda: None, lambda _: (1.001, 1.0), 0.9, steady())
    series.burst(1.0, lambda: 0.0)
    assert series.taken == 0


def test_runs_in_slow_stretches_do_not_count_however_long_these_are() -> None:
    quiet = [estimates(timed(Machine(seed, wander=0.02))) for seed in range(8)]
    found = []
    for seed in range(8):  # half of the time is slow, in stretches of 20 ms to 1 s
        machine = Machine(seed, 0.02, slow=every_other(0.02 * 50 ** (seed / 7)))
        found.append(estimates(series := timed(machine)))
        assert series.speed() == 1.0
    for kind in range(2):
        mixed = [pair[kind] for pair in (*quiet, *found)]
        assert share_inside(mixed) >= 0.93
        assert np.median([one.precision for one in mixed]) < 0.17


def test_a_timing_in_a_slow_stretch_says_so_and_reaches_down_to_the_usual_speed() -> None:
    usual, _ = estimates(timed(Machine(0, wander=0.02)))
    slow = Machine(1, wander=0.02, slow=lambda now: True)
    series = timed(slow, usual=PROBE)
    assert series.speed() == pytest.approx(1 / SLOW, rel=0.05)
    assert slow.now == pytest.approx(5.0, abs=0.2)  # waits no longer than for a noisy machine
    for one in estimates(series):
        assert one.value == pytest.approx(SLOW * usual.value, rel=0.1)
        assert one.low <= usual.value
    first = timed(Machine(1, wander=0.02, slow=lambda now: True))  # of a machine
    assert first.speed() == 1.0
    ending = Machine(2, wander=0.02, slow=lambda now: now < 3)
    late = timed(ending, usual=PROBE)
    assert late.speed() == 1.0
    assert 3 < ending.now < 5
    assert estimates(late)[0].value == pytest.approx(usual.value, rel=0.08)


@pytest.mark.parametrize("timer", [processor_timer, wall_timer])
def test_timers_time_what_they_run(timer: Callable[..., tuple[float, float]]) -> None:
    ran: list[int] = []
    begun = time.perf_counter()
    took, seconds = timer(lambda: ran.append(sum(range(20_000))))
    assert len(ran) == 1
    assert 0 < took <= time.perf_counter() - begun
    assert 0 < seconds <= took + 1e-4  # of two clocks
