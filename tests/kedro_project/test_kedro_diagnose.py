"""The diagnosis of a finished run: what it writes, what it leaves alone, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro_runs import (
    STEPS,
    archive,
    artifact,
    command,
    die_at,
    manifest,
    mlflow_run,
    run,
    run_files,
    sha256,
    sign,
)

from optiproxy_nas.pipelines import diagnose as nodes
from optiproxy_nas.report.diagnose.diagnosis_html import FIGURES
from optiproxy_nas.runs.tracking import MlflowTracker

FILES = {"steps.csv", "predictions.csv", "numbers.json", "diagnosis.html"} | {
    f"{figure.id}.png" for figure in FIGURES
}


def diagnose(project: Path, run_id: str = "reference", more: str = "") -> Any:
    return command(
        project,
        "run",
        "--pipeline=nb201_diagnose",
        f"--params=run={run_id},tracking=off,probe=60{more}",
    )


def folder(project: Path, run_id: str = "reference") -> Any:
    return project / "data" / "08_reporting" / run_id / "diagnose"


def test_a_diagnosis_leaves_the_run_as_it_was_and_repeats_itself(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures, and that they repeat, are tested where they are drawn."""
    monkeypatch.setattr(nodes, "png", lambda figure, colours: b"a picture")
    before = {path: sha256(finished / path) for path in run_files(finished, "reference")}
    told = diagnose(finished)
    assert told.exit_code == 0, told.output
    assert "Look at data/08_reporting/reference/diagnose/diagnosis.html" in told.output
    files = {path.name: path for path in folder(finished).iterdir() if path.suffix != ".sha256"}
    assert files.keys() == FILES
    first = {name: sha256(path) for name, path in files.items()}
    assert diagnose(finished).exit_code == 0
    assert {name: sha256(path) for name, path in files.items()} == first
    new = f"{folder(finished).relative_to(finished)}/"
    after = run_files(finished, "reference")
    assert {p: sha256(finished / p) for p in after if not p.startswith(new)} == before
    audited = command(finished, "audit", "reference")
    assert audited.exit_code == 0, audited.output

    numbers = json.loads(files["numbers.json"].read_text())
    queries = archive(finished, "reference")
    facts = manifest(finished, "reference")
    assert numbers["seed"] == facts["parameters"]["seed"]
    assert numbers["best"] == queries["value"].max()
    assert numbers["optimum"] == facts["result"]["optimum"]
    assert numbers["prediction_difference"] < 1e-4
    steps = pd.read_csv(files["steps.csv"])
    assert steps["step"].tolist() == list(range(1, STEPS + 1))
    assert steps[["spread", "collapse", "stagnation", "probe_kendall_tau"]].notna().all(axis=None)
    predictions = pd.read_csv(files["predictions.csv"])
    assert len(predictions) == STEPS * len(queries)


def test_it_is_added_to_the_mlflow_run(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(nodes, "png", lambda figure, colours: b"a picture")
    run(tracked, run_id="seen", tracking=True)
    told = command(tracked, "run", "--pipeline=nb201_diagnose", "--params=run=seen,probe=60")
    assert told.exit_code == 0, told.output
    assert "and in the MLflow run" in told.output
    client, found = mlflow_run(tracked, "seen")
    logged = {file.path for file in client.list_artifacts(found.info.run_id, "diagnose")}
    assert logged == {f"diagnose/{name}" for name in FILES}
    assert found.info.status == "FINISHED"

    def lost(tracker: Any) -> None:
        raise ConnectionError("nobody listens there")

    monkeypatch.setattr(MlflowTracker, "client", property(lost))
    told = command(tracked, "run", "--pipeline=nb201_diagnose", "--params=run=seen,probe=60")
    assert told.exit_code == 0, told.output
    assert "in the MLflow run" not in told.output
    assert "nobody listens there" in caplog.text


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("run=refernce", "The latest finished searches: reference."),
        ("probe=60", "names no run. Give the id of a finished search"),
        ("run=../08_reporting/reference", "names no run"),
        ("run=reference,prob=60", "Did you mean 'probe'?"),
        ("run=reference,probe=many", "Parameter 'probe' = 'many'"),
        ("run=reference,dataset=cifar10", "Unknown parameter 'dataset'"),
        ("run=reference,collapse.patience=0", "Parameter 'collapse.patience' = 0"),
    ],
)
def test_bad_parameters(finished: Path, params: str, message: str) -> None:
    told = command(finished, "run", "--pipeline=nb201_diagnose", f"--params={params}")
    assert told.exit_code == 1
    assert message in told.output
    assert not folder(finished).exists()


def test_an_unfinished_run(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as dying:
        die_at(dying, "step_02.fit_proxy")
        with pytest.raises(BaseException):  # noqa: B017, PT011
            run(quick, run_id="half")
    told = diagnose(quick, "half")
    assert told.exit_code == 1
    assert "not finished: there is nothing to diagnose yet" in told.output
    assert "kedro run --resume half" in told.output


@pytest.mark.parametrize("name", ["step_01.proxy", "step_02.archive", "report.summary"])
def test_a_damaged_artifact_is_named_even_if_its_digest_was_forged(
    finished: Path, name: str
) -> None:
    path = artifact(finished, "reference", name)
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 255]))
    sign(path)
    told = diagnose(finished)
    assert told.exit_code == 1
    assert f"Artifact '{name}' has SHA-256" in told.output
    assert not folder(finished).exists()
    path.unlink()
    assert f"Artifact '{name}' is missing" in diagnose(finished).output


def test_another_table(finished: Path) -> None:
    path = finished / "data" / "03_primary" / "nb201" / "embedded.parquet"
    table: Any = pd.read_parquet(path)
    table.loc[0, "validation_accuracy"] += 1
    table.to_parquet(path)
    told = diagnose(finished)
    assert told.exit_code == 1
    assert "The table of source 'embedded' has SHA-256" in told.output
    assert "run 'reference' was answered by" in told.output
    path.unlink()
    assert "kedro run --pipeline=ingest --params=source=embedded" in diagnose(finished).output


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("random_search", "Method 'random_search' has no proxy"),
        ("optiproxy", "kedro run --pipeline=nb201_search --params=dataset=cifar10"),
    ],
)
def test_a_run_that_keeps_no_proxy_weights(quick: Path, method: str, message: str) -> None:
    settings: Any = {"budget": 12}
    if method == "optiproxy":
        settings |= {"initial_samples": 6, "fit": {"epochs": 2, "first_epochs": 2}}
    run(quick, pipeline="nb201_methods", settings=settings, run_id="lean", method=method)
    told = diagnose(quick, "lean")
    assert told.exit_code == 1
    assert "keeps its archive only, no proxy weights" in told.output
    assert message in told.output


def test_a_run_under_bounds_is_judged_on_what_keeps_them(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "png", lambda figure, colours: b"a picture")
    objective = {"name": "constrained", "constraints": ["latency_ms <= 14"]}
    record = run(quick, pipeline="hw_search", run_id="r", objective=objective)
    told = diagnose(quick, "r")
    assert told.exit_code == 0, told.output
    numbers = json.loads((folder(quick, "r") / "numbers.json").read_text())
    assert numbers["objective"] == "latency_ms <= 14"
    for name in ("optimum", "regret", "queries_to_best"):
        assert numbers[name] == record["result"][name]
    steps = pd.read_csv(folder(quick, "r") / "steps.csv")
    assert steps["probe_kendall_tau_latency_ms"].between(-1, 1).all()
    assert "τ latency_ms" in (folder(quick, "r") / "diagnosis.html").read_text()
