"""The files through which a search and its SLURM jobs speak, on a disk that all machines share.

::

    payload-3f2a.../   the training with its data, as of :mod:`optiproxy_nas.execution.remote`
    0007-0-1-9c41/     of one job: what it is told, the ids of its submissions, submitit's files
    marks/             the claim of its submission that has begun, and its answer

What another machine may read while it is written is written under another name and renamed, so that
it is whole or absent. All of it is JSON but the training, which the nodes unpickle: who may write
here runs code on the nodes, but none in the search.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from optiproxy_nas.execution.encoding import (
    job_fields,
    parsed,
    read_end,
    read_job,
    read_limited,
)
from optiproxy_nas.execution.job_files import CLAIM, ENDED, JobFiles, patiently, write_whole
from optiproxy_nas.execution.jobs import Ended, Job, Training
from optiproxy_nas.execution.payload import write_payload
from optiproxy_nas.execution.remote import RemoteTraining

_ORDER, _IDS, _MARKS, _PAYLOAD = "order.json", "ids", "marks", "payload-"
UNREAD = Job(0, 1, None, None, 0, "")  # in the place of a job that is to be seen elsewhere


class Order(NamedTuple):
    """What a job is told.

    Attributes:
        job: encoded, with the device that it trains on.
        payload: folder of the training.
        threads: of OpenMP and BLAS.
        minutes: the job's time limit.
        warning: seconds before that limit at which SLURM sends a signal.
        machine: part of the name of its kind of machine; "" of any.
    """

    job: Job
    payload: str
    threads: int
    minutes: int
    warning: float
    machine: str = ""


class Answer(NamedTuple):
    """What a job leaves.

    Attributes:
        ended: what became of its training; None where it says nothing of the trial.
        unable: why no job can train, in one line.
        is_interrupted: whether a signal ended it before its time.
    """

    ended: Ended | None = None
    unable: str = ""
    is_interrupted: bool = False


class JobFolders:
    """The folders of a search's jobs.

    Args:
        root: that holds them.

    Raises:
        OSError: it cannot be written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._marks = root / _MARKS
        self._marks.mkdir(parents=True, exist_ok=True)
        self._new_payload: list[Path] = []

    def names(self) -> set[str]:
        """Return the names of the jobs that were told something and not forgotten."""
        return {path.parent.name for path in self.root.glob(f"*/{_ORDER}")}

    def write_payload(self, training: Training, name: str) -> str:
        """Write the training once, also for all later searches with the same; return its folder.

        Raises:
            ParameterError: see :func:`optiproxy_nas.execution.payload.write_payload`.
        """
        partial = self.root / f"{_PAYLOAD}{secrets.token_hex(4)}"
        partial.mkdir()
        try:
            write_payload(partial, RemoteTraining(training), name)
            total = hashlib.sha256()
            for path in sorted(partial.iterdir()):
                total.update(path.read_bytes())
            folder = self.root / f"{_PAYLOAD}{total.hexdigest()[:16]}"
            if not folder.exists():
                partial.rename(folder)
                self._new_payload = [folder]
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return str(folder)

    def tell(self, name: str, order: Order) -> None:
        """Make the folder of a job, with what it is told."""
        (self.root / name).mkdir(exist_ok=True)
        fields = {**order._asdict(), "job": job_fields(order.job)}
        write_whole(self.root / name / _ORDER, json.dumps(fields).encode())

    def order(self, name: str) -> Order:
        """Return what a job was told.

        Raises:
            OSError: it cannot be read.
            Exception: something else has written it.
        """
        fields = json.loads(read_limited(self.root / name / _ORDER))
        return Order(**{**fields, "job": read_job(fields["job"])})

    def add_id(self, name: str, number: str) -> None:
        """Note the id of a submission."""
        with (self.root / name / _IDS).open("a") as file:
            file.write(f"{number}\n")

    def ids(self, name: str) -> list[str]:
        """Return the ids of a job's submissions; of the one that has begun if none was noted."""
        noted: list[str] = []
        with suppress(OSError):
            noted = read_limited(self.root / name / _IDS).decode(errors="replace").split()
        return [number for number in noted or [self.begun_by(name)] if _is_id(number)]

    def begun_by(self, name: str) -> str:
        """Return the id of the submission of a job that has begun; "" where none has."""
        with suppress(OSError):
            claim = self.files(name).claimed()
            return claim.owner if claim is not None and _is_id(claim.owner) else ""
        return ""

    def begin(self, name: str, number: str) -> bool:
        """Mark a job as begun; return whether no other submission of it has begun.

        A submission of which sbatch said that it has failed may be in the queue all the same.

        Raises:
            OSError: it cannot be written, and so has not begun.
        """
        if (files := self.files(name)).claim(number):
            return True
        claim = files.claimed()
        return claim is not None and claim.owner == number  # queued again by SLURM itself

    def end(self, name: str, answer: Answer) -> None:
        """Write the answer of a job; the disk may fail for a while.

        Raises:
            FileNotFoundError: the search has ended, and nobody waits for it.
        """
        ended = answer.ended or Ended(UNREAD)
        facts = {"unable": answer.unable, "is_interrupted": answer.is_interrupted}
        patiently(lambda: self.files(name).end(ended, **facts))

    def files(self, name: str) -> JobFiles:
        """Return the files of a job; its owner is the id of a submission."""
        return JobFiles(self._marks, name)

    def begun_and_ended(self) -> tuple[set[str], set[str]]:
        """Return the names of the jobs that have begun, and of those that have left an answer."""
        os.utime(self._marks)  # so that this machine lists it anew, whatever it has cached
        paths = [Path(name) for name in os.listdir(self._marks)]
        begun, ended = ({it.stem for it in paths if it.suffix == kind} for kind in (CLAIM, ENDED))
        return begun, ended

    def answer(self, name: str) -> Answer | None:
        """Return what a job has left; None: it cannot be read now."""
        if (content := self.files(name).end_content()) is None:
            return None
        facts = parsed(content)
        if facts.get("unable"):
            return Answer(unable=str(facts["unable"]))
        if facts.get("is_interrupted"):
            return Answer(is_interrupted=True)
        return Answer(read_end(UNREAD, content))

    def seconds(self, name: str) -> float:
        """Return for how long a job has run; 0 where it has not begun."""
        with suppress(OSError):
            claim = self.files(name).claimed()
            return 0.0 if claim is None else max(0.0, time.time() - claim.stamp / 1e9)
        return 0.0

    def forget(self, name: str, keep_log: bool = False) -> None:
        """Remove a job's files, but for submitit's where they are to be kept."""
        if not (files := self.files(name)).is_ending:  # of one that was given up, until the end
            files.remove()
        if keep_log:
            (self.root / name / _ORDER).unlink(missing_ok=True)
        else:
            shutil.rmtree(self.root / name, ignore_errors=True)

    def close(self, has_begun: bool = True) -> None:
        """Remove all but the logs that were kept; of a search that began no job, what it wrote."""
        payloads = self.root.glob(f"{_PAYLOAD}*")
        for folder in (self._marks, *payloads) if has_begun else self._new_payload:
            shutil.rmtree(folder, ignore_errors=True)
        for folder in (self._marks, self.root):
            with suppress(OSError):  # there are logs, or jobs of an earlier search
                folder.rmdir()


def label(name: str) -> str:
    """Return what the names of all submissions of a job begin with."""
    return name.rpartition("-")[0]


def _is_id(number: str) -> bool:
    """Return whether a text is the id of a job, and no option of the commands that take it."""
    return number.replace("_", "").isdigit()
