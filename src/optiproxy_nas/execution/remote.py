"""One job on another machine: in a child process there, if its code is that of the search.

A worker elsewhere imports what it trains by name. Another version of this package, or of the
user's module, would answer for another training, so that such a worker is refused.
"""

from __future__ import annotations

import functools
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from optiproxy_nas.core.code_digest import NOT_FOUND, imported_code
from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.execution import worker
from optiproxy_nas.execution.jobs import (
    Ended,
    Job,
    Parent,
    Training,
    Unsendable,
    reason_of,
    sendable,
)
from optiproxy_nas.execution.payload import write_payload
from optiproxy_nas.execution.worker_process import TICK, WorkerProcess

CODE = "code.json"  # in the folder of a payload: digests by module
_STARTS = 3  # child processes that may be lost before the training begins
_LISTED = 3  # modules that a message names


def write_remote_payload(folder: Path, training: Training, name: str) -> None:
    """Write what :func:`run_job` reads: the payload of a worker process, and the code's digests.

    Raises:
        ParameterError: see :func:`optiproxy_nas.execution.payload.write_payload`.
    """
    write_payload(folder, training, name)
    (folder / CODE).write_text(json.dumps(training_code(training)))


def run_job(payload: Path, job: Job, threads: int = 1) -> Ended:
    """Run a job in a child process of this one, and return what became of it.

    Where this function is left by an exception, as of a signal handler, the training is told to end
    and has ``job.grace`` seconds to tidy up.

    Args:
        payload: folder of :func:`write_remote_payload`.
        job: with the device that it trains on, and its timeout.
        threads: of OpenMP and BLAS.

    Raises:
        EvaluationError: no job can be run here: other code, or what cannot be imported.
    """
    preparation: dict[str, Any] = pickle.loads((payload / worker.PREPARATION).read_bytes())
    sys.path[:] = preparation["sys_path"]  # where the search finds its modules
    if other := difference(json.loads((payload / CODE).read_text())):
        raise EvaluationError(other)
    environment = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL")}
    for _ in range(_STARTS):
        process = WorkerProcess(str(payload), environment, job.device)
        try:
            ended = _ended(process, job)
        finally:
            _end(process)
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
    """A training that is unpickled only where the code is that of the search.

    Its answer is bytes, which the search opens (:func:`opened`): what hands it on need not be able
    to import its class.

    Args:
        training: what runs a job.
    """

    def __init__(self, training: Training) -> None:
        self._training = training

    def __call__(self, job: Job, parent: Parent) -> bytes:
        """Return what the training gives, pickled."""
        return pickle.dumps(sendable(self._training(job, parent)))

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_same_code, (training_code(self._training), self._training)


def opened(ended: Ended) -> Ended:
    """Return the end of a job of a :class:`RemoteTraining` with its answer."""
    if isinstance(ended.answer, bytes):
        try:
            ended.answer = pickle.loads(ended.answer)
        except Exception as failure:  # it is of a class that cannot be imported here
            ended.answer = Unsendable(f"what cannot be read ({reason_of(failure)})")
    return ended


def _of_same_code(code: Mapping[str, str], training: Training) -> Training:
    if other := difference(code):
        raise EvaluationError(other)
    return RemoteTraining(training)


def _ended(process: WorkerProcess, job: Job) -> Ended:
    """Have a child process train, and return what became of it."""
    process.give(job)
    while (ended := process.look()) is None:
        wait([process.channel], max(0.0, min(TICK, process.limit - time.monotonic())))
        if process.asks_for_pause:  # to measure: no other job runs beside it
            process.permit()
    return ended


def _end(process: WorkerProcess) -> None:
    process.stop()
    with suppress(subprocess.TimeoutExpired):
        process.process.wait(process.grace)
    process.kill()


def _modules_of(training: Training) -> Iterator[str]:
    """Yield the modules of a training's class and of what it holds."""
    for value in (training, *vars(training).values()):
        module = getattr(_unwrapped(value), "__module__", None)
        if isinstance(module, str) and module not in ("__main__", "builtins"):
            yield module


def _unwrapped(value: Any) -> Any:
    return _unwrapped(value.func) if isinstance(value, functools.partial) else value
