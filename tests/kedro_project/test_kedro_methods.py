"""The pipeline that runs any method whole in one node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro_runs import archive, artifact, command, manifest, mlflow_run, run, sha256

BUDGET = 24


def run_method(project: Path, run_id: str, **params: Any) -> Any:
    settings = {"budget": BUDGET}
    return run(project, pipeline="nb201_methods", settings=settings, run_id=run_id, **params)


def test_optiproxy_gives_the_archive_of_the_search_pipeline(template: Path, project: Path) -> None:
    run(project, run_id="whole", pipeline="nb201_methods", method="optiproxy")
    stored = artifact(project, "whole", "result.archive")
    pd.testing.assert_frame_equal(pd.read_parquet(stored), archive(template, "reference"))
    assert sha256(stored) == sha256(artifact(template, "reference", "step_02.archive"))


def test_a_baseline_is_recorded_and_repeats_exactly(project: Path) -> None:
    facts = run_method(project, "first", method="regularized_evolution", seed=4)
    table = pd.read_parquet(artifact(project, "first", "result.archive"))
    trials = pd.read_parquet(artifact(project, "first", "result.trials"))
    assert len(table) == trials["charged"].sum() == BUDGET
    assert facts["result"]["method"] == "regularized_evolution"
    assert facts["result"]["trials"] == len(trials)
    assert facts["result"]["validation_accuracy"] == table["value"].max()
    assert facts["parameters"]["settings"]["population"] >= 1  # the defaults are in the record
    run_method(project, "second", method="regularized_evolution", seed=4)
    for name in ("result.archive", "result.trials"):
        assert sha256(artifact(project, "first", name)) == sha256(artifact(project, "second", name))
    audited = command(project, "audit", "first")
    assert audited.exit_code == 0, audited.output
    assert f"{BUDGET} archive rows" in audited.output


def test_a_baseline_in_mlflow(tracked: Path) -> None:
    facts = run_method(tracked, "tracked", method="local_search", tracking=True)
    client, found = mlflow_run(tracked, "tracked", experiment="nb201_methods")
    assert found.info.status == "FINISHED"
    assert found.data.params["method"] == "local_search"
    assert found.data.metrics["final/validation_accuracy"] == pytest.approx(
        facts["result"]["validation_accuracy"]
    )
    assert "archive.parquet" in {file.path for file in client.list_artifacts(found.info.run_id)}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("method=banana", "Did you mean 'bananas'? Allowed: bananas, "),
        ("method=tpe,settings.depth=3", "Settings of method 'tpe': Unknown parameter 'depth'"),
        ("method=tpe,proxy.hidden=3", "Unknown parameter 'proxy'"),
        ("method=random_search,budget=15626", "larger than the space"),
        ("method=optiproxy,settings.population=3", "Unknown parameter 'settings'"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(
    project: Path, params: str, message: str
) -> None:
    before = sorted(project.rglob("*"))
    told = command(project, "run", "--pipeline=nb201_methods", f"--params={params}")
    assert told.exit_code == 1
    assert message in told.output
    assert sorted(project.rglob("*")) == before


def test_from_the_command_line(project: Path) -> None:
    params = "method=random_search,budget=20,run_id=cli,tracking=off"
    result = command(project, "run", "--pipeline=nb201_methods", f"--params={params}")
    assert result.exit_code == 0, result.output
    assert "20 of 20" in result.stdout
    assert manifest(project, "cli")["status"] == "finished"
