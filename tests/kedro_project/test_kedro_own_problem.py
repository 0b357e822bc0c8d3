"""A user's problem as a run: its trials are kept as they end, repeated, audited and shown."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro_runs import (
    STEPS,
    TINY,
    archive,
    artifact,
    command,
    copy_project,
    die_at,
    enter,
    history,
    manifest,
    mlflow_run,
    resume,
    run,
    search_digests,
    sign,
    without_pictures,
)
from kedro_runs import Killed as KilledNode
from tiny_problem import NAME, Killed, Widths, trainings, with_data
from torch import nn

from optiproxy_nas import Target, load_model, read_journal, search
from optiproxy_nas.core.errors import FailedTrialsError, JournalError, ParameterError, ResumeError
from optiproxy_nas.pipelines import diagnose
from optiproxy_nas.pipelines.configuration import resolve_parameters
from optiproxy_nas.pipelines.own_problem import catalog_names
from optiproxy_nas.presets import preset_for
from optiproxy_nas.proof.verification import verify_crate
from optiproxy_nas.proof.verify import FAILED, OK
from optiproxy_nas.report.summary import test_rows as rows_of_test
from optiproxy_nas.report.terminal import terminal_summary
from optiproxy_nas.runs.atomic_files import write_json
from optiproxy_nas.runs.manifest import sealed
from optiproxy_nas.sweeps.planning import raw_parameters

OWN = {**TINY, "problem": NAME, "evaluation": {"executor": "serial"}, "confirm": None}
METHODS = {
    "method": "random_search",
    "budget": 12,
    "problem": NAME,
    "evaluation": OWN["evaluation"],
    "confirm": None,
}


@pytest.fixture(scope="session")
def own_template(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with the problem's data, and a finished run, "reference", without pictures."""
    project = with_data(copy_project(tmp_path_factory.mktemp("own") / "project"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(project, monkeypatch)
        without_pictures(monkeypatch)
        run(project, pipeline="own_search", settings=OWN, run_id="reference")
    return project


@pytest.fixture
def finished(own_template: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    project = tmp_path / "project"
    shutil.copytree(own_template, project)
    without_pictures(monkeypatch)
    return enter(project, monkeypatch)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project with the problem's data and no run."""
    without_pictures(monkeypatch)
    return enter(with_data(copy_project(tmp_path / "project")), monkeypatch)


def own_run(project: Path, **params: Any) -> Any:
    return run(project, pipeline="own_search", settings=OWN, **params)


def test_a_run_learns_from_the_experiment_and_travels(
    own: Any, empty_store: Path, tmp_path: Path
) -> None:
    shutil.copy(empty_store, own / "mlflow.db")
    own_run(own, run_id="before", tracking=True)
    settings = {**OWN, "seed": 1, "prior": "experiment:own_search"}
    made = run(own, pipeline="own_search", settings=settings, run_id="r")
    assert made["data"]["prior"]["before"]["trials"] == made["result"]["earlier_trials"]
    assert made["data"]["datasets"]
    assert command(own, "export", "r", "--out", str(tmp_path / "crate")).exit_code == 0
    assert FAILED not in {check.state for check in verify_crate(tmp_path / "crate")}
    for layer in (own / "data").iterdir():
        shutil.rmtree(layer / "before", ignore_errors=True)
    (own / "mlflow.db").unlink()
    assert command(own, "audit", str(tmp_path / "crate")).exit_code == 0


def own_resume(project: Path, **params: Any) -> Any:
    return resume(project, pipeline="own_search", settings=OWN, **params)


def journal_of(project: Path, run_id: str = "reference") -> Any:
    return project / "data" / "07_model_output" / run_id / "journal.jsonl"


def test_a_run_is_the_search_of_the_same_name_in_python(finished: Any, tmp_path: Path) -> None:
    kept = archive(finished, "reference")
    data = {"signals": pd.read_csv(finished / "data" / "01_raw" / "signals.csv")}
    found = search(problem=NAME, data=data, **TINY)
    pd.testing.assert_frame_equal(found.archive, kept)
    assert [t.text for t in found.failed] == pd.read_parquet(
        artifact(finished, "reference", f"step_{STEPS:02d}.failed")
    )["architecture"].tolist()


def test_every_trial_is_in_the_journal_the_table_and_the_page(finished: Any) -> None:
    facts = manifest(finished, "reference")
    trials = pd.read_csv(artifact(finished, "reference", "report.trials"))
    assert len(trials) == trainings(finished, "reference") == TINY["budget"]
    assert trials["number"].tolist() == list(range(TINY["budget"]))
    complete = trials[trials["error"].isna()]
    assert complete["score"].tolist() == archive(finished, "reference")["value"].tolist()
    assert (complete["odd size [MB]"] == complete["cost"] / 8).all()
    summary = facts["result"]
    assert summary["target"] == "score [%]"
    assert summary["score [%]"] == complete["score"].max()
    assert summary["metrics"].keys() == {"cost", "odd size [MB]"}
    assert summary["test"] == {"score": 12.5}
    assert trainings(finished, "reference", "tested") == 1
    assert summary["trainings"] == len(trials)
    assert summary["failed_trainings"] == len(trials) - len(complete)
    assert summary["trainings_seconds"] == pytest.approx(trials["seconds"].sum())
    assert summary["answer_trial"] == complete["score"].idxmax()
    assert (finished / summary["answer_folder"] / "trained.txt").exists()
    assert finished / summary["journal"] == journal_of(finished)
    words = artifact(finished, "reference", "report.markdown").read_text(encoding="utf-8")
    assert not [word for word in ("cell", "enchmark", "Dataset", "lowest") if word in words]
    page = artifact(finished, "reference", "report.page").read_text(encoding="utf-8")
    assert "Test score" in page
    assert page.partition("<h2>Trials</h2>")[2].count("<tr>") == TINY["budget"] + 1


def test_the_manifest_has_data_code_and_journal(finished: Any) -> None:
    facts = manifest(finished, "reference")
    assert facts["data"]["problem"] == NAME
    assert facts["data"]["datasets"].keys() == {"signals"}
    assert NAME in facts["code"]["plugins"]
    assert facts["artifacts"]["journal"]["path"].endswith("reference/journal.jsonl")


def test_a_problem_without_networks_has_the_architecture_and_a_card(finished: Any) -> None:
    facts = manifest(finished, "reference")
    names = [name for name in facts["artifacts"] if name.startswith("report.model/")]
    said = {name.partition("/")[2] for name in names}
    assert said == {"README.md", "architecture.json", "model.html", "model.json"}
    folder = artifact(finished, "reference", names[0]).parent
    best = json.loads(facts["result"]["best_architecture"])
    assert json.loads((folder / "architecture.json").read_text()) == best
    said = json.loads((folder / "model.json").read_text())
    assert said["missing"].keys() == {"model.safetensors"}
    assert said["value"] == facts["result"]["score [%]"]
    assert said["search"]["run_id"] == "reference"
    assert said["data"] == facts["data"]["datasets"]


@pytest.mark.parametrize("place", [3, 9])
def test_a_process_that_ends_in_a_training_loses_that_one(
    own: Any, own_template: Any, place: int
) -> None:
    """Killed once in some trial, a run goes on to the same bytes, and trains nothing twice."""
    problem = {"name": NAME, "dies_at": place}
    with pytest.raises(Killed):
        own_run(own, run_id="r", problem=problem)
    own_resume(own, run_id="r", problem=problem)
    assert trainings(own, "r") == TINY["budget"] + 1
    assert archive(own, "r").equals(archive(own_template, "reference"))


@pytest.mark.parametrize(
    ("node", "after"), [("step_01.evaluate", True), ("report.summarise", False)]
)
def test_a_process_that_ends_between_nodes_loses_nothing(
    own: Any, own_template: Any, monkeypatch: pytest.MonkeyPatch, node: str, after: bool
) -> None:
    with monkeypatch.context() as patch:
        die_at(patch, node, after)
        with pytest.raises(KilledNode):
            own_run(own, run_id="reference")
    own_resume(own, run_id="reference")
    assert trainings(own, "reference") == TINY["budget"]
    assert (
        search_digests(own, "reference").keys() == search_digests(own_template, "reference").keys()
    )
    assert archive(own, "reference").equals(archive(own_template, "reference"))


def test_too_many_failures_and_a_wrong_answer_lose_nothing(
    own: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Exception, match="trials failed"):
        own_run(own, run_id="f", failures={"in_a_row": 1})
    kept = read_journal(journal_of(own, "f"))
    assert len(kept) == trainings(own, "f")
    assert kept["error"].iloc[-1] == "ValueError: did not converge"
    assert manifest(own, "f")["status"] == "failed"
    with pytest.raises(FailedTrialsError, match=r"--params=failures\.retries=1") as caught:
        own_resume(own, run_id="f", failures={"in_a_row": 1})
    assert "initial=" not in caught.value.message
    journal, steps = journal_of(own, "f"), set((own / "data").glob("*/f/step_*"))
    content = journal.read_bytes()
    journal.write_bytes(b"".join(content.splitlines(keepends=True)[:2]))
    with pytest.raises(JournalError):
        own_resume(own, run_id="f", failures={"in_a_row": 3, "retries": 1})
    assert steps
    assert set((own / "data").glob("*/f/step_*")) == steps
    journal.write_bytes(content)
    with monkeypatch.context() as patch:
        patch.setattr(Widths, "evaluate", lambda problem, trial: {"score": 1.0, "cost": 1.0})
        done = own_resume(own, run_id="f", failures={"in_a_row": 3, "retries": 1})
    assert "failed_trials" not in done["result"]
    assert set(read_journal(journal_of(own, "f"))["attempt"]) == {1, 2}

    real = Widths.evaluate

    def evaluate(problem: Any, trial: Any) -> Any:
        return {"cost": 1.0} if trial.number == 4 else real(problem, trial)

    monkeypatch.setattr(Widths, "evaluate", evaluate)
    with pytest.raises(Exception, match="must give its target 'score'"):
        own_run(own, run_id="w")
    assert len(read_journal(journal_of(own, "w"))) == trainings(own, "w") == 4


def test_ctrl_c_in_a_training_tells_how_to_go_on(own: Any) -> None:
    problem = f"problem={NAME},problem.dies_at=7,problem.how=ctrl-c"
    settings = "budget=16,initial_samples=6,selection.batch=5,gradient.epochs=5,fit.epochs=5"
    result = command(
        own,
        "run",
        "--pipeline=own_search",
        f"--params={problem},{settings},evaluation.executor=serial,confirm=null,run_id=c,tracking=off",
    )
    assert result.exit_code == 130
    assert "kedro run --resume c" in result.output
    assert "7/16" in result.output  # the bar counts trials, also within a batch
    assert len(read_journal(journal_of(own, "c"))) == 7


def test_changed_data_and_another_problem_are_refused(own: Any) -> None:
    own_run(own, run_id="r")
    (own / "data" / "07_model_output" / "r" / "step_02").rename(own / "gone")
    with_data(own, "1\n3\n")
    with pytest.raises(ResumeError) as caught:
        own_resume(own, run_id="r")
    assert any("data.datasets.signals" in line for line in caught.value.data["differences"])
    with pytest.raises(ResumeError, match="bonus"):
        own_resume(own, run_id="r", problem={"name": NAME, "bonus": 1.0})


def test_an_audit_takes_the_answers_from_the_journal(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a copy of the project, and it trains nothing."""
    project = tmp_path / "elsewhere"
    shutil.move(finished, project)
    enter(project, monkeypatch)
    before = trainings(project, "reference"), trainings(project, "reference", "tested")
    result = command(project, "audit", "reference")
    assert result.exit_code == 0, result.output
    assert "AUDIT PASSED: " in result.output
    assert before == (trainings(project, "reference"), trainings(project, "reference", "tested"))


def chained(lines: Any) -> Any:
    """A journal's lines with digests that fit, as someone makes them who knows how."""
    signed, digest = [], ""
    for line in lines:
        body = line.rpartition(', "digest"')[0]
        digest = hashlib.sha256((digest + body).encode()).hexdigest()[:16]
        signed.append(f'{body}, "digest": "{digest}"}}\n')
    return "".join(signed)


@pytest.mark.parametrize("forgery", ["line", "removed", "chained", "archive"])
def test_an_audit_finds_what_was_forged(finished: Any, forgery: str) -> None:
    journal = journal_of(finished)
    lines = journal.read_text().splitlines(keepends=True)
    path = finished / "data" / "08_reporting" / "reference" / "manifest.json"
    facts = json.loads(path.read_text())
    if forgery == "line":
        journal.write_text("".join(lines).replace('"score": ', '"score": 1', 1))
    elif forgery == "removed":
        journal.write_text("".join(lines[:-1]))
    elif forgery == "chained":  # with its digests, and that in the manifest
        lines[10] = lines[10].replace('"score": ', '"score": 9', 1)
        journal.write_text(chained(lines))
    else:
        file = artifact(finished, "reference", "step_02.archive")
        table: Any = pd.read_parquet(file)
        table.loc[3, "value"] += 0.25
        table.to_parquet(file)
        sign(file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        facts["artifacts"]["step_02.archive"]["sha256"] = digest
    facts["artifacts"]["journal"]["sha256"] = hashlib.sha256(journal.read_bytes()).hexdigest()
    write_json(path, sealed(facts))
    result = command(finished, "audit", "reference")
    assert result.exit_code == 1
    assert "different: " in result.output
    assert "0 damaged on disk" in result.output


def test_a_journal_without_its_last_lines_is_refused_before_anything_is_trained(
    finished: Any,
) -> None:
    journal = journal_of(finished)
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-2]))
    with pytest.raises(JournalError) as caught:
        own_resume(finished, run_id="reference")
    assert len(caught.value.data["names"]) == 2
    assert trainings(finished, "reference") == TINY["budget"]
    journal.unlink()
    with pytest.raises(JournalError, match="go on: kedro run --resume reference"):
        own_resume(finished, run_id="reference")  # told what to do in Kedro, not in Python
    journal.write_text("".join(lines))
    card = artifact(finished, "reference", "report.model/README.md")
    written = card.stat().st_mtime_ns
    own_resume(finished, run_id="reference")
    assert trainings(finished, "reference") == TINY["budget"]
    assert card.stat().st_mtime_ns == written


def test_trials_trained_again_are_told_by_their_differences(
    finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Widths.__init__, "__defaults__", (0.0, -1, "raise", 0.5, -1, 0.0, -1))
    before = trainings(finished, "reference")
    result = command(finished, "audit", "reference", "--retrain", "3")
    assert result.exit_code == 0, result.output
    assert result.output.count("difference 0.5") == 3
    assert "3 trials trained again: they differ by 0.5 in the mean" in result.output
    assert command(finished, "audit", "reference", "--retrain", "3").output == result.output
    assert trainings(finished, "reference") == before


def test_a_latency_is_measured_bounded_kept_in_replays_and_measured_again(own: Any) -> None:
    settings = {
        **METHODS,
        "problem": "tiny_problem:Measured",
        "budget": 3,
        "objective": {"name": "constrained", "constraints": ["latency_p75_ms <= 1000"]},
    }
    made = run(own, pipeline="own_methods", settings=settings, run_id="m")
    assert 0 < made["result"]["constraints"][0]["value"] < 1000
    assert made["result"]["metrics"]["latency_precision"] > 0
    once_more = made["result"]["latency"]
    assert once_more["searched_ms"] == made["result"]["constraints"][0]["value"]
    assert once_more["median_ms"] > 0
    assert "ms in the search" in terminal_summary(made["result"])
    folder = artifact(own, "m", "report.model/model.json").parent
    assert json.loads((folder / "model.json").read_text())["latency"] == once_more
    assert command(own, "audit", "m").exit_code == 0
    again = command(own, "audit", "m", "--retrain=1").output
    assert "1 trials trained again: they differ by 0 in the mean" in again
    assert "measurements differ" in again
    settings["objective"]["constraints"] = ["latency_p75_ms <= 1e-9"]
    with pytest.raises(ParameterError, match="below anything"):
        run(own, pipeline="own_methods", settings=settings, run_id="n")


def test_values_of_a_target_that_is_called_error_are_trained_again(
    own: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(self: Any, trial: Any) -> Any:
        return {"error": trial.architecture["rate"]}

    monkeypatch.setattr(Widths, "evaluate", evaluate)
    monkeypatch.setattr(Widths, "target", Target("error", "minimize"))
    run(own, pipeline="own_methods", settings={**METHODS, "budget": 3}, run_id="m")
    assert manifest(own, "m")["result"]["metrics"] == {}
    result = command(own, "audit", "m", "--retrain")
    assert "by 0 in the mean, by 0 at most; 0 failed" in result.output


def test_a_test_that_failed_is_said_in_the_result_and_not_repeated(
    own: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(self: Any, trial: Any) -> None:
        raise ValueError("no test data")

    monkeypatch.setattr(Widths, "test", fails)
    made = run(own, pipeline="own_methods", settings={**METHODS, "budget": 3}, run_id="m")
    assert made["result"]["test"] == {}
    assert "no test data" in dict(rows_of_test(made["result"]))["Test"]
    monkeypatch.setattr(Widths, "test", lambda self, trial: {"score": 1.0})
    caplog.clear()
    result = command(own, "audit", "m")
    assert result.exit_code == 0, result.output
    kept = json.loads(journal_of(own, "m").with_name("test.json").read_text())
    assert kept == {"metrics": {}, "error": "ValueError: no test data"}


def test_the_run_is_tracked_with_all_that_was_measured_but_its_secrets(
    own: Any, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_store, own / "mlflow.db")
    monkeypatch.setenv("LAB_TOKEN", plant := "hunter2-Zq7")
    evaluate = Widths.evaluate

    def writes(self: Any, trial: Any) -> Any:  # as a worker process does
        (trial.folder / "output.txt").write_text(f"training with {plant}")
        try:
            return evaluate(self, trial)
        except ValueError as error:
            raise ValueError(f"{plant} is refused by http://bob:{plant}@host") from error

    monkeypatch.setattr(Widths, "evaluate", writes)
    own_run(own, run_id="t", tracking=True, problem="tiny_problem:Built")
    client, tracked = mlflow_run(own, "t", experiment="own_search")
    assert tracked.data.tags["target"] == "score"
    assert tracked.data.tags["target.unit"] == "%"
    assert tracked.data.metrics["final/test_score"] == 12.5
    trials = pd.read_csv(artifact(own, "t", "report.trials"))
    failed = history(client, tracked.info.run_id, "trial/failed")
    assert [value for _, value in failed] == trials["error"].notna().astype(float).tolist()
    cost = history(client, tracked.info.run_id, "trial/cost")
    assert [value for _, value in cost] == trials["cost"].dropna().tolist()
    assert failed
    for path in own.rglob("*"):
        assert not path.is_file() or plant.encode() not in path.read_bytes(), path
    names = {file.path for file in client.list_artifacts(tracked.info.run_id)}
    assert {"journal.jsonl", "report", "archive.parquet", "manifest.json"} <= names
    outputs = client.list_artifacts(tracked.info.run_id, "trials/0001")
    assert [file.path for file in outputs] == ["trials/0001/output.txt"]
    (logged,) = tracked.outputs.model_outputs
    files = {file.path for file in client.list_logged_model_artifacts(logged.model_id)}
    folder = own / "data" / "07_model_output" / "t" / "model"
    assert files == {path.name for path in folder.iterdir()} | {"MLmodel", "requirements.txt"}
    stored = Path(client.get_logged_model(logged.model_id).artifact_location.removeprefix("file:"))
    assert isinstance(load_model(stored, problem="tiny_problem:Built"), nn.Module)


def test_any_method_and_a_sweep_of_several(own: Any) -> None:
    made = run(own, pipeline="own_methods", settings=METHODS, run_id="m")
    assert made["result"]["queries"] + made["result"].get("failed_trials", 0) == 12
    assert made["result"]["test"] == {"score": 12.5}
    arguments = ["method=random_search", "budget=8", "seed=0:2", f"problem={NAME}"]
    options = ["--pipeline=own_methods", "--executor=serial", "--no-tracking"]
    (own / "conf" / "local" / "parameters_own_methods.yml").write_text(
        "own_methods: {evaluation: {executor: serial}, confirm: null}\n"
    )
    result = command(own, "sweep", *options, *arguments)
    assert result.exit_code == 0, result.output
    assert "2 points run, 0 finished before, 0 failed" in result.output
    again = command(own, "sweep", *options, *arguments)
    assert "0 points run, 2 finished before, 0 failed" in again.output
    exported = (own / "data" / "07_model_output").glob("*/model")
    assert [folder.parent.name for folder in exported] == ["m"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"problem": "tiny_problem:Width"}, "tiny_problem:Width"),
        ({"problem": {"name": NAME, "bonuss": 1}}, "bonuss"),
        ({"problem": NAME, "evaluation": {"executor": "thread"}}, "executor"),
        ({"problem": NAME, "evaluation": {"timout": 3}}, "timeout"),
        ({"problem": NAME, "space": "nb201"}, "space"),
        ({"pipeline": "nb201_search", "evaluation": {"timeout": 3}}, "evaluation"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_trained(own: Any, given: Any, told: str) -> None:
    raw = {**raw_parameters(own), "pipeline": "own_search", **given}
    with pytest.raises(ParameterError, match=told):
        resolve_parameters(raw)


def test_no_entry_of_the_users_catalog_is_written_over(own: Any) -> None:
    (own / "precious.txt").write_text("precious")
    entry = "evaluate: {type: text.TextDataset, filepath: precious.txt}\n"
    (own / "conf" / "local" / "catalog_mine.yml").write_text(entry)
    with pytest.raises(ParameterError, match="'evaluate'"):
        run(own, pipeline="own_methods", settings=METHODS, run_id="m")
    assert (own / "precious.txt").read_text() == "precious"
    assert not journal_of(own, "m").exists()


def test_datasets_may_be_those_of_a_factory_in_the_catalog() -> None:
    table = {"type": "pandas.CSVDataset", "filepath": "{name}.csv", "credentials": "missing"}
    (dataset,) = Widths.datasets
    assert catalog_names(Widths(), {f"{dataset[:2]}{{name}}": table}) == (dataset,)
    assert catalog_names(Widths(), {"x{name}": table, "{default}": table}) == ()


def test_a_bound_on_what_is_not_measured_is_refused(own: Any) -> None:
    objective = {"name": "constrained", "constraints": ["costs <= 3"]}
    with pytest.raises(ParameterError, match="cost") as caught:
        own_run(own, run_id="b", objective=objective)
    assert caught.value.data["suggestion"] == "cost"
    assert not journal_of(own, "b").exists()


def test_a_dataset_that_is_not_there_is_told_by_the_catalog(own: Any) -> None:
    path = own / "conf" / "base" / "catalog_signals.yml"
    path.write_text(path.read_text().replace("signals:", "signal:"))
    with pytest.raises(ParameterError, match="catalog_") as caught:
        own_run(own, run_id="d")
    assert caught.value.data["missing"] == ["signals"]
    assert caught.value.data["suggestion"] == "signal"
    assert "data=" not in caught.value.message
    assert not (own / "data" / "08_reporting" / "d").exists()


def test_problems_settings_and_evaluation_come_from_the_command_line(own: Any) -> None:
    raw = raw_parameters(own)
    given: dict[str, Any] = {"pipeline": "own_search", "problem": {"size": 3}}
    search = resolve_parameters({**raw, "pipeline": "own_search", "problem": NAME})["search"]
    assert search["dataset"] == "Widths"
    assert search["confirm"] == {"best": 3, "seeds": 2}  # of the section, which budget is for
    assert raw["own_search"]["problem"] == "mnist1d"
    with pytest.raises(ParameterError, match="size"):  # of the problem that the section names
        resolve_parameters({**raw, **given})
    rungs = {"name": "multi_fidelity", "rungs": "[3,9,27]"}
    given = {**raw, "pipeline": "own_search", "problem": NAME, "objective": rungs, "budget": 540}
    search = resolve_parameters(given)["search"]
    assert search["objective"]["rungs"] == [3, 9, 27]
    assert search["objective"]["continues"]
    assert search["preset"] == preset_for(Widths.space, "multi_fidelity")
    resolved = resolve_parameters(
        {**raw, "pipeline": "own_search", "problem": NAME, "evaluation": {"timeout": 3}}
    )
    assert resolved["run"]["evaluation"]["executor"] == "processes"
    assert resolved["run"]["evaluation"]["timeout"] == 3


def test_a_diagnosis_judges_by_the_runs_own_trials(
    finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose, "png", lambda figure, colours: b"")
    result = command(
        finished, "run", "--pipeline=own_diagnose", "--params=run=reference,tracking=off"
    )
    assert result.exit_code == 0, result.output
    assert "ranks the latest queries" in result.output
    folder = finished / "data" / "08_reporting" / "reference" / "diagnose"
    steps = pd.read_csv(folder / "steps.csv")
    assert steps["probe_kendall_tau"].isna().all()
    assert len(steps) == STEPS
    page = (folder / "diagnosis.html").read_text(encoding="utf-8")
    assert "The trials of the run" in page
    assert not [word for word in ("enchmark", "source custom") if word in page]


def test_a_crate_has_the_journal_and_repeats_the_search_with_its_answers(
    finished: Any, tmp_path: Path
) -> None:
    crate = tmp_path / "crate"
    result = command(finished, "export", "reference", "--out", str(crate))
    assert result.exit_code == 0, result.output
    found = {check.name: check.state for check in verify_crate(crate)}
    assert found["journal"] == found["archive"] == OK
    assert FAILED not in found.values()
    for folder in (finished / "data").glob("0*_*/reference"):
        shutil.rmtree(folder)
    result = command(finished, "audit", str(crate))
    assert result.exit_code == 0, result.output
    journal = next(crate.rglob("journal.jsonl"))
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:3], *lines[4:]]))
    assert {check.name: check.state for check in verify_crate(crate)}["journal"] == FAILED
