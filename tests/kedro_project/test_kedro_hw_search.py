"""The constrained search as a Kedro pipeline: outputs, resume, runners, audit, refusals."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.runner import ThreadRunner
from kedro_runs import (
    BUDGET,
    STEPS,
    TINY,
    TINY_ARGUMENT,
    Killed,
    archive,
    artifact,
    assert_history,
    command,
    copy_project,
    die_at,
    enter,
    manifest,
    mlflow_run,
    resume,
    run,
    run_files,
    search_digests,
    tree,
    without_pictures,
)

from optiproxy_nas import search

TWO = ("latency_ms <= 15", "parameters_millions < 0.6")
OWN = ["latency_ms", "predicted_latency_ms", "parameters_millions"]
OWN += ["predicted_parameters_millions", "violation", "feasibility"]


def hw_run(project: Path, **params: Any) -> Any:
    return run(project, pipeline="hw_search", objective={"constraints": list(TWO)}, **params)


@pytest.fixture(scope="session")
def hw_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with one finished constrained search "reference", without pictures."""
    project = copy_project(tmp_path_factory.mktemp("hw") / "project")
    layer = Path("data") / "03_primary"
    shutil.copytree(template / layer, project / layer, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(project, monkeypatch)
        without_pictures(monkeypatch)
        hw_run(project, run_id="reference")
    return project


@pytest.fixture
def hw_finished(hw_template: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    project = tmp_path / "project"
    shutil.copytree(hw_template, project)
    without_pictures(monkeypatch)
    return enter(project, monkeypatch)


def test_a_run_from_the_command_line_leaves_answer_archive_page_and_pictures(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bounds as a user writes them: one text, separated by semicolons, = and spaces in it."""
    drawn = ("best_so_far", "pareto_front")
    without_pictures(monkeypatch, *drawn)
    bounds = "objective.constraints=latency_ms <= 15;parameters_millions < 0.6"
    result = command(
        project, "run", "--pipeline=hw_search",
        f"--params=run_id=r,tracking=off,{TINY_ARGUMENT},{bounds}",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    record = manifest(project, "r")
    assert record["parameters"]["objective"]["constraints"] == list(TWO)
    assert record["parameters"]["preset"] == "default"
    table: Any = archive(project, "r")
    assert len(table) == BUDGET
    assert list(table)[9:15] == OWN
    assert table["feasibility"].isna().tolist() == [True] * 6 + [False] * 10
    latency, size = table["latency_ms"], table["parameters_millions"]
    inside = (latency <= 15) & (size < 0.6)
    assert inside.any()
    assert ((table["violation"] == 0) == inside).all()
    assert table["best"].iloc[-1] == table["value"][inside].max()
    summary = json.loads(artifact(project, "r", "report.summary").read_text())
    row = table.loc[table["value"].where(inside).idxmax()]
    assert summary["best_architecture"] == row["architecture"]
    assert summary["feasible"] is True
    assert summary["optimum"] >= summary["validation_accuracy"] == row["value"]
    assert summary["hypervolume"] > 0
    assert [told["constraint"] for told in summary["constraints"]] == list(TWO)
    assert [told["margin"] for told in summary["constraints"]] == pytest.approx(
        [15 - row["latency_ms"], 0.6 - row["parameters_millions"]]
    )
    files = {"violations", "weights", "predicted_metrics", *drawn}
    assert files <= {name.removeprefix("report.") for name in record["artifacts"]}
    for name in drawn:
        assert artifact(project, "r", f"report.{name}").read_bytes().startswith(b"\x89PNG")
    page = artifact(project, "r", "report.page").read_text()
    assert re.search(r"Latency [\d.]+ (<|&lt;)= 15", page)
    assert row["architecture"] in page
    told = pd.read_csv(artifact(project, "r", "report.diagnostics"))
    assert len(told) == STEPS
    for step, violation_rate in enumerate(told["violation_rate"], start=1):
        assert violation_rate == (~inside[table["step"] == step]).mean()
    assert {"weight_accuracy", "weight_latency_ms", "violation_alarm"} <= set(told)
    assert "latency" in result.output.lower()  # the terminal tells how far it is from each bound


def test_the_pipeline_is_the_plain_search(hw_finished: Any) -> None:
    objective = {"name": "constrained", "constraints": list(TWO)}
    plain = search(seed=0, objective=objective, **TINY).archive
    pd.testing.assert_frame_equal(archive(hw_finished, "reference"), plain, check_exact=True)


def test_resume_after_a_kill_ends_as_the_run_that_never_stopped(
    hw_finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        die_at(patch, "step_02.gradient_search")
        with pytest.raises(Killed):
            hw_run(hw_finished, run_id="r")
    before = {name: facts for name, facts in tree(hw_finished).items() if "/r/" in name}
    resume(hw_finished, pipeline="hw_search", run_id="r", objective={"constraints": list(TWO)})
    assert search_digests(hw_finished, "r") == search_digests(hw_finished, "reference")
    after = tree(hw_finished)
    kept = {name for name in before if Path(name).suffix in (".parquet", ".safetensors")}
    assert len(kept) > 8
    assert all(after[name] == before[name] for name in kept)


def test_threads_give_the_same_search(hw_finished: Any) -> None:
    hw_run(hw_finished, run_id="r", runner=ThreadRunner())
    assert search_digests(hw_finished, "r") == search_digests(hw_finished, "reference")


def test_the_audit_passes_and_finds_a_forged_metric(hw_finished: Any) -> None:
    result = command(hw_finished, "audit", "reference")
    assert result.exit_code == 0, result.output
    assert "AUDIT PASSED: 16 archive rows" in result.output
    file = artifact(hw_finished, "reference", "step_02.archive")
    table: Any = pd.read_parquet(file)
    table.loc[3, "latency_ms"] /= 2
    table.to_parquet(file)
    result = command(hw_finished, "audit", "reference")
    assert result.exit_code == 1
    assert "damaged: step_02.archive: SHA-256" in result.output
    assert "archive row 3" in result.output


def test_mlflow_holds_the_violation_rate_and_the_weights_by_step(tracked: Path) -> None:
    hw_run(tracked, run_id="r", tracking=True)
    client, found = mlflow_run(tracked, "r", experiment="hw_search")
    told = pd.read_csv(artifact(tracked, "r", "report.diagnostics"))
    for name in ("violation_rate", "recent_violation_rate", "weight_latency_ms", "violation_alarm"):
        assert_history(client, found.info.run_id, f"step/{name}", told[name])
    best = archive(tracked, "r")["best"]
    metrics = found.data.metrics
    assert np.isfinite(list(metrics.values())).all()
    assert metrics["final/hypervolume"] > 0
    assert metrics["final/validation_accuracy"] == pytest.approx(best.iloc[-1])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("objective.constraints=latency_s <= 12", "Did you mean 'latency_ms'"),
        ("objective.constraints=edgegpu_latency_ms < 4", "source=embedded+hw_nas_bench"),
        ("objective.constraints=latency_ms < 1", "goes from 7.145 to 25.58"),
        ("objective.constraints=latency_ms < -12", "-12 is not a positive number"),
        ("objective.constraints=latency_ms", "ends after the metric"),
        ("objective.constraints=latency_ms < 8;parameters_millions > 1.4", "keeps all of them"),
        ("objective.constraint=latency_ms < 8", "Did you mean 'constraints'"),
        ("objective.mode=paper", "Did you mean 'paper_weights'"),
        ("objective.name=constraind", "Did you mean 'constrained'"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_any_query(
    quick: Path, params: str, message: str
) -> None:
    result = command(
        quick, "run", "--pipeline=hw_search", f"--params=run_id=r,tracking=off,{params}"
    )
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert message in result.output.replace("\n", " ").partition("Error: ")[2]
    assert run_files(quick, "r") == []


def test_a_run_without_a_feasible_cell_says_so(quick: Path) -> None:
    record = run(
        quick, pipeline="hw_search", run_id="r", budget=8, preset="hardware",  # default finds one
        objective={"constraints": ["latency_ms <= 7.2"]},
    )  # fmt: skip
    result = record["result"]
    assert result["feasible"] is False
    assert result["regret"] is None
    table: Any = archive(quick, "r", step=1)
    assert table["best"].isna().all()
    assert result["best_architecture"] == table.loc[table["latency_ms"].idxmin(), "architecture"]
    assert result["constraints"][0]["margin"] < 0


def test_what_is_not_feasible_is_logged_once(tracked: Path) -> None:
    """There is no best value to go by; each query is in MLflow once all the same."""
    run(
        tracked, pipeline="hw_search", run_id="r", budget=8, tracking=True, preset="hardware",
        objective={"constraints": ["latency_ms <= 7.2"]},
    )  # fmt: skip
    client, found = mlflow_run(tracked, "r", experiment="hw_search")
    values = archive(tracked, "r", step=1)["value"]
    assert_history(client, found.info.run_id, "validation_accuracy", values)
    assert not client.get_metric_history(found.info.run_id, "best_validation_accuracy")


def test_a_baseline_under_the_same_bounds(quick: Path) -> None:
    record = run(
        quick, pipeline="nb201_methods", run_id="r", settings={"budget": 12},
        method="random_search", objective={"name": "constrained", "constraints": list(TWO)},
    )  # fmt: skip
    table = pd.read_parquet(artifact(quick, "r", "result.archive"))
    assert len(table) == 12
    assert list(table)[9:15] == OWN
    inside = (table["latency_ms"] <= 15) & (table["parameters_millions"] < 0.6)
    assert ((table["violation"] == 0) == inside).all()
    assert record["result"]["feasible"] == bool(inside.any())
