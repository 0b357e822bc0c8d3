"""Aggregating the heads of a constrained proxy into one score (section 3.2).

Head 0 predicts the value, head c the excess of constraint c over its bound (``constraints.excess``)
in units in which 0 is the bound. Each mode gives the score to be maximised, and the weights it
gives the metrics, from the archive alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from optiproxy_nas.core.arrays import Floats, Integers, Mask
from optiproxy_nas.core.parameters import ExtendedModel, SelectionSettings
from optiproxy_nas.objectives.metric_scale import ScaleName
from optiproxy_nas.proxies.targets import acquisition_score

MOST_GROWTH = 10.0  # times its start that a weight of mode default may reach
WINDOW = 60  # last queries that count for the proxy's error
PRIOR = 10  # queries that the assumed error counts for
MOST_ERROR = 1.0  # an error counts as this at most, in standard deviations of the metric


class AggregationSettings(ExtendedModel):
    """Settings of the modes."""

    later = frozenset({"metric_scale"})

    metric_scale: ScaleName = Field(
        default="linear",
        description="of metrics, as the proxy learns them: linear, log of the distance to the "
        "bound, or ratio: log of the metric",
    )
    tolerated_violation_rate: float = Field(
        default=0.4, ge=0, le=1, description="share of a batch that may break a bound"
    )
    # Of mode default:
    feasibility_weight: float = Field(
        default=0.5, gt=0, description="of log P(feasible), to begin with"
    )
    gain: float = Field(default=0.15, ge=0, description="how fast that weight follows the rate")
    noise: float | None = Field(
        default=0.15,
        gt=0,
        description="error of a predicted metric, on its scale, before any is known; null: the "
        "proxy's spread has it",
    )
    accuracy_before_feasible: float = Field(
        default=0.1, ge=0, description="weight of the value while nothing feasible is known"
    )
    # Of mode paper_weights:
    initial_weight: float = Field(default=0.5, ge=0, le=1, description="of each constraint")
    greatest_weight: float = Field(default=0.9, ge=0, le=1, description="of each constraint")
    weight_step: float = Field(default=0.05, ge=0, description="change after each step")


class Weights(NamedTuple):
    """Factors of the value's term and of each constraint's in the score."""

    accuracy: float
    constraints: Floats  # [C]


class Aggregation(NamedTuple):
    """One way of making a score of accuracy and constraints."""

    # (step of each query [n], which broke which bound [C, n], settings) -> the weights after all
    weights: Callable[[Integers, Mask, AggregationSettings], Weights]
    # (excess [E, C, n], noise [C]) -> the term of each constraint, higher is better [C, n]
    terms: Callable[[Tensor, Tensor], Tensor]

    def score(
        self, predictions: Tensor, weights: Weights, noise: Tensor, selection: SelectionSettings
    ) -> Tensor:
        """Return w_a · (mean + κ sd of the value) + Σ_c w_c · term_c of [E, 1 + C, n]: [n]."""
        value = acquisition_score(predictions[:, 0], selection)
        terms = self.terms(predictions[:, 1:], noise)
        factors = torch.as_tensor(weights.constraints, dtype=terms.dtype).unsqueeze(-1)
        return weights.accuracy * value + (factors * terms).sum(0)


def log_feasibility(excess: Tensor, noise: Tensor) -> Tensor:
    """Return log P(excess <= 0) of each constraint, by a normal of the ensemble's moments.

    Args:
        excess: predictions [E, C, n], 0 at the bound.
        noise: [C] the least standard deviation of each, in the same units: a proxy is never surer.

    Returns:
        [C, n], at most 0; differentiable, and quadratic far outside, so that its gradient leads
        back however far.
    """
    spread = excess.var(0) if excess.shape[0] > 1 else torch.zeros_like(excess[0])
    sd = (spread + noise.to(spread).unsqueeze(-1) ** 2).sqrt()  # [C, n]
    kept: Tensor = torch.special.log_ndtr(-excess.mean(0) / sd)
    return kept


def prediction_error(errors: Floats, assumed: float | None) -> float:
    """Return the root mean square error of predictions before their query; 0 if none is assumed.

    How well a latency can be predicted differs between devices: on some it is nearly a sum over the
    operations. The search finds out by itself.

    Args:
        errors: of each query [n], NaN where nothing was predicted; the last ``WINDOW`` count.
        assumed: the error before anything is known; it counts as ``PRIOR`` queries.
    """
    if assumed is None:
        return 0.0
    measured = np.minimum(np.abs(errors[np.isfinite(errors)][-WINDOW:]), MOST_ERROR)
    return float(np.sqrt((PRIOR * assumed**2 + (measured**2).sum()) / (PRIOR + len(measured))))


def _violation_rates(steps: Integers, broken: Mask) -> Iterator[Floats]:
    """Yield the share of each batch after the initial sample that broke each bound [C]."""
    queries = np.bincount(steps)
    infeasible = np.stack([np.bincount(steps, weights=bound) for bound in broken])
    for step in range(1, len(queries)):
        if queries[step]:
            yield infeasible[:, step] / queries[step]


def _expected_weights(steps: Integers, broken: Mask, settings: AggregationSettings) -> Weights:
    """Multiply w_c by exp(gain · (violation rate of c - tolerated rate)) after each batch.

    Where the value tempts across a bound, the share of queries wasted on it rises, and with it its
    weight, until it is about the tolerated one: a dual ascent on the violation rates. A weight
    never falls below its start: how bold the search may be, the proxy's errors say. Until something
    feasible is known, the value hardly counts.
    """
    first, tolerated = settings.feasibility_weight, settings.tolerated_violation_rate
    weights = np.full(len(broken), first)
    for rates in _violation_rates(steps, broken):
        factors = [math.exp(settings.gain * (rate - tolerated)) for rate in rates.tolist()]
        weights = np.clip(weights * factors, first, first * MOST_GROWTH)
    found = not broken.any(0).all()
    return Weights(1.0 if found else settings.accuracy_before_feasible, weights)


def _learnt_weights(steps: Integers, broken: Mask, settings: AggregationSettings) -> Weights:
    """Raise w_c by a step where more than the tolerated share of a batch broke bound c.

    Where less did, it falls by one; w_a is what the greatest leaves of 1.
    """
    tolerated = settings.tolerated_violation_rate
    weights = np.full(len(broken), settings.initial_weight)
    for rates in _violation_rates(steps, broken):
        change = np.where(rates > tolerated, settings.weight_step, -settings.weight_step)
        weights = np.clip(weights + change, 0.0, settings.greatest_weight)
    return Weights(1.0 - float(weights.max()), weights)


def _negative_excess(excess: Tensor, noise: Tensor) -> Tensor:
    """Return the term of the paper's weighted aggregation: [C, n]."""
    return -excess.mean(0)


MODES = {
    "default": Aggregation(_expected_weights, log_feasibility),
    "paper_weights": Aggregation(_learnt_weights, _negative_excess),
}
