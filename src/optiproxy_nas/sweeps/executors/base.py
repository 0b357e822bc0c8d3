"""What every executor has in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from tqdm import tqdm

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.sweeps.point import Outcome, Point

# Workers share the cores among themselves.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
Function = Callable[[Point], Outcome]
Outcomes = Generator[tuple[Point, Outcome], None, None]


@dataclass(frozen=True)
class ExecutorSettings:
    """What a user may set of any executor.

    Attributes:
        workers: points that run at the same time.
        scheduler: address of a cluster's scheduler, where the executor knows clusters.

    Raises:
        ParameterError: fewer than one worker.
    """

    workers: int = 2
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ParameterError(
                f"workers = {self.workers}: at least 1 is needed.", workers=self.workers
            )


class Executor(Protocol):
    """Runs points somewhere."""

    def run(self, points: Sequence[Point], function: Function) -> Outcomes:
        """Call ``function`` once for each point, and yield each with its outcome as it finishes.

        A worker that dies makes an outcome with an error, and the others go on. When the generator
        is closed, also by an exception, everything that was started has ended.
        """
        ...


def refuse_scheduler(name: str, settings: ExecutorSettings) -> None:
    """Refuse settings with a scheduler, for executors that know no clusters.

    Raises:
        ParameterError: a scheduler is set.
    """
    if settings.scheduler is not None:
        raise ParameterError(
            f"Executor {name!r} has no scheduler; --scheduler is for --executor dask.",
            executor=name,
        )


def tell_stopping(what: str) -> None:
    """Say on standard error why the sweep does not end at once, beside its progress bar."""
    tqdm.write(f"\nStopping; {what}", file=sys.stderr)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set environment variables for the processes that are started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
