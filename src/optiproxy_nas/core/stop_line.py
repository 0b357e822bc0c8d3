"""The line below which a running training is stopped. A worker process imports it alone."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

Curve = Sequence[tuple[int, float]]  # what a training reported: (step, value)


class StopLine(NamedTuple):
    """What the best value that a training has reported so far is compared with.

    Attributes:
        sign: 1 where higher values are better, -1 where lower ones are.
        steps: [n] ascending; before the first one nothing is stopped.
        values: [n], which hold from their step to the next one.
        end: step of whole trainings, from which on nothing is stopped.
    """

    sign: float = 1.0
    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    end: int = 0

    def stops(self, step: int, best: float) -> bool:
        """Return whether a training is to be stopped after a step, given its best value so far."""
        place = bisect_right(self.steps, step) - 1
        return place >= 0 and step < self.end and self.sign * best < self.sign * self.values[place]

    def after(self, step: int) -> StopLine | None:
        """Return the part of the line after a step; None where there is none."""
        kept = [place for place, it in enumerate(self.steps) if it > step]
        if not kept:
            return None
        return self._replace(steps=self.steps[kept[0] :], values=self.values[kept[0] :])

    def has_stopped(self, curve: Curve) -> bool:
        """Return whether a training that is over ended because it was to be stopped.

        It did if it had not reached the end of whole trainings, and reported once more at most
        after it was first to be stopped. What reported more went on all the same: it is whole.
        """
        ends_early = bool(curve) and max(step for step, _ in curve) < self.end
        return ends_early and self.is_crossed_by(curve) and not self.is_crossed_by(curve[:-2])

    def is_crossed_by(self, curve: Curve) -> bool:
        """Return whether a training is to be stopped, or was to be, given what it reported."""
        return any(self.stops(step, best) for step, best in running_best(curve, self.sign))


def better(first: float, second: float, sign: float) -> float:
    """Return the better of two values; NaN stands for none."""
    if math.isnan(first) or math.isnan(second):
        return second if math.isnan(first) else first
    return first if sign * first >= sign * second else second


def running_best(curve: Curve, sign: float) -> list[tuple[int, float]]:
    """Return (step, best value up to it) of each point that brought a number, in order."""
    best, points = math.nan, []
    for step, value in curve:
        if not math.isnan(value):
            best = better(best, value, sign)
            points.append((step, best))
    return points
