"""Trainings that measure and that are paused; a worker imports this module by its name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from optiproxy_nas.execution.jobs import Job, Parent

PAUSE = 1.0  # seconds of a measurement
BUSY = """
import os, sys, time
while not os.path.exists(sys.argv[2]):
    open(sys.argv[1], "a").write(".")
    time.sleep(0.002)
"""


class Measures:
    """A training that does what the architecture says, in a folder shared by all."""

    def __call__(self, job: Job, parent: Parent) -> Any:
        return getattr(self, job.architecture)(job, parent, Path(job.folder).parent)

    def counts(self, job: Job, parent: Parent, folder: Path) -> Any:
        """Write to a file until the other one has measured, and have a child do so, too.

        Return the seconds that this took by its own clock, which goes on while it is paused.
        """
        begun = time.monotonic()
        arguments = [sys.executable, "-c", BUSY, str(folder / "child"), str(folder / "measured")]
        with subprocess.Popen(arguments):
            while not (folder / "measured").exists():
                with (folder / "busy").open("a") as file:
                    file.write(".")
                time.sleep(0.005)
        return time.monotonic() - begun

    def measures(self, job: Job, parent: Parent, folder: Path) -> Any:
        """Return how much was written while the others were paused."""
        self._pause(parent, folder)
        before = _written(folder)
        time.sleep(PAUSE)
        written = _written(folder) - before
        (folder / "measured").touch()  # the paused ones see it when they go on
        return {"value": written}

    def measures_for_ever(self, job: Job, parent: Parent, folder: Path) -> Any:
        self._pause(parent, folder)
        time.sleep(600)

    def dies_while_it_measures(self, job: Job, parent: Parent, folder: Path) -> Any:
        self._pause(parent, folder)
        os.kill(os.getpid(), signal.SIGKILL)

    @staticmethod
    def _pause(parent: Parent, folder: Path) -> None:
        while not ((folder / "busy").exists() and (folder / "child").exists()):
            time.sleep(0.005)
        parent.begin_measurement(0.0)
        parent.pause_others()


def _written(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in ("busy", "child"))
