"""Jobs in this process, one at a time."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path

from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.core.random_streams import seeded_globals
from optiproxy_nas.execution.base import Executor
from optiproxy_nas.execution.jobs import (
    Ended,
    Job,
    Key,
    Training,
    in_one_process,
    make_folder,
    reason_of,
)

_log = logging.getLogger(__name__)


class SerialExecutor(Executor):
    """Runs a job where its end is asked for: each :meth:`poll` runs one, however long it takes.

    It enforces no timeout, and what ends this process ends them all.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        training: Training,
        name: str = "",
        devices: Sequence[str] = ("cpu",),
        folder: Path | None = None,
    ) -> None:
        self._training, self._device = training, devices[0]
        self._waiting: deque[Job] = deque()

    def submit(self, job: Job) -> str:
        """See :class:`Executor`."""
        self._waiting.append(job._replace(device=self._device))
        return ""

    def poll(self, seconds: float | None = None) -> list[Ended]:
        """Run the next job; see :class:`Executor`."""
        return [self._run(self._waiting.popleft())] if self._waiting else []

    def cancel(self, keys: Collection[Key] | None = None) -> None:
        """See :class:`Executor`."""
        kept = [] if keys is None else [job for job in self._waiting if job.key not in keys]
        self._waiting = deque(kept)

    def running(self) -> list[Key]:
        """Return none: what has begun has ended."""
        return []

    def close(self) -> None:
        """See :class:`Executor`."""
        self._waiting.clear()

    def _run(self, job: Job) -> Ended:
        ended, begun = Ended(job), time.perf_counter()
        try:
            make_folder(Path(job.folder))
            with seeded_globals(job.seed), in_one_process():
                ended.answer = self._training(job, Reports(ended.curve))
        except (Exception, SystemExit) as error:
            _log.debug("Job %s failed", job.key, exc_info=True)
            ended.error = reason_of(error)
        ended.seconds = time.perf_counter() - begun
        return ended


class Reports:
    """This process as the parent of its jobs, see :class:`optiproxy_nas.execution.jobs.Parent`."""

    def __init__(self, curve: list[tuple[int, float]]) -> None:
        self._curve = curve

    def report(self, step: int, value: float) -> None:
        """Add a point to the curve."""
        self._curve.append((int(step), float(value)))

    def begin_measurement(self, seconds: float) -> None:
        """Do nothing: nothing else runs."""

    def pause_others(self) -> None:
        """Do nothing: nothing else runs."""
