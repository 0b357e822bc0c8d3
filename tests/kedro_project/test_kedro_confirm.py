"""The stage that confirms the best of a run: charged, kept apart, resumed, audited, shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro_runs import (
    TINY,
    archive,
    artifact,
    catalog_patterns,
    command,
    copy_project,
    die_at,
    enter,
    manifest,
    resume,
    run,
    search_digests,
    without_pictures,
)
from kedro_runs import Killed as KilledNode
from tiny_problem import NAME, Killed, trainings, with_data

from optiproxy_nas import read_journal, search
from optiproxy_nas.core.errors import BudgetError, JournalError, ParameterError, ResumeError
from optiproxy_nas.report import terminal_summary
from optiproxy_nas.runs.metrics import final_metrics

PROBLEM = {"name": NAME, "noise": 20.0}
CONFIRM = {"best": 2, "seeds": 2}
SETTINGS: dict[str, Any] = {
    **TINY,
    "budget": TINY["budget"] + 4,
    "problem": PROBLEM,
    "confirm": CONFIRM,
    "evaluation": {"executor": "serial"},
}


def run_it(project: Path, **params: Any) -> dict[str, Any]:
    return run(project, pipeline="own_search", settings=SETTINGS, **params)


def go_on(project: Path, **params: Any) -> dict[str, Any]:
    return resume(project, pipeline="own_search", settings=SETTINGS, **params)


@pytest.fixture(scope="session")
def confirmed_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished run, "reference", that confirmed its best."""
    project = with_data(copy_project(tmp_path_factory.mktemp("confirmed") / "project"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(project, monkeypatch)
        without_pictures(monkeypatch)
        run_it(project, run_id="reference")
    return project


@pytest.fixture
def confirmed(confirmed_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project = tmp_path / "project"
    shutil.copytree(confirmed_template, project)
    without_pictures(monkeypatch)
    return enter(project, monkeypatch)


def table(project: Path, name: str, run_id: str = "reference") -> pd.DataFrame:
    return pd.read_parquet(artifact(project, run_id, name))


def test_a_run_confirms_what_the_same_search_in_python_does(confirmed: Path) -> None:
    data = {"signals": pd.read_csv(confirmed / "data" / "01_raw" / "signals.csv")}
    python = {name: it for name, it in SETTINGS.items() if name != "evaluation"}
    found = search(data=data, export=confirmed / "model", **python)
    pd.testing.assert_frame_equal(found.archive, archive(confirmed, "reference"))
    pd.testing.assert_frame_equal(found.confirmations, table(confirmed, "confirm.evaluations"))
    summary = manifest(confirmed, "reference")["result"]
    assert summary["best_architecture"] == found.best.text
    assert summary["score [%]"] == summary["confirmed_value"] == found.best_value
    assert summary["confirmed_sd"] == found.confirmed["sd"]
    assert summary["single_value"] == found.best.value
    assert summary["confirmations"] == 2
    assert [it["trial"] for it in summary["candidates"]] == found.confirmation["trial"].tolist()
    assert summary["metrics"] == pytest.approx(
        {name: found.answer_metrics[name] for name in ("cost", "odd size [MB]")}
    )
    folder = found.answer_training.request.folder
    assert summary["answer_folder"].endswith(f"/trials/{folder}")
    assert (confirmed / summary["answer_folder"] / "tested.txt").exists()
    assert summary["kept_back"] == 4
    assert summary["queries"] + summary.get("failed_trials", 0) == TINY["budget"]
    assert summary["trainings"] == trainings(confirmed, "reference") == SETTINGS["budget"]
    of_run = exported(artifact(confirmed, "reference", "report.model/model.json"))
    assert of_run == exported(confirmed / "model" / "model.json")
    assert of_run["confirmed"]["single"] == summary["single_value"]


def exported(path: Path) -> dict[str, Any]:
    """Return what an exported answer says of itself, but for its run."""
    facts: dict[str, Any] = json.loads(path.read_text())
    del facts["digest"], facts["search"]["run_id"]
    return facts


def test_confirmations_are_told_from_the_archive(confirmed: Path) -> None:
    whole, searched = table(confirmed, "confirm.archive"), archive(confirmed, "reference")
    pd.testing.assert_frame_equal(
        whole[whole["repeat"] == 0].drop(columns="repeat"), searched, check_like=True
    )
    again = whole[whole["repeat"] > 0]
    assert sorted(again["repeat"]) == [1, 1, 2, 2]
    assert again["best"].isna().all()
    artifacts = manifest(confirmed, "reference")["artifacts"]
    assert {"confirm.evaluations", "confirm.archive"} <= artifacts.keys()


def test_page_terminal_and_store_say_mean_spread_and_single_value(confirmed: Path) -> None:
    summary = manifest(confirmed, "reference")["result"]
    page = artifact(confirmed, "reference", "report.page").read_text(encoding="utf-8")
    words = artifact(confirmed, "reference", "report.markdown").read_text(encoding="utf-8")
    for text in (page, words):
        assert "mean of 2 confirmations, sd" in text
        assert "Confirmed" in text
    assert page.partition("<h2>Confirmed</h2>")[2].partition("</table>")[0].count("<tr>") == 3
    assert "confirmation 2" in page
    assert "mean of 2 confirmations, sd" in terminal_summary(summary)
    metrics = final_metrics(summary)
    for name in ("confirmed_value", "confirmed_sd", "single_value"):
        assert metrics[f"final/{name}"] == summary[name]
    patterns = catalog_patterns()
    for name in ("confirm.evaluations", "confirm.archive"):
        assert patterns[name]["metadata"] == {"mlflow": True}
        assert patterns[name]["versioned"]


def test_an_audit_answers_from_the_journal(confirmed: Path) -> None:
    before = trainings(confirmed, "reference")
    result = command(confirmed, "audit", "reference")
    assert "AUDIT PASSED" in result.output
    assert trainings(confirmed, "reference") == before
    retrained = command(confirmed, "audit", "reference", "--retrain=99")
    assert "by 0 at most; 0 failed" in retrained.output


@pytest.mark.parametrize("node", ["confirm.retrain", "report.summarise"])
def test_a_process_that_ends_around_the_stage_goes_on(
    confirmed_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: str
) -> None:
    without_pictures(monkeypatch)
    project = enter(with_data(copy_project(tmp_path / "project")), monkeypatch)
    with monkeypatch.context() as patch:
        die_at(patch, node)
        with pytest.raises(KilledNode):
            run_it(project, run_id="reference")
    go_on(project, run_id="reference")
    assert trainings(project, "reference") == SETTINGS["budget"]
    assert search_digests_equal(project, confirmed_template)


def search_digests_equal(project: Path, other: Path) -> bool:
    """Return whether all artifacts are equal but the journal and the report, which have times."""
    found, expected = (search_digests(it, "reference") for it in (project, other))
    return {**found, "journal": ""} == {**expected, "journal": ""}


def test_a_process_that_ends_in_a_confirmation_trains_nothing_twice(
    confirmed_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pictures(monkeypatch)
    project = enter(with_data(copy_project(tmp_path / "project")), monkeypatch)
    number = table(confirmed_template, "confirm.evaluations")["number"].iloc[0]
    problem = {**PROBLEM, "dies_at": int(number)}
    for attempt in range(3):  # in the search, and in both confirmations
        with pytest.raises(Killed):
            (go_on if attempt else run_it)(project, run_id="reference", problem=problem)
    go_on(project, run_id="reference", problem=problem)
    assert trainings(project, "reference") == SETTINGS["budget"] + 3
    journal = project / "data" / "07_model_output" / "reference" / "journal.jsonl"
    assert len(read_journal(journal)) == SETTINGS["budget"]
    assert search_digests_equal(project, confirmed_template)


def test_a_journal_without_the_confirmations_is_refused(confirmed: Path) -> None:
    journal = confirmed / "data" / "07_model_output" / "reference" / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    (confirmed / "data" / "08_reporting" / "reference" / "summary.json").unlink()
    with pytest.raises(JournalError):
        go_on(confirmed, run_id="reference")


def test_any_method_confirms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = enter(with_data(copy_project(tmp_path / "project")), monkeypatch)
    settings = {**SETTINGS, "method": "random_search", "budget": 12}
    for name in ("initial_samples", "selection", "gradient", "fit"):
        del settings[name]
    done = run(project, pipeline="own_methods", settings=settings, run_id="m")
    assert done["result"]["confirmations"] == 2
    assert len(table(project, "result.archive", "m")) <= 8
    assert len(table(project, "confirm.evaluations", "m")) == 4
    assert "AUDIT PASSED" in command(project, "audit", "m").output
    with pytest.raises(ResumeError):
        resume(project, pipeline="own_methods", settings={**settings, "confirm": None}, run_id="m")


def test_what_cannot_be_confirmed_leaves_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = enter(with_data(copy_project(tmp_path / "project")), monkeypatch)
    with pytest.raises(ParameterError):
        run(project, run_id="b", confirm=CONFIRM)
    with pytest.raises(BudgetError):
        run_it(project, run_id="b", budget=8)
    assert not (project / "data" / "08_reporting" / "b").exists()
