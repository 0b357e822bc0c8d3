"""Targets of the proxy, and its predictions as values and as the score to be maximised.

They follow from values of the archive only (no statistic of a whole table).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy
import torch
from torch import Tensor

from optiproxy_nas.core.arrays import Floats, Mask, deviation
from optiproxy_nas.core.errors import unknown_name
from optiproxy_nas.core.parameters import SelectionSettings

BROKEN = 1000.0  # distances from the best to the lower quartile, beyond which a value tells nothing


def standardise(values: Floats, reference: float | None = None) -> Floats:
    """Return z-scores [n] of values [n] by their mean and deviation; 0 if all are equal."""
    if np.ptp(values) == 0:
        return np.zeros_like(values)
    scores: Floats = (values - values.mean()) / deviation(values)
    return scores


def rank(values: Floats, reference: float | None = None) -> Floats:
    """Return normal scores Φ⁻¹((r - 1/2) / n) [n] of the ranks r = 1..n (ties averaged).

    Failed architectures (10 % accuracy) dominate a standard deviation and squeeze the good ones
    into a few hundredths of it; ranks spread the top out.
    """
    scores: Floats = scipy.stats.norm.ppf((scipy.stats.rankdata(values) - 0.5) / len(values))
    return scores


def log_regret(values: Floats, reference: float | None = None) -> Floats:
    """Return -log((best - y) / (best - median) + 0.1) [n], standardised.

    The scale resolves the top logarithmically: each tenfold smaller distance to the best adds the
    same. It hardly distinguishes bad values; 0.1 keeps the target of the best one finite.

    Args:
        values: y of the archive [n], higher is better; best and median are theirs.
        reference: where the answer is to come from a subset of the archive, the best value of that
            subset. The scale is then fine around it, and point-symmetric about it.
    """
    return _log_distance(values, reference, np.inf)


def bounded_log_regret(values: Floats, reference: float | None = None) -> Floats:
    """Return :func:`log_regret`, whose distances above ten times the median's grow as their log.

    So a training that diverged, to -1e9 say, is a bad one, and does not set the scale.
    """
    return _log_distance(values, reference, 10.0)


@np.errstate(over="ignore")  # beyond the largest float it is the largest
def _log_distance(values: Floats, reference: float | None, bound: float) -> Floats:
    if reference is None:
        best, median = float(values.max()), float(np.median(values))
        scale = best - median if best > median else 1.0
        return standardise(-np.log(_bounded((best - values) / scale, bound) + 0.1))
    regret = reference - values
    scale = float(np.median(np.abs(regret))) or 1.0
    at_reference = -np.log(0.1)
    distance = np.log(_bounded(np.abs(regret) / scale, bound) + 0.1) + at_reference  # >= 0
    return standardise(at_reference - np.sign(regret) * distance)


@np.errstate(over="ignore")
def are_broken(values: Floats) -> Mask:
    """Return which values [n] lie a thousand times as far below the best as the lower quartile.

    Of few values, or where a quarter is broken, the quartile is broken itself: then a million times
    as far as the median.
    """
    best, distances = values.max(), values.max() - values
    quartile, median = best - np.quantile(values, 0.25), best - np.median(values)
    by_quartile: Mask = (distances > BROKEN * quartile) & bool(quartile > 0)
    by_median: Mask = (distances > BROKEN**2 * median) & bool(median > 0)
    return by_quartile | by_median


def _bounded(distance: Floats, bound: float) -> Floats:
    """Return distances d [n] up to a bound b, of those above b (1 + log(d / b)): as smooth."""
    distance = np.minimum(distance, np.finfo(np.float64).max)
    above: Floats = bound * (1 + np.log(np.maximum(distance / bound, 1)))
    return np.where(distance > bound, above, distance)


TARGETS: dict[str, Callable[..., Floats]] = {
    "standardised": standardise,
    "rank": rank,
    "log_regret": log_regret,
    "bounded_log_regret": bounded_log_regret,
}


def make_targets(values: Floats, name: str, reference: float | None = None) -> Tensor:
    """Return targets [n], float32, of archive values [n].

    Args:
        values: of the archive [n], higher is better.
        name: one of ``TARGETS``.
        reference: see :func:`log_regret`.

    Raises:
        UnknownNameError: not one of ``TARGETS``.
    """
    if name not in TARGETS:
        raise unknown_name("target", name, TARGETS)
    return torch.as_tensor(TARGETS[name](np.asarray(values, dtype=np.float64), reference)).float()


def to_values(
    predictions: Floats, values: Floats, name: str, reference: float | None = None
) -> Floats:
    """Convert predictions from target units to the units of the archive values, for reports.

    The map is linear between the (target, value) pairs of the archive and beyond the best one,
    there by at most the distance from the median to the best. Below all targets it is the worst
    value.

    Args:
        predictions: any shape, in units of the targets.
        values: of the archive [n].
        name: one of ``TARGETS``.
        reference: see :func:`log_regret`.
    """
    targets = TARGETS[name](values, reference)
    order = np.argsort(targets, kind="stable")
    unique_targets, first = np.unique(targets[order], return_index=True)
    unique_values = values[order][first]
    inside = np.interp(predictions, unique_targets, unique_values)
    if len(unique_targets) < 2:
        return inside
    slope = (unique_values[-1] - unique_values[-2]) / (unique_targets[-1] - unique_targets[-2])
    above = np.maximum(predictions - unique_targets[-1], 0) * slope
    restored: Floats = inside + np.minimum(above, unique_values[-1] - np.median(values))
    return restored


def value_columns(
    predictions: Tensor,
    values: Floats,
    name: str,
    reference: float | None = None,
    sign: float = 1.0,
) -> dict[str, Floats]:
    """Return predictions [E, n] as ``predicted`` and ``predicted_sd`` [n], in units of the values.

    ``values``, ``name`` and ``reference`` are those that the targets were made with; ``sign`` is
    -1 where these are negated values.
    """
    members = sign * to_values(predictions.double().numpy(), values, name, reference)
    return {
        "predicted": members.mean(0),
        "predicted_sd": deviation(members, 0, min(1, len(members) - 1)),
    }


def acquisition_score(predictions: Tensor, settings: SelectionSettings) -> Tensor:
    """Return the score [n] of predictions [E, n]: the mean, or mean + κ · sd over the members.

    The paper's score is the proxy's output itself, which is the mean of an ensemble of one.
    """
    mean = predictions.mean(0)
    if settings.acquisition == "mean" or predictions.shape[0] == 1:
        return mean
    return mean + settings.optimism * _spread(predictions)


def _spread(predictions: Tensor) -> Tensor:
    """Return the deviation [n] over the members; torch's own takes 20 times as long for many n."""
    if predictions.requires_grad:
        return predictions.std(0)
    mean, squares = torch.zeros(2, predictions.shape[1], dtype=torch.float64)
    for count, member in enumerate(predictions.double(), start=1):  # as torch adds up (Welford)
        difference = member - mean
        mean = mean + difference / count
        squares = squares + difference * (member - mean)
    spread: Tensor = (squares / (len(predictions) - 1)).sqrt().float()
    return spread
