"""Trainings of jobs on Dask workers; their processes import this module by its name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution.dask import DaskExecutor
from optiproxy_nas.execution.jobs import Job, Parent, Training

JOBS = "jobs"  # folder of the executor
RUNS = "runs.txt"  # in the folder of a trial: a line for each time that it began


class Wish(NamedTuple):
    """What a training is to do: sleep, and then give a number."""

    number: float
    seconds: float = 0.0


def obey(job: Job, parent: Parent) -> Any:
    """Note that it began, report, sleep, note that it ended, and answer."""
    wish: Wish = job.architecture
    with (Path(job.folder) / RUNS).open("a") as file:
        file.write(f"{os.getpid()}\n")
    parent.report(1, wish.number / 2)
    time.sleep(wish.seconds)
    (Path(job.folder) / "over").touch()
    if wish.number < 0:
        raise ValueError("a negative number")
    return {"value": wish.number, "device": job.device}


def measures(job: Job, parent: Parent) -> Any:
    """Job 1 measures how much job 0 writes meanwhile; that writes until it has measured."""
    beats, over = (Path(job.folder).parent / name for name in ("beats", "over"))
    if job.number == 0:
        while not over.exists():
            with beats.open("a") as file:
                file.write(".")
            time.sleep(0.002)
        return 0.0
    while not beats.exists():
        time.sleep(0.002)
    parent.begin_measurement(0.0)
    parent.pause_others()
    before = beats.stat().st_size
    time.sleep(0.3)
    written = beats.stat().st_size - before
    over.touch()
    return float(written)


def job(folder: Path, number: int, seconds: float = 0.0, timeout: float | None = None) -> Job:
    place = folder / f"{number:04d}"
    return Job(number, 1, Wish(number, seconds), None, number, str(place), timeout)


def opened(
    address: str | None, folder: Path, workers: int = 2, training: Training = obey
) -> DaskExecutor:
    settings = EvaluationSettings(executor="dask", workers=workers, scheduler=address, device="cpu")
    return DaskExecutor(settings, training, "the training", folder=folder / JOBS)


def runs(folder: Path, number: int) -> int:
    """Return how often a trial began."""
    path = folder / f"{number:04d}" / RUNS
    return len(path.read_text().splitlines()) if path.exists() else 0


def drive(address: str, place: str) -> None:
    """Submit three jobs, and be killed: one has ended, one runs, one waits."""
    folder = Path(place)
    executor = opened(address, folder)
    for number, seconds in enumerate((0.0, 4.0, 0.0)):
        print(executor.submit(job(folder, number, seconds)), flush=True)
    while not (runs(folder, 0) and runs(folder, 1)):
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)
