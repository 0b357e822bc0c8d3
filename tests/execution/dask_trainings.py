"""Trainings of jobs on Dask workers; their processes import this module, and little else."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from optiproxy_nas.execution.jobs import Job, Parent, Training

if TYPE_CHECKING:
    from optiproxy_nas.execution.dask import DaskExecutor

JOBS = "jobs"  # folder of the executor
UNTIL_GO = -1.0  # seconds of a wish: until there is a file "go" beside the folders of the trials
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
    while wish.seconds == UNTIL_GO and not (Path(job.folder).parent / "go").exists():
        time.sleep(0.02)
    time.sleep(max(0.0, wish.seconds))
    (Path(job.folder) / "over").touch()
    if wish.number < 0:
        raise ValueError("a negative number")
    return {"value": wish.number, "device": job.device}


def measures(job: Job, parent: Parent) -> Any:
    """Job 1 measures how much job 0 writes meanwhile; that writes until it has measured.

    Job 0 gives the seconds that it took by its own clock, which goes on while it is paused.
    """
    beats, over = (Path(job.folder).parent / name for name in ("beats", "over"))
    if job.number == 0:
        begun = time.monotonic()
        while not over.exists():
            with beats.open("a") as file:
                file.write(".")
            time.sleep(0.002)
        return time.monotonic() - begun
    while not beats.exists():
        time.sleep(0.002)
    parent.begin_measurement(0.0)
    parent.pause_others()
    before = beats.stat().st_size
    time.sleep(1.0)
    written = beats.stat().st_size - before
    over.touch()
    return float(written)


def job(folder: Path, number: int, seconds: float = 0.0, timeout: float | None = None) -> Job:
    place = folder / f"{number:04d}"
    return Job(number, 1, Wish(number, seconds), None, number, str(place), timeout)


def opened(
    address: str | None, folder: Path, workers: int = 2, training: Training = obey
) -> DaskExecutor:
    from optiproxy_nas.core.parameters import EvaluationSettings
    from optiproxy_nas.execution.dask import DaskExecutor

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
    for number, seconds in enumerate((0.0, UNTIL_GO, 0.0)):
        print(executor.submit(job(folder, number, seconds)), flush=True)
    files = executor._tasks[0, 0, 1].files
    while not (files.ended(job(folder, 0)) and executor.running() == [(1, 0, 1)]):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)
