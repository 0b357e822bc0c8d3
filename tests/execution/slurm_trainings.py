"""Trainings that the jobs of a fake SLURM run; a node imports this module by its name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from optiproxy_nas.execution.jobs import Job, Parent


class Trains:
    """A training that does what the architecture says, and counts its runs in its folder."""

    def __call__(self, job: Job, parent: Parent) -> Any:
        with (Path(job.folder) / "runs").open("a") as file:
            file.write("run\n")
        parent.report(1, 0.25)
        return getattr(self, job.architecture)(job)

    def answers(self, job: Job) -> Any:
        print("trained")
        return {"value": job.number, "device": job.device, "threads": os.environ["OMP_NUM_THREADS"]}

    def raises(self, job: Job) -> Any:
        raise ValueError("no such layer")

    def is_killed(self, job: Job) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    def waits(self, job: Job) -> Any:
        """Wait until a file "go" lies beside the folders of the trials."""
        while not (Path(job.folder).parent / "go").exists():
            time.sleep(0.02)
        return 0.5

    def tidies(self, job: Job) -> Any:
        """Wait, having said so, and leave a file where it is told to end; the next run answers."""
        tidy = Path(job.folder) / "tidy"
        if tidy.exists():
            return 0.75
        try:
            (Path(job.folder) / "waits").write_text("waits")
            time.sleep(600)
        finally:
            tidy.write_text("tidy")


def train_network(network: dict[str, Any]) -> float:
    """Note the training in the folder that SEARCH_FOLDER names; wait until it has a file "go"."""
    folder = Path(os.environ["SEARCH_FOLDER"])
    with (folder / "trained").open("a") as file:
        file.write(f"{network['depth']} {network['width']}\n")
    while not (folder / "go").exists():
        time.sleep(0.02)
    return float(network["depth"] * network["width"])
