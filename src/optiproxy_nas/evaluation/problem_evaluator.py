"""Training the trials of a problem, in this process."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from optiproxy_nas.core.errors import DataError, EvaluationError, OptiProxyError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.core.random_streams import seeded_globals
from optiproxy_nas.evaluation.answers import Outcome, failure, number_of, read_metrics
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.evaluation.job_evaluator import JobEvaluator, job_of
from optiproxy_nas.evaluation.trainings import OnReport, ProblemTraining, running_trial
from optiproxy_nas.execution.devices import check_machine, device_of, devices_of
from optiproxy_nas.execution.jobs import (
    in_one_process,
    make_folder,
    reason_of,
    trial_folder,
)
from optiproxy_nas.execution.serial import Reports
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.problems import Problem, RunningTrial
from optiproxy_nas.problems.latency import latency_metrics, warn_of_noise, with_latency
from optiproxy_nas.spaces import get_space

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class MetricsReader:
    """Reads the answers of a problem's trainings, and warns of the first imprecise latency."""

    def __init__(self, problem: Problem) -> None:
        self._problem, self._has_warned = problem, False

    def __call__(self, objective: Objective, answer: Any, architecture: str) -> Outcome:
        """Return the outcome of an answer; see :func:`read_metrics`."""
        outcome = read_metrics(self._problem, objective, answer, architecture)
        if not self._has_warned:
            self._has_warned = warn_of_noise(self._problem, outcome.metrics)
        return outcome


class ProblemEvaluator(Evaluator):
    """Calls ``problem.evaluate`` for one trial at a time.

    Args:
        problem: of :func:`optiproxy_nas.problems.resolution.resolve_problem`.
        data: its datasets by name, of :func:`~optiproxy_nas.evaluation.problem_data.data_of`.
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
        self._space, self._seconds = get_space(problem.space), settings.timeout
        self._device, self._read = device_of(settings.device), MetricsReader(problem)

    def ended(
        self, objective: Objective, requests: Sequence[Request]
    ) -> Iterator[tuple[int, Outcome]]:
        """Train for each request."""
        for place, request in enumerate(requests):
            curve: list[tuple[int, float]] = []
            trial = self.trial(request, Reports(curve).report)
            folder = trial.folder  # the trial is the user's, who may set all that it has
            begun = time.perf_counter()
            try:
                with seeded_globals(request.seed), in_one_process():
                    answer = self._problem.evaluate(trial)
                if self._problem.latency is not None:
                    architecture = self._space.architecture(request.architecture)
                    answer = with_latency(self._problem, architecture, folder, self._device, answer)
            except (Exception, SystemExit) as error:
                _log.debug("Trial %d failed", request.number, exc_info=True)
                outcome = failure(error)
            else:
                outcome = self._read(objective, answer, request.architecture)
            seconds = time.perf_counter() - begun
            if not folder.is_dir():
                _log.warning("Trial %d took its folder %s away.", request.number, folder)
            stopped = not outcome.error and request.has_stopped(curve)
            yield place, outcome._replace(seconds=seconds, curve=tuple(curve), stopped=stopped)

    def trial(self, request: Request, on_report: OnReport | None = None) -> RunningTrial:
        """Return what the problem gets for a request; its folder is made.

        Args:
            request: of the training.
            on_report: called with what it reports; None: nobody reads it.

        Raises:
            DataError: the folder cannot be made.
        """
        architecture = self._space.architecture(request.architecture)
        job = job_of(request, architecture, self._folder, self._seconds)
        trial = running_trial(job._replace(device=self._device), self._data, on_report)
        try:
            make_folder(trial.folder)
        except OSError as error:
            raise DataError(
                f"The folder {trial.folder} of trial {request.number} cannot be made: "
                f"{error.strerror}. Nothing was trained for it.",
                path=str(trial.folder),
            ) from error
        return trial


def evaluator_for(
    problem: Problem,
    data: Mapping[str, Any],
    folder: Path,
    settings: EvaluationSettings,
    objective: Objective | None = None,
) -> Evaluator:
    """Return the evaluator that settings choose for a problem; ``with`` ends its processes.

    Args:
        problem: of :func:`optiproxy_nas.problems.resolution.resolve_problem`.
        data: of :func:`~optiproxy_nas.evaluation.problem_data.data_of`.
        folder: in which each trial gets one of its own.
        settings: where and how trials are trained.
        objective: of the search, which may compare measured latencies; None: nothing does.

    Raises:
        ParameterError: there is no such device, a worker process could not import the problem, or
            its latencies would be measured on several kinds of machines.
    """
    check_machine(settings)
    if settings.executor == "serial":
        return ProblemEvaluator(problem, data, folder, settings)
    compared = set() if objective is None else set(objective.metrics)
    training = ProblemTraining(
        problem, data, needs_one_kind=not compared.isdisjoint(latency_metrics(problem))
    )
    return _job_evaluator(problem, training, folder, settings)


def _job_evaluator(
    problem: Problem,
    training: ProblemTraining,
    folder: Path,
    settings: EvaluationSettings,
    jobs: str = "jobs",
) -> JobEvaluator:
    return JobEvaluator(
        training,
        f"problem = {type(problem).__name__}",
        settings,
        folder,
        MetricsReader(problem),
        get_space(problem.space).architecture,
        devices_of(settings),
        jobs=jobs,
    )


class AnswerTest(NamedTuple):
    """What the test of an answer gave."""

    metrics: dict[str, float]  # numbers by name
    error: str = ""  # why it failed, in one line


def test_answer(
    problem: Problem,
    data: Mapping[str, Any],
    folder: Path,
    settings: EvaluationSettings,
    request: Request,
) -> AnswerTest:
    """Return what ``Problem.test`` gives of the answer of a search.

    A test that fails, or that gives no numbers, loses nothing: that is said, and there are no
    metrics. Neither are there of an answer that this search did not train, but started from: what
    its training kept in its folder is missing.

    Args:
        problem: of the search.
        data: of :func:`~optiproxy_nas.evaluation.problem_data.data_of`.
        folder: of the search's trials, where the answer's training left its checkpoint.
        settings: of the search's trainings; a test may take as long as one.
        request: that the answer was trained by.
    """
    if type(problem).test is Problem.test:
        return AnswerTest({})
    kept = trial_folder(folder.absolute(), request.number, request.folder)
    if not kept.is_dir():
        reason = f"this search did not train it, or its folder {kept} was taken away"
        _log.warning("The answer, trial %d, is not tested: %s.", request.number, reason)
        return AnswerTest({}, reason)
    try:
        answer = _tested(problem, data, folder, settings, request)
        given = answer if isinstance(answer, Mapping) else {problem.target.name: answer}
        numbers = {str(name): number_of(metric) for name, metric in given.items()}
        metrics = {name: number for name, number in numbers.items() if not math.isnan(number)}
        if len(metrics) == len(given):
            return AnswerTest(metrics)
        reason = f"it must give {{metric: number}}; it gave {answer!r:.200}"
    except (Exception, SystemExit) as error:
        metrics = {}
        reason = error.message if isinstance(error, OptiProxyError) else reason_of(error)
    _log.warning(
        "%s.test of trial %d failed, so its test metrics are %s: %s",
        type(problem).__name__,
        request.number,
        ", ".join(metrics) or "none",
        reason,
    )
    return AnswerTest(metrics, reason)


def _tested(
    problem: Problem,
    data: Mapping[str, Any],
    folder: Path,
    settings: EvaluationSettings,
    request: Request,
) -> Any:
    """Return what ``Problem.test`` gives, called where the trials are trained."""
    if settings.executor == "serial":
        trial = ProblemEvaluator(problem, data, folder, settings).trial(request)
        with seeded_globals(request.seed), in_one_process():
            return problem.test(trial)
    training = ProblemTraining(problem, data, "test")
    alone = settings.model_copy(update={"workers": 1})
    # The folder of its jobs is another than that of the search's executor, which is open.
    with _job_evaluator(problem, training, folder, alone, "test_jobs") as evaluator:
        ended = evaluator.train(request)
    if ended.error:
        raise EvaluationError(ended.error)
    return ended.answer
