"""A SLURM job on its node: trains one trial in a child process, and leaves the answer in a file.

What ends it before its time (SIGTERM, SIGUSR1, SIGUSR2) is passed on to the training, which may
tidy up.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import submitit

from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.execution.job_files import patiently
from optiproxy_nas.execution.jobs import Ended, reason_of
from optiproxy_nas.execution.remote import run_job
from optiproxy_nas.execution.slurm_folder import UNREAD, Answer, JobFolders
from optiproxy_nas.measuring.machine import kind_of_machine

_ENDINGS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Interrupted(BaseException):
    """A signal ends this job; no ``except Exception`` catches it."""


def train(root: str, name: str) -> None:
    """Train a job on its node; submitit calls it.

    Args:
        root: folder of all jobs.
        name: of the job.
    """
    if not (Path(root) / name).is_dir():  # nobody waits for it any more
        return
    folders = JobFolders(Path(root))
    if folders.files(name).has_ended:
        return
    number = submitit.JobEnvironment().job_id
    if patiently(lambda: folders.begin(name, number)):
        answer = _answer(folders, name)
        # Of a node that was lost and comes back, another submission may train in its place by now.
        if not (answer.is_interrupted and folders.begun_by(name) != number):
            folders.end(name, answer)


def _answer(folders: JobFolders, name: str) -> Answer:
    begun = time.monotonic()
    try:
        order = folders.order(name)
    except Exception as error:  # its architecture is of a class that cannot be imported here
        return Answer(
            Ended(UNREAD, error=f"the job cannot be read by its node: {reason_of(error)}")
        )
    if order.machine.lower() not in (kind := kind_of_machine()).lower():
        asked = f"evaluation.machine = {order.machine!r}"
        return Answer(unable=f"A node is of another kind ({kind}) than {asked}.")
    try:
        with _interruptible():
            return Answer(run_job(Path(order.payload), order.job, order.threads))
    except EvaluationError as error:
        return Answer(unable=error.message)
    except Interrupted:
        seconds = time.monotonic() - begun
    if seconds < 60 * order.minutes - order.warning - 60:
        return Answer(is_interrupted=True)
    reason = f"timed out after {order.minutes} min (time of its job)"
    return Answer(Ended(order.job, None, reason, seconds))


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise :class:`Interrupted` here at a signal; after it, signals do nothing.

    It takes the place of submitit's handlers, which would have the job queued again without end.
    """
    for number in _ENDINGS:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        _ignore_endings()


def _interrupt(*_: object) -> NoReturn:
    _ignore_endings()
    raise Interrupted


def _ignore_endings() -> None:
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
