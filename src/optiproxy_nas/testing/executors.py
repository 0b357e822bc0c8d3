"""Conformance checks of executors."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from optiproxy_nas.execution.base import Executor
from optiproxy_nas.execution.jobs import Ended, Job, Key, Training
from optiproxy_nas.execution.scripted import PATIENCE, Scripted

MakeExecutor = Callable[[Training, int, Path], Executor]  # of a training, workers and a folder
_FAILING = {  # what a job does, and what its error says
    "raises": "ValueError: the first line and a second one",
    "leaves": "enough",
    "is_killed": "",
}


def check_executor(
    make: MakeExecutor, folder: Path | None = None, in_background: bool = True, many: int = 100
) -> None:
    """Assert that an executor runs every job, and gives back the end of each exactly once.

    Args:
        make: returns an executor of a training for this number of workers. The training can be
            pickled, and imports little.
        folder: an empty one that the workers can write to; None: a temporary one of this machine.
        in_background: False for an executor that runs a job only while it is polled. Then jobs are
            not killed, and none runs beside another one.
        many: jobs that are submitted at a time once; fewer where each takes long to begin.

    Raises:
        AssertionError: which promise is broken.
    """
    with tempfile.TemporaryDirectory(prefix="optiproxy-") as temporary:
        check = _Check(make, folder or Path(temporary), in_background, many)
        check.order()
        check.failures()
        check.many()
        if in_background:
            check.several_at_once()
            check.waiting_no_longer_than_asked()
            check.cancelling()
            check.closing()


class _Check:
    def __init__(self, make: MakeExecutor, folder: Path, in_background: bool, many: int) -> None:
        self._make, self._folder, self._in_background = make, folder, in_background
        self._many, self._number = many, 0

    def order(self) -> None:
        """One worker takes the jobs in their order, and what was cancelled is left out."""
        jobs = [self._job("reports" if number == 0 else "gives_number") for number in range(5)]
        again = jobs[2]._replace(attempt=2)
        with self._open(workers=1) as executor:
            assert executor.workers >= 1, f"it has {executor.workers} workers"
            assert executor.poll() == [], "poll() gives something before there are jobs"
            assert executor.poll(0.0) == [], "poll(0) gives something before there are jobs"
            for job in [*jobs, again]:
                handle = executor.submit(job)
                assert isinstance(handle, str), f"submit gives {handle!r}, which is no text"
            executor.cancel([jobs[3].key, (999, 0, 1)])
            left = [job for job in [*jobs, again] if job is not jobs[3]]
            ended = _all_ended(executor, left)
        keys = [one.job.key for one in ended]
        assert keys == [job.key for job in left], (
            f"one worker was given the jobs {[job.key for job in left]}; they ended as {keys}"
        )
        assert [one.error for one in ended] == [""] * len(left), f"jobs failed: {ended}"
        assert ended[0].curve == [(1, 0.5), (2, 0.25)], f"what it reported: {ended[0].curve}"
        assert all(one.seconds >= 0 for one in ended), "a job took less than no time"

    def failures(self) -> None:
        """A job that goes wrong costs itself only."""
        failing = [what for what in _FAILING if self._in_background or what != "is_killed"]
        whats = [what for pair in zip(failing, ["gives_number"] * 3, strict=False) for what in pair]
        jobs = [self._job(what) for what in [*whats, "gives_a_function", "gives_number"]]
        if self._in_background:
            jobs.insert(1, self._job("gives_number")._replace(architecture=lambda: None))
        with self._open() as executor:
            for job in jobs:
                executor.submit(job)
            by_key = {one.job.key: one for one in _all_ended(executor, jobs)}
        for job in jobs:
            ended = by_key[job.key]
            what = job.architecture[0] if isinstance(job.architecture, tuple) else "unpicklable"
            if what == "gives_number":
                assert (ended.error, ended.answer) == ("", job.number), f"{ended} beside a failure"
            elif what in _FAILING:
                said = _FAILING[what]
                assert ended.error, f"a job that {what} ended without an error"
                assert said in ended.error, f"a job that {what} ended with {ended.error!r}"
                assert "\n" not in ended.error, f"an error of several lines: {ended.error!r}"
            elif what == "unpicklable":
                assert ended.error, "a job that cannot be pickled ended without an error"

    def many(self) -> None:
        """Many jobs are given back once each, with their own answers."""
        jobs = [self._job("gives_number") for _ in range(self._many)]
        with self._open() as executor:
            for job in jobs:
                executor.submit(job)
            for one in _all_ended(executor, jobs):
                assert one.answer == one.job.number, f"the answer of another job: {one}"

    def several_at_once(self) -> None:
        """Two workers have a job each at the same time."""
        jobs = [self._job("meets", "2") for _ in range(2)]
        with self._open() as executor:
            for job in jobs:
                executor.submit(job)
            answers = [one.answer for one in _all_ended(executor, jobs)]
        assert answers == [1.0, 1.0], "two workers do not run two jobs at the same time"

    def waiting_no_longer_than_asked(self) -> None:
        """With a time limit, poll returns although nothing has ended."""
        with self._open() as executor:
            job = self._begin(executor)
            begun = time.monotonic()
            assert executor.poll(0.1) == [], "poll gives a job that has not ended"
            assert time.monotonic() - begun < 30, "poll(0.1) waits for more than 30 seconds"
            assert executor.running() == [job.key], f"running() is {executor.running()}"

    def cancelling(self) -> None:
        """What is cancelled ends; nothing is heard of it, and the workers go on."""
        with self._open() as executor:
            first, second = self._begin(executor), self._begin(executor)
            waiting, kept = self._job("beats"), self._job("gives_number")
            executor.submit(waiting)
            executor.submit(kept)
            executor.cancel([first.key, waiting.key])
            ended = self._until_over(executor, first)  # kept may begin, and end, meanwhile
            ended = _all_ended(executor, [kept], left=[second.key], ended=ended)
            assert ended[0].answer == kept.number, f"beside cancelled jobs: {ended}"
            executor.cancel()
            assert executor.poll() == [], "cancelled jobs are given back"
            assert executor.running() == [], f"cancelled jobs run: {executor.running()}"
            assert self._until_over(executor, second) == [], "a cancelled job is given back"
            again = first._replace(attempt=2, architecture=("gives_number", ""))
            executor.submit(again)
            _all_ended(executor, [again])
        assert not Path(waiting.folder, "beats").exists(), "a job ran that was cancelled before"

    def closing(self) -> None:
        """Nothing runs after the executor was closed."""
        with self._open() as executor:
            running, waiting = self._begin(executor), self._job("beats")
            executor.submit(waiting)
            executor.submit(self._job("beats"))
            executor.close()  # and again at the end of the block
        self._until_over(None, running)

    def _open(self, workers: int = 2) -> Executor:
        return self._make(Scripted(), workers, self._folder)

    def _job(self, what: str, text: str = "") -> Job:
        self._number += 1
        folder = self._folder / f"{self._number:04d}"
        return Job(self._number, 1, (what, text), None, 5, str(folder))

    def _begin(self, executor: Executor) -> Job:
        """Submit a job that does not end by itself, and return it when it has begun."""
        job = self._job("beats")
        executor.submit(job)
        limit = time.monotonic() + PATIENCE
        while not (Path(job.folder, "beats").exists() and job.key in executor.running()):
            assert executor.poll(0.02) == [], "a job has ended that does not end"
            assert time.monotonic() < limit, f"a job has not begun in {PATIENCE:.0f} seconds"
        return job

    def _until_over(self, executor: Executor | None, job: Job) -> list[Ended]:
        """Wait until a job that has begun runs no more; return what is given back meanwhile."""
        beats, limit = Path(job.folder, "beats"), time.monotonic() + PATIENCE
        ended: list[Ended] = []
        while True:
            size = beats.stat().st_size
            if executor is not None:
                ended += executor.poll(0.0)
            time.sleep(0.2)
            if beats.stat().st_size == size:
                return ended
            assert time.monotonic() < limit, "a job goes on that was ended"


def _all_ended(
    executor: Executor,
    jobs: list[Job],
    left: list[Key] | None = None,
    ended: Sequence[Ended] = (),
) -> list[Ended]:
    """Return the ends of all jobs; assert that each is given once, and then no more.

    ``left``: what else runs; ``ended``: what was given before.
    """
    ended = [*ended]
    expected, limit = {job.key for job in jobs}, time.monotonic() + PATIENCE
    while len(ended) < len(jobs):
        ended += executor.poll(1.0)
        assert time.monotonic() < limit, (
            f"{len(ended)} of {len(jobs)} jobs have ended in {PATIENCE:.0f} seconds"
        )
    keys = [one.job.key for one in ended]
    assert sorted(keys) == sorted(expected), f"{sorted(expected)} were submitted, ended {keys}"
    assert executor.poll(0.0) == [], "a job is given back twice"
    running = executor.running()
    assert running == (left or []), f"all jobs have ended, but running() is {running}"
    return ended
