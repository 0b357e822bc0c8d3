"""What an executor is: where jobs run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Self

from optiproxy_nas.execution.jobs import Ended, Job, Key


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

    def leave(self) -> list[Key]:
        """Close, but have run on what a later process can rejoin; return which jobs these are."""
        self.close()
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
