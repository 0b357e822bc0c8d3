"""Searches read by training epochs spent, not by queries: a query may cost 12 of them or 200."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evidence.measures import without_noise
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.numbers import TIE
from optiproxy_nas.report.statistics import Interval

RESAMPLES = 1999  # of the seeds: each is a mean curve
ENOUGH = 0.5  # share of the resamples that must get there before an interval is printed


@dataclass(frozen=True)
class EpochCurves:
    """Searches of several seeds on one dataset.

    Attributes:
        epochs: where a value may change, ascending, [points]; the last is the end.
        curves: best fully trained value so far in percent, [seeds, points]; NaN before the first.
        optimum: of the table, in percent.
    """

    epochs: Floats
    curves: Floats
    optimum: float

    @property
    def budget(self) -> float:
        """Epochs at the end."""
        return float(self.epochs[-1])

    @property
    def mean(self) -> Floats:
        """Mean over seeds, [points]; NaN while some seed has nothing fully trained."""
        return np.asarray(self.curves.mean(axis=0), dtype=np.float64)

    def at(self, epochs: float) -> Floats:
        """Best value of each seed once so many epochs are spent, [seeds]."""
        place = int(np.searchsorted(self.epochs, epochs + TIE, side="right")) - 1
        if place < 0:
            return np.full(len(self.curves), np.nan)
        return np.asarray(self.curves[:, place])

    def reach(self, level: float) -> float:
        """Epochs until the mean over seeds is at least ``level`` (percent); inf if never."""
        return float(_first(self.epochs, self.mean[None], level)[0])

    def resampled(self, level: float) -> Floats:
        """``reach`` of seeds drawn with replacement, [RESAMPLES]."""
        seeds = len(self.curves)
        rng = np.random.default_rng(0)
        weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES) / seeds
        missing = np.isnan(self.curves)
        means = weights @ np.where(missing, 0.0, self.curves)
        means[weights @ missing > 0] = np.nan  # undefined while a drawn seed has nothing
        return _first(self.epochs, means, level)

    def at_optimum(self, epochs: float) -> int:
        """Seeds that have the optimum once so many epochs are spent."""
        return int((self.at(epochs) >= self.optimum - TIE).sum())


def reach_interval(resampled: Floats) -> tuple[Interval, float]:
    """95 % percentile interval of resampled epochs, inf where not reached; and the share that is.

    Of values that are inf no mean can be made, so both ends are values that occurred.
    """
    low, high = np.quantile(resampled, (0.025, 0.975), method="inverted_cdf")
    return Interval(float(low), float(high)), float(np.isfinite(resampled).mean())


def epoch_curves(
    results: pd.DataFrame, budget: float, optimum: float, epochs_per_unit: float = 1.0
) -> EpochCurves:
    """Curves by epochs of one row's searches on one dataset.

    Args:
        results: columns seed, query, spent and best of the searches.
        budget: where they end, in epochs; what goes beyond is left out.
        optimum: of the table, in percent.
        epochs_per_unit: of what ``spent`` counts: 1 where that is epochs, 200 where it is queries
            with full training.

    Raises:
        ValueError: a seed has two values for one query.
    """
    if results.duplicated(["seed", "query"]).any():
        raise ValueError("two runs of one seed: select one method, setting and data set first")
    rows = results.assign(epochs=results["spent"] * epochs_per_unit).sort_values(["seed", "query"])
    rows = rows[rows["epochs"] <= budget]
    grid = np.unique(np.append(rows["epochs"].to_numpy(dtype=np.float64), budget))
    curves = []
    for _, one in rows.groupby("seed", sort=True):
        place = np.searchsorted(one["epochs"].to_numpy(), grid, side="right") - 1
        values = one["best"].to_numpy(dtype=np.float64)
        curves.append(np.where(place >= 0, values[np.maximum(place, 0)], math.nan))
    return EpochCurves(grid, without_noise(np.array(curves)), float(without_noise(optimum)))


def _first(epochs: Floats, means: Floats, level: float) -> Floats:
    """Epochs at which each mean [rows, points] is first at ``level``; NaN is below everything."""
    reached = means >= level - TIE
    return np.where(reached.any(axis=1), epochs[reached.argmax(axis=1)], math.inf)
