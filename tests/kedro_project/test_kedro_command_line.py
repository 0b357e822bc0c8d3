"""What a user types: two first runs at once, in processes of their own; an audit, a mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pandas as pd
import pytest
from kedro_runs import (
    BUDGET,
    STEPS,
    TINY_ARGUMENT,
    artifact,
    assert_history,
    command,
    copy_project,
    enter,
    forked,
    kedro,
    manifest,
    mlflow_run,
    partial_files,
    search_digests,
    without_pictures,
)

from optiproxy_nas.commands.mlflow_ui import experiment_of
from optiproxy_nas.core.errors import ParameterError, UnknownNameError
from optiproxy_nas.evaluation.loop import run_search
from optiproxy_nas.methods import resolve_method
from optiproxy_nas.objectives.constraints import parse_constraint
from optiproxy_nas.pipelines.search import load_benchmark
from optiproxy_nas.runs.mlflow_view import VIEW
from optiproxy_nas.runs.project_store import ProjectStore
from optiproxy_nas.spaces import get_space
from waiting import PATIENCE, wait_until

NOISE = ("Traceback", "Deprecat", "deprecat", "UserWarning", "FutureWarning", "Alembic", "alembic")


class Done(NamedTuple):
    """How a command ended, and what it has shown."""

    code: int | None
    out: str
    err: str


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A fresh clone in which two users begin at once: no table, no tracking store yet."""
    return copy_project(tmp_path_factory.mktemp("cloned") / "project")


@pytest.fixture(scope="module")
def runs(cloned: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run "one" is typed in a shell; "two" begins while it ingests, and is spared the imports."""
    errors = tmp_path_factory.mktemp("errors") / "two.txt"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        one = kedro(
            cloned,
            "run",
            f"--params=run_id=one,{TINY_ARGUMENT}",
            LC_ALL="C",  # a locale in which text is ASCII
            PYTHONUTF8="0",
        )
        data = cloned / "data"
        wait_until(lambda: one.poll() is not None or any(map(Path.is_file, data.rglob("*"))))
        without_pictures(monkeypatch)
        params = f"--params=run_id=two,seed=1,method=random_search,budget={BUDGET}"
        two, shown = forked(cloned, "run", "--pipeline=nb201_methods", params, errors=errors)
        out, err = one.communicate(timeout=2 * PATIENCE)
        two.join(2 * PATIENCE)
    return {
        "one": Done(one.returncode, out, err),
        "two": Done(two.exitcode, shown.read_text("utf-8"), errors.read_text("utf-8")),
    }


def last_archive(project: Path, run_id: str) -> Any:
    names = {"one": f"step_{STEPS:02d}.archive", "two": "result.archive"}
    return pd.read_parquet(artifact(project, run_id, names[run_id]))


@pytest.mark.parametrize("name", ["one", "two"])
def test_run_ends_well_and_says_what_it_found(cloned: Any, runs: Any, name: str) -> None:
    done = runs[name]
    assert done.code == 0, done.err
    result = manifest(cloned, name)["result"]
    for line in (
        result["best_architecture"],
        f"Validation accuracy  {result['validation_accuracy']:.2f} %",
        f"Queries              {BUDGET} of {BUDGET}",
        f"Run                  {name}",
        f"Artifacts            data/08_reporting/{name}",
        f"Audit                kedro audit {name}",
        "MLflow               kedro mlflow-ui",
    ):
        assert line in done.out


@pytest.mark.parametrize("name", ["one", "two"])
def test_run_is_quiet(runs: Any, name: str) -> None:
    done = runs[name]
    for word in NOISE:
        assert word not in done.out + done.err
    lines = done.err.replace("\r", "\n").splitlines()
    assert {line.split(":")[0] for line in lines if line.strip()} <= {
        "queries",
        "Ingesting benchmark source 'embedded'",
    }


def test_two_first_runs_at_once_ingest_and_create_the_store_once(
    cloned: Any, runs: Any, reference: Any
) -> None:
    said = [done.err.count("Ingesting benchmark source") for done in runs.values()]
    assert sum(said) == 1
    assert search_digests(cloned, "one") == reference
    assert manifest(cloned, "one")["data"] == manifest(cloned, "two")["data"]
    for name in runs:
        client, found = mlflow_run(cloned, name, experiment=manifest(cloned, name)["pipeline"])
        assert found.info.status == "FINISHED"
        values = last_archive(cloned, name)["value"]
        assert_history(client, found.info.run_id, "validation_accuracy", values)
    assert partial_files(cloned) == []


def test_the_run_beside_is_the_search_of_plain_python(cloned: Any, runs: Any) -> None:
    parameters: Any = resolve_method(manifest(cloned, "two")["parameters"])
    assert parameters.seed == 1
    table = pd.read_parquet(cloned / "data" / "03_primary" / "nb201" / "embedded.parquet")
    _, evaluate = load_benchmark(table, b"", parameters)
    result = run_search(get_space("nb201"), evaluate, parameters)
    pd.testing.assert_frame_equal(result.archive, last_archive(cloned, "two"), check_exact=True)


def test_audit_passes(cloned: Any, runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = command(enter(cloned, monkeypatch), "audit", "one")
    assert done.exit_code == 0, done.output
    assert f"AUDIT PASSED: {BUDGET} archive rows" in done.stdout
    for word in (*NOISE, "WARNING"):
        assert word not in done.output


def test_a_mistake_is_one_message(cloned: Any, runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("run", "--pipeline=nb201_search", "--params=budgett=50")
    done = command(enter(cloned, monkeypatch), *arguments)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: Unknown parameter 'budgett'. Did you mean 'budget'?")
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(p.name for p in (cloned / "data" / "08_reporting").iterdir()) == ["one", "two"]


def test_json_is_the_summary_and_nothing_else(
    cloned: Any, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = enter(cloned, monkeypatch)
    method = f"method=random_search,budget={BUDGET},tracking=off"
    arguments = ("run", "--pipeline=nb201_methods", f"--params=run_id=json,{method}")
    done = command(project, *arguments, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert manifest(cloned, "json")["result"].items() <= shown.items()
    assert shown["artifacts"].endswith("08_reporting/json")
    done = command(project, *arguments, "--quiet")  # there is one of that id
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")


def test_a_command_line_that_cannot_be_read_ends_with_two(
    cloned: Any, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(enter(cloned, monkeypatch), "run", "--no-such-option").exit_code == 2


def test_a_bound_that_the_shell_has_cut_off_is_named_so() -> None:
    with pytest.raises(ParameterError, match=r"^Quote the whole argument"):
        parse_constraint("latency_ms")


@pytest.mark.parametrize("to", ["optuna", "csv", "jsonl"])
def test_trials_are_exported(
    cloned: Any, runs: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, to: str
) -> None:
    path = tmp_path / f"trials.{to}"
    project = enter(cloned, monkeypatch)
    done = command(project, "export", "one", "--to", to, "--out", str(path))
    assert done.exit_code == 0, done.output
    expected = last_archive(cloned, "one")["value"].tolist()
    if to == "optuna":
        study = optuna.load_study(study_name="one", storage=f"sqlite:///{path}")
        assert [trial.value for trial in study.trials] == expected
    elif to == "csv":
        assert pd.read_csv(path)["value"].tolist() == pytest.approx(expected)
    else:
        rows = map(json.loads, path.read_text("utf-8").splitlines())
        assert [row["value"] for row in rows] == expected


def test_the_list_of_runs_is_that_of_the_pipeline(cloned: Any, runs: Any) -> None:
    store = ProjectStore(cloned)
    ids = {
        name: mlflow_run(cloned, name, experiment=manifest(cloned, name)["pipeline"])[1]
        for name in runs
    }
    assert experiment_of(store, "nb201_search") == ids["one"].info.experiment_id
    latest = max(ids.values(), key=lambda found: found.info.start_time)
    assert experiment_of(store, None) == latest.info.experiment_id
    with pytest.raises(UnknownNameError):
        experiment_of(store, "no_such_pipeline")
    client = store.open()
    experiment = client.get_experiment(ids["one"].info.experiment_id)
    assert json.loads(experiment.tags[f"mlflow.sharedViewState.{VIEW}"])["selectedColumns"]
