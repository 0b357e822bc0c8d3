"""Runs with bounds, or with trainings of several lengths, among others."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_runs import found, make_run, settings

from optiproxy_nas.core.errors import ArtifactError
from optiproxy_nas.report.compare import best_so_far, compare, comparison_page
from optiproxy_nas.report.compare.groups import make_panels
from optiproxy_nas.spaces.nb201 import NASBench201

BOUND = "latency_ms <= 12"


def bounded(
    seed: int = 0,
    values: Any = (40.0, 20.0, 30.0),
    latency: Any = (20.0, math.inf, 10.0),
    mode: str = "",
    **run_of: Any,
) -> Any:
    """Of these queries the last alone keeps the bound, unless other latencies are given."""
    values = np.asarray(values)
    run = make_run(seed, values, **run_of)
    objective = {"name": "constrained", "constraints": [BOUND]}
    kept = np.asarray(latency) <= 12
    best = np.fmax.accumulate(np.where(kept, values, np.nan))
    metric_columns = ("latency_ms", "predicted_latency_ms", "violation", "feasibility")
    archive = run.archive.assign(**dict.fromkeys(metric_columns, 0.0)).assign(
        latency_ms=latency, best=best
    )
    summary = {"optimum": 35.0, "margins": {"latency_ms": 2.0}}
    objective |= {"mode": mode} if mode else {}
    parameters = {**run.parameters, "objective": objective}
    return replace(run, archive=archive, summary=summary, parameters=parameters)


def fidelities(seed: int = 0, values: Any = (60.0, 50.0, 90.0), epochs: Any = (12, 12, 200)) -> Any:
    """Two short trainings, then a full one."""
    run = make_run(seed, values, optimum=95.0, budget=300)
    best = np.fmax.accumulate(np.where(np.asarray(epochs) == 200, values, np.nan))
    archive = run.archive.assign(epochs=epochs, cost=epochs, best=best)
    parameters = {**run.parameters, "objective": {"name": "multi_fidelity"}}
    return replace(run, archive=archive, parameters=parameters)


def test_objectives_have_panels_of_their_own_and_the_page_says_so() -> None:
    comparison = compare(found(make_run(0), bounded(0), fidelities(0)))
    titles = {panel.title: panel.unit for panel in comparison.panels}
    assert titles == {
        "cifar10": "queries",
        "cifar10, latency_ms <= 12": "queries",
        "cifar10, 12 then 200 epochs": "epochs",
    }
    assert comparison.table("paired").empty
    assert any("3 different objectives" in caution for caution in comparison.cautions)
    assert not any("different tables" in caution for caution in comparison.cautions)


def test_a_mode_is_a_setting_and_not_another_objective() -> None:
    runs = [bounded(0), bounded(0, mode="paper_weights")]
    (panel,) = make_panels(runs)
    assert panel.differing == ("objective.mode",)
    assert len(panel.groups) == 2


def test_only_what_keeps_the_bound_is_best() -> None:
    comparison = compare(found(bounded(0), bounded(1)))
    (panel,) = comparison.panels
    curves = panel.groups[0].curves(3)
    assert np.isnan(curves[:, :2]).all()
    assert (curves[:, 2] == 30.0).all()
    assert panel.target == (35.0, True)
    (cell,) = comparison.table("cells")["value"]
    assert cell == 30.0
    (row,) = comparison.table("margins").to_dict("records")
    assert (row["metric"], row["runs"], row["least"]) == ("latency_ms", 2, 2.0)


def test_epochs_are_the_axis_of_several_fidelities() -> None:
    (panel,) = make_panels([fidelities()])
    curve = panel.groups[0].curves(300)[0]
    assert np.isnan(curve[:223]).all()
    assert (curve[223:] == 90.0).all()
    line = best_so_far([panel.curves]).axes[0]
    assert line.get_xlabel() == "epochs"
    assert np.asarray(line.get_lines()[0].get_xdata())[0] == 224


def test_seeds_without_an_answer_are_told_and_left_out_of_means() -> None:
    nothing = bounded(2, latency=(20.0, 20.0, 20.0))
    other = [bounded(seed, method="tpe", preset=None) for seed in range(3)]
    comparison = compare(found(bounded(0), bounded(1), nothing, *other))
    row = comparison.table("results").iloc[0]
    assert (row["seeds"], row["answered"], row["mean"]) == (3, 2, 30.0)
    (pair,) = comparison.table("paired").to_dict("records")
    assert pair["seeds"] == 2
    assert any(
        "1 run of 3 of optiproxy found nothing" in caution for caution in comparison.cautions
    )


@pytest.mark.parametrize("optimum", [35.0, None])
def test_a_page_of_runs_without_any_answer(
    nb201: NASBench201, monkeypatch: pytest.MonkeyPatch, optimum: float | None
) -> None:
    runs = [bounded(seed, latency=(20.0, 20.0, 20.0)) for seed in (0, 1)]
    runs = [replace(run, summary={"optimum": optimum}) for run in runs]
    comparison = compare(found(*runs))
    page = comparison_page(comparison, nb201)
    assert "no run found an answer" in page
    assert "NaN" not in page
    assert "nan" not in page.replace("financ", "")


def test_points_of_a_sweep_tell_best_and_spent_without_the_own_columns() -> None:
    whole = bounded(0, (30.0, 40.0, 35.0, 33.0), (10.0, 20.0, 10.0, 10.0))
    kept = ["order", "architecture", "value", "best"]
    lean = replace(whole, archive=whole.archive[kept].assign(spent=[1, 2, 3, 4]))
    assert lean.curve(4).tolist() == whole.curve(4).tolist() == [30.0, 30.0, 35.0, 35.0]
    assert lean.eligible["value"].tolist() == [30.0, 35.0]
    assert whole.eligible["value"].tolist() == [30.0, 35.0, 33.0]


def test_a_run_that_cannot_be_read_so_is_named() -> None:
    run = fidelities()
    with pytest.raises(ArtifactError, match="what was spent"):
        replace(run, archive=run.archive.drop(columns="cost"))
    with pytest.raises(ArtifactError, match=r"its objective is not known here.*'fame'"):
        make_run(0, **settings({"objective.name": "fame"}))


def test_curves_are_the_running_maximum_of_plain_runs() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 100, 20).round(1)
    assert make_run(0, values).curve(25).tolist() == [
        *pd.Series(values).cummax(),
        *[values.max()] * 5,
    ]
