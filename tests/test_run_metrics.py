"""What the store is told of a run: by query, by step, at its end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.runs import metrics as run_metrics

TARGET = "validation_accuracy"


def objective(**settings: Any) -> Objective:
    return resolve_objective(settings)


@pytest.fixture
def bounded() -> Any:
    """Three queries under a bound: one that breaks it, one that cannot run, one that keeps it."""
    archive = pd.DataFrame(
        {
            "order": [0, 1, 2],
            "step": [0, 0, 1],
            "architecture": ["a", "b", "c"],
            "value": [90.0, 91.0, 89.0],
            "best": [math.nan, math.nan, 89.0],
            "latency_ms": [20.0, math.inf, 10.0],
            "predicted_latency_ms": [math.nan, math.nan, 11.0],
            "code_0": [0, 1, 2],
        }
    )
    return archive, objective(name="constrained", constraints=["latency_ms <= 12"])


def test_queries_of_the_plain_objective_are_two_values_each() -> None:
    archive = pd.DataFrame({"order": [0, 1], "value": [1.0, 3.0], "best": [1.0, 3.0]})
    told = dict(run_metrics.query_metrics(archive, objective(name="accuracy"), TARGET))
    assert told == {
        1: {"validation_accuracy": 1.0, "best_validation_accuracy": 1.0},
        2: {"validation_accuracy": 3.0, "best_validation_accuracy": 3.0},
    }


def test_values_go_by_the_name_of_the_target() -> None:
    archive = pd.DataFrame({"order": [0, 1], "value": [-5.0, -4.5], "best": [-5.0, -4.5]})
    told = dict(run_metrics.query_metrics(archive, objective(), "negative_test_loss"))
    assert told[2] == {"negative_test_loss": -4.5, "best_negative_test_loss": -4.5}
    best = dict(run_metrics.improvements(archive, "negative_test_loss"))
    assert best == {1: {"best_negative_test_loss": -5.0}, 2: {"best_negative_test_loss": -4.5}}


def test_queries_under_bounds_tell_the_metrics_and_count_what_breaks_them(bounded: Any) -> None:
    archive, objective_bounded = bounded
    told = dict(run_metrics.query_metrics(archive, objective_bounded, TARGET))
    assert [told[query]["ineligible_queries"] for query in (1, 2, 3)] == [1, 2, 2]
    assert told[3]["latency_ms"] == 10.0
    assert told[3]["predicted_latency_ms"] == 11.0
    assert not any(name.startswith(("code_", "spent", "step")) for name in told[3])


def test_counts_go_on_in_a_later_step(bounded: Any) -> None:
    archive, bound = bounded
    whole = dict(run_metrics.query_metrics(archive, bound, TARGET))
    assert dict(run_metrics.query_metrics(archive, bound, TARGET, first=2)) == {3: whole[3]}


def test_queries_that_cost_epochs_tell_what_is_spent() -> None:
    archive = pd.DataFrame(
        {
            "order": [0, 1, 2],
            "value": [60.0, 61.0, 91.0],
            "best": [math.nan, math.nan, 91.0],
            "epochs": [12, 12, 200],
            "cost": [12, 12, 200],
        }
    )
    told = dict(run_metrics.query_metrics(archive, objective(name="multi_fidelity"), TARGET))
    assert [values["spent_epochs"] for values in told.values()] == [12, 24, 224]
    assert [values["ineligible_queries"] for values in told.values()] == [1, 2, 2]


def test_regret_needs_an_optimum(bounded: Any) -> None:
    archive, _ = bounded
    assert list(run_metrics.regret_metrics(archive, None)) == []
    told = dict(run_metrics.regret_metrics(archive, 90.0))
    assert told[3] == {"regret": 1.0}
    regret: Any = told[1]["regret"]
    assert math.isnan(regret)


def test_improvements_are_the_first_each_better_and_the_last_query() -> None:
    archive = pd.DataFrame({"order": range(5), "best": [math.nan, 1.0, 1.0, 2.0, 2.0]})
    improvements: Any = run_metrics.improvements(archive, TARGET)
    told = [
        (query, values["best_validation_accuracy"])
        for query, values in improvements
        if not math.isnan(values["best_validation_accuracy"])
    ]
    assert told == [(2, 1.0), (4, 2.0), (5, 2.0)]


def test_every_number_of_a_step_is_told() -> None:
    values = {
        "step": 2,
        "fit_loss": 0.5,
        "violation_rate": np.float64(1),
        "alarm": "no",
        "tau": None,
    }
    assert run_metrics.step_metrics(values) == {"step/fit_loss": 0.5, "step/violation_rate": 1.0}


def test_the_summary_is_told_but_for_what_was_given() -> None:
    bounds = [
        {"metric": "latency_ms", "margin": 2.0},
        {"metric": "latency_ms", "margin": -1.0},
        {"metric": "edgetpu_latency_ms", "margin": None},
    ]
    summary = {
        "seed": 3,
        "budget": 10,
        "validation_accuracy": 91.0,
        "regret": None,
        "feasible": False,
        "space": "nb201",
        "constraints": bounds,
    }
    assert run_metrics.final_metrics(summary) == {
        "final/validation_accuracy": 91.0,
        "final/feasible": 0.0,
        "final/margin_latency_ms": -1.0,
    }
