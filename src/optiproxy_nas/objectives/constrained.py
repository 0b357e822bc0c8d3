"""The highest value among the architectures that keep bounds on other metrics (section 3.2).

One proxy with a shared trunk has a head for the value and one for each constraint. A query reveals
the value and all constrained metrics together and costs one. Feasible is what keeps all bounds; the
answer is the best feasible architecture, or the least violating one while there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from optiproxy_nas.algorithm.archive import with_columns
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.core.errors import DataError, unknown_name
from optiproxy_nas.objectives.aggregation import (
    MODES,
    AggregationSettings,
    Weights,
    log_feasibility,
)
from optiproxy_nas.objectives.base import Evaluate, Objective, Score
from optiproxy_nas.objectives.calibration import prediction_error
from optiproxy_nas.objectives.constraints import (
    Constraint,
    check_constraints,
    feasible,
    kept_bounds,
    metrics_of,
    parse_constraints,
    violation,
)
from optiproxy_nas.objectives.pareto import hypervolume, reference_of
from optiproxy_nas.objectives.values import Values, finite, value_columns
from optiproxy_nas.proxies.targets import make_targets

if TYPE_CHECKING:
    from optiproxy_nas.algorithm.search_parameters import SearchParameters

RECENT = 20  # queries over which the violation rate is watched
ALARM = 0.8  # the rate above which it is an alarm
_BELOW_ALL = -1e6  # the fitness of an infeasible row is at most this


class Constrained(AggregationSettings, Objective):
    """Maximise the value subject to bounds."""

    name: str = "constrained"
    constraints: tuple[str, ...] = Field(description="each as in 'edgegpu_latency_ms < 4'")
    mode: str = Field(default="default", description="default, or paper_weights (section 3.2)")
    task_settings: ClassVar[tuple[str, ...]] = ("constraints",)

    @field_validator("constraints", mode="before")
    @classmethod
    def _readable(cls, value: Any) -> tuple[str, ...]:
        texts = value if isinstance(value, str | Sequence) else [value] if value else ()
        return tuple(str(constraint) for constraint in parse_constraints(texts))

    @model_validator(mode="after")
    def _terms_do_not_cancel(self) -> Constrained:
        if self.mode == "paper_weights":
            constraints = parse_constraints(self.constraints)
            if len(metrics_of(constraints)) < len(constraints):
                raise ValueError(
                    "mode paper_weights adds up one weighted term a bound, and those of a metric "
                    "with an upper and a lower bound cancel; drop one, or use mode default"
                )
        return self

    @field_validator("mode")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in MODES:
            raise unknown_name("mode of objective 'constrained'", value, MODES)
        return value

    @cached_property
    def bounds(self) -> tuple[Constraint, ...]:
        """The constraints, read."""
        return parse_constraints(self.constraints)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The bounded metrics, each once."""
        return metrics_of(self.bounds)

    @property
    def label(self) -> str:
        """The bounds."""
        return "; ".join(map(str, self.bounds))

    @property
    def heads(self) -> int:
        """The value, and the excess over each bound."""
        return 1 + len(self.bounds)

    @property
    def columns(self) -> Mapping[str, str]:
        """The metrics, what was predicted of them, and how far outside the row is."""
        names = [name for metric in self.metrics for name in (metric, f"predicted_{metric}")]
        return dict.fromkeys([*names, "violation", "feasibility"], "float64")

    def check(self, benchmark: Benchmark) -> None:
        """Refuse unknown metrics, metrics with gaps and bounds that nothing keeps."""
        check_constraints(self.bounds, benchmark)

    def evaluator(self, benchmark: Benchmark) -> Evaluate:
        """Value and constrained metrics of architectures."""
        return partial(_ask, benchmark, self.metrics)

    def query(self, batch: pd.DataFrame, evaluate: Evaluate) -> pd.DataFrame:
        """``batch`` with the value, the metrics and the violation.

        Raises:
            DataError: a column is missing or holds something else than a number for each; a
                metric may be +inf (it cannot run there), the value may not.
        """
        architectures = batch["architecture"].tolist()
        answer = evaluate(architectures)
        needed = ("value", *self.metrics)
        if not isinstance(answer, Mapping | pd.DataFrame) or not set(needed) <= set(answer):
            got = list(answer) if isinstance(answer, Mapping | pd.DataFrame) else repr(answer)
            raise DataError(
                f"The evaluation must give a mapping with the columns {', '.join(needed)}, one "
                f"number an architecture in each; it gave {got}.",
                needed=list(needed),
            )
        told = {"value": finite(answer["value"], architectures)}
        for metric in self.metrics:
            told[metric] = finite(answer[metric], architectures, metric, may_not_run=True)
        outside = violation(self.bounds, pd.DataFrame(told))
        return with_columns(batch, {**told, "violation": outside})

    def fitness(self, archive: pd.DataFrame) -> Values:
        """The value where feasible; elsewhere less than any of these, by violation (Deb 2000)."""
        outside = violation(self.bounds, archive)
        return np.where(outside == 0, archive["value"], _BELOW_ALL * (1 + outside))

    def eligible(self, archive: pd.DataFrame) -> NDArray[np.bool_]:
        """Whether each row keeps all bounds."""
        return feasible(self.bounds, archive)

    def whole(self, benchmark: Benchmark) -> pd.DataFrame | None:
        """All architectures with value and metrics."""
        table = benchmark.table([benchmark.target, *self.metrics])
        return None if table is None else table.rename(columns={benchmark.target: "value"})

    def targets(self, archive: pd.DataFrame, name: str) -> Tensor:
        """Targets [1 + C, n]: the value, finest around the incumbent; the excess over each bound in
        standard deviations of the metric in the archive."""
        value = make_targets(archive["value"].to_numpy(), name, self._reference(archive))
        return torch.stack([value, *(self._excess(c, archive) for c in self.bounds)])

    def score(self, archive: pd.DataFrame, parameters: SearchParameters) -> Score:
        """The weighted aggregation of the mode."""
        weights = self._weights(archive)
        noise, selection = self._noise(archive), parameters.selection
        return lambda predictions: MODES[self.mode].score(predictions, weights, noise, selection)

    def predicted(
        self, predictions: Tensor, archive: pd.DataFrame, name: str
    ) -> dict[str, NDArray[np.float64]]:
        """The value, each metric, and the probability that all bounds are kept."""
        values = archive["value"].to_numpy()
        told = value_columns(predictions[:, 0], values, name, self._reference(archive))
        for head, constraint in enumerate(self.bounds, start=1):
            excess = predictions[:, head].double().mean(0).numpy() * _scale(constraint, archive)
            told[f"predicted_{constraint.metric}"] = constraint.bound + constraint.sign * excess
        kept = log_feasibility(predictions[:, 1:], self._noise(archive)).sum(0)
        return {**told, "feasibility": kept.exp().double().numpy()}

    def diagnose(self, evaluations: pd.DataFrame, archive: pd.DataFrame) -> dict[str, Any]:
        """Violation rates, their alarm, and the weights that chose the step's batch."""
        broken = archive["violation"] > 0
        recent = float(broken[archive["step"] > 0].tail(RECENT).mean())
        before = archive.head(len(archive) - len(evaluations))
        weights = self._weights(before)
        return {
            "violation_rate": float((evaluations["violation"] > 0).mean()),
            "recent_violation_rate": recent,
            "violation_alarm": int(recent > ALARM and len(archive) > RECENT),
            "weight_accuracy": weights.accuracy,
            **{
                f"weight_{_side(constraint, self.bounds)}": float(weight)
                for constraint, weight in zip(self.bounds, weights.constraints, strict=True)
            },
        }

    def summary(self, archive: pd.DataFrame) -> dict[str, Any]:
        """Whether the answer is feasible, and how far it is from each bound."""
        row = archive.iloc[self.incumbent(archive)]
        points = archive.loc[self.eligible(archive), ["value", *self.metrics]]
        return {
            "feasible": bool(self.eligible(archive).any()),
            "constraints": [_distance(constraint, row) for constraint in self.bounds],
            "hypervolume": self._hypervolume(points),
        }

    def _hypervolume(self, points: pd.DataFrame) -> float | None:
        """None of values below 0, such as negative losses: its corner is at 0."""
        if len(points) and points["value"].max() <= 0:
            return None
        return hypervolume(points.to_numpy(), reference_of(self.bounds))

    def _reference(self, archive: pd.DataFrame) -> float:
        return float(archive["value"].iloc[self.incumbent(archive)])

    def _weights(self, archive: pd.DataFrame) -> Weights:
        """What the mode has learnt from the bounds broken so far."""
        broken = ~kept_bounds(self.bounds, archive)
        return MODES[self.mode].weights(archive["step"].to_numpy(), broken, self)

    def _noise(self, archive: pd.DataFrame) -> Tensor:
        """The proxy's own errors so far, [C], in the units of the excess."""
        return torch.tensor(
            [
                prediction_error(archive, c.metric, _scale(c, archive), self.noise)
                for c in self.bounds
            ]
        )

    @staticmethod
    def _excess(constraint: Constraint, archive: pd.DataFrame) -> Tensor:
        """Excess / scale [n]; what cannot run counts as the worst that can, and as one at least."""
        excess = constraint.excess(archive[constraint.metric].to_numpy(dtype=np.float64))
        target = excess / _scale(constraint, archive)
        worst = target[np.isfinite(target)].max(initial=1.0)
        return torch.as_tensor(np.minimum(target, worst)).float()


def _side(constraint: Constraint, constraints: Sequence[Constraint]) -> str:
    """The metric's name; with the side where it is bounded from both."""
    both = sum(other.metric == constraint.metric for other in constraints) > 1
    side = "upper_" if constraint.sign > 0 else "lower_"
    return (side if both else "") + constraint.metric


def _scale(constraint: Constraint, archive: pd.DataFrame) -> float:
    """Standard deviation of the metric in the archive; the bound where that says nothing."""
    values = archive[constraint.metric].to_numpy(dtype=np.float64)
    runs = values[np.isfinite(values)]
    return (float(runs.std()) if len(runs) else 0.0) or constraint.bound


def _ask(
    benchmark: Benchmark, metrics: tuple[str, ...], architectures: Sequence[str]
) -> dict[str, Values]:
    values = {"value": benchmark.query(architectures, benchmark.target)}
    return values | {metric: benchmark.query(architectures, metric) for metric in metrics}


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
