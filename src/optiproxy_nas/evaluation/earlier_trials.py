"""What a trial takes from the complete trials before it.

That is the shorter training that it continues, and the line below which it is stopped early. Both
follow from the trials that were complete when it was proposed, and from no others, so a search that
goes on, or that is repeated, gives each trial the same.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from statistics import median

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.run_settings import StoppingSettings
from optiproxy_nas.core.stop_line import Curve, StopLine, running_best
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.execution.jobs import folder_name
from optiproxy_nas.objectives.base import Objective

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class EarlierTrials:
    """The complete trials of a search so far.

    Args:
        objective: of the search.
        stopping: when running trainings are ended early; None: none is.
    """

    def __init__(self, objective: Objective, stopping: StoppingSettings | None = None) -> None:
        self._stopping = stopping or StoppingSettings()
        self._sign = objective.order.sign * (-1 if self._stopping.reported == "opposite" else 1)
        self._continuing = {it.epochs: it.continues for it in objective.fidelities}
        self._full_epochs = max(self._continuing, default=None)
        self._trained: dict[str, dict[int, Request]] = {}  # by architecture, and by epochs
        self._curves: dict[int | None, list[Curve]] = {}  # by epochs, in the order added
        self._lines: dict[int | None, tuple[int, StopLine | None]] = {}  # made of so many curves
        self._last_steps: dict[int, int] = {}  # by number
        self._has_warned = False

    def add(self, request: Request, outcome: Outcome) -> None:
        """Add a trial that this search has trained, and that is complete."""
        if request.epochs is not None:
            self._trained.setdefault(request.architecture, {})[request.epochs] = request
        if self._stopping.rule is not None:
            self._curves.setdefault(request.epochs, []).append(outcome.curve)
            self._last_steps[request.number] = max((it for it, _ in outcome.curve), default=0)

    def prepared(self, request: Request) -> Request:
        """Return a request with what it takes from the trials so far.

        Where its fidelity continues a shorter training, it has the folder and the seed of the
        architecture's longest one, so that it finds the checkpoint and goes on as one training.
        """
        steps_before = 0
        if (epochs := request.epochs) is not None:
            request = request._replace(full_epochs=self._full_epochs)
            if (before := self._continued(request.architecture, epochs)) is not None:
                folder = folder_name(before.number, before.folder)
                request = request._replace(folder=folder, seed=before.seed)
                steps_before = self._last_steps.get(before.number, 0)
        line = self._line(epochs) if self._stopping.rule is not None else None
        return request._replace(stop_line=None if line is None else line.after(steps_before))

    def _continued(self, architecture: str, epochs: int) -> Request | None:
        """Return the longest training that one of an architecture for ``epochs`` goes on from."""
        trained = self._trained.get(architecture, {})
        shorter = [fewer for fewer in trained if fewer < epochs]
        return trained[max(shorter)] if shorter and self._continuing.get(epochs) else None

    def _line(self, epochs: int | None) -> StopLine | None:
        """Return the line of trainings for ``epochs``; None where too few are complete."""
        curves = self._curves.get(epochs, [])
        if len(curves) < self._stopping.least_trials:
            return None
        count, line = self._lines.get(epochs, (0, None))
        if count != len(curves):
            if not any(curves) and not self._has_warned:
                self._has_warned = True
                _log.warning(
                    "stopping.rule is %s, but %d complete trials have reported nothing, so that no "
                    "training is stopped early. A training reports by trial.report(step, value).",
                    self._stopping.rule,
                    len(curves),
                )
            line = median_line(curves, self._sign, self._stopping.warmup_steps)
            self._lines[epochs] = len(curves), line
        return line


def median_line(curves: Sequence[Curve], sign: float, warmup_steps: int = 0) -> StopLine | None:
    """Return the median of the best values that trainings had reported up to each step.

    A training that ended before a step counts there with the best that it had reached: else those
    that were stopped would drop out of the median, and the line would rise with each of them.

    Args:
        curves: of the trainings [n], each in the order reported.
        sign: 1 where higher values are better, -1 where lower ones are.
        warmup_steps: up to which there is no line.

    Returns:
        the line from the first step above ``warmup_steps`` to the last of all steps, which is that
        of whole trainings; None where there is no step between.
    """
    best = [points for curve in curves if (points := running_best(curve, sign))]
    steps = sorted({step for points in best for step, _ in points})
    inner = [step for step in steps[:-1] if step > warmup_steps]
    if not inner:
        return None
    reached = [([step for step, _ in points], points) for points in best]
    values = []
    for step in inner:
        places = [(bisect_right(taken, step), points) for taken, points in reached]
        values.append(median(points[place - 1][1] for place, points in places if place))
    return StopLine(sign, tuple(inner), tuple(values), steps[-1])


def refuse_stopping(stopping: StoppingSettings, what: str) -> None:
    """Refuse to stop trainings of what reports nothing.

    Args:
        stopping: of a search.
        what: it searches, in words.

    Raises:
        ParameterError: trainings are to be stopped early.
    """
    if stopping.rule is not None:
        raise ParameterError(
            f"stopping.rule = {stopping.rule!r} would change nothing: {what} reports nothing while "
            "it is trained. Leave it out, or write a problem, which has trial.report(step, value).",
            name="stopping",
        )
