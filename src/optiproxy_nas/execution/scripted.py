"""A training whose jobs say what it does, for checks of executors.

A worker process unpickles it, so this imports neither torch nor NumPy nor pandas.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from optiproxy_nas.execution.jobs import Job, Parent

PATIENCE = 60.0  # seconds after which what is waited for will not come


class Scripted:
    """Does what a job's architecture says: the name of a method below, and a text for it."""

    def __call__(self, job: Job, parent: Parent) -> Any:
        """Return what the method gives."""
        what, text = job.architecture
        return getattr(self, what)(job, parent, text)

    def gives_number(self, job: Job, parent: Parent, text: str) -> float:
        """Return the number of the job."""
        return float(job.number)

    def reports(self, job: Job, parent: Parent, text: str) -> float:
        """Report two points of a curve."""
        parent.report(1, 0.5)
        parent.report(2, 0.25)
        return 0.25

    def raises(self, job: Job, parent: Parent, text: str) -> None:
        """Raise an error of two lines."""
        raise ValueError("the first line\nand a second one")

    def leaves(self, job: Job, parent: Parent, text: str) -> None:
        """Ask for the end of the process."""
        raise SystemExit("enough")

    def is_killed(self, job: Job, parent: Parent, text: str) -> None:
        """Kill the process."""
        os.kill(os.getpid(), signal.SIGKILL)

    def gives_a_function(self, job: Job, parent: Parent, text: str) -> Any:
        """Return what cannot be pickled."""
        return lambda: None

    def meets(self, job: Job, parent: Parent, text: str) -> float:
        """Return when as many jobs as ``text`` says have begun; 0 where they do not come."""
        (Path(job.folder).parent / f"met_{job.number}").touch()
        limit = time.monotonic() + PATIENCE
        while len(list(Path(job.folder).parent.glob("met_*"))) < int(text):
            if time.monotonic() > limit:
                return 0.0
            time.sleep(0.01)
        return 1.0

    def beats(self, job: Job, parent: Parent, text: str) -> None:
        """Write to the file ``beats`` of the job's folder, until the job is ended."""
        while True:
            with (Path(job.folder) / "beats").open("a", encoding="ascii") as file:
                file.write(".")
            time.sleep(0.02)
