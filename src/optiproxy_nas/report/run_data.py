"""What a report is made of: the artifacts of one run and the summary of its result.

The summary is a plain dict. Every key is optional; None and NaN mean that a fact is not known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, TypeGuard

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.regret_left import regret_facts
from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY, Benchmark
from optiproxy_nas.core.arrays import Mask
from optiproxy_nas.core.numbers import metric_label
from optiproxy_nas.core.parameters import Direction
from optiproxy_nas.evaluation.benchmark_problem import optimum, regret_of
from optiproxy_nas.evaluation.incumbent import Confirmation, Incumbent, facts_of, incumbent_of
from optiproxy_nas.evaluation.problem_evaluator import AnswerTest
from optiproxy_nas.evaluation.record import SearchRecord
from optiproxy_nas.methods import METHODS, overrides_of
from optiproxy_nas.objectives.constraints import Constraint, parse_constraint
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
            objective's own columns.
        space: the search space.
        diagnostics: one row a step.
        traces: step -> what the gradient search recorded, tensors or arrays: entropy [epochs, K]
            (nats, one column a group), temperature [epochs], score [epochs, K] and probability
            [epochs, N, M] (softmax(α), averaged over the groups). Where edges are searched it may
            also have edges [E], their probability after the step.
        eligible: the rows of the archive that can be the answer [n]; None: all.
        direction: of the value.
        trials: all trials of a user's problem, one row an attempt; None of a benchmark.
    """

    summary: Summary
    archive: pd.DataFrame
    space: SearchSpace
    diagnostics: pd.DataFrame = field(default_factory=pd.DataFrame)
    traces: Traces = field(default_factory=dict)
    eligible: Mask | None = None
    direction: Direction = "maximize"
    trials: pd.DataFrame | None = None

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
        """What the benchmark says of its values, such as that a surrogate gives them."""
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
        return (int(self.summary["queries_to_best"]) - 1, float(mean)) if known(mean) else None

    @property
    def optimum(self) -> float | None:
        """The best value of the whole table, where it is known."""
        optimum = self.summary.get("optimum")
        return float(optimum) if known(optimum) else None


def known(value: Any) -> TypeGuard[Any]:
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


def summary_of(
    archive: pd.DataFrame,
    benchmark: Benchmark,
    parameters: RunParameters,
    run_id: str,
    failed: pd.DataFrame,
) -> dict[str, Any]:
    """Return the summary of a run by any method; ``failed`` has its failed trials.

    It asks the benchmark for more than the search saw (optimum, test accuracy, measurements), and
    so may be called only after the search.
    """
    objective = parameters.objective
    best = objective.order.incumbent(archive)
    row = archive.iloc[best]
    architecture, value = str(row["architecture"]), float(row["value"])
    best_of_all = optimum(objective, benchmark)
    regret = None
    if best_of_all is not None and not pd.isna(row["best"]):
        regret = regret_of(value, best_of_all)
    return {
        **_facts_of_any(archive, parameters, run_id, failed, best),
        "target": benchmark.target,
        "caution": benchmark.caution,
        benchmark.target: value,
        **_test_accuracy(benchmark, architecture),
        "optimum": best_of_all,
        "regret": regret,
        **objective.summary(archive),
        **{
            name: value if value is None or math.isfinite(value) else "cannot run there"
            for name, value in benchmark.measurements(architecture).items()
        },
    }


def problem_summary(
    archive: pd.DataFrame,
    parameters: RunParameters,
    run_id: str,
    failed: pd.DataFrame,
    target: str,
    metrics: Mapping[str, float],
    test: AnswerTest,
    confirmation: Confirmation | None = None,
) -> dict[str, Any]:
    """Return the summary of a run on a user's problem by any method.

    Args:
        archive: of the run.
        parameters: of the run.
        run_id: of the run.
        failed: its failed trials.
        target: the metric that was searched for, with its unit.
        metrics: what else was measured of the answer, by name.
        test: what the test of the answer gave.
        confirmation: of its best; None: they are not confirmed.
    """
    objective = parameters.objective
    found = incumbent_of(objective, archive, confirmation)
    if confirmation is not None and confirmation.means:
        metrics = {name: confirmation.means[0].get(name, it) for name, it in metrics.items()}
    return {
        **_facts_of_any(archive, parameters, run_id, failed, found.place),
        "problem": parameters.problem,
        "target": target,
        target: found.value,
        "is_eligible": found.is_eligible,
        **_confirmed(parameters, found, confirmation),
        **facts_of(objective, archive, confirmation),
        "metrics": {name: _fact(value) for name, value in metrics.items()},
        "test": {name: _fact(value) for name, value in test.metrics.items()},
        **({"test_error": test.error} if test.error else {}),
    }


def _fact(value: float) -> float | str | None:
    """Return a number for JSON, which has no NaN and no infinity."""
    return float(value) if math.isfinite(value) else None if math.isnan(value) else str(value)


def _confirmed(
    parameters: RunParameters, found: Incumbent, confirmation: Confirmation | None
) -> dict[str, Any]:
    """Return what was confirmed, and at what cost; nothing of a run that confirms nothing."""
    if parameters.confirm is None:
        return {}
    facts: dict[str, Any] = {"kept_back": parameters.kept_back}
    if found.values:
        facts |= {"confirmed_value": found.value, "confirmed_sd": _fact(found.sd)}
        facts |= {"confirmations": len(found.values), "single_value": found.single}
    if confirmation is not None:
        facts["candidates"] = candidate_facts(confirmation.table)
        if confirmation.caution:
            facts["caution"] = confirmation.caution
    return facts


def candidate_facts(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return trial, architecture, single, mean, sd and values of confirmed candidates, for JSON."""
    return [
        {
            **{name: row[name] for name in ("trial", "architecture", "single")},
            **{name: _fact(row[name]) for name in ("mean", "sd")},
            "values": [_fact(row[name]) for name in row if re.fullmatch(r"value_\d+", str(name))],
        }
        for row in table.to_dict("records")
    ]


def _facts_of_any(
    archive: pd.DataFrame, parameters: RunParameters, run_id: str, failed: pd.DataFrame, best: int
) -> dict[str, Any]:
    """Return what is known of a run whatever answered it, whose answer is in a row of D."""
    architecture = str(archive["architecture"].iloc[best])
    return {
        **regret_facts(archive, failed, parameters),
        "run_id": run_id,
        "space": parameters.space_name,
        "dataset": parameters.dataset,
        "source": parameters.source,
        "method": parameters.method,
        "preset": parameters.preset_name,
        "objective": parameters.objective.name,
        "reference": METHODS.load(parameters.method).reference,
        "seed": parameters.seed,
        "budget": parameters.budget,
        "overrides": ", ".join(overrides_of(parameters)) or "none",
        "queries": len(archive),
        **_failures(failed, parameters),
        "queries_to_best": best + 1,
        "best_architecture": architecture,
        "best_drawing": get_space(parameters.space).draw(architecture),
    }


def _failures(failed: pd.DataFrame, parameters: RunParameters) -> dict[str, Any]:
    """Return how many trials failed, and each of them; nothing where none did.

    ``after`` is the number of queries before it, ``cost`` what it was charged.
    """
    if failed.empty:
        return {}
    table = failed.assign(cost=parameters.objective.price.costs(failed))
    names = ["architecture", "after", "cost", "error"]
    return {"failed_trials": len(failed), "failures": table[names].to_dict("records")}


def _test_accuracy(benchmark: Benchmark, architecture: str) -> dict[str, float | None]:
    """Return that of the answer, unless it is the target; None where the benchmark has none."""
    if benchmark.target == TEST_ACCURACY:
        return {}
    held = TEST_ACCURACY in benchmark.metrics
    return {
        TEST_ACCURACY: float(benchmark.query([architecture], TEST_ACCURACY)[0]) if held else None
    }
