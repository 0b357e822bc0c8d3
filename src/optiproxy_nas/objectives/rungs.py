"""Rungs: the fidelities that trials are made with, what each costs, and how money is shared."""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.core.arrays import Floats, Integers, Mask
from optiproxy_nas.objectives.trial_order import ended_early

_FACTOR = 3  # from one default rung to the next


def read_rungs(value: Any) -> Any:
    """Return rungs as a tuple of whole numbers; what is none is returned as it is.

    A text lists them, ``3;9;27`` or ``[3, 9, 27]``.
    """
    if isinstance(value, str):
        parts = re.split(r"[;,]", value.strip().removeprefix("[").removesuffix("]"))
        if all(re.fullmatch(r"\s*-?\d+\s*", part) for part in parts):
            return tuple(map(int, parts))
    if isinstance(value, list | tuple) and all(map(_is_whole, value)):
        return tuple(map(int, value))
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def default_rungs(full: int) -> tuple[int, ...]:
    """Return about a ninth, a third and all of a full training; fewer where it is short.

    >>> default_rungs(27), default_rungs(5), default_rungs(3)
    ((3, 9, 27), (1, 2, 5), (1, 3))
    """
    parts = (full / _FACTOR**2, full / _FACTOR, full)
    lower = {max(1, round(part)) for part in parts} - {full}
    return (*sorted(lower), full)


@dataclass(frozen=True)
class Rungs:
    """The rungs of a search: R >= 2 fidelities, the last of them is full training.

    Attributes:
        epochs: of each, ascending, in the unit of the budget.
        continues: training to a rung goes on from the one below, which is charged once.
        first: architectures at the lowest rung before any is raised.
        share: of the trials of a rung, the best by value, that may be raised, in (0, 1].
    """

    epochs: tuple[int, ...]
    continues: bool
    first: int
    share: float

    @cached_property
    def costs(self) -> tuple[int, ...]:
        """Return what a trial at each rung costs, of an architecture that has the one below."""
        below = (0, *self.epochs[:-1]) if self.continues else (0,) * len(self.epochs)
        return tuple(rung - start for rung, start in zip(self.epochs, below, strict=True))

    def of(self, archive: pd.DataFrame) -> Integers:
        """Return the rung of each row, from 0: [n]."""
        return np.searchsorted(self.epochs, archive["epochs"].to_numpy())

    def least(self, rung: int) -> int:
        """Return how many trials a rung needs before the first is raised: the same money at each.

        Of two rungs that is ``first`` at the lower one.
        """
        return max(1, ceil(self.first * self.epochs[0] / self.epochs[rung]))

    def allowed(self, rung: int, count: int) -> int:
        """Return how many of ``count`` trials at a rung may be raised in all."""
        return ceil(self.share * max(count, self.least(rung)))

    def kept(self, archive: pd.DataFrame, goodness: Floats) -> Mask:
        """Return the rows that are among the best share of their rung, and always were: [n].

        What once fell out stays out, so its checkpoint is not needed any more. What was ended early
        is never among them: it was not trained to its rung, so that no training could go on there.

        Args:
            archive: D with n rows, in the order of their results.
            goodness: of its values, higher is better: [n].
        """
        rung, kept, whole = (
            self.of(archive),
            np.zeros(len(archive), dtype=bool),
            ~ended_early(archive),
        )
        for place in range(len(self.epochs) - 1):
            best: list[tuple[float, int]] = []  # of equals the earlier
            for count, row in enumerate(np.flatnonzero(rung == place).tolist(), start=1):
                if whole[row]:
                    insort(best, (-float(goodness[row]), row))
                del best[self.allowed(place, count) :]
            kept[[row for _, row in best]] = True
        return kept

    def raised(self, archive: pd.DataFrame) -> Mask:
        """Return the rows whose architecture has a trial at a higher rung, too: [n]."""
        rung = self.of(archive)
        names = archive["architecture"].to_numpy()
        highest: dict[Any, int] = {}
        for name, place in zip(names, rung.tolist(), strict=True):
            highest[name] = max(place, highest.get(name, 0))
        return np.array(
            [place < highest[name] for name, place in zip(names, rung.tolist(), strict=True)],
            dtype=bool,
        )

    def spread(self, allowance: int, waiting: Sequence[int]) -> list[int]:
        """Return how many trials a step raises from each rung but the last: [R - 1].

        From the top down, as many as the step pays for, where an equal part of it is left for each
        rung below. The highest that waits is raised wherever that can be paid. Of two rungs,
        nothing is left for new architectures but what no promotion takes.

        Args:
            allowance: what the step may spend, new architectures included.
            waiting: trials at each rung that may be raised: [R - 1].
        """
        top = len(self.epochs) - 1
        part = allowance // len(self.epochs) if top > 1 else 0
        counts = [0] * top
        for rung in reversed(range(top)):
            cost = self.costs[rung + 1]
            count = max(0, allowance - (rung + 1) * part) // cost
            if not any(counts) and allowance >= cost:
                count = max(1, count)
            counts[rung] = min(count, waiting[rung])
            allowance -= counts[rung] * cost
        return counts

    def steps_to_answer(self, begun: int, step_cost: int) -> int:
        """Return how many steps it takes until one architecture is trained fully.

        Args:
            begun: architectures at the lowest rung before the first step.
            step_cost: what a step may spend.
        """
        top = len(self.epochs) - 1
        made, left, steps = [begun] + [0] * top, 0, 0  # trials at each rung, money, steps
        while not made[top]:
            steps, left = steps + 1, left + step_cost
            waiting = [
                max(0, self.allowed(rung, made[rung]) - made[rung + 1])
                if made[rung] >= self.least(rung)
                else 0
                for rung in range(top)
            ]
            counts = self.spread(left, [min(made[k], waiting[k]) for k in range(top)])
            for rung, count in enumerate(counts):
                made[rung + 1] += count
                left -= count * self.costs[rung + 1]
            made[0] += left // self.costs[0]
            left %= self.costs[0]
        return steps


def check_rungs(epochs: Sequence[int]) -> None:
    """Refuse rungs that no search can be made with.

    Raises:
        ValueError: fewer than two, one below 1, or one that is not above the one before.
    """
    shown = f"objective.rungs = {list(epochs)}"
    if len(epochs) < 2:
        raise ValueError(f"{shown}: at least two are needed, the last is full training")
    if epochs[0] < 1:
        raise ValueError(f"{shown}: the lowest is {epochs[0]}, and must be at least 1")
    for below, rung in pairwise(epochs):
        if rung <= below:
            raise ValueError(
                f"{shown}: {rung} comes after {below}; each must be above the one before"
            )
