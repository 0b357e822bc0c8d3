"""Trainings in processes of their own, so that none can end the search or spoil another one."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from optiproxy_nas.core.errors import EvaluationError, ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.evaluation.answers import Outcome, read_answer
from optiproxy_nas.evaluation.evaluator import Batched, Evaluate, Evaluator, Request
from optiproxy_nas.evaluation.executors import Executor, ProcessExecutor
from optiproxy_nas.evaluation.jobs import (
    OUTPUT,
    Ended,
    FunctionTraining,
    Job,
    Training,
    trial_folder,
)
from optiproxy_nas.evaluation.payload import write_payload
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.spaces.base import SearchSpace

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error
Read = Callable[[Objective, Any, str], Outcome]


class IsolatedEvaluator(Evaluator):
    """Trains in worker processes, each for a limited time, and keeps what the trainings write.

    Args:
        training: what a worker calls, with its data; it is pickled once.
        name: of the training, for messages.
        settings: of the trainings.
        folder: in which each trial gets one of its own.
        read: returns the outcome that an answer means.
        architecture: returns what the training gets for the space's text.
        devices: names of torch devices, which the workers share in turn.

    Raises:
        ParameterError: a worker process could not import the training.
    """

    def __init__(
        self,
        training: Training,
        name: str,
        settings: EvaluationSettings,
        folder: Path,
        read: Read = read_answer,
        architecture: Callable[[str], Any] = str,
        devices: Sequence[str] = ("cpu",),
    ) -> None:
        self._settings, self._folder = settings, folder.absolute()
        self._read, self._architecture = read, architecture
        self._scratch = tempfile.TemporaryDirectory(prefix="optiproxy-", ignore_cleanup_errors=True)
        write_payload(Path(self._scratch.name), training, name)
        self._executor: Executor = ProcessExecutor(
            self._scratch.name, settings.workers, settings.threads, devices
        )
        self._rest: list[tuple[int, Outcome]] = []

    def ended(
        self, objective: Objective, requests: Sequence[Request]
    ) -> Iterator[tuple[int, Outcome]]:
        """Train for the requests, as many at the same time as there are workers."""
        self._rest = []
        places = {(request.number, request.repeat): place for place, request in enumerate(requests)}
        for request in requests:
            self._executor.submit(self._job(request))
        try:
            while results := self._executor.poll():
                unusable: EvaluationError | None = None
                for result in results:
                    place = places[result.job.number, result.job.repeat]
                    try:
                        outcome = self._outcome(objective, requests[place], result)
                    except EvaluationError as error:  # the others are told before it is raised
                        unusable = unusable or error
                    else:
                        self._rest.append((place, outcome))
                while self._rest:
                    yield self._rest.pop(0)
                if unusable is not None:
                    raise unusable
        finally:
            self._executor.cancel()

    def take_rest(self) -> list[tuple[int, Outcome]]:
        """Return what had ended at the same time as the last outcome that was taken."""
        rest, self._rest = self._rest, []
        return rest

    def train(self, request: Request) -> Ended:
        """Train for one request, and return what became of it, as the training gave it."""
        self._executor.submit(self._job(request))
        (result,) = self._executor.poll()
        return result

    def close(self) -> None:
        """End the worker processes."""
        self._executor.close()
        self._scratch.cleanup()

    def _job(self, request: Request) -> Job:
        return Job(
            number=request.number,
            attempt=request.attempt,
            architecture=self._architecture(request.architecture),
            epochs=request.epochs,
            seed=request.seed,
            folder=str(trial_folder(self._folder, request.number, request.folder)),
            timeout=self._settings.timeout,
            repeat=request.repeat,
            full_epochs=request.full_epochs,
            stop_line=request.stop_line,
        )

    def _outcome(self, objective: Objective, request: Request, result: Ended) -> Outcome:
        if result.error:
            outcome = Outcome({}, result.error)
        else:
            outcome = self._read(objective, result.answer, request.architecture)
        output = Path(result.job.folder) / OUTPUT
        if not output.exists() and not result.error:
            _log.warning("Trial %d took its folder %s away.", request.number, result.job.folder)
        return outcome._replace(
            seconds=result.seconds,
            curve=tuple(result.curve),
            output=str(output) if output.exists() else "",
            stopped=not outcome.error and request.has_stopped(result.curve),
        )


def isolated_function(
    evaluate: Evaluate, space: SearchSpace, settings: EvaluationSettings, folder: Path
) -> Evaluator:
    """Return the evaluator that calls a user's function in worker processes.

    Args:
        evaluate: of a search.
        space: of the search, as whose architectures the function gets them.
        settings: of the trainings.
        folder: in which each trial gets one of its own.

    Raises:
        ParameterError: it takes whole batches, or a worker process could not import it.
    """
    if isinstance(evaluate, Batched | Evaluator):
        raise ParameterError(
            'evaluation.isolation = "process" trains one architecture at a time; this evaluate '
            f"({type(evaluate).__name__}) trains as it likes. Leave isolation out, or give a "
            "function of one architecture."
        )
    name = f"evaluate = {getattr(evaluate, '__qualname__', repr(evaluate))}"
    return IsolatedEvaluator(
        FunctionTraining(evaluate), name, settings, folder, architecture=space.architecture
    )


def devices_of(settings: EvaluationSettings) -> list[str]:
    """Return the devices of worker processes: all GPUs, where they are to be found.

    Raises:
        ParameterError: there is no such device.
    """
    device = device_of(settings.device)
    if settings.device == "auto" and device == "cuda" and settings.workers > 1:
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [device]


def device_of(name: str) -> str:
    """Return the device that trials are told to use.

    Raises:
        ParameterError: there is no such device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        kind = ""
    if not kind or (kind == "cuda" and not torch.cuda.is_available()):
        why = "torch finds no CUDA here" if kind else "torch has no such device"
        raise ParameterError(
            f"evaluation.device = {name!r}: {why}. Use cpu, cuda, or auto.", device=name
        )
    return name
