"""Jobs in worker processes of this machine."""

from __future__ import annotations

import math
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path

from optiproxy_nas.execution.base import WorkerExecutor
from optiproxy_nas.execution.jobs import Job, Key, Training, reason_of
from optiproxy_nas.execution.payload import write_payload
from optiproxy_nas.execution.worker_process import WorkerProcess, environment_of

STARTS = 3  # workers that may be lost in a row before a job begins


class ProcessExecutor(WorkerExecutor):
    """Worker processes of this machine, which stay for many jobs.

    A worker starts when there is a job for it, and anew where it was ended or has died. Each has
    ``settings.threads`` threads of OpenMP and BLAS, so of NumPy and torch.
    """

    def _open(self, training: Training, name: str, folder: Path | None) -> None:
        self._environment = environment_of(self._settings.threads)
        self._places: list[WorkerProcess | None] = [None] * self.workers
        self._waiting: deque[Job] = deque()
        self._lost_starts = 0  # workers in a row that ended before a job began
        self._measuring: WorkerProcess | None = None  # for which all others are paused
        temporary = tempfile.TemporaryDirectory(prefix="optiproxy-", ignore_cleanup_errors=True)
        self._payload = self._stack.enter_context(temporary)
        self._stack.callback(lambda: self._stop([it for it in self._places if it is not None]))
        write_payload(Path(self._payload), training, name)

    def _take(self, job: Job) -> str:
        self._waiting.append(job)
        self._begin()
        return ""

    def _look(self) -> None:
        self._begin()
        for worker in self._busy():
            result = worker.look()
            if worker.begun is not None:
                self._lost_starts = 0
            if result is None:
                continue
            if worker.begun is not None:
                self._end(result)
                continue
            self._waiting.appendleft(result.job)  # it has cost nothing yet
            self._lose_start(result.error, worker.is_unable)
        self._let_measure()

    def _wait(self, seconds: float) -> None:
        busy = self._busy()
        left = min((worker.limit for worker in busy), default=math.inf) - time.monotonic()
        wait([worker.channel for worker in busy], max(0.0, min(seconds, left)))

    def _cancel(self, keys: Sequence[Key]) -> None:
        """End jobs, and return when they have ended."""
        self._waiting = deque(job for job in self._waiting if job.key not in keys)
        self._stop([worker for worker in self._busy() if worker.job and worker.job.key in keys])

    def running(self) -> list[Key]:
        """See :class:`Executor`."""
        jobs = [worker.job for worker in self._busy() if worker.begun is not None]
        return [job.key for job in jobs if job is not None]

    def _lose_start(self, why: str, is_unable: bool = False) -> None:
        self._lost_starts += 1
        if is_unable or self._lost_starts >= STARTS:
            self._give_up(f"The trainings cannot begin: {why}.")

    def _begin(self) -> None:
        """Hand waiting jobs to workers that have none, unless one measures."""
        for place, worker in enumerate(self._places):
            if not self._waiting or self._measuring or self._hopeless:
                return
            if worker is not None and worker.is_busy:
                continue
            if worker is None or worker.is_over():
                device = self._devices[place % len(self._devices)]
                try:
                    worker = WorkerProcess(self._payload, self._environment, device)
                except OSError as error:  # the machine has no room for a process just now
                    self._lose_start(reason_of(error))
                    return
                self._places[place] = worker
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
        return [worker for worker in self._places if worker is not None and worker.is_busy]

    def _stop(self, workers: Sequence[WorkerProcess]) -> None:
        for worker in workers:
            worker.stop()
        limit = time.monotonic() + max((worker.grace for worker in workers), default=0.0)
        try:
            for worker in workers:
                with suppress(subprocess.TimeoutExpired):
                    worker.process.wait(max(0.0, limit - time.monotonic()))
        finally:  # also where Ctrl-C ends the waiting
            for worker in workers:
                worker.kill()
        self._let_measure()
