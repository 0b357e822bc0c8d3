"""Which trials may be the answer, and which of two is better: lexicographic, with no sentinel."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from optiproxy_nas.core.arrays import Floats, Integers, Mask
from optiproxy_nas.core.parameters import Direction

STOPPED = "stopped"  # column of an archive: whether a training was ended early


def ended_early(archive: pd.DataFrame) -> Mask:
    """Return whether the training of each row was ended early: [n]."""
    if STOPPED not in archive:
        return np.zeros(len(archive), dtype=bool)
    stopped: Mask = archive[STOPPED].to_numpy(dtype=bool)
    return stopped


@dataclass(frozen=True)
class TrialOrder:
    """Which trials may be the answer, and which of two is better, by the value.

    Attributes:
        direction: whether the higher or the lower value is better.
    """

    direction: Direction = field(default="maximize", kw_only=True)

    @property
    def sign(self) -> float:
        """Return 1 where values are maximised, -1 where they are minimised."""
        return 1.0 if self.direction == "maximize" else -1.0

    @property
    def better(self) -> np.ufunc:
        """Return the function of the better of two values; NaN stands for none."""
        return np.fmax if self.direction == "maximize" else np.fmin

    def goodness(self, archive: pd.DataFrame) -> Floats:
        """Return the values, negated where they are minimised, so that higher is better: [n]."""
        return self.sign * archive["value"].to_numpy(dtype=np.float64)

    def eligible(self, archive: pd.DataFrame) -> Mask:
        """Return whether each row may be the answer: [n]. What was ended early never is."""
        return self.may_answer(archive) & ~ended_early(archive)

    def may_answer(self, archive: pd.DataFrame) -> Mask:
        """Return whether each row may be the answer, if it was trained to its end: [n]."""
        return np.ones(len(archive), dtype=bool)

    def judged(self, archive: pd.DataFrame) -> Mask:
        """Return the rows whose values are of one kind, so that predictions can be ranked: [n]."""
        return np.ones(len(archive), dtype=bool)

    def keys(self, archive: pd.DataFrame) -> Floats:
        """Return what rows are compared by, the most important first, higher is better: [k, n].

        The first is 1 for an eligible row and 0 for others; the second, of an eligible row, is its
        ``goodness``. A row's keys do not depend on the other rows.
        """
        return np.stack([self.eligible(archive).astype(np.float64), self.goodness(archive)])

    def ranks(self, archive: pd.DataFrame) -> Integers:
        """Return the place of each row, 0 for the worst, the same for equal ones: [n]."""
        _, ranks = np.unique(self.keys(archive).T, axis=0, return_inverse=True)
        return ranks.reshape(-1)

    def incumbent(self, archive: pd.DataFrame) -> int:
        """Return the row that is the answer (the first of equals); if none is, the nearest."""
        rows = np.arange(len(archive))
        for key in self.keys(archive):
            rows = rows[key[rows] == key[rows].max()]
        return int(rows[0])

    def best(self, archive: pd.DataFrame) -> Floats:
        """Return the best eligible value after each query, NaN while there is none: [n]."""
        values = np.where(self.eligible(archive), archive["value"], np.nan)
        return self.better.accumulate(values) if len(values) else values


def fitness_of(keys: Floats) -> Floats:
    """Return one finite number a trial, in the order of its keys, for methods that fit a model.

    An eligible trial keeps its value (negated where it is minimised). The others lie one to three
    spreads of the eligible values below the lowest of these, so that their scale is that of the
    data; the better ones by the second key, the nearer. They change as trials are added: nothing
    may remember them.

    Args:
        keys: of all trials so far [k, n], of :meth:`TrialOrder.keys`; values up to 1e300.

    Returns:
        [n], higher is better; equal for equal keys alone.
    """
    eligible, second = keys[0] > 0, np.clip(keys[1], -1e300, 1e300)
    values = second[eligible] if eligible.any() else np.zeros(1)
    lowest = float(values.min())
    spread = float(np.ptp(values)) or abs(lowest) or 1.0
    fitness: Floats = np.where(
        eligible, second, lowest - spread * (2 - second / (1 + np.abs(second)))
    )
    others = np.flatnonzero(~eligible)
    others = others[np.lexsort(keys[::-1, others])[::-1]]  # best first
    limit, previous = lowest, None
    for row, key in zip(others.tolist(), keys[:, others].T.tolist(), strict=True):
        if key != previous:  # rounding joins neither these nor them and what is eligible
            limit, previous = min(float(fitness[row]), math.nextafter(limit, -math.inf)), key
        fitness[row] = limit
    return fitness
