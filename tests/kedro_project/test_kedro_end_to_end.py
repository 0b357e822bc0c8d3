"""One search through a real Kedro session: what it leaves on disk and in MLflow."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from kedro_runs import (
    BUDGET,
    INITIAL,
    STEPS,
    archive,
    artifact,
    assert_history,
    digests,
    history,
    manifest,
    mlflow_run,
    partial_files,
    run,
    search_digests,
    tree,
)

from optiproxy_nas.core.mappings import flatten

LAYER_OF = {
    "encoding": "04_feature",
    "batch": "05_model_input",
    **dict.fromkeys(("proxy", "fit", "logits", "trace"), "06_models"),
    **dict.fromkeys(
        ("candidates", "evaluations", "failed", "archive", "diagnostics"), "07_model_output"
    ),
}


def test_archive_has_exactly_the_budget_and_no_architecture_twice(template: Path) -> None:
    table = archive(template, "reference")
    assert len(table) == BUDGET
    assert table["architecture"].is_unique
    assert table["order"].tolist() == list(range(BUDGET))
    assert table["step"].value_counts().to_dict() == {0: INITIAL, 1: 5, 2: 5}
    assert table["best"].tolist() == table["value"].cummax().tolist()


def test_artifacts_lie_in_their_layers_under_the_run_id(template: Path) -> None:
    found = manifest(template, "reference")["artifacts"]
    steps = [name for name in found if name.startswith("step_")]
    assert len(steps) == 4 + 10 * STEPS
    for name, facts in found.items():
        namespace, _, kind = name.rpartition(".")
        layer = "08_reporting" if namespace == "report" else LAYER_OF[kind]
        assert facts["path"].startswith(f"data/{layer}/reference/"), name
        assert (template / facts["path"]).is_file(), name


def test_step_artifacts_are_versioned(template: Path) -> None:
    found = manifest(template, "reference")["artifacts"]
    versions = set()
    for name, facts in found.items():
        if name.startswith("step_"):
            *_, step, folder, version, file = facts["path"].split("/")
            assert (step, folder) == (name.split(".")[0], file)
            versions.add(version)
    assert len(versions) == 1
    pd.to_datetime(versions.pop(), format="%Y-%m-%dT%H.%M.%S.%fZ")


def test_manifest_is_finished_and_true(template: Path) -> None:
    record = manifest(template, "reference")
    assert record["status"] == "finished"
    assert record["created"] <= record["closed"]
    assert record["parameters"]["budget"] == BUDGET
    assert record["data"]["source"] == "embedded"
    recorded = {name: facts["sha256"] for name, facts in record["artifacts"].items()}
    assert recorded == digests(template, "reference")
    best = archive(template, "reference")["value"].max()
    assert record["result"]["validation_accuracy"] == best
    assert partial_files(template) == []


def test_manifest_names_every_file_of_the_run(template: Path) -> None:
    named = {facts["path"] for facts in manifest(template, "reference")["artifacts"].values()}
    stored = {
        name
        for name in tree(template)
        if "/reference/" in name and not name.endswith((".sha256", ".lock", "manifest.json"))
    }
    assert stored == named


def test_report_shows_the_run(template: Path) -> None:
    page = artifact(template, "reference", "report.page").read_text(encoding="utf-8")
    best = manifest(template, "reference")["result"]["best_architecture"]
    assert best in page
    table = pd.read_csv(artifact(template, "reference", "report.diagnostics"))
    assert table["step"].tolist() == list(range(1, STEPS + 1))
    assert table["queries"].tolist() == [11, 16]


def test_tracking_off_leaves_no_store(template: Path) -> None:
    left = {path.name for path in template.iterdir()}
    assert not left & {"mlflow.db", "mlruns", ".mlflow.lock"}


def test_mlflow_run_tells_all(tracked: Path) -> None:
    record = run(tracked, run_id="r", tracking=True)
    client, found = mlflow_run(tracked, "r")
    assert found.info.status == "FINISHED"
    assert found.info.run_id == record["mlflow_run_id"]
    everything = {k: str(v) for k, v in flatten(record["parameters"]).items()}
    shown = found.data.params
    assert shown.items() <= everything.items()
    assert {"method", "preset", "dataset", "seed", "budget", "fit.epochs"} <= shown.keys()
    assert len(shown) < len(everything) / 2  # the others are the preset's
    assert found.info.run_name == "optiproxy cifar10 seed 0"
    tags = found.data.tags
    for words in (
        record["result"]["best_architecture"],
        "report%2Fbest_so_far.png",
        "kedro audit r",
    ):
        assert words in tags["mlflow.note.content"]
    experiment = client.get_experiment(found.info.experiment_id)
    assert experiment.tags["mlflow.experiment.primaryMetric.name"] == "best_validation_accuracy"
    (data,) = found.inputs.dataset_inputs
    assert data.dataset.name == "cifar10 of embedded"
    assert tags["code.sha256"] == record["code"]["sha256"]
    assert tags["parameters.sha256"] == record["parameters_sha256"]
    assert tags["version.torch"] == record["libraries"]["torch"]
    assert tags["git.commit"] == str(record["git"]["commit"])
    assert tags["kedro.runner"] == "SequentialRunner"
    assert tags["best_architecture"] == record["result"]["best_architecture"]

    table = archive(tracked, "r")
    for metric, column in (("validation_accuracy", "value"), ("best_validation_accuracy", "best")):
        assert_history(client, found.info.run_id, metric, table[column])
    regret = record["result"]["optimum"] - table["best"]
    assert_history(client, found.info.run_id, "regret", regret)
    diagnostics = pd.read_csv(artifact(tracked, "r", "report.diagnostics"))
    for name in diagnostics.columns.drop("step"):
        assert_history(client, found.info.run_id, f"step/{name}", diagnostics[name])
    for kind in ("fit_proxy", "gradient_search", "sample", "select", "evaluate", "update_archive"):
        times = [step for step, _ in history(client, found.info.run_id, f"seconds/{kind}")]
        assert set(times) >= {1, 2}, kind
        assert len(times) == len(set(times)), kind
    assert found.data.metrics["final/regret"] == pytest.approx(regret.iloc[-1])
    assert found.data.metrics["seconds/run"] > 0


def test_mlflow_artifacts_are_the_files_of_the_run(tracked: Path) -> None:
    run(tracked, run_id="r", tracking=True)
    client, found = mlflow_run(tracked, "r")
    listed = {
        a.path
        for folder in ("", "report", "step_02")
        for a in client.list_artifacts(found.info.run_id, folder)
        if not a.is_dir
    }
    assert {
        "manifest.json",
        "encoding.json",
        "report/summary.json",
        "report/report.html",
        "report/best_so_far.png",
        "archive.parquet",
        "step_02/proxy.safetensors",
        "step_02/logits.safetensors",
    } <= listed
    copy = client.download_artifacts(found.info.run_id, "archive.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(copy), archive(tracked, "r"))


def test_mlflow_tracking_uri_is_honoured(
    quick: Path, empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "elsewhere.db"
    shutil.copy(empty_store, store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    run(quick, run_id="r", tracking="on")
    _, found = mlflow_run(quick, "r", f"sqlite:///{store}")
    assert found.info.status == "FINISHED"
    assert not (quick / "mlflow.db").exists()


def test_two_runs_in_one_process_keep_their_own_files(quick: Path) -> None:
    """A notebook opens one session after another."""
    run(quick, run_id="one")
    before = tree(quick)
    record = run(quick, run_id="two", seed=1)
    after = tree(quick)
    assert all("/two/" in facts["path"] for facts in record["artifacts"].values())
    assert {name: after[name] for name in before if "/one/" in name} == {
        name: facts for name, facts in before.items() if "/one/" in name
    }
    assert (
        search_digests(quick, "one")["step_02.archive"]
        != (search_digests(quick, "two")["step_02.archive"])
    )


def test_a_budget_of_the_initial_sample_alone_is_a_random_search(project: Path) -> None:
    record = run(project, run_id="random", budget=INITIAL)
    assert record["status"] == "finished"
    assert record["result"]["queries"] == INITIAL
