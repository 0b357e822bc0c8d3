"""Jobs in worker processes of this machine."""

from __future__ import annotations

import pickle
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path

from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution.base import Executor
from optiproxy_nas.execution.jobs import Ended, Job, Key, Training, reason_of
from optiproxy_nas.execution.payload import write_payload
from optiproxy_nas.execution.worker_process import TICK, WorkerProcess

STARTS = 3  # workers that may be lost in a row before a job begins


class ProcessExecutor(Executor):
    """Worker processes of this machine, which stay for many jobs.

    A worker starts when there is a job for it, and anew where it was ended or has died. Each has
    ``settings.threads`` threads of OpenMP and BLAS, so of NumPy and torch.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        training: Training,
        name: str,
        devices: Sequence[str] = ("cpu",),
        folder: Path | None = None,
    ) -> None:
        self.workers = settings.workers
        libraries = ("OMP", "OPENBLAS", "MKL")
        self._environment = {
            f"{library}_NUM_THREADS": str(settings.threads) for library in libraries
        }
        self._devices = [devices[place % len(devices)] for place in range(self.workers)]
        self._places: list[WorkerProcess | None] = [None] * self.workers
        self._waiting: deque[Job] = deque()
        self._unsendable: list[Ended] = []  # jobs that cannot be pickled
        self._lost_starts = 0  # workers in a row that ended before a job began
        self._measuring: WorkerProcess | None = None  # for which all others are paused
        self._payload = tempfile.TemporaryDirectory(prefix="optiproxy-", ignore_cleanup_errors=True)
        write_payload(Path(self._payload.name), training, name)

    def submit(self, job: Job) -> str:
        """See :class:`Executor`."""
        try:
            pickle.dumps(job)
        except Exception as error:
            failure = f"the job cannot be sent to a worker process: {reason_of(error)}"
            self._unsendable.append(Ended(job, error=failure))
        else:
            self._waiting.append(job)
            self._begin()
        return ""

    def poll(self, seconds: float | None = None) -> list[Ended]:
        """See :class:`Executor`.

        Raises:
            EvaluationError: a worker cannot import or unpickle the training, or several in a row
                have died before they could.
        """
        limit = float("inf") if seconds is None else time.monotonic() + seconds
        if self._unsendable:
            ended, self._unsendable = self._unsendable, []
            return ended
        while True:
            self._begin()
            busy = self._busy()
            if not busy:
                return []
            left = min(limit, *(worker.limit for worker in busy)) - time.monotonic()
            wait([worker.channel for worker in busy], max(0.0, min(TICK, left)))
            if ended := self._ended(busy):
                return ended
            if time.monotonic() >= limit:
                return []

    def cancel(self, keys: Collection[Key] | None = None) -> None:
        """See :class:`Executor`. It returns when they have ended."""
        if keys is None:
            self._unsendable, self._waiting = [], deque()
            self._end(self._busy())
            return
        self._unsendable = [ended for ended in self._unsendable if ended.job.key not in keys]
        self._waiting = deque(job for job in self._waiting if job.key not in keys)
        self._end([worker for worker in self._busy() if worker.job and worker.job.key in keys])

    def running(self) -> list[Key]:
        """See :class:`Executor`."""
        jobs = [worker.job for worker in self._busy() if worker.begun is not None]
        return [job.key for job in jobs if job is not None]

    def close(self) -> None:
        """See :class:`Executor`."""
        self._waiting.clear()
        self._end([worker for worker in self._places if worker is not None])
        self._payload.cleanup()

    def _ended(self, busy: Sequence[WorkerProcess]) -> list[Ended]:
        """Look at busy workers once, and return the jobs of theirs that have ended."""
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
        if not ended and why and (hopeless or self._lost_starts >= STARTS):
            raise EvaluationError(f"The trainings cannot begin: {why}.")
        return ended

    def _begin(self) -> None:
        """Hand waiting jobs to workers that have none, unless one measures."""
        for place, worker in enumerate(self._places):
            if not self._waiting or self._measuring is not None:
                return
            if worker is not None and worker.is_busy:
                continue
            if worker is None or worker.is_over():
                worker = WorkerProcess(self._payload.name, self._environment, self._devices[place])
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

    def _end(self, workers: Sequence[WorkerProcess]) -> None:
        for worker in workers:
            worker.stop()
        limit = time.monotonic() + max((worker.grace for worker in workers), default=0.0)
        for worker in workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, limit - time.monotonic()))
            worker.kill()
        self._let_measure()
