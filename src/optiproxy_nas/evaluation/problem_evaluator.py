"""Training the trials of a problem, in this process."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from optiproxy_nas.core.errors import EvaluationError, ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.core.random_streams import seeded_globals
from optiproxy_nas.evaluation.answers import Outcome, failure, read_answer
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.problems import VALUE, Problem, RunningTrial, space_of
from optiproxy_nas.spaces.base import SearchSpace

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error
Report = Callable[[int, float], Any]  # (step, value), as they are reported


class ProblemEvaluator(Evaluator):
    """Calls ``problem.evaluate`` for one trial at a time.

    Args:
        problem: of :func:`optiproxy_nas.problems.resolve_problem`.
        data: its datasets by name, of :func:`data_of`.
        folder: in which each trial gets one of its own, ``0007``.
        settings: of which it uses ``device`` and ``timeout``, which is the trial's deadline and is
            not enforced.

    Raises:
        ParameterError: there is no such device.
    """

    def __init__(
        self,
        problem: Problem,
        data: Mapping[str, Any],
        folder: Path,
        settings: EvaluationSettings | None = None,
    ) -> None:
        settings = settings or EvaluationSettings()
        self._problem, self._data, self._folder = problem, data, folder.absolute()
        self._space, self._seconds = space_of(problem), settings.timeout
        self._device = device_of(settings.device)

    def outcomes(self, objective: Objective, requests: Sequence[Request]) -> Iterator[Outcome]:
        """Train for each request."""
        for request in requests:
            trial = running_trial(
                self._space, request, self._folder, self._device, self._data, self._seconds
            )
            yield run_trial(self._problem, objective, trial, request)


def running_trial(
    space: SearchSpace,
    request: Request,
    folder: Path,
    device: str,
    data: Mapping[str, Any],
    seconds: float | None = None,
    on_report: Report | None = None,
) -> RunningTrial:
    """Return what ``Problem.evaluate`` gets for a request; its folder is made.

    Args:
        space: of the problem.
        request: of the search.
        folder: of all trials; absolute.
        device: of :func:`device_of`.
        data: the problem's datasets.
        seconds: until the deadline, from now.
        on_report: called with what the trial reports.
    """
    own = trial_folder(folder, request.number)
    own.mkdir(parents=True, exist_ok=True)
    return RunningTrial(
        number=request.number,
        architecture=space.architecture(request.architecture),
        folder=own,
        attempt=request.attempt,
        seed=request.seed,
        epochs=request.epochs,
        device=device,
        deadline=None if seconds is None else time.time() + seconds,
        data=data,
        on_report=on_report,
    )


def run_trial(
    problem: Problem, objective: Objective, trial: RunningTrial, request: Request
) -> Outcome:
    """Call ``problem.evaluate`` and return what it gave.

    Raises:
        EvaluationError: the answer cannot be used: it lacks a metric, is no number, or is of
            another architecture.
    """
    begun = time.perf_counter()
    try:
        with seeded_globals(request.seed):
            answer = problem.evaluate(trial)
    except (Exception, SystemExit) as error:
        _log.debug("Trial %d failed", trial.number, exc_info=True)
        outcome = failure(error)
    else:
        outcome = read_metrics(problem, objective, answer, request)
    seconds = time.perf_counter() - begun
    if not trial.folder.is_dir():
        _log.warning("Trial %d took its folder %s away.", trial.number, trial.folder)
    return outcome._replace(seconds=seconds, curve=tuple(trial.curve))


def read_metrics(problem: Problem, objective: Objective, answer: Any, request: Request) -> Outcome:
    """Return the outcome of an answer, the target's metric as ``value``.

    Raises:
        EvaluationError: as of :func:`run_trial`.
    """
    target, name = problem.target.name, type(problem).__name__
    if isinstance(answer, Mapping):
        answer = dict(answer)
        _check_architecture(answer.pop("architecture", None), request, name)
        if target not in answer:
            raise EvaluationError(
                f"{name}.evaluate must give its target {target!r}; for {request.architecture} it "
                f"gave {', '.join(map(str, answer)) or 'nothing'}.",
                needed=[target, *objective.metrics],
            )
        value = answer[target] if target in objective.metrics else answer.pop(target)
        answer = {VALUE: value, **answer}
    return read_answer(objective, answer, request.architecture)


def _check_architecture(told: Any, request: Request, name: str) -> None:
    """Refuse the answer of another architecture, where an answer tells whose it is."""
    text = request.architecture
    if told is None or told == text:
        return
    if isinstance(told, Mapping):
        try:
            if dict(told) == json.loads(text):
                return
        except ValueError:
            pass
    raise EvaluationError(
        f"{name}.evaluate was asked for {text} and gave the answer of {told!r:.300}.",
        architecture=text,
    )


def trial_folder(folder: Path, number: int) -> Path:
    """Return the folder of one trial in that of all."""
    return folder / f"{number:04d}"


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
