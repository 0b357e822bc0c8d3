"""One job on another machine: in a child process there, if its code is that of the search.

A worker elsewhere imports what it trains by name. Another version of this package, or of the
user's module, would answer for another training, so that such a worker is refused.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from optiproxy_nas.core.code_digest import NOT_FOUND, imported_code
from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.execution import worker
from optiproxy_nas.execution.jobs import Ended, Job, Parent, Training
from optiproxy_nas.execution.worker_process import TICK, WorkerProcess, environment_of

_STARTS = 3  # child processes that may be lost before the training begins
_LISTED = 3  # modules that a message names


def run_job(payload: Path, job: Job, threads: int = 1) -> Ended:
    """Run a job in a child process of this one, and return what became of it.

    Where this function is left by an exception, as of a signal handler, the training is told to end
    and has ``job.grace`` seconds to tidy up.

    Args:
        payload: folder of a :class:`RemoteTraining`, as of
            :func:`optiproxy_nas.execution.payload.write_payload`.
        job: encoded, with the device that it trains on, and its timeout.
        threads: of OpenMP and BLAS.

    Raises:
        EvaluationError: no job can be run here: other code, or what cannot be imported.
    """
    for _ in range(_STARTS):
        process = WorkerProcess(str(payload), environment_of(threads), job.device)
        try:
            ended = _ended(process, job)
        finally:
            process.end()
        if process.begun is not None:
            return ended
        if process.is_unable:
            break
    raise EvaluationError(f"The trainings cannot begin: {ended.error}.")


def training_code(training: Training) -> dict[str, str]:
    """Return the digests of all code that a worker runs for a training, by module.

    They are of the worker's module, and of those of the training and of what it holds (a problem,
    a user's function), each with all that it imports; see
    :func:`optiproxy_nas.core.code_digest.imported_code`. What can be imported nowhere, as a
    notebook's ``__main__``, does not count.
    """
    digests = imported_code({worker.__name__, *_modules_of(training)})
    return {module: digest for module, digest in digests.items() if digest != NOT_FOUND}


def difference(code: Mapping[str, str]) -> str:
    """Return in what the code of this machine is not that of the search; "" where it is.

    Args:
        code: of the search, as of :func:`training_code`.
    """
    found = imported_code(code)
    modules = [name for name, digest in code.items() if found.get(name) != digest]
    if not modules:
        return ""
    listed = ", ".join(modules[:_LISTED]) + (", ..." if len(modules) > _LISTED else "")
    return (
        f"The code of a worker is not that of the search: {listed}. Install the same version of "
        "the package and of your modules on all machines, and start the workers anew."
    )


class RemoteTraining:
    """A training that a worker elsewhere takes only where its code is that of the search.

    Args:
        training: what runs a job.
    """

    def __init__(self, training: Training) -> None:
        self._training = training

    def __call__(self, job: Job, parent: Parent) -> Any:
        """Return what the training gives."""
        return self._training(job, parent)

    def __reduce__(self) -> tuple[Any, ...]:
        return _second, (_Code(training_code(self._training)), self._training)


@dataclass
class _Code:
    """Digests of code, which are compared where they are unpickled: before the training is."""

    digests: Mapping[str, str]

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse_other_code, (self.digests,)


def _refuse_other_code(digests: Mapping[str, str]) -> None:
    if other := difference(digests):
        raise EvaluationError(other)


def _second(_: None, training: Training) -> Training:
    return training


def _ended(process: WorkerProcess, job: Job) -> Ended:
    """Have a child process train, and return what became of it."""
    process.give(job)
    while (ended := process.look()) is None:
        wait([process.channel], max(0.0, min(TICK, process.limit - time.monotonic())))
        if process.asks_for_pause:  # to measure: no other job runs beside it
            process.permit()
    return ended


def _modules_of(training: Training) -> Iterator[str]:
    """Yield the modules of a training's class and of what it holds."""
    for value in (training, *vars(training).values()):
        module = getattr(_unwrapped(value), "__module__", None)
        if isinstance(module, str) and module not in ("__main__", "builtins"):
            yield module


def _unwrapped(value: Any) -> Any:
    return _unwrapped(value.func) if isinstance(value, functools.partial) else value
