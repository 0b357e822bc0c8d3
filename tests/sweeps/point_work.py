"""A stand-in for the runs of a sweep's points, which imports little."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

from optiproxy_nas.execution.jobs import Job, Parent


class NamedPoint(NamedTuple):
    run_id: str


class Ended(NamedTuple):
    error: str = ""
    note: str = ""


class Work:
    """Notes its process; what else it does is the name of its point."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, job: Job, parent: Parent) -> Ended:
        (point, _), process = job.architecture, os.getpid()
        (self._folder / f"{point.run_id}-{process}").touch()
        print("by", point.run_id)
        if point.run_id == "fatal":
            os.kill(process, signal.SIGKILL)
        if point.run_id == "fails":
            return Ended(error="not today")
        if point.run_id == "slow":
            try:
                (self._folder / "waits").touch()
                time.sleep(600)
            except KeyboardInterrupt:  # as Kedro's session, which closes the run
                (self._folder / "closed").touch()
                raise
        return Ended(note=f"with {os.environ.get('OMP_NUM_THREADS')} thread")
