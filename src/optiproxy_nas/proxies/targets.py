"""Targets of the proxy, from the archive's own values only (no statistic of a whole table)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm, rankdata
from torch import Tensor

from optiproxy_nas.core.errors import unknown_name

Values = NDArray[np.float64]


def standardise(values: Values, reference: float | None = None) -> Values:
    """Z-scores by the archive's mean and standard deviation."""
    if np.ptp(values) == 0:
        return np.zeros_like(values)
    scores: Values = (values - values.mean()) / values.std()
    return scores


def rank(values: Values, reference: float | None = None) -> Values:
    """Normal scores Φ⁻¹((r - 1/2) / n) of the ranks r = 1..n (ties averaged).

    Failed architectures (10 % accuracy) dominate a standard deviation and squeeze the good ones
    into a few hundredths of it; ranks spread the top out.
    """
    scores: Values = norm.ppf((rankdata(values) - 0.5) / len(values))
    return scores


def log_regret(values: Values, reference: float | None = None) -> Values:
    """-log((best - y) / (best - median) + 0.1), standardised; best and median of the archive.

    Resolves the top on a logarithmic scale (each tenfold smaller distance to the best counts the
    same) and pays little heed to how bad the bad ones are; 0.1 keeps the best one finite.

    Where the answer is to come from a part of the archive, ``reference`` is the best of that part:
    the scale is then fine around it, and goes on above it as it does below (point-symmetric).
    """
    if reference is None:
        best, median = float(values.max()), float(np.median(values))
        scale = best - median if best > median else 1.0
        return standardise(-np.log((best - values) / scale + 0.1))
    regret = reference - values
    scale = float(np.median(np.abs(regret))) or 1.0
    at_reference = -np.log(0.1)
    distance = np.log(np.abs(regret) / scale + 0.1) + at_reference  # >= 0
    return standardise(at_reference - np.sign(regret) * distance)


TARGETS: dict[str, Callable[..., Values]] = {
    "standardised": standardise,
    "rank": rank,
    "log_regret": log_regret,
}


def make_targets(values: Values, name: str, reference: float | None = None) -> Tensor:
    """Targets [n], float32, of archive values [n]; ``reference``: see :func:`log_regret`.

    Raises:
        UnknownNameError: not one of ``TARGETS``.
    """
    if name not in TARGETS:
        raise unknown_name("target", name, TARGETS)
    return torch.as_tensor(TARGETS[name](np.asarray(values, dtype=np.float64), reference)).float()


def to_values(
    predictions: Values, values: Values, name: str, reference: float | None = None
) -> Values:
    """Predictions in target units back in the units of the archive values, for reports.

    Linear between the archive's own (target, value) pairs and beyond the best one, there by at
    most the distance from the median to the best; the worst value below all of them.
    """
    targets = TARGETS[name](values, reference)
    order = np.argsort(targets, kind="stable")
    known_targets, first = np.unique(targets[order], return_index=True)
    known_values = values[order][first]
    inside = np.interp(predictions, known_targets, known_values)
    if len(known_targets) < 2:
        return inside
    slope = (known_values[-1] - known_values[-2]) / (known_targets[-1] - known_targets[-2])
    above = np.maximum(predictions - known_targets[-1], 0) * slope
    restored: Values = inside + np.minimum(above, known_values[-1] - np.median(values))
    return restored
