"""Workers on a virtual clock: what takes how long, and what fails."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.execution.jobs import Ended, Job, Parent, Training
from optiproxy_nas.execution.virtual import CRASH, Faults, VirtualExecutor, lognormal_seconds
from optiproxy_nas.testing import check_executor


def job(number: int, timeout: float | None = None) -> Job:
    return Job(number, 1, f"a{number}", None, 0, "", timeout=timeout)


def own_number(job: Job, parent: Parent) -> float:
    return float(job.number)


def constant(seconds: float) -> Callable[[Job], float]:
    return lambda job: seconds


def drained(executor: VirtualExecutor, count: int, timeout: float | None = None) -> list[Ended]:
    """Run ``count`` jobs, all submitted at the beginning."""
    for number in range(count):
        executor.submit(job(number, timeout))
    found: list[Ended] = []
    while ended := executor.poll():
        found += ended
    return found


def test_it_conforms_as_far_as_a_job_can_be_over_at_once(tmp_path: Path) -> None:
    def make(training: Training, workers: int, folder: Path) -> VirtualExecutor:
        return VirtualExecutor(training, constant(1.0), workers)

    check_executor(make, tmp_path, in_background=False)


def test_one_worker_takes_the_sum_of_the_times() -> None:
    executor = VirtualExecutor(own_number, lambda job: 1.0 + job.number)
    found = drained(executor, 5)
    assert [(ended.job.number, ended.answer) for ended in found] == [
        (i, float(i)) for i in range(5)
    ]
    assert executor.now == 1 + 2 + 3 + 4 + 5
    assert executor.busy_share(executor.now) == 1


@pytest.mark.parametrize("workers", [1, 3, 4, 10, 16])
def test_equal_times_take_as_many_rounds_as_the_workers_need(workers: int) -> None:
    executor = VirtualExecutor(own_number, constant(7.0), workers)
    assert len(drained(executor, 10)) == 10
    rounds = math.ceil(10 / workers)
    assert executor.now == 7.0 * rounds
    assert executor.busy_share(executor.now) == pytest.approx(10 / (rounds * workers))


def test_a_worker_that_becomes_free_takes_the_next_job_at_once() -> None:
    executor = VirtualExecutor(own_number, lambda job: [5.0, 1.0, 1.0, 1.0][job.number], workers=2)
    found = drained(executor, 4)
    assert [ended.job.number for ended in found] == [1, 2, 3, 0]
    assert executor.now == 5.0


def test_the_clock_moves_on_by_what_is_waited_and_no_further() -> None:
    executor = VirtualExecutor(own_number, constant(10.0))
    executor.submit(job(0))
    assert executor.poll(4.0) == []
    assert executor.now == 4.0
    assert executor.running() == [(0, 0, 1)]
    assert [ended.job.number for ended in executor.poll(100.0)] == [0]
    assert executor.now == 10.0
    assert executor.poll() == []
    assert executor.now == 10.0


def test_what_ends_while_a_method_proposes_waits_and_the_next_job_begins() -> None:
    executor = VirtualExecutor(own_number, constant(2.0))
    executor.submit(job(0))
    executor.submit(job(1))
    executor.pass_until(3.0)
    assert executor.now == 3.0
    assert executor.running() == [(1, 0, 1)]
    assert [ended.job.number for ended in executor.poll()] == [0]
    assert executor.now == 3.0  # it had ended already
    assert [ended.job.number for ended in executor.poll()] == [1]
    assert executor.now == 4.0


def test_cancelled_jobs_are_not_heard_of_and_others_begin() -> None:
    executor = VirtualExecutor(own_number, constant(2.0))
    for number in range(3):
        executor.submit(job(number))
    executor.pass_until(1.0)
    executor.cancel([(0, 0, 1), (1, 0, 1), (9, 0, 1)])
    assert executor.running() == [(2, 0, 1)]
    assert [ended.job.number for ended in executor.poll()] == [2]
    assert executor.now == 3.0
    assert executor.spans[0].ended == 1.0
    executor.submit(job(3))
    executor.pass_until(9.0)
    executor.close()
    assert executor.poll() == []


def test_a_share_crashes_within_its_time_and_a_share_takes_longer() -> None:
    faults = Faults(crashes=0.05, stragglers=0.2, factor=10)
    executor = VirtualExecutor(own_number, constant(1.0), workers=50, seed=3, faults=faults)
    found = drained(executor, 4000)
    crashed = [ended.seconds for ended in found if ended.error == CRASH]
    sound = [ended.seconds for ended in found if not ended.error]
    assert len(crashed) / 4000 == pytest.approx(0.05, abs=0.015)
    assert np.mean(np.equal(sound, 10.0)) == pytest.approx(0.2, abs=0.03)
    assert set(sound) == {1.0, 10.0}
    assert all(0 <= seconds < 10 for seconds in crashed)
    assert all(ended.answer is None for ended in found if ended.error)


def test_the_fate_of_a_job_follows_from_the_seed_and_its_key_alone() -> None:
    def fates(seed: int, workers: int, order: int) -> dict[int, tuple[str, float]]:
        times = lognormal_seconds(100.0, 0.5, seed)
        faults = Faults(crashes=0.3, stragglers=0.3)
        executor = VirtualExecutor(own_number, times, workers, seed, faults)
        for number in list(range(40))[::order]:
            executor.submit(job(number))
        found: dict[int, tuple[str, float]] = {}
        while ended := executor.poll():
            found |= {it.job.number: (it.error, it.seconds) for it in ended}
        return found

    assert fates(0, 1, 1) == fates(0, 7, -1)
    assert fates(0, 1, 1) != fates(1, 1, 1)
    again = VirtualExecutor(own_number, constant(1.0), 1, 0, Faults(crashes=0.5))
    errors = []
    for attempt in range(1, 30):
        again.submit(job(0)._replace(attempt=attempt))
        errors += [ended.error for ended in again.poll()]
    assert len(set(errors)) == 2  # another attempt may fare better


def test_log_normal_times_have_the_median_and_the_deviation_asked_for() -> None:
    times = lognormal_seconds(60.0, 0.8, 1)
    logarithms = np.log([times(job(number)) for number in range(3000)])
    assert math.exp(float(np.median(logarithms))) == pytest.approx(60.0, rel=0.08)
    assert logarithms.std() == pytest.approx(0.8, rel=0.08)


def test_a_training_that_raises_or_takes_too_long_fails() -> None:
    def answer(job: Job, parent: Parent) -> float:
        raise ValueError(f"no value for {job.architecture}")

    raising = drained(VirtualExecutor(answer, constant(1.0)), 1)
    assert raising[0].error == "ValueError: no value for a0"
    (late,) = drained(VirtualExecutor(own_number, constant(5.0)), 1, timeout=2.0)
    assert late.error
    assert (late.answer, late.seconds) == (None, 2.0)


def test_spans_hold_what_ran_when_and_workers_run_one_job_at_a_time() -> None:
    executor = VirtualExecutor(own_number, lognormal_seconds(10.0, 1.0, 0), workers=3)
    drained(executor, 30)
    events = [(s.begun, 1) for s in executor.spans] + [(s.ended, -1) for s in executor.spans]
    running = np.cumsum([change for _, change in sorted(events)])
    assert running.max() == 3
    assert all(a.begun <= b.begun for a, b in pairwise(executor.spans))


@pytest.mark.parametrize(
    "build",
    [
        lambda: Faults(crashes=1.5),
        lambda: Faults(stragglers=-0.1),
        lambda: Faults(factor=0.5),
        lambda: VirtualExecutor(own_number, constant(1.0), workers=0),
        lambda: VirtualExecutor(own_number, constant(math.inf)).submit(job(0)),
    ],
)
def test_what_cannot_be_is_refused(build: Callable[[], object]) -> None:
    with pytest.raises(ParameterError):
        build()
