"""What an executor is: where jobs run."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution.encoding import encoded
from optiproxy_nas.execution.jobs import Ended, Job, Key, Training, reason_of
from optiproxy_nas.execution.worker_process import TICK

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class Executor(ABC):
    """Runs jobs somewhere, several at the same time. ``with`` closes it.

    A class of executors is built as ``Class(settings, training, name, devices, folder)``, see
    :func:`optiproxy_nas.execution.registry.open_executor`. The end of each job is given back
    exactly once, whatever happens where it runs: a job that was run twice, or that ends after it
    was cancelled, is dropped by the executor. A job that is lost before it begins is submitted
    again by the executor; one that is lost later has ended with an error.

    Attributes:
        workers: jobs that can run at the same time, now; a cluster may grow.
    """

    workers: int = 1

    @abstractmethod
    def submit(self, job: Job) -> str:
        """Take a job; it begins when there is room, in the order of submission.

        Returns:
            A handle by which a later process can rejoin the job; "": it cannot.
        """

    def rejoin(self, job: Job, handle: str) -> bool:
        """Take over a job that an executor of an earlier process was given, instead of submitting.

        Args:
            job: as it was submitted.
            handle: of :meth:`submit`.

        Returns:
            Whether it still runs, or has ended, there. Then :meth:`poll` gives its end.
        """
        return False

    @abstractmethod
    def poll(self, seconds: float | None = None) -> list[Ended]:
        """Return the jobs that have ended since the last call.

        Args:
            seconds: to wait for the first one, at least 0; None: until one has ended.

        Returns:
            None: where no job is left, or the time is over.

        Raises:
            EvaluationError: no job can begin.
        """

    @abstractmethod
    def cancel(self, keys: Collection[Key] | None = None) -> None:
        """End these jobs, or all (None); nothing is heard of them any more.

        Keys of jobs that have ended, or never were, are ignored.
        """

    @abstractmethod
    def running(self) -> list[Key]:
        """Return the jobs that have begun and not ended, as far as is known."""

    @abstractmethod
    def close(self) -> None:
        """Cancel all jobs, and leave nothing running; called again, it does nothing."""

    def release(self, keys: Collection[Key]) -> None:  # noqa: B027
        """Keep no longer the ends of these jobs, which :meth:`poll` gave: a journal has them."""

    def leave(self) -> list[Key]:
        """Close, but for what a later process can rejoin; return which jobs these are.

        They run on, or have ended, and were not released.
        """
        self.close()
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class WorkerExecutor(Executor):
    """An executor that sends jobs to other processes: what all of these have in common.

    A class of it says how jobs are handed out, looked at and ended, by the methods that raise
    NotImplementedError here or are abstract; it is given jobs whose architecture is encoded. A job
    that cannot be sent has ended with an error. Where no further one can begin, those that run are
    finished, and then :meth:`poll` raises why. Where they can be followed no longer
    (:meth:`_lose_sight`), they are left to run, so that a later process rejoins them.

    Args:
        settings: of the trainings.
        training: that runs a job; it is pickled once.
        name: of the training, for messages.
        devices: names of torch devices.
        folder: of the jobs, which a later process rejoins by it.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        training: Training,
        name: str,
        devices: Sequence[str] = ("cpu",),
        folder: Path | None = None,
    ) -> None:
        self.workers, self._settings, self._devices = settings.workers, settings, devices
        self._jobs: dict[Key, Job] = {}  # that have not ended, as they were submitted
        self._ends: list[Ended] = []  # to be polled
        self._unreleased: set[Key] = set()  # that have ended
        self._hopeless: EvaluationError | None = None  # why no job can begin any more
        self._is_left = False
        self._stack = ExitStack()  # what is undone at the end
        try:
            self._open(training, name, folder)
        except BaseException:
            self._stack.close()
            raise

    def submit(self, job: Job) -> str:
        """See :class:`Executor`.

        Raises:
            EvaluationError: it cannot be written to the disk.
        """
        self._jobs[job.key] = job
        try:
            sent = encoded(job)
        except Exception as error:
            self._end(Ended(job, error=f"the job cannot be sent to a worker: {reason_of(error)}"))
            return ""
        try:
            return self._take(sent)
        except OSError as error:
            del self._jobs[job.key]
            raise EvaluationError(f"A job cannot be handed out: {reason_of(error)}.") from error

    def rejoin(self, job: Job, handle: str) -> bool:
        """See :class:`Executor`.

        Raises:
            EvaluationError: the disk cannot be read; the jobs of earlier processes are left to run.
        """
        try:
            is_there = self._rejoin(encoded(job), handle)
        except OSError as error:
            raise self._lose_sight(f"Jobs cannot be rejoined: {reason_of(error)}") from error
        if is_there:
            self._jobs[job.key] = job
        return is_there

    def poll(self, seconds: float | None = None) -> list[Ended]:
        """See :class:`Executor`."""
        limit = float("inf") if seconds is None else time.monotonic() + seconds
        while True:
            self._look()
            if self._ends:
                ended, self._ends = self._ends, []
                return ended
            if self._hopeless is not None and not self.running():
                raise self._hopeless
            left = limit - time.monotonic()
            if not self._jobs or left <= 0:
                return []
            self._wait(min(TICK, left))

    def cancel(self, keys: Collection[Key] | None = None) -> None:
        """See :class:`Executor`."""
        self._ends = [it for it in self._ends if keys is not None and it.job.key not in keys]
        keys = [key for key in self._jobs if keys is None or key in keys]
        for key in keys:
            del self._jobs[key]
        if not self._is_left:
            self._cancel(keys)

    def close(self) -> None:
        """See :class:`Executor`."""
        try:
            self.cancel()
        finally:  # also where Ctrl-C ends the waiting
            self._stack.close()

    def release(self, keys: Collection[Key]) -> None:
        """See :class:`Executor`."""
        self._unreleased.difference_update(keys)

    def leave(self) -> list[Key]:
        """See :class:`Executor`."""
        left = self._rejoinable()
        self._is_left = self._is_left or bool(left)
        self.close()
        return left

    @abstractmethod
    def _open(self, training: Training, name: str, folder: Path | None) -> None:
        """Make ready what the jobs need, once."""

    @abstractmethod
    def _take(self, job: Job) -> str:
        """Take a job, and return its handle."""

    def _rejoin(self, job: Job, handle: str) -> bool:
        """Take over a job of an earlier process, where it is there."""
        return False

    def _rejoinable(self) -> list[Key]:
        """Return the jobs that a later process can rejoin, where it is left to it."""
        return []

    @abstractmethod
    def _look(self) -> None:
        """Hand jobs out where there is room, unless it is hopeless, and note what has ended."""

    @abstractmethod
    def _wait(self, seconds: float) -> None:
        """Wait until there may be something to see, but not longer."""

    @abstractmethod
    def _cancel(self, keys: Sequence[Key]) -> None:
        """End jobs that have not ended."""

    def _end(self, ended: Ended) -> None:
        """Note the end of a job, unless it was cancelled or has ended before."""
        if (job := self._jobs.pop(ended.job.key, None)) is not None:
            ended.job = job
            self._ends.append(ended)
            self._unreleased.add(job.key)

    def _give_up(self, why: str) -> None:
        """Begin nothing more; :meth:`poll` raises why when nothing runs any more."""
        if self._hopeless is None:
            self._hopeless = EvaluationError(why)
            if running := self.running():
                _log.warning("%s %d trials are finishing.", why, len(running))

    def _lose_sight(self, why: str) -> EvaluationError:
        """Leave all jobs as they are; return the error to raise."""
        self._is_left = True
        return EvaluationError(f"{why}. What runs was left to run.")
