"""The highest value among the architectures that keep bounds on other metrics (section 3.2).

One proxy with a shared trunk has a head for the value and one for each constraint. A query reveals
the value and all constrained metrics together and costs one. Feasible is what keeps all bounds; the
answer is the best feasible architecture, or the least violating one while there is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from optiproxy_nas.core.arrays import Floats, Mask
from optiproxy_nas.core.errors import ParameterError, unknown_name
from optiproxy_nas.core.parameters import SelectionSettings
from optiproxy_nas.objectives.aggregation import (
    MODES,
    AggregationSettings,
    Weights,
    log_feasibility,
    prediction_error,
)
from optiproxy_nas.objectives.base import COLUMNS, Objective, ProxyTask, Score
from optiproxy_nas.objectives.constraints import (
    Constraint,
    feasible,
    kept_bounds,
    metrics_of,
    parse_constraints,
    violation,
)
from optiproxy_nas.objectives.metric_scale import MetricScale
from optiproxy_nas.objectives.pareto import hypervolume, reference_of
from optiproxy_nas.objectives.trial_order import STOPPED, TrialOrder
from optiproxy_nas.proxies.targets import make_targets, value_columns

RECENT = 20  # queries over which the violation rate is watched
_OWN_COLUMNS = ("violation", "feasibility")
_TRIAL_COLUMNS = ("number", "epochs", "state", "seed", "seconds", "error", "charged", STOPPED)
# Columns that a metric must not overwrite.
_RESERVED = re.compile(
    "|".join([*COLUMNS, *_OWN_COLUMNS, *_TRIAL_COLUMNS, r"predicted.*", r"code_\d+"])
)


class Constrained(AggregationSettings, Objective):
    """Find the best value subject to bounds."""

    name: str = "constrained"
    constraints: tuple[str, ...] = Field(description="each as in 'edgegpu_latency_ms < 4'")
    mode: str = Field(default="default", description="default, or paper_weights (section 3.2)")
    task_settings: ClassVar[tuple[str, ...]] = ("direction", "constraints")

    @field_validator("constraints", mode="before")
    @classmethod
    def _readable(cls, value: Any) -> tuple[str, ...]:
        texts = value if isinstance(value, str | Sequence) else [value] if value else ()
        constraints = parse_constraints(texts)
        for metric in metrics_of(constraints):
            if _RESERVED.fullmatch(metric):
                raise ParameterError(
                    f"A constraint bounds {metric!r}, which is a column of the archive itself, "
                    "or of its trials; name the metric otherwise.",
                    metric=metric,
                )
        return tuple(str(constraint) for constraint in constraints)

    @field_validator("mode")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in MODES:
            raise unknown_name("mode", value, MODES, where="of objective 'constrained'")
        return value

    @model_validator(mode="after")
    def _terms_do_not_cancel(self) -> Constrained:
        if self.mode == "paper_weights" and len(self.metrics) < len(self.bounds):
            raise ValueError(
                "mode paper_weights adds up one weighted term a bound, and those of a metric "
                "with an upper and a lower bound cancel; drop one, or use mode default"
            )
        return self

    @property
    def label(self) -> str:
        """Return the bounds, and whether the value is minimised."""
        return "; ".join(filter(None, [super().label, *self.constraints]))

    @cached_property
    def bounds(self) -> tuple[Constraint, ...]:
        """Return the constraints, parsed."""
        return parse_constraints(self.constraints)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the bounded metrics, each once."""
        return metrics_of(self.bounds)

    @cached_property
    def order(self) -> FeasibleFirst:
        """Return feasible before infeasible, then by value, or by violation."""
        return FeasibleFirst(self.bounds, direction=self.direction)

    @cached_property
    def task(self) -> ConstrainedTask:
        """Return the value and the excess over each bound, aggregated."""
        return ConstrainedTask(self, order=self.order)

    @property
    def columns(self) -> Mapping[str, str]:
        """Return the metrics, what was predicted of them, and how far outside the row is."""
        names = [name for metric in self.metrics for name in (metric, f"predicted_{metric}")]
        return dict.fromkeys([*names, *_OWN_COLUMNS], "float64")

    def derived_columns(self, evaluations: pd.DataFrame) -> dict[str, Floats]:
        """Return the violation of the bounds."""
        return {"violation": violation(self.bounds, evaluations)}

    def diagnose(self, evaluations: pd.DataFrame, archive: pd.DataFrame) -> dict[str, Any]:
        """Return violation rates, and the weights that chose the step's batch."""
        broken = archive["violation"] > 0
        recent = float(broken.tail(RECENT).mean())
        before = archive.head(len(archive) - len(evaluations))
        weights = self.task.weights(before)
        return {
            "violation_rate": float((evaluations["violation"] > 0).mean()),
            "recent_violation_rate": recent,
            "weight_accuracy": weights.accuracy,
            **{
                f"weight_{_side(constraint, self.bounds)}": float(weight)
                for constraint, weight in zip(self.bounds, weights.constraints, strict=True)
            },
        }

    def summary(self, archive: pd.DataFrame) -> dict[str, Any]:
        """Return whether the answer is feasible, and how far it is from each bound."""
        row = archive.iloc[self.order.incumbent(archive)]
        eligible = self.order.eligible(archive)
        points = archive.loc[eligible, ["value", *self.metrics]]
        return {
            "feasible": bool(eligible.any()),
            "constraints": [_distance(constraint, row) for constraint in self.bounds],
            "hypervolume": self._hypervolume(points),
        }

    def _hypervolume(self, points: pd.DataFrame) -> float | None:
        """Return None where the corner at the value 0 is none: for minimised values, and those
        below 0, such as negative losses."""
        if self.direction == "minimize" or (len(points) and points["value"].max() <= 0):
            return None
        return hypervolume(points.to_numpy(), reference_of(self.bounds))


@dataclass(frozen=True)
class FeasibleFirst(TrialOrder):
    """Feasible rows by value, then infeasible ones by how far they are outside (Deb 2000)."""

    bounds: tuple[Constraint, ...]

    def may_answer(self, archive: pd.DataFrame) -> Mask:
        """Return whether each row keeps all bounds."""
        return feasible(self.bounds, archive)

    def keys(self, archive: pd.DataFrame) -> Floats:
        """Return feasible or not, then the value of the one and the violation of the other."""
        eligible, outside = self.eligible(archive), violation(self.bounds, archive)
        return np.stack([eligible, np.where(eligible, self.goodness(archive), -outside)])


@dataclass(frozen=True, eq=False)  # it holds the objective, which holds it
class ConstrainedTask(ProxyTask):
    """A head for the value and one for the excess over each bound; their aggregation is maximised.

    An excess is 0 at the bound, on the scale ``metric_scale``.
    """

    objective: Constrained

    @property
    def heads(self) -> int:
        """Return 1 + C."""
        return 1 + len(self.objective.bounds)

    def targets(self, archive: pd.DataFrame, name: str) -> Tensor:
        """Return targets [1 + C, n]: the value, finest around the incumbent; the excesses."""
        value = make_targets(self.order.goodness(archive), name, self._reference(archive))
        excesses = (self._scale(c, archive).targets(c, archive) for c in self.objective.bounds)
        return torch.stack([value, *excesses])

    def score(self, archive: pd.DataFrame, selection: SelectionSettings) -> Score:
        """Return the weighted aggregation of the mode."""
        mode = MODES[self.objective.mode]
        weights, noise = self.weights(archive), self._noise(archive)
        return lambda predictions: mode.score(predictions, weights, noise, selection)

    def predicted(self, predictions: Tensor, archive: pd.DataFrame, name: str) -> dict[str, Floats]:
        """Return the value, each metric, and the probability that all bounds are kept."""
        goodness, reference = self.order.goodness(archive), self._reference(archive)
        columns = value_columns(predictions[:, 0], goodness, name, reference, self.order.sign)
        for head, constraint in enumerate(self.objective.bounds, start=1):
            mean = predictions[:, head].double().mean(0).numpy()
            excess = self._scale(constraint, archive).excess(mean)
            columns[f"predicted_{constraint.metric}"] = constraint.bound + constraint.sign * excess
        kept = log_feasibility(predictions[:, 1:], self._noise(archive)).sum(0)
        return {**columns, "feasibility": kept.exp().double().numpy()}

    def weights(self, archive: pd.DataFrame) -> Weights:
        """Return what the mode has learnt from the bounds broken so far."""
        broken = ~kept_bounds(self.objective.bounds, archive)
        steps = archive["step"].to_numpy()
        return MODES[self.objective.mode].weights(steps, broken, self.objective)

    def _scale(self, constraint: Constraint, archive: pd.DataFrame) -> MetricScale:
        return MetricScale.of(constraint, archive, self.objective.metric_scale)

    def _reference(self, archive: pd.DataFrame) -> float:
        return float(self.order.goodness(archive)[self.order.incumbent(archive)])

    def _noise(self, archive: pd.DataFrame) -> Tensor:
        """Return the proxy's errors so far, [C], in the units of the excess."""
        return torch.tensor(
            [
                prediction_error(self._scale(c, archive).errors(c, archive), self.objective.noise)
                for c in self.objective.bounds
            ]
        )


def _side(constraint: Constraint, constraints: Sequence[Constraint]) -> str:
    """Return the metric's name; with the side where it is bounded from both."""
    both = sum(other.metric == constraint.metric for other in constraints) > 1
    side = "upper_" if constraint.sign > 0 else "lower_"
    return (side if both else "") + constraint.metric


def _distance(constraint: Constraint, row: pd.Series) -> dict[str, Any]:
    value = float(row[constraint.metric])
    margin = constraint.sign * (constraint.bound - value)
    runs = bool(np.isfinite(value))
    return {
        "constraint": str(constraint),
        "metric": constraint.metric,
        "bound": constraint.bound,
        "value": value if runs else None,
        "margin": margin if runs else None,
        "margin_percent": 100 * margin / constraint.bound if runs else None,
    }
