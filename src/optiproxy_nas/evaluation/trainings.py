"""Trainings: what calls a user's function or problem where a job runs.

A worker process unpickles one, so this imports neither torch nor NumPy nor pandas.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiproxy_nas.execution.jobs import Job, Parent

if TYPE_CHECKING:
    from optiproxy_nas.problems import Problem, RunningTrial

OnReport = Callable[[int, float], Any]  # called with each step and value that a training reports


class FunctionTraining:
    """A user's function of an architecture (and of the epochs, where there are fidelities)."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, job: Job, parent: Parent) -> Any:
        """Return what the function gives."""
        epochs = () if job.epochs is None else (job.epochs,)
        return self._function(job.architecture, *epochs)


class ProblemTraining:
    """A user's problem, with its data.

    Args:
        problem: of a search.
        data: its datasets by name.
        method: of the problem that is called, ``evaluate`` or ``test``.
        needs_one_kind: whether all trials are to be made on one kind of machine, since their
            latencies are compared.
    """

    def __init__(
        self,
        problem: Problem,
        data: Mapping[str, Any],
        method: str = "evaluate",
        needs_one_kind: bool = False,
    ) -> None:
        self._problem, self._data, self._method = problem, data, method
        self.needs_one_kind = needs_one_kind

    def __call__(self, job: Job, parent: Parent) -> Any:
        """Return what the problem's method gives, with the latency of the network it trained."""
        architecture = copy.deepcopy(job.architecture)  # the trial is the user's
        answer = getattr(self._problem, self._method)(running_trial(job, self._data, parent.report))
        if self._problem.latency is None or self._method != "evaluate":
            return answer
        from optiproxy_nas.measuring.latency import longest_seconds  # and with it torch
        from optiproxy_nas.problems.latency import with_latency

        parent.begin_measurement(longest_seconds(self._problem.latency))
        return with_latency(
            self._problem,
            architecture,
            Path(job.folder),
            job.device,
            answer,
            pause_others=parent.pause_others,
        )


def running_trial(job: Job, data: Mapping[str, Any], on_report: OnReport | None) -> RunningTrial:
    """Return what a problem's training gets for a job that begins now."""
    from optiproxy_nas.problems import RunningTrial  # only where there are problems

    return RunningTrial(
        number=job.number,
        architecture=job.architecture,
        folder=Path(job.folder),
        attempt=job.attempt,
        seed=job.seed,
        epochs=job.epochs,
        full_epochs=job.full_epochs,
        device=job.device,
        deadline=None if job.timeout is None else time.time() + job.timeout,
        data=data,
        on_report=on_report,
        stop_line=job.stop_line,
    )
