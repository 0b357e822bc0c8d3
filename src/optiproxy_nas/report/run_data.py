"""What a report is made of: the artifacts of one run and the summary of its result.

The summary is a plain dict (:mod:`~optiproxy_nas.report.run_summary`). Every key is optional; None
and NaN mean that there is no such fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, TypeGuard

import numpy as np
import pandas as pd

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.arrays import Mask
from optiproxy_nas.core.numbers import metric_label
from optiproxy_nas.core.parameters import Direction
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.objectives.constraints import Constraint, parse_constraint
from optiproxy_nas.report.choice_effects import Effects
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.base import SearchSpace

Summary = Mapping[str, Any]
Traces = Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True)
class RunData:
    """One run as its figures and pages see it.

    Attributes:
        summary: the run's facts, of :func:`summary_of`.
        archive: one row a query, in order: order, step, architecture, value (of the target, in
            its unit), predicted, predicted_sd, best (NaN while there is none), and the
            objective's columns.
        space: the search space.
        diagnostics: one row a step.
        traces: step -> what the gradient search recorded, tensors or arrays: entropy [epochs, K]
            (nats, one column a group), temperature [epochs], score [epochs, K] and probability
            [epochs, N, M] (softmax(α), averaged over the groups). It may also have the number
            of the best group, its alpha [N, M] and beta [E], and tau, the last temperature; and
            where edges are searched edges [E], their probability after the step.
        eligible: the rows of the archive that can be the answer [n]; None: all.
        direction: of the value.
        trials: all trials of a user's problem, one row an attempt; None of a benchmark.
        effects: of the choices on what the last proxy predicts; None: no proxy was fitted.
    """

    summary: Summary
    archive: pd.DataFrame
    space: SearchSpace
    diagnostics: pd.DataFrame = field(default_factory=pd.DataFrame)
    traces: Traces = field(default_factory=dict)
    eligible: Mask | None = None
    direction: Direction = "maximize"
    trials: pd.DataFrame | None = None
    effects: Effects | None = None

    @classmethod
    def of(cls, result: SearchRecord) -> RunData:
        """Return what ``optiproxy_nas.search`` returned, as the figures take it."""
        objective, archive = result.parameters.objective, result.archive
        facts = {
            "target": result.target,
            "caution": result.caution,
            "optimum": result.optimum,
            "failed_trials": len(result.failed),
        }
        if len(archive):
            facts |= {"best_architecture": result.best.text, **result.facts}
            if result.confirmed:
                facts |= {
                    "confirmed_value": result.best_value,
                    "queries_to_best": (result.best.order or 0) + 1,
                }
        return cls(
            facts,
            archive,
            get_space(result.parameters.space),
            result.diagnostics,
            result.traces,
            objective.order.eligible(archive),
            objective.direction,
        )

    @property
    def target(self) -> str:
        """The metric that was searched for."""
        return target_of(self.summary)

    @property
    def value_label(self) -> str:
        """The label of axes with values of the target."""
        return metric_label(self.target, self.caution)

    @property
    def caution(self) -> str:
        """The benchmark's caution about its values, such as that a surrogate gives them."""
        return str(self.summary.get("caution") or "")

    @property
    def bounds(self) -> tuple[Constraint, ...]:
        """The constraints of the run; empty where it had none."""
        return bounds_of(self.summary)

    @property
    def sign(self) -> float:
        """-1 where lower values are better, else 1."""
        return 1.0 if self.direction == "maximize" else -1.0

    @property
    def incumbent(self) -> int | None:
        """The row of the archive with the best value; None while nothing is eligible."""
        best = self.archive["best"].to_numpy(dtype=np.float64)
        rows = np.flatnonzero(best == best[-1])
        return int(rows[0]) if len(rows) else None

    @property
    def confirmed(self) -> tuple[int, float] | None:
        """The row of the archive that is the answer, and its confirmed mean; None: there is none.

        It need not be :attr:`incumbent`, which has the best single value.
        """
        mean = self.summary.get("confirmed_value")
        return (int(self.summary["queries_to_best"]) - 1, float(mean)) if present(mean) else None

    @property
    def optimum(self) -> float | None:
        """The best value of the whole table; None: there is none."""
        optimum = self.summary.get("optimum")
        return float(optimum) if present(optimum) else None


def present(value: Any) -> TypeGuard[Any]:
    """Return whether there is something to show: neither None nor NaN."""
    # NaN is the one number that differs from itself, also as a numpy scalar.
    return value is not None and not (isinstance(value, Real) and value != value)


def target_of(summary: Summary) -> str:
    """Return the metric that the run searched for."""
    return str(summary.get("target") or VALIDATION_ACCURACY)


def bounds_of(summary: Summary) -> tuple[Constraint, ...]:
    """Return the constraints of a run's summary, with their bounds unrounded."""
    return tuple(
        parse_constraint(str(fact["constraint"]))._replace(bound=float(fact["bound"]))
        for fact in summary.get("constraints") or ()
    )
