"""Sweeps: what they run, what they do not run again, and the tables that they write."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
import pytest
from kedro_runs import (
    TINY,
    Killed,
    command,
    copy_project,
    die_at,
    enter,
    history,
    manifest,
    run,
    run_files,
    tree,
)
from pandas.testing import assert_frame_equal

from optiproxy_nas.core.errors import (
    ArtifactError,
    OptiProxyError,
    ParameterError,
    RunLockedError,
    TrackingError,
    UnknownNameError,
)
from optiproxy_nas.runs.mlflow_store import PARENT_TAG
from optiproxy_nas.runs.tracking import MlflowTracker
from optiproxy_nas.sweeps import plan, run_sweep
from optiproxy_nas.sweeps.point import identity
from optiproxy_nas.sweeps.record import open_parent
from optiproxy_nas.sweeps.tables import RESULTS, RUNS

GRID = {
    "pipeline": "nb201_methods",
    "method": "random_search,local_search",
    "seed": "0:2",
    "budget": 12,
}
MOODY = {**GRID, "method": "moody_method:Moody", "seed": "0:3"}


def sweep(project: Path, *blocks: Any, **options: Any) -> Any:
    options = {"executor": "serial", "tracking": False, "progress": False, **options}
    return run_sweep(project, list(blocks or [GRID]), **options)


def result_bytes(outcome: Any) -> Any:
    return (outcome.folder / "results.parquet").read_bytes()


def mlflow_runs(project: Path, experiment: str = "nb201_methods") -> Any:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{project}/mlflow.db")
    of_runs: Any = client.get_experiment_by_name(experiment)
    runs = client.search_runs([of_runs.experiment_id])
    return client, runs


@pytest.fixture(scope="module")
def swept_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project in which the points of ``GRID`` have finished, in a sweep that left no tables."""
    project = copy_project(tmp_path_factory.mktemp("swept") / "project")
    layer = Path("data") / "03_primary"
    shutil.copytree(template / layer, project / layer, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(project, monkeypatch)
        shutil.rmtree(sweep(project).folder.parent)
    return project


@pytest.fixture
def swept(swept_template: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project of its own in which the points of ``GRID`` have finished."""
    shutil.copytree(swept_template, tmp_path / "project")
    return enter(tmp_path / "project", monkeypatch)


@pytest.fixture
def no_rerun(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nothing may be run any more."""

    def forbid() -> None:
        monkeypatch.setattr(
            "optiproxy_nas.sweeps.point.RunPoint.__call__", lambda *_: pytest.fail("run again")
        )

    return forbid


def test_tables_of_a_sweep(project: Path) -> None:
    outcome = sweep(project)
    results, runs = (
        pd.read_parquet(outcome.folder / f"{name}.parquet") for name in ("results", "runs")
    )
    assert list(results) == list(RESULTS)
    assert list(runs) == list(RUNS)
    assert_frame_equal(results, outcome.results)
    assert_frame_equal(runs, outcome.runs)
    assert (outcome.done, outcome.skipped, outcome.failed) == (4, 0, [])
    assert list(runs["method"]) == ["random_search"] * 2 + ["local_search"] * 2
    assert list(runs["seed"]) == [0, 1, 0, 1]
    assert list(results["query"]) == list(range(1, 13)) * 4
    for run_id, rows in results.groupby("run_id"):
        summary = manifest(project, str(run_id))["result"]
        line: Any = runs.set_index("run_id").loc[run_id]
        assert line["value"] == summary["validation_accuracy"] == rows["value"].max()
        assert line["queries_to_best"] == rows.set_index("query")["value"].idxmax()
        assert line["regret"] == pytest.approx(line["optimum"] - line["value"])
        assert (rows["best"] == rows["value"].cummax()).all()
        assert (rows["trials"] >= rows["query"]).all()
        assert json.loads(line["parameters"]) == manifest(project, str(run_id))["parameters"]


def test_a_point_is_the_run_that_it_names(swept: Any) -> None:
    sweep(swept)
    for point in plan(swept, [GRID]):
        found = manifest(swept, point.run_id)
        assert identity(found) == point.digest
        assert point.digest.startswith(point.run_id.rpartition("-")[2])


def test_equal_to_a_run_without_a_sweep(swept: Any) -> None:
    outcome = sweep(swept)
    run(swept, pipeline="nb201_methods", settings={}, run_id="alone", budget=12, seed=1,
        method="local_search")  # fmt: skip
    alone = pd.read_parquet(swept / "data/07_model_output/alone/archive.parquet")
    rows = outcome.results[outcome.runs["run_id"].iloc[3] == outcome.results["run_id"]]
    assert list(rows["architecture"]) == list(alone["architecture"])
    assert list(rows["value"]) == list(alone["value"])


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_executors_agree(swept: Any, executor: str) -> None:
    serial = sweep(swept, name="serial")
    again = plan(swept, [{**GRID, "seed": 1}])
    files = {p.run_id: run_files(swept, p.run_id) for p in again}
    for run_id in files:  # as if none had been run
        for path in files[run_id]:
            (swept / path).unlink()
    other = sweep(swept, name="other", executor=executor, workers=1)
    assert (other.done, other.skipped) == (2, 2)
    assert result_bytes(other) == result_bytes(serial)
    measured = ["seconds", "cpu_seconds"]
    assert (other.runs[measured] > 0).all(axis=None)
    assert_frame_equal(other.runs.drop(columns=measured), serial.runs.drop(columns=measured))
    assert {p: run_files(swept, p) for p in files} == files


def test_nothing_is_run_twice(swept: Any, no_rerun: Any) -> None:
    first = sweep(swept)
    no_rerun()
    again = sweep(swept)
    assert (again.done, again.skipped) == (0, 4)
    assert result_bytes(again) == result_bytes(first)
    part = sweep(swept, {**GRID, "seed": 1, "method": "local_search"}, name="part")
    assert (part.skipped, list(part.runs["seed"])) == (1, [1])


def test_equal_points_are_merged(project: Path) -> None:
    blocks = [GRID, {**GRID, "seed": 1}, {**GRID, "source": "embedded", "dataset": "cifar10"}]
    points = plan(project, blocks)
    assert [point.blocks for point in points] == [(0, 2), (0, 1, 2)] * 2
    assert len({point.run_id for point in points}) == 4


def test_a_failed_point(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "mood").write_text("1")
    outcome = sweep(project, MOODY)
    assert [run_id.split("-")[2] for run_id, _ in outcome.failed] == ["s1"]
    assert outcome.failed[0].error == "RuntimeError: not today"
    assert list(outcome.runs["status"]) == ["finished", "failed", "finished"]
    assert outcome.runs["error"].iloc[1] == "RuntimeError: not today"
    assert set(outcome.results["seed"]) == {0, 2}
    (project / "mood").unlink()
    again = sweep(project, MOODY)
    assert (again.done, again.skipped, again.failed) == (1, 2, [])
    assert set(again.results["seed"]) == {0, 1, 2}


@pytest.mark.parametrize("pipeline", ["nb201_search", "nb201_methods"])
def test_a_killed_sweep_goes_on(
    quick: Path, monkeypatch: pytest.MonkeyPatch, pipeline: str
) -> None:
    tiny = {**TINY, "seed": "0:2", "pipeline": pipeline}
    whole = sweep(quick, tiny, name="whole")
    for point in plan(quick, [tiny]):
        for path in run_files(quick, point.run_id):
            (quick / path).unlink()
    with monkeypatch.context() as patch:
        at = {"nb201_search": "step_02.select", "nb201_methods": "summarise"}[pipeline]
        die_at(patch, at)
        with pytest.raises(Killed):
            sweep(quick, tiny, name="cut")
    again = sweep(quick, tiny, name="cut")
    assert again.done == 2
    assert result_bytes(again) == result_bytes(whole)


def test_a_spoilt_run_is_begun_anew(swept: Any) -> None:
    first = sweep(swept)
    path = swept / manifest(swept, first.runs["run_id"][2])["artifacts"]["result.archive"]["path"]
    path.write_bytes(b"spoilt")
    again = sweep(swept)
    assert (again.done, again.skipped) == (1, 3)
    assert "begun anew" in again.notes[0]
    assert result_bytes(again) == result_bytes(first)


def test_one_process_a_sweep(swept: Any) -> None:
    outcome = sweep(swept, name="mine")
    with filelock.FileLock(outcome.folder / ".lock"), pytest.raises(RunLockedError, match="'mine'"):
        sweep(swept, name="mine")


def test_tables_of_another_version(swept: Any) -> None:
    outcome = sweep(swept, name="old")
    facts = json.loads((outcome.folder / "sweep.json").read_text())
    (outcome.folder / "sweep.json").write_text(json.dumps({**facts, "schema": 99}))
    before = tree(swept)
    with pytest.raises(ArtifactError, match="version 99"):
        sweep(swept, name="old")
    assert tree(swept) == before


def test_tables_of_another_grid(swept: Any) -> None:
    first, other = {**GRID, "seed": 0, "method": "random_search"}, {**GRID, "seed": 1}
    outcome = sweep(swept, first, name="mine")
    before = tree(swept)
    with pytest.raises(ParameterError, match="'mine' has tables of another grid"):
        sweep(swept, other, name="mine")
    assert tree(swept) == before
    assert sweep(swept, {**first, "seed": [0]}, name="mine").skipped == 1  # the same grid
    assert set(sweep(swept, other, name="mine", replace=True).runs["seed"]) == {1}
    assert outcome.folder == swept / "data/08_reporting/sweeps/mine"


@pytest.mark.parametrize(
    ("place", "error", "status"),
    [
        ("point.RunPoint.__call__", KeyboardInterrupt, "interrupted"),
        ("tables.assemble", MemoryError, "failed"),
    ],
)
def test_the_record_of_a_sweep_that_was_cut_off(
    project: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: Any, status: str
) -> None:
    def cut_off(*_: Any) -> None:
        raise error

    monkeypatch.setattr(f"optiproxy_nas.sweeps.{place}", cut_off)
    with pytest.raises(error):
        sweep(project, name="cut")
    path = project / "data/08_reporting/sweeps/cut/sweep.json"
    assert json.loads(path.read_text())["status"] == status


def test_a_dead_store(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/pyproject.toml/mlflow.db")
    with pytest.raises(TrackingError, match="--no-tracking") as caught:
        sweep(project, tracking=True, name="dead")
    assert "--params" not in caught.value.message
    assert not list((project / "data").glob("0*/*-s0-*"))


def test_a_parent_run_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def start(
        self: Any, name: str, parameters: Any, tags: Any, resume: Any, *rest: Any, **named: Any
    ) -> str:
        if resume:
            raise TrackingError("by --params=tracking=off") from ValueError("No such run.")
        return "new"

    monkeypatch.setattr(MlflowTracker, "start", start)
    assert open_parent(tmp_path, "e", "s", [{"seed": [0]}], "old")[1] == "new"
    assert "goes on under a new MLflow run" in caplog.text
    assert "(No such run)" in caplog.text
    assert "--params" not in caplog.text


def test_one_mlflow_run_a_point_under_one_of_the_sweep(tracked: Path, no_rerun: Any) -> None:
    outcome = sweep(tracked, tracking=True, name="nested")
    client, runs = mlflow_runs(tracked)
    (parent,) = (r for r in runs if PARENT_TAG not in r.data.tags)
    children = [r for r in runs if r.data.tags.get(PARENT_TAG) == parent.info.run_id]
    assert len(runs) == 5
    assert len(children) == 4
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert parent.info.run_name == "nested"
    assert parent.data.params["seed"] == "0,1"
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files == {"results.parquet", "runs.parquet", "sweep.json"}
    for child in children:
        rows = outcome.results[outcome.results["run_id"] == child.data.tags["run_id"]]
        better = rows[rows["best"].diff() != 0]
        expected = dict(zip(better["query"], better["best"], strict=True)) | {
            12: rows["best"].max()
        }
        found = dict(history(client, child.info.run_id, "best_validation_accuracy"))
        assert found == pytest.approx(expected)
    no_rerun()
    sweep(tracked, tracking=True, name="nested")
    assert len(mlflow_runs(tracked)[1]) == 5  # opened again


def test_a_store_that_fails_midway_gets_the_runs_from_the_next_sweep(
    tracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MlflowTracker.start

    def start(self: Any, name: str, parameters: Any, tags: Any, *rest: Any, **named: Any) -> Any:
        if PARENT_TAG in tags:
            self._store.uri = f"sqlite:///{tracked}/pyproject.toml/mlflow.db"
        return real(self, name, parameters, tags, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowTracker, "start", start)
        outcome = sweep(tracked, tracking=True)
    assert (outcome.done, outcome.failed) == (4, [])
    assert "MLflow store failed" in outcome.notes[0]
    assert len(mlflow_runs(tracked)[1]) == 1
    assert sweep(tracked, tracking=True).failed == []
    assert [run.info.status for run in mlflow_runs(tracked)[1]] == ["FINISHED"] * 5
    assert sweep(tracked, tracking=True).skipped == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "grid is empty"),
        (["seed=0:"], "not a range"),
        (["seed=3:3"], "with a value in it"),
        (["sede=0:3"], "Did you mean 'seed'"),
        (["dataset=cifar10,cifar11"], "Did you mean 'cifar10'"),
        (["budget=20,2"], "initial sample"),
        (["run_id=a,b"], "'run_id'"),
        (["seed=a:b"], "'seed' = 'a:b' is not a range of integers"),
        (
            ["method=tpe", "--pipeline=nb201_search"],
            "(Pipeline nb201_search runs optiproxy only; use --pipeline=nb201_methods.)",
        ),
        (["seed=0", "pipeline=nb201_methods", "--pipeline=nb201_search"], "Leave out one"),
        (["seed=0", "--pipeline=ingest"], "makes no runs"),
        (["seed=0", "--pipeline=nb201_serach"], "Did you mean 'nb201_search'"),
        (["seed=0", "--executor=process"], "Did you mean 'processes'"),
        (["seed=0", "--workers=0"], "at least 1"),
        (["seed=0", "--name=../up"], "names files or folders"),
        (["seed=0", "--file=none.yml"], "none.yml"),
    ],
)
def test_refused_before_anything_runs(project: Path, arguments: Any, message: str) -> None:
    before = tree(project)
    result = command(project, "sweep", "--no-tracking", *arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert tree(project) == before


def test_errors_say_at_which_point(project: Path) -> None:
    with pytest.raises(OptiProxyError, match=r"At seed=0, selection\.batch=101"):
        plan(project, [{"seed": 0, "selection.batch": [2, 101]}])
    with pytest.raises(UnknownNameError, match="random_search"):
        plan(project, [{**GRID, "method": "random_serach"}])


def test_without_a_pipeline_any_method_runs_whole_in_one_node(project: Path) -> None:
    points = plan(project, [{"method": "random_search,optiproxy", "seed": 0}])
    assert [point.pipeline for point in points] == ["nb201_methods"] * 2
    assert "default: nb201_methods" in command(project, "sweep", "--help").output


def test_allowed_is_what_a_grid_may_hold(project: Path) -> None:
    with pytest.raises(ParameterError, match="Allowed here") as caught:
        plan(project, [{"zzz": 0}])
    allowed = caught.value.message.partition("Allowed here: ")[2].partition(".")[0].split(", ")
    assert {"seed", "pipeline", "method", "selection"} <= set(allowed)
    assert not {"run_id", "tracking", "resume", "quiet", "sweep"} & set(allowed)


def test_the_command(project: Path) -> None:
    (project / "mood").write_text("2")
    arguments = ["--executor=serial", "--name=shown", "tracking=off", "--pipeline=nb201_methods"]
    grid = ["method=moody_method:Moody", "seed=0:3", "budget=12"]
    result = command(project, "sweep", *arguments, *grid)
    assert result.exit_code == 1
    assert "2 points run, 0 finished before, 1 failed" in result.output
    assert "RuntimeError: not today" in result.output
    (project / "mood").unlink()
    (project / "grid.yml").write_text("- {method: 'moody_method:Moody', budget: 12}\n")
    result = command(project, "sweep", *arguments, "--file=grid.yml", "seed=0:3")
    assert result.exit_code == 0
    assert "1 points run, 2 finished before, 0 failed" in result.output
