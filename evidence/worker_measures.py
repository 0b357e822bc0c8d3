"""What the searches of one number of workers show: regret, time, and share of time busy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from evidence.simulated import Simulated, load_task
from evidence.worker_record import MOST_SEEDS, Cell, Simulation, cells_of
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.numbers import TIE
from optiproxy_nas.report.statistics import RESAMPLES, Interval, queries_to


@dataclass(frozen=True)
class Measured:
    """Searches that differ in their seed only.

    Attributes:
        regret: after each query, in the unit of the value, [seeds, queries]; NaN before the first
            answer.
        at: virtual seconds at which each query was over, [seeds, queries].
        busy: share of the workers' time with a training, until the last one began, [seeds].
    """

    regret: Floats
    at: Floats
    busy: Floats

    @classmethod
    def of(cls, searches: Sequence[Simulated], best: float, sign: float, queries: int) -> Measured:
        """Return what searches show, in the order of their seeds.

        Args:
            searches: of one cell.
            best: the best value of all.
            sign: -1 where lower values are better, else 1.
            queries: of each; the curve of one that ended earlier stays where it was.
        """

        def whole(curve: Floats) -> Floats:
            return np.pad(curve, (0, queries - len(curve)), mode="edge")

        values = np.array([whole(search.best) for search in searches])
        regret = sign * (best - values)
        return cls(
            np.where(np.abs(regret) < TIE, 0.0, regret),
            np.array([whole(search.at) for search in searches]),
            np.array([search.busy for search in searches]),
        )

    @property
    def seconds(self) -> Floats:
        """When the last query was over, [seeds]."""
        return np.asarray(self.at[:, -1])

    def after(self, queries: int) -> Floats:
        """Return the regret after so many queries, [seeds]."""
        return np.asarray(self.regret[:, queries - 1])

    def seconds_to(self, regret: float) -> Floats:
        """Return when a regret was reached, [seeds]; infinite where it was not."""
        queries = self.queries_to(regret)
        reached = np.isfinite(queries)
        places = np.where(reached, queries, 1).astype(int) - 1
        return np.where(reached, self.at[np.arange(len(self.at)), places], math.inf)

    def queries_to(self, regret: float) -> Floats:
        """Return after how many queries a regret was reached, [seeds]; infinite: it was not."""
        return queries_to(self.regret, regret, sign=-1)  # NaN: not

    def median_seconds_to(self, regret: float) -> float:
        """Return the median of :meth:`seconds_to`; infinite where half or more did not reach it."""
        return float(np.median(self.seconds_to(regret)))

    def at_seconds(self, seconds: Floats) -> Floats:
        """Return the regret at times [n], NaN before the first answer: [seeds, n]."""
        rows = []
        for regret, at in zip(self.regret, self.at, strict=True):
            place = np.searchsorted(at, seconds, side="right")
            rows.append(np.concatenate([[np.nan], regret])[place])
        return np.array(rows)


@dataclass(frozen=True)
class TaskResults:
    """The searches of one task.

    Attributes:
        options: of the section.
        task: one of ``options.tasks``.
        found: the record.
    """

    options: Mapping[str, Any]
    task: Mapping[str, Any]
    found: Mapping[str, Simulated]

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds of which the record has all searches, ascending."""
        seeds = range(self.task.get("most_seeds", MOST_SEEDS))
        return [s for s in seeds if all(self._key(cell, s) in self.found for cell in self._cells)]

    @cached_property
    def best(self) -> float:
        """The best value of all; where nobody knows it, the best that a search has found."""
        task = load_task(self.task["space"], self.task["dataset"])
        if not math.isnan(task.best):
            return task.best
        ends = [self._did(cell, seed).best for cell in self._cells for seed in self.seeds]
        return float(max(task.sign * end[-1] for end in ends) * task.sign)

    @cached_property
    def _cells(self) -> list[Cell]:
        return cells_of(self.options, self.task)

    def _key(self, cell: Cell, seed: int) -> str:
        return Simulation(cell, self.options["queries"], seed).key

    def _did(self, cell: Cell, seed: int) -> Simulated:
        return self.found[self._key(cell, seed)]

    @cached_property
    def _measured(self) -> dict[tuple[str, str, int], Measured]:
        sign = load_task(self.task["space"], self.task["dataset"]).sign
        queries = self.options["queries"]
        return {
            (cell.cluster["label"], cell.method["label"], cell.workers): Measured.of(
                [self._did(cell, seed) for seed in self.seeds], self.best, sign, queries
            )
            for cell in self._cells
        }

    def of(self, method: str, workers: int, variant: str | None = None) -> Measured:
        """Return what the searches of a cell show, by its labels; default the first variant."""
        return self._measured[variant or self.options["variants"][0]["label"], method, workers]

    def workers(self, method: str, variant: str | None = None) -> list[int]:
        """Return the numbers of workers that there are, ascending."""
        label = variant or self.options["variants"][0]["label"]
        return sorted(w for v, m, w in self._measured if (v, m) == (label, method))

    @cached_property
    def levels(self) -> dict[int, float]:
        """Queries -> the median regret of the first method's serial searches after so many."""
        serial = self.of(self.options["methods"][0]["label"], 1)
        return {q: float(np.median(serial.after(q))) for q in self.options["levels"]}


def excess(regrets: Floats, serial: Floats) -> tuple[float, Interval]:
    """Return by what share a mean regret is above that of serial searches, in pairs of seeds.

    Args:
        regrets: [seeds].
        serial: [seeds], in the same order.

    Returns:
        The ratio of the means minus 1, and its 95 % bootstrap interval over seeds. 0 where both
        means are 0; infinite where that of the serial searches alone is.
    """

    def ratio(ours: Floats, theirs: Floats) -> Floats:
        first, second = ours.mean(axis=-1), theirs.mean(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(first == second, 0.0, first / second - 1)

    drawn = np.random.default_rng(0).integers(len(regrets), size=(RESAMPLES, len(regrets)))
    ratios = ratio(regrets[drawn], serial[drawn])
    low = float(np.quantile(ratios, 0.025, method="lower"))  # infinite ones have no mean
    high = float(np.quantile(ratios, 0.975, method="higher"))
    return float(ratio(regrets, serial)), Interval(low, high)


def speed_up(serial: float, parallel: float) -> float:
    """Return how many times sooner than serial; 0 where it was not reached; NaN where neither."""
    if math.isinf(parallel):
        return math.nan if math.isinf(serial) else 0.0
    return math.inf if math.isinf(serial) else serial / parallel
