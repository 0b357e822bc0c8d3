"""Asynchronous runs: workers that are free begin the next trial; kept, resumed, audited, shown."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from kedro_runs import (
    TINY,
    TINY_ARGUMENT,
    artifact,
    command,
    copy_project,
    enter,
    forked,
    history,
    manifest,
    mlflow_run,
    resume,
    run,
    without_pictures,
)
from tiny_problem import NAME, Killed, trainings, with_data

from optiproxy_nas import read_journal, search
from optiproxy_nas.core.errors import ParameterError, ResumeError
from optiproxy_nas.pipelines import diagnose
from optiproxy_nas.pipelines.configuration import resolve_parameters
from optiproxy_nas.report.worker_figures import busy_facts
from optiproxy_nas.runs.finished import StoredRun
from optiproxy_nas.sweeps.planning import raw_parameters
from waiting import wait_until

SERIAL = {**TINY, "problem": NAME, "evaluation": {"executor": "serial"}, "confirm": None}
RUN: dict[str, Any] = {"pipeline": "own_search", "settings": SERIAL, "run_id": "r", "workers": 1}


@pytest.fixture(scope="session")
def worked_template(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with a finished asynchronous run, "r", of one worker in this process."""
    project = with_data(copy_project(tmp_path_factory.mktemp("workers") / "project"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(project, monkeypatch)
        without_pictures(monkeypatch, "workers")
        run(project, **RUN)
    return project


@pytest.fixture
def worked(worked_template: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    project = tmp_path / "project"
    shutil.copytree(worked_template, project)
    without_pictures(monkeypatch, "workers")
    return enter(project, monkeypatch)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project with the problem's data and no run."""
    without_pictures(monkeypatch, "workers")
    return enter(with_data(copy_project(tmp_path / "project")), monkeypatch)


def stored(project: Path, name: str) -> Any:
    return pd.read_parquet(artifact(project, "r", name))


def test_with_one_worker_it_is_the_serial_search_with_all_its_refits(worked: Any) -> None:
    data = {"signals": pd.read_csv(worked / "data" / "01_raw" / "signals.csv")}
    found = search(problem=NAME, data=data, **TINY)
    kept = stored(worked, "asynchronous.archive")
    pd.testing.assert_frame_equal(found.archive, kept)
    assert len(stored(worked, "asynchronous.trials")) == TINY["budget"]
    assert len(stored(worked, "asynchronous.failed")) == len(found.failed)
    history = StoredRun(worked, manifest(worked, "r"))
    weights, logits = history.tensors("proxy"), history.tensors("logits")
    assert list(weights) == list(logits) == list(history.tensors("trace")) == [1, 2]
    for name, tensor in found.weights.items():
        assert torch.equal(weights[2][name], tensor)
    for name, tensor in found.logits.items():
        assert torch.equal(logits[2][name], tensor)
    for step, rows in history.fitted_rows().items():
        before = stored(worked, f"refits.archive/step_{step:02d}")
        pd.testing.assert_frame_equal(before, kept[kept["step"] < step])
        assert len(before) == rows
    assert artifact(worked, "r", "report.workers").read_bytes().startswith(b"\x89PNG")
    page = artifact(worked, "r", "report.page").read_text(encoding="utf-8")
    assert "a worker that is free begins the next one at once" in page
    assert manifest(worked, "r")["result"]["workers"] == 1
    assert "workers" not in history.read().settings
    several = {**history.manifest, "evaluation": {"asynchronous": True, "workers": 8}}
    assert StoredRun(worked, several).read().settings["workers"] == "8"  # compared apart


def test_an_audit_replays_the_order_of_the_journal(worked: Any) -> None:
    before = trainings(worked, "r")
    result = command(worked, "audit", "r")
    assert result.exit_code == 0, result.output
    assert "AUDIT PASSED: " in result.output
    assert command(worked, "audit", "r", "--retrain=2").exit_code == 0
    assert trainings(worked, "r") == before
    journal = artifact(worked, "r", "journal")
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-3]))
    result = command(worked, "audit", "r")
    assert result.exit_code == 1
    assert "damaged: journal" in result.output
    assert "different: " in result.output


def test_a_diagnosis_knows_what_each_proxy_was_fitted_on(
    worked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose, "png", lambda figure, colours: b"")
    result = command(worked, "run", "--pipeline=own_diagnose", "--params=run=r,tracking=off")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(worked / "data" / "08_reporting" / "r" / "diagnose" / "steps.csv")
    fitted = StoredRun(worked, manifest(worked, "r")).fitted_rows()
    assert table["fitted_on"].tolist() == list(fitted.values())


def test_a_killed_run_goes_on_to_the_same_bytes(own: Any, worked_template: Any) -> None:
    problem: dict[str, Any] = {"name": NAME, "dies_at": 9}
    with pytest.raises(Killed):
        run(own, **{**RUN, "problem": problem})
    resume(own, **{**RUN, "problem": problem})
    assert trainings(own, "r") == TINY["budget"] + 1
    assert stored(own, "asynchronous.archive").equals(
        stored(worked_template, "asynchronous.archive")
    )
    with pytest.raises(ResumeError):
        resume(own, **{**RUN, "problem": problem, "workers": None})


def test_a_run_with_an_earlier_one_goes_on_to_the_same_bytes_without_it(worked: Any) -> None:
    guided: dict[str, Any] = {**RUN, "settings": {**SERIAL, "seed": 1, "prior": "r"}}
    run(worked, **{**guided, "run_id": "whole"})
    killed: dict[str, Any] = {**guided, "run_id": "killed", "problem": {"name": NAME, "dies_at": 9}}
    with pytest.raises(Killed):
        run(worked, **killed)
    for layer in (worked / "data").iterdir():
        shutil.rmtree(layer / "r", ignore_errors=True)
    made = resume(worked, **killed)
    archives = [artifact(worked, name, "asynchronous.archive") for name in ("whole", "killed")]
    assert archives[0].read_bytes() == archives[1].read_bytes()
    assert made["data"]["prior"]["r"]["failed"] == 1  # it counts, and gives no value
    assert made["result"]["earlier_trials"] == TINY["budget"] - 1
    result = command(worked, "audit", "killed")
    assert result.exit_code == 0, result.output


def test_baselines_take_workers_too(own: Any) -> None:
    settings: dict[str, Any] = {**SERIAL, "method": "random_search", "budget": 12}
    for name in ("initial_samples", "selection", "gradient", "fit"):
        del settings[name]
    made = run(own, **{**RUN, "pipeline": "own_methods", "settings": settings})
    assert made["result"]["queries"] + made["result"].get("failed_trials", 0) == 12
    result = command(own, "audit", "r")
    assert result.exit_code == 0, result.output


def test_metrics_come_as_the_search_goes_on(own: Any, empty_store: Path) -> None:
    shutil.copy(empty_store, own / "mlflow.db")
    run(own, **RUN, tracking=True)
    client, tracked = mlflow_run(own, "r", experiment="own_search")
    kept = stored(own, "asynchronous.archive")
    best = history(client, tracked.info.run_id, "best_score")
    assert best == [(query, value) for query, value in enumerate(kept["best"], 1)]
    for name in ("busy", "complete", "failed", "best", "idle_share"):
        assert history(client, tracked.info.run_id, f"workers/{name}")
    names = {file.path for file in client.list_artifacts(tracked.info.run_id, "refits/logits")}
    assert names == {f"refits/logits/step_0{step}.safetensors" for step in (1, 2)}


def test_two_workers_killed_with_their_driver_lose_nothing(own: Any) -> None:
    """A session in a process of its own, and two worker processes."""
    params = f"problem={NAME},problem.waits_from=5,confirm=null,tracking=off,run_id=r,workers=2"
    process, shown = forked(
        own, "run", "--pipeline=own_search", f"--params={params},{TINY_ARGUMENT}"
    )
    journal = own / "data" / "07_model_output" / "r" / "journal.jsonl"
    wait_until(
        lambda: not process.is_alive() or (journal.exists() and len(read_journal(journal)) == 5)
    )
    process.kill()
    process.join()
    assert "/2 busy" in shown.read_text()
    before = read_journal(journal)
    assert len(before) == 5
    (journal.parent / "trials" / "go").touch()
    result = command(own, "run", "--resume", "r", "--params=workers=1,executor=serial")
    assert result.exit_code == 0, result.output
    after = read_journal(journal)
    pd.testing.assert_frame_equal(after.head(len(before)), before)
    assert sorted(after["number"]) == list(range(TINY["budget"]))
    # Of both sessions; whether two trainings overlapped is a matter of milliseconds.
    assert manifest(own, "r")["result"]["workers"] == busy_facts(after)["workers"]
    result = command(own, "audit", "r")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"pipeline": "nb201_search", "workers": 8}, "workers"),
        ({"workers": 8, "evaluation": {"workers": 2}}, "workers"),
        ({"workers": 0}, "workers"),
        ({"workers": 5000}, "1000 at most"),
        ({"workers": 10**9}, "workers"),
    ],
)
def test_workers_that_mean_nothing_are_refused(own: Any, given: Any, name: str) -> None:
    raw = {**raw_parameters(own), "pipeline": "own_search", "problem": NAME, **given}
    if raw["pipeline"] != "own_search":
        del raw["problem"]
    with pytest.raises(ParameterError, match=name):
        resolve_parameters(raw)


def test_workers_in_short_win_over_those_of_the_section(own: Any) -> None:
    raw = {**raw_parameters(own), "pipeline": "own_search", "problem": NAME, "workers": 8}
    settings = resolve_parameters(raw)["run"]["evaluation"]
    assert (settings["workers"], settings["asynchronous"]) == (8, True)
    assert settings["executor"] == "processes"
    batches = resolve_parameters({**raw, "workers": None})["run"]["evaluation"]
    assert not batches["asynchronous"]


def test_a_deleted_artifact_is_made_again_from_the_journal_where_the_project_lies_now(
    worked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, count = manifest(worked, "r"), trainings(worked, "r")
    artifact(worked, "r", "asynchronous.trials").unlink()
    project = enter(worked.rename(worked.with_name("moved")), monkeypatch)
    after = resume(project, **RUN)["artifacts"]
    of_search = {name: facts["sha256"] for name, facts in before["artifacts"].items()}
    assert {name: facts["sha256"] for name, facts in after.items()} == of_search
    assert trainings(project, "r") == count
    named = [path for path in project.rglob("*") if path.is_file()]
    named = [path for path in named if str(worked).encode() in path.read_bytes()]
    assert named == []
