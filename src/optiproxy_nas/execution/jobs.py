"""Jobs: what an executor is handed, and what becomes of it.

A worker process imports this, and neither torch nor NumPy nor pandas: what a training needs, it
imports itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from optiproxy_nas.core.errors import shortened

if TYPE_CHECKING:
    from optiproxy_nas.core.stop_line import StopLine

OUTPUT = "output.txt"  # in the folder of a trial: what it wrote to standard output and error
Key = tuple[int, int, int]  # number, repeat and attempt of a job
_LONGEST = 500  # characters of a reason


class Job(NamedTuple):
    """One training, as an executor is handed it; or one point of a sweep.

    Attributes:
        number: of the trial.
        attempt: which one at it, from 1.
        architecture: as the user's evaluation takes it.
        epochs: of training, where the objective has fidelities; else None.
        seed: of the global generators of Python, NumPy and torch, in [0, 2**31).
        folder: of the trial; it is made.
        timeout: seconds after which the training is ended; None: never.
        device: name of a torch device.
        repeat: as of its request.
        full_epochs: of full training, where the objective has fidelities; else None.
        stop_line: as of its request.
        grace: seconds in which it may tidy up when it is told to end; None: those of the executor.
    """

    number: int
    attempt: int
    architecture: Any
    epochs: int | None
    seed: int
    folder: str
    timeout: float | None = None
    device: str = "cpu"
    repeat: int = 0
    full_epochs: int | None = None
    stop_line: StopLine | None = None
    grace: float | None = None

    @property
    def key(self) -> Key:
        """What tells the job from all others of its search."""
        return self.number, self.repeat, self.attempt


class Parent(Protocol):
    """The process that a job comes from, as the training sees it."""

    def report(self, step: int, value: float) -> Any:
        """Tell it a point of the curve."""
        ...

    def begin_measurement(self, seconds: float) -> Any:
        """Tell it that the training is over, and how long measuring may take once it begins."""
        ...

    def pause_others(self) -> Any:
        """Return when no other job of the search runs; they go on when this one has ended."""
        ...


Training = Callable[[Job, Parent], Any]  # gives what the user's evaluation gives


@dataclass
class Ended:
    """What became of a job.

    Attributes:
        job: as it was submitted.
        answer: what the evaluation gave; None where it failed.
        error: why it failed, in one line; "" where it did not.
        seconds: it took.
        curve: the points (step, value) that it reported, in order.
    """

    job: Job
    answer: Any = None
    error: str = ""
    seconds: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)


@contextmanager
def in_one_process() -> Iterator[None]:
    """End a process that a training forks inside and that comes back, since its parent goes on.

    Two processes would search otherwise, and write the same files. ``sys.exit`` ends it, too. The
    working directory is what it was, whatever the training made it.
    """
    process, folder = os.getpid(), ""
    with suppress(OSError):  # it was taken away
        folder = os.getcwd()
    try:
        yield
    finally:
        if folder:
            with suppress(OSError):
                os.chdir(folder)
        if os.getpid() != process:
            if isinstance(error := sys.exception(), SystemExit):
                os._exit(error.code if isinstance(error.code, int) else bool(error.code))
            with suppress(OSError):
                os.write(2, b"A process that a training forked came back from it; it is ended.\n")
            os._exit(1)


def reason_of(error: BaseException) -> str:
    """Return why a trial failed, in one line: the type of an error and its message.

    It says "out of memory" where that was it: of the machine or of a GPU.
    """
    kind = type(error).__name__
    try:
        message = " ".join(str(error).split())
    except Exception:  # a text of its own, which raises too
        message = ""
    exhausted = isinstance(error, MemoryError) or kind == "OutOfMemoryError"
    if exhausted and "out of memory" not in message.lower():
        message = f"out of memory. {message}".removesuffix(". ")
    reason = shortened(f"{kind}: {message}".removesuffix(": "), _LONGEST)
    # Tables and files take no half of a surrogate pair, as of a path that is no UTF-8.
    return reason.encode("utf-8", "backslashreplace").decode()


def trial_folder(folder: Path, number: int, name: str = "") -> Path:
    """Return the folder of one training in that of all trials.

    Args:
        folder: of all trials.
        number: of the trial.
        name: of the training's own, as ``Request.folder``; "": that of the trial.
    """
    return folder / folder_name(number, name)


def folder_name(number: int, name: str = "") -> str:
    """Return the name of a training's folder, as of :func:`trial_folder`."""
    return name or f"{number:04d}"


def make_folder(folder: Path) -> None:
    """Make the folder of a trial, also where an earlier attempt put a file in its place.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_file():
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
