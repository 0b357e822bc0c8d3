"""Executors: where trainings run. :class:`ProcessExecutor`: in processes of this machine."""

from __future__ import annotations

import subprocess
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Protocol

from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.evaluation.jobs import Ended, Job
from optiproxy_nas.evaluation.worker_process import GRACE, TICK, WorkerProcess

STARTS = 3  # workers that may be lost in a row before a training begins


class Executor(Protocol):
    """Runs trainings somewhere, several at the same time."""

    def submit(self, job: Job) -> None:
        """Take a job; it begins when there is room, in the order of submission."""
        ...

    def poll(self) -> list[Ended]:
        """Wait until a job has ended, and return those that have; none if none is left.

        Raises:
            EvaluationError: no training can begin.
        """
        ...

    def cancel(self) -> None:
        """End all jobs that have not ended; nothing is heard of them any more."""
        ...

    def close(self) -> None:
        """As :meth:`cancel`, and leave nothing running."""
        ...


class ProcessExecutor:
    """Worker processes of this machine, which stay for many jobs.

    A worker starts when there is a job for it, and anew where it was ended or has died.

    Args:
        payload: the folder that :func:`optiproxy_nas.evaluation.worker.main` reads.
        workers: jobs at the same time.
        threads: of OpenMP and BLAS, so of NumPy and torch, in each worker.
        devices: names of torch devices; the workers share them in turn.
    """

    def __init__(
        self, payload: str, workers: int = 1, threads: int = 1, devices: Sequence[str] = ("cpu",)
    ) -> None:
        libraries = ("OMP", "OPENBLAS", "MKL")
        self._environment = {f"{library}_NUM_THREADS": str(threads) for library in libraries}
        self._payload = payload
        self._devices = [devices[place % len(devices)] for place in range(workers)]
        self._workers: list[WorkerProcess | None] = [None] * workers
        self._waiting: deque[Job] = deque()
        self._lost_starts = 0  # workers in a row that ended before a training began
        self._measuring: WorkerProcess | None = None  # for which all others are paused

    def submit(self, job: Job) -> None:
        """See :class:`Executor`."""
        self._waiting.append(job)

    def poll(self) -> list[Ended]:
        """See :class:`Executor`.

        Raises:
            EvaluationError: a worker cannot import or unpickle the training, or several in a row
                have died before they could.
        """
        while True:
            self._begin()
            busy = self._busy()
            if not busy:
                return []
            seconds = min(worker.limit for worker in busy) - time.monotonic()
            wait([worker.channel for worker in busy], max(0.0, min(TICK, seconds)))
            ended, why, hopeless = [], "", False
            for worker in busy:
                result = worker.look()
                if worker.begun is not None:
                    self._lost_starts = 0
                if result is None:
                    continue
                if worker.begun is not None:
                    ended.append(result)
                    continue
                self._waiting.appendleft(result.job)  # it has cost nothing yet
                self._lost_starts += 1
                why, hopeless = result.error, hopeless or worker.is_unable
            self._let_measure()
            if ended:
                return ended
            if why and (hopeless or self._lost_starts >= STARTS):
                raise EvaluationError(f"The trainings cannot begin: {why}.")

    def cancel(self) -> None:
        """See :class:`Executor`."""
        self._waiting.clear()
        self._end(self._busy())

    def close(self) -> None:
        """See :class:`Executor`."""
        self._waiting.clear()
        self._end([worker for worker in self._workers if worker is not None])

    def _begin(self) -> None:
        """Hand waiting jobs to workers that have none, unless one measures."""
        for place, worker in enumerate(self._workers):
            if not self._waiting or self._measuring is not None:
                return
            if worker is not None and worker.is_busy:
                continue
            if worker is None or worker.is_over():
                worker = WorkerProcess(self._payload, self._environment, self._devices[place])
                self._workers[place] = worker
            worker.give(self._waiting.popleft())

    def _let_measure(self) -> None:
        """Let the paused workers go on when the measurement is over, and begin the next one."""
        if self._measuring is not None and not self._measuring.is_busy:
            self._measuring = None
            for worker in self._busy():
                worker.go_on()
        asking = next((worker for worker in self._busy() if worker.asks_for_pause), None)
        if self._measuring is None and asking is not None:
            self._measuring = asking
            for worker in self._busy():
                if worker is not asking:
                    worker.pause()
            asking.permit()

    def _busy(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker is not None and worker.is_busy]

    def _end(self, workers: Sequence[WorkerProcess]) -> None:
        self._measuring = None
        for worker in workers:
            worker.stop()
        limit = time.monotonic() + GRACE
        for worker in workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, limit - time.monotonic()))
            worker.kill()
