"""What a Dask worker does: it has each job run by a worker process, and follows that.

A job in a process of its own cannot harm the Dask worker: what crashes, runs out of memory or holds
the interpreter's lock there costs one job, while a Dask worker that dies takes all of its tasks
with it, and one that cannot answer is taken for dead. The process can be ended in time, with its
children, has its own output and generators, and the memory that Dask limits is not the job's.
"""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import count
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple

from optiproxy_nas.core.code_digest import package_identity
from optiproxy_nas.execution.encoding import end_fields, read_job
from optiproxy_nas.execution.job_files import JobFiles, patiently
from optiproxy_nas.execution.jobs import Ended, Job, reason_of
from optiproxy_nas.execution.pauses import Pauses
from optiproxy_nas.execution.worker import TRAINING
from optiproxy_nas.execution.worker_process import WorkerProcess
from optiproxy_nas.measuring.machine import kind_of_machine

LOOK = 0.2  # seconds between two looks at a job that says nothing
SIGN = 1.0  # seconds between two signs of life of a job
IDLE = 60.0  # seconds after which a worker process without a job is ended
_one_at_a_time = threading.Lock()


class Run(NamedTuple):
    """What all jobs of one executor have in common; it travels with each of them.

    Attributes:
        folder: of its payload and of the files of its jobs, on a disk that all workers see.
        package: version and code of this package, as the driver has them.
        environment: variables of the worker processes.
        device: name of a torch device, or ``auto``.
        machine: part of the name of the machines that may run jobs; "": any may.
        is_local: whether the cluster was started for it, with workers named 0, 1, ...
    """

    folder: str
    package: str
    environment: tuple[tuple[str, str], ...]
    device: str
    machine: str = ""
    is_local: bool = False


class Inspection(NamedTuple):
    """What a worker says of itself: why it cannot run jobs of a run ("": it can), and its kind."""

    refusal: str
    machine: str


class Answer(NamedTuple):
    """What a task gives; what became of the job is in its files, too.

    Attributes:
        worker: address of the Dask worker.
        ended: what became of the job, in JSON; None where it was not run there, since another
            worker has claimed it or it was given up.
        refusal: why this worker can run no job of the run; the job has not begun.
        lost: why the job could not begin.
    """

    worker: str
    ended: bytes | None = None
    refusal: str = ""
    lost: str = ""


def inspect(run: Run) -> Inspection:
    """Return whether this worker can run jobs of a run, and its kind of machine."""
    return Inspection(_refusal(run), kind_of_machine())


def run_job(run: Run, token: str, order: str) -> Answer:
    """Run a job, unless another worker has; return what became of it.

    Args:
        run: that it is of.
        token: of its files.
        order: the job, as :func:`optiproxy_nas.execution.encoding.job_fields` in JSON.
    """
    from distributed import get_worker  # an extra, which the driver may lack

    worker = get_worker()
    if refusal := _refusal(run):
        return Answer(worker.address, refusal=refusal)
    job = read_job(json.loads(order))
    files = JobFiles(Path(run.folder), token)
    if (before := files.ended(job)) is not None:  # its worker died before it could answer
        return _answer(worker.address, before)
    if not patiently(lambda: files.claim(worker.address)):
        return Answer(worker.address)
    offset = int(worker.name) if run.is_local and str(worker.name).isdigit() else 0
    try:
        with _one_at_a_time:
            places = _places(run, offset)
        with places.process() as process:
            ended = _followed(process, job, files)
            began, is_unable = process.begun is not None, process.is_unable
    except BaseException as error:
        if files.has_begun:  # so that it is no further worker's
            files.end(Ended(job, error=f"its Dask worker failed with {reason_of(error)}"))
        else:
            files.unclaim()
        raise
    if ended is None:
        files.obey()
        return Answer(worker.address)
    if not began:
        files.unclaim()
        if is_unable:
            return Answer(worker.address, refusal=ended.error)
        return Answer(worker.address, lost=ended.error)
    with suppress(OSError):  # the answer itself may arrive
        files.end(ended)
    return _answer(worker.address, ended)


def _answer(address: str, ended: Ended) -> Answer:
    return Answer(address, json.dumps(end_fields(ended)).encode())


def _followed(process: WorkerProcess, job: Job, files: JobFiles) -> Ended | None:
    """Return what becomes of a job; None where it was given up, and is ended for that."""
    process.give(job)
    has_begun, next_sign = False, time.monotonic() + SIGN
    with Pauses(process) as pauses:
        while True:
            pauses.look()
            wait([process.channel], max(0.0, min(LOOK, process.limit - time.monotonic())))
            ended = process.look()
            if process.begun is not None and not has_begun:
                has_begun = True
                files.begin()
            if ended is not None:
                return ended
            if time.monotonic() < next_sign:
                continue
            next_sign = time.monotonic() + SIGN
            if files.is_given_up():
                process.end()
                return None
            files.give_sign()


@lru_cache(maxsize=16)
def _refusal(run: Run) -> str:
    """Return why this worker can run no job of a run; "" where it can."""
    if (package := package_identity()) != run.package:
        return (
            f"it has {package}, and the search has {run.package}. Install the same on all machines"
        )
    if not (Path(run.folder) / TRAINING).exists():
        return (
            f"it does not see {run.folder}, where the search keeps its trials. Put the journal, or "
            "the project, on a disk that has the same path on all machines"
        )
    if run.machine.lower() not in (kind := kind_of_machine()).lower():
        return f"it is a machine of another kind ({kind}) than evaluation.machine = {run.machine!r}"
    return ""


class _Places:
    """The worker processes of one run in this Dask worker, one for each job at a time.

    They stay for further jobs, and end when there were none for a while.
    """

    def __init__(self, run: Run, offset: int) -> None:
        self._run, self._offset = run, offset
        self._lock = threading.Lock()
        self._taken: set[int] = set()
        self._idle: dict[int, float] = {}  # places that had a job, and when that ended
        self._processes: dict[int, WorkerProcess] = {}
        self._is_watched = False

    @contextmanager
    def process(self) -> Iterator[WorkerProcess]:
        """Give a process that has no job; afterwards it has none again, or is ended."""
        with self._lock:
            place = next(number for number in count() if number not in self._taken)
            self._taken.add(place)
            self._idle.pop(place, None)
            process = self._processes.get(place)
        try:
            if process is None or process.is_over():
                process = WorkerProcess(
                    self._run.folder, dict(self._run.environment), self._device(place)
                )
                self._processes[place] = process
            yield process
        finally:
            if process is not None and process.is_busy:
                process.kill()
            with self._lock:
                self._taken.discard(place)
                self._idle[place] = time.monotonic()
                if not self._is_watched:
                    self._is_watched = True
                    threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """End the processes that have had no job for a while, until none is left."""
        while True:
            time.sleep(IDLE / 4)
            with self._lock:
                over = time.monotonic() - IDLE
                for place in [place for place, since in self._idle.items() if since <= over]:
                    del self._idle[place]
                    if process := self._processes.pop(place, None):
                        process.kill()
                if not self._processes:
                    self._is_watched = False
                    return

    def _device(self, place: int) -> str:
        if self._run.device != "auto":
            return self._run.device
        gpus = _gpus()
        if gpus < 2:
            return "cuda" if gpus else "cpu"
        return f"cuda:{(self._offset + place) % gpus}"


@lru_cache(maxsize=4)
def _places(run: Run, offset: int) -> _Places:
    return _Places(run, offset)


@lru_cache(maxsize=1)
def _gpus() -> int:
    """Return how many GPUs torch finds; it is asked only where the machine may have some."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen in ("", "-1") or not (glob.glob("/dev/nvidia[0-9]*") or os.path.exists("/dev/kfd")):
        return 0
    command = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
    found = subprocess.run(command, capture_output=True, encoding="utf-8")
    return int(found.stdout) if found.returncode == 0 else 0
