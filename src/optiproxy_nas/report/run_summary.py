"""Summarise a run by any method, on a benchmark or a user's problem: a dict of facts, for JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.alarms import alarm_facts
from optiproxy_nas.algorithm.regret_left import regret_facts
from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.benchmarks.base import TEST_ACCURACY, Benchmark
from optiproxy_nas.core.numbers import DEVICE_UNITS, unit
from optiproxy_nas.evaluation.benchmark_problem import optimum, regret_of
from optiproxy_nas.evaluation.incumbent import Confirmation, Incumbent, facts_of, incumbent_of
from optiproxy_nas.evaluation.problem_evaluator import AnswerTest
from optiproxy_nas.methods import METHODS, overrides_of
from optiproxy_nas.spaces import get_space


def summary_of(
    archive: pd.DataFrame,
    benchmark: Benchmark,
    parameters: RunParameters,
    run_id: str,
    failed: pd.DataFrame,
    diagnostics: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Return the summary of a run by any method.

    ``failed`` has its failed trials, ``diagnostics`` a row a step, where the method tells any.

    It queries the benchmark for more than the search saw (optimum, test accuracy, measurements).
    Call it only after the search.
    """
    objective = parameters.objective
    best = objective.order.incumbent(archive)
    row = archive.iloc[best]
    architecture, value = str(row["architecture"]), float(row["value"])
    best_of_all = optimum(objective, benchmark)
    measurements = benchmark.measurements(architecture)
    regret = None
    if best_of_all is not None and not pd.isna(row["best"]):
        regret = regret_of(value, best_of_all)
    return {
        **_facts_of_any(archive, parameters, run_id, failed, best),
        "target": benchmark.target,
        "caution": benchmark.caution,
        benchmark.target: value,
        **_test_accuracy(benchmark, architecture),
        **_alarm_facts(diagnostics, parameters),
        "optimum": best_of_all,
        "regret": regret,
        **objective.summary(archive),
        **{
            name: value if value is None or math.isfinite(value) else "cannot run there"
            for name, value in measurements.items()
        },
        **_meanings(benchmark, [*objective.metrics, *measurements]),
    }


def _meanings(benchmark: Benchmark, metrics: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return what the benchmark says of each latency and energy, such as the device."""
    of_device = [it for it in metrics if unit(it) in DEVICE_UNITS and it in benchmark.metrics]
    return {"measured": {name: benchmark.metrics[name] for name in of_device}} if of_device else {}


def problem_summary(
    archive: pd.DataFrame,
    parameters: RunParameters,
    run_id: str,
    failed: pd.DataFrame,
    target: str,
    metrics: Mapping[str, float],
    test: AnswerTest,
    confirmation: Confirmation | None = None,
    diagnostics: pd.DataFrame | None = None,
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
        diagnostics: one row a step; None: the method tells none.
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
        **_alarm_facts(diagnostics, parameters),
        "metrics": {name: _fact(value) for name, value in metrics.items()},
        "test": {name: _fact(value) for name, value in test.metrics.items()},
        **({"test_error": test.error} if test.error else {}),
    }


def _alarm_facts(diagnostics: pd.DataFrame | None, parameters: RunParameters) -> dict[str, Any]:
    """Return how well the proxy ranked at the end, and the alarms that the search raised."""
    is_known = diagnostics is not None and "recent_kendall_tau" in diagnostics
    if diagnostics is None or not is_known or not isinstance(parameters, SearchParameters):
        return {}
    tau = _fact(float(diagnostics["recent_kendall_tau"].astype(float).iloc[-1]))
    alarms = alarm_facts(diagnostics, parameters.groups, parameters.alarms)
    return {"recent_kendall_tau": tau, **alarms}


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
    """Return the facts of any run, whose answer is the row ``best`` of D."""
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
