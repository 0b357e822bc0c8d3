"""Validation of a surrogate on values left out: agreement, coverage, errors, distances.

Facts for the data card, rounded. Intervals are split-conformal (Lei et al. 2018): so many local
scales (``boosted``) as the errors of the other folds were.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from optiproxy_nas.core.arrays import Floats

Values = NDArray[np.floating[Any]]  # float32 or float64

_LEVELS = (0.68, 0.9, 0.95)
_LEAST_SPREAD = 0.5  # of a feature, so that a rare one does not decide the distances alone


def agreement(predicted: Values, values: Values) -> dict[str, float]:
    """Return Spearman's and Kendall's rank correlation, and sizes of errors in the values' unit."""
    errors = predicted - values
    return {
        "spearman": _rounded(scipy.stats.spearmanr(predicted, values).statistic),
        "kendall": _rounded(scipy.stats.kendalltau(predicted, values).statistic),
        "root_mean_squared_error": _rounded(np.sqrt(np.mean(errors**2))),
        "mean_absolute_error": _rounded(np.abs(errors).mean()),
        "median_absolute_error": _rounded(np.median(np.abs(errors))),
    }


def best_half_spearman(predicted: Values, values: Values) -> float:
    """Return Spearman among the upper half of the values, where a search ends."""
    best = values > np.median(values)
    return _rounded(scipy.stats.spearmanr(predicted[best], values[best]).statistic)


def coverage(ratio: Values, fold: NDArray[np.integer[Any]]) -> dict[str, dict[str, float]]:
    """Return the share of values within their intervals, whose widths come from the other folds.

    Args:
        ratio: [n] absolute errors in local scales.
        fold: [n] 0 .. k - 1, in which each value was left out.
    """
    found = {}
    for level in _LEVELS:
        inside = np.empty(len(ratio), dtype=bool)
        for k in range(int(fold.max()) + 1):
            others = ratio[fold != k]
            share = min(1.0, level * (1 + 1 / len(others)))
            inside[fold == k] = ratio[fold == k] <= np.quantile(others, share, method="higher")
        found[f"{100 * level:g} %"] = {
            "covered": _rounded(inside.mean()),
            "half_width_in_deviations": _rounded(
                np.quantile(ratio, level) / np.quantile(ratio, 0.68)
            ),
        }
    return found


def coverage_by_third(predicted: Values, ratio: Values) -> dict[str, float]:
    """Return the share of values within one local scale, by thirds of the prediction."""
    inside = ratio <= np.quantile(ratio, 0.68)
    return {name: _rounded(inside[rows].mean()) for name, rows in _thirds(predicted).items()}


def error_by_third(nearest: Values, errors: Values) -> dict[str, float]:
    """Return the mean absolute error, where the next architecture is near, middling, far."""
    return {name: _rounded(errors[rows].mean()) for name, rows in _thirds(nearest).items()}


def _thirds(values: Values) -> dict[str, NDArray[np.intp]]:
    parts = np.array_split(np.argsort(values, kind="stable"), 3)
    return dict(zip(("lowest", "middle", "highest"), parts, strict=True))


def _rounded(value: Any) -> float:
    return round(float(value), 4)


class Neighbours:
    """Euclidean distances to the data, every feature in units of its spread."""

    def __init__(self, data: Values, centre: Values, spread: Values) -> None:
        self.centre, self.spread = centre, spread
        self._data = self._scaled(data)

    @classmethod
    def fit(cls, data: Values) -> Neighbours:
        """Return the distances to data [n, f], with centre and spread from them."""
        spread = np.maximum(data.std(0), _LEAST_SPREAD)
        return cls(data, data.mean(0).astype(np.float64), spread.astype(np.float64))

    def _scaled(self, features: Values) -> Floats:
        return (features - self.centre) / self.spread / math.sqrt(len(self.spread))

    def to_nearest(self, features: Values) -> Floats:
        """Return the distance of each of features [m, f] to the nearest of the data: [m]."""
        return np.asarray(np.sqrt(self._squares(self._scaled(features)).min(1)))

    def to_others(self) -> Floats:
        """Return the distance of each of the data to the nearest other one: [n]."""
        squares = self._squares(self._data)
        np.fill_diagonal(squares, np.inf)
        return np.asarray(np.sqrt(squares.min(1)))

    def _squares(self, points: Values) -> Floats:
        squared, data_squared = (points**2).sum(1), (self._data**2).sum(1)
        squares = np.maximum(squared[:, None] + data_squared - 2 * points @ self._data.T, 0)
        return np.where(squares < 1e-9, 0.0, squares)  # rounding, where it is the same point
