"""Trials as jobs of an executor, which may run several at the same time, also elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from optiproxy_nas.core.errors import EvaluationError, ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.core.secrets import mask_file, masked
from optiproxy_nas.evaluation.answers import Outcome, read_answer
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.evaluation.function_evaluator import Batched, Evaluate
from optiproxy_nas.evaluation.trainings import FunctionTraining
from optiproxy_nas.execution.jobs import OUTPUT, Ended, Job, Key, Training, trial_folder
from optiproxy_nas.execution.registry import open_executor
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.spaces.base import SearchSpace

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error
Read = Callable[[Objective, Any, str], Outcome]


class JobEvaluator(Evaluator):
    """Trains by an executor, each trial for a limited time, and keeps what the trainings write.

    Args:
        training: what a worker calls, with its data; it is pickled once.
        name: of the training, for messages.
        settings: of the trainings, which name the executor.
        folder: in which each trial gets one of its own.
        read: returns the outcome that an answer means.
        architecture: returns what the training gets for the space's text.
        devices: names of torch devices, which the workers share in turn.
        jobs: name of the folder, in that of the trials, for what an executor writes of its jobs.

    Raises:
        ParameterError: the executor's workers could not import the training.
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
        jobs: str = "jobs",
    ) -> None:
        self._settings, self._folder = settings, folder.absolute()
        self._read, self._architecture = read, architecture
        self._executor = open_executor(settings, training, name, devices, self._folder / jobs)
        self._requests: dict[Key, Request] = {}  # that have not ended
        self._unusable: EvaluationError | None = None  # to be raised once the others are told
        self._rest: list[tuple[int, Outcome]] = []
        self._earlier: dict[Key, tuple[Request, str]] = {}
        self._on_begun: Callable[[Request, str], Any] | None = None
        self._is_left = False

    @property
    def workers(self) -> int:  # type: ignore[override]
        """See :class:`Evaluator`, also below."""
        return self._executor.workers

    def submit(self, request: Request) -> str:
        """Take a request."""
        handle = self._executor.submit(self._job(request))
        self._requests[request.key] = request
        return handle

    def rejoin(self, request: Request, handle: str) -> bool:
        """Take over a request that an earlier process submitted."""
        job = self._job(request)
        if not (handle and self._executor.rejoin(job, handle)):
            return False
        self._requests[job.key] = request
        return True

    def poll(
        self, objective: Objective, seconds: float | None = None
    ) -> list[tuple[Request, Outcome]]:
        """Return the requests that have ended."""
        found = []
        for result in self._executor.poll(seconds) if self._unusable is None else ():
            if (request := self._requests.pop(result.job.key, None)) is None:
                continue  # its executor has given it twice
            try:
                found.append((request, self._outcome(objective, request, result)))
            except EvaluationError as error:  # the others are told before it is raised
                error.data["request"] = request
                self._unusable = self._unusable or error
        if self._unusable is not None and not found:
            unusable, self._unusable = self._unusable, None
            raise unusable
        return found

    def cancel(self, requests: Sequence[Request] | None = None) -> None:
        """End these requests, or all (None)."""
        keys = None if requests is None else [request.key for request in requests]
        self._executor.cancel(keys)
        for key in list(self._requests) if keys is None else keys:
            self._requests.pop(key, None)

    def release(self, request: Request) -> None:
        """Have the executor keep an end no longer."""
        self._executor.release([request.key])

    def keep_handles(
        self,
        earlier: Mapping[Key, tuple[Request, str]],
        on_begun: Callable[[Request, str], Any],
    ) -> None:
        """Have :meth:`ended` rejoin what an earlier process has begun, and say what it begins."""
        self._earlier, self._on_begun = dict(earlier), on_begun

    def leave(self) -> list[Request]:
        """Have run on what a later process can rejoin, and end the rest."""
        self._is_left = True
        return [self._requests[key] for key in self._executor.leave() if key in self._requests]

    def ended(
        self, objective: Objective, requests: Sequence[Request]
    ) -> Iterator[tuple[int, Outcome]]:
        """Train for the requests, as many at the same time as there are workers."""
        self._rest = []
        places = {request.key: place for place, request in enumerate(requests)}
        try:
            for request in [it for it in requests if not self._rejoins(it)]:
                handle = self.submit(request)
                if handle and self._on_begun is not None:
                    self._on_begun(request, handle)
            while self._requests or self._unusable is not None:
                ended = self.poll(objective)
                self._rest = [(places[request.key], outcome) for request, outcome in ended]
                while self._rest:
                    yield self._rest.pop(0)
        finally:
            self.cancel()

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
        """End what runs, and the workers, unless it was left."""
        if not self._is_left:
            self._executor.close()

    def _rejoins(self, request: Request) -> bool:
        """Rejoin a request where an earlier process has begun the same; return whether it has."""
        before, handle = self._earlier.pop(request.key, (request, ""))
        is_same = (before.architecture, before.epochs) == (request.architecture, request.epochs)
        return is_same and self.rejoin(request, handle)

    def _job(self, request: Request) -> Job:
        architecture = self._architecture(request.architecture)
        return job_of(request, architecture, self._folder, self._settings.timeout)

    def _outcome(self, objective: Objective, request: Request, result: Ended) -> Outcome:
        if result.error:
            outcome = Outcome({}, masked(result.error))
        else:
            outcome = self._read(objective, result.answer, request.architecture)
        output = Path(result.job.folder) / OUTPUT
        if not output.exists() and not result.error:
            _log.warning("Trial %d took its folder %s away.", request.number, result.job.folder)
        if output.exists():
            mask_file(output)
        return outcome._replace(
            seconds=result.seconds,
            curve=tuple(result.curve),
            output=str(output) if output.exists() else "",
            stopped=not outcome.error and request.has_stopped(result.curve),
        )


def job_of(request: Request, architecture: Any, folder: Path, timeout: float | None) -> Job:
    """Return the job of a request.

    Args:
        request: of one training.
        architecture: as the training gets it.
        folder: in which each trial has one of its own.
        timeout: seconds a trial; None: no limit.
    """
    return Job(
        number=request.number,
        attempt=request.attempt,
        architecture=architecture,
        epochs=request.epochs,
        seed=request.seed,
        folder=str(trial_folder(folder, request.number, request.folder)),
        timeout=timeout,
        repeat=request.repeat,
        full_epochs=request.full_epochs,
        stop_line=request.stop_line,
    )


def evaluator_by_jobs(
    evaluate: Evaluate, space: SearchSpace, settings: EvaluationSettings, folder: Path
) -> Evaluator:
    """Return the evaluator that calls a user's function by an executor.

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
            f"evaluation.executor = {settings.executor!r} trains one architecture at a time; this "
            f"evaluate ({type(evaluate).__name__}) trains as it likes. Leave the executor out, or "
            "give a function of one architecture."
        )
    name = f"evaluate = {getattr(evaluate, '__qualname__', repr(evaluate))}"
    return JobEvaluator(
        FunctionTraining(evaluate), name, settings, folder, architecture=space.architecture
    )
