"""Rows of the tables by objective, and what tells points apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optiproxy_nas.core.errors import ArtifactError
from optiproxy_nas.methods import overrides_of, parameters_of, resolve_method
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.sweeps.point import Point, identity_now
from optiproxy_nas.sweeps.record import read_facts
from optiproxy_nas.sweeps.tables import RESULTS, RUNS, SCHEMA, assemble, finished_rows

RUN = {
    "space": "nb201",
    "benchmark": "nb201",
    "source": "embedded",
    "dataset": "cifar10",
    "seed": 0,
    "budget": 40,
}
BOUND = {"name": "constrained", "constraints": "latency_ms < 12; parameters_millions <= 0.5"}
FIDELITY = {"name": "multi_fidelity"}


def point_of(objective: Any = None, **over: Any) -> Any:
    values = {**RUN, "method": "random_search", **({"objective": objective} if objective else {})}
    search = resolve_method({**values, **over}).model_dump()
    data = {"source": "embedded", "table_sha256": "0"}
    digest = identity_now("nb201_methods", search, data)
    return Point(
        "nb201_methods",
        "methods",
        values,
        search,
        ", ".join(overrides_of(parameters_of(search))),
        data,
        digest,
        (0,),
    )


def rows_of(tmp_path: Any, point: Any, archive: Any, **summary: Any) -> Any:
    """``finished_rows`` of an archive on disk."""
    path = tmp_path / "archive.parquet"
    columns = resolve_objective(point.parameters["objective"]).columns
    archive = archive.assign(**{name: 0.0 for name in columns if name not in archive})
    archive.assign(order=range(len(archive)), step=0, architecture="x").to_parquet(path)
    manifest = {
        "run_id": point.run_id,
        "parameters": point.parameters,
        "data": point.data,
        "artifacts": {"result.archive": {"path": path.name}},
        "result": {
            "queries": len(archive),
            "best_architecture": "x",
            "target": "validation_accuracy",
            "validation_accuracy": 90.0,
            "test_accuracy": None,
            "optimum": 91.0,
            "regret": 1.0,
            "queries_to_best": 1,
            **summary,
        },
    }
    return assemble([finished_rows(tmp_path, point, manifest)])


def test_plain_searches_have_no_label_and_spend_queries(tmp_path: Path) -> None:
    archive = pd.DataFrame({"value": [1.0, 2.0], "best": [1.0, 2.0]})
    results, runs = rows_of(tmp_path, point_of(), archive)
    assert list(results) == list(RESULTS)
    assert list(runs) == list(RUNS)
    assert results["spent"].tolist() == results["query"].tolist() == [1, 2]
    assert set(results["objective"]) == set(runs["objective"]) == {""}


def test_bounds_are_the_label_and_nothing_found_is_nan(tmp_path: Path) -> None:
    archive = pd.DataFrame({"value": [1.0, 2.0], "best": [np.nan, np.nan]})
    point = point_of(BOUND)
    results, runs = rows_of(tmp_path, point, archive, regret=None)
    assert set(results["objective"]) == {"latency_ms < 12; parameters_millions <= 0.5"}
    assert results["best"].isna().all()
    assert runs["regret"].isna().all()
    assert runs["optimum"].tolist() == [91.0]


def test_another_target_without_an_optimum(tmp_path: Path) -> None:
    archive = pd.DataFrame({"value": [-5.0, -4.5], "best": [-5.0, -4.5]})
    told = {"target": "negative_test_loss", "negative_test_loss": -4.5}
    _, runs = rows_of(tmp_path, point_of(), archive, **told, optimum=None, regret=None)
    assert runs["value"].tolist() == [-4.5]
    assert runs[["optimum", "regret", "test_accuracy"]].isna().all(axis=None)


def test_a_confirmed_answer_is_told_with_its_spread_and_single_value(tmp_path: Path) -> None:
    archive = pd.DataFrame({"value": [89.0, 93.0], "best": [89.0, 93.0]})
    told = {"validation_accuracy": 90.0, "confirmed_value": 90.0, "confirmed_sd": 0.5}
    told |= {"single_value": 93.0, "confirmations": 2}
    names = ["value", "confirmed_value", "confirmed_sd", "single_value", "confirmations"]
    _, runs = rows_of(tmp_path, point_of(), archive, **told)
    assert runs[names].iloc[0].tolist() == [90.0, 90.0, 0.5, 93.0, 2]
    _, runs = rows_of(tmp_path, point_of(), archive, **told, feasible=False)
    assert np.isnan(runs["confirmed_value"][0])  # its mean breaks a bound
    _, runs = rows_of(tmp_path, point_of(), archive)
    assert runs[names[1:4]].isna().all(axis=None)
    assert runs["confirmations"].tolist() == [0]


def test_epochs_are_added_up(tmp_path: Path) -> None:
    archive = pd.DataFrame(
        {"value": 1.0, "best": np.nan, "epochs": [12, 12, 200], "cost": [12, 12, 188]}
    )
    point = point_of(FIDELITY, budget=2000)
    results, _ = rows_of(tmp_path, point, archive)
    assert results["spent"].tolist() == [12, 24, 212]
    assert set(results["objective"]) == {"12 then 200 epochs"}


def test_points_that_differ_in_the_objective_alone_have_other_ids() -> None:
    objectives = [
        None,
        BOUND,
        {**BOUND, "constraints": "latency_ms < 13; parameters_millions <= 0.5"},
        {**BOUND, "constraints": "latency_ms <= 12; parameters_millions <= 0.5"},
        {**BOUND, "mode": "paper_weights"},
    ]
    points = [point_of(objective) for objective in objectives]
    assert len({point.run_id for point in points}) == len(points)
    assert point_of(BOUND).run_id == points[1].run_id
    spelt = {**BOUND, "constraints": ["latency_ms<12.0", "parameters_millions <= 0.50"]}
    assert point_of(spelt).run_id == points[1].run_id


def test_the_mode_of_an_objective_is_in_the_setting() -> None:
    assert point_of(BOUND).setting == point_of().setting == ""
    changed = point_of({**BOUND, "mode": "paper_weights"}).setting
    assert changed == "objective.mode = paper_weights (default)"


def test_tables_without_these_columns_are_refused(tmp_path: Path) -> None:
    facts = {"schema": 1, "grid_sha256": "", "mlflow_run_id": None, "tables": {}}
    (tmp_path / "sweep.json").write_text(json.dumps(facts))
    with pytest.raises(ArtifactError, match=f"schema version 1; this version .* writes {SCHEMA}"):
        read_facts(tmp_path)
