"""Runs that earlier runs guide: by every name of prior=, resumed, audited, refused."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io.core import DatasetError
from kedro_runs import (
    TINY,
    Killed,
    archive,
    artifact,
    command,
    die_at,
    manifest,
    mlflow_run,
    resume,
    run,
    without_pictures,
)

from optiproxy_nas import search
from optiproxy_nas.core.errors import OptiProxyError, ParameterError, ResumeError
from optiproxy_nas.pipelines import prior
from optiproxy_nas.report.terminal import terminal_summary
from optiproxy_nas.sweeps import run_sweep

GUIDED = {**TINY, "dataset": "cifar100", "prior": "earlier"}


@pytest.fixture
def with_earlier(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project with an MLflow store and a finished run "earlier" on CIFAR-10."""
    without_pictures(monkeypatch, "prior_trust")
    run(tracked, run_id="earlier", settings=TINY, tracking=True)
    return tracked


def test_a_run_learns_from_another_and_is_resumed_and_audited(
    with_earlier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = with_earlier
    before = search(**TINY)
    expected: Any = search("cifar100", prior=before, **TINY)
    with monkeypatch.context() as patch:
        die_at(patch, "step_01.select")
        with pytest.raises(Killed):
            run(project, run_id="r", settings=GUIDED, tracking=True)
    shutil.rmtree(project / "data" / "08_reporting" / "earlier")  # its trials were copied
    made = resume(project, run_id="r", settings=GUIDED, tracking=True)
    pd.testing.assert_frame_equal(archive(project, "r"), expected.archive)
    facts = made["data"]["prior"]["earlier"]
    assert facts["trials"] == TINY["budget"]
    assert facts["sha256"][:12] in expected.parameters.prior[0]
    assert made["artifacts"]["prior.trials"]["sha256"]

    summary = json.loads(artifact(project, "r", "report.summary").read_text(encoding="utf-8"))
    assert summary["earlier_trials"] == TINY["budget"]
    assert summary["prior_trust"] == expected.diagnostics["prior_trust"].iloc[-1]
    assert "earlier (16 trials, trust" in terminal_summary(summary)
    page = artifact(project, "r", "report.page").read_text(encoding="utf-8")
    assert "Learned from" in page
    assert "Trust in earlier runs" in page
    _, stored = mlflow_run(project, "r")
    assert stored.data.metrics["step/prior_trust"] == summary["prior_trust"]
    assert command(project, "audit", "r").exit_code == 0

    trials = project / made["artifacts"]["prior.trials"]["path"]
    edited = pd.read_parquet(trials)
    edited.assign(value=edited["value"] + 1).to_parquet(trials)
    assert command(project, "audit", "r").exit_code != 0
    with pytest.raises(DatasetError, match="edited or damaged"):
        resume(project, run_id="r", settings=GUIDED, tracking=True)


def test_names_of_files_stores_and_scores(with_earlier: Any, tmp_path: Path) -> None:
    project = with_earlier
    table = tmp_path / "trials.csv"
    archive(project, "earlier").to_csv(table)
    names = f"earlier;experiment:nb201_search;{table};flops"
    made = run(project, run_id="r", settings={**GUIDED, "prior": names})
    facts = made["data"]["prior"]
    assert list(facts) == ["earlier", "flops"]  # the same trials count once
    assert facts["flops"]["kind"] == "score"
    with pytest.raises(ResumeError, match="prior"):
        resume(project, run_id="r", settings={**GUIDED, "prior": "earlier"})


def test_methods_and_unfinished_runs(with_earlier: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    project = with_earlier
    with monkeypatch.context() as patch:
        die_at(patch, "step_02.select")
        with pytest.raises(Killed):
            run(project, run_id="dead", settings=TINY)
    settings = {**GUIDED, "prior": "dead"}
    made = run(project, run_id="r", pipeline="nb201_methods", settings=settings)
    assert made["data"]["prior"]["dead"]["trials"] == 11  # the first six, and one step
    assert made["result"]["earlier_trials"] == 11
    assert command(project, "audit", "r").exit_code == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (";", "'prior' = ';': names no earlier run"),
        ("", "names no earlier run"),
        ([], "names no earlier run"),
        ("r", "cannot learn from itself"),
        ("nobody", "no run or file of this project has this name. There is no MLflow store"),
        ("experiment:nothing", "prior = experiment:nothing: There is no MLflow store"),
        ("missing/file.csv", "there is no such file"),
    ],
)
def test_what_cannot_be_learnt_from_leaves_no_run(project: Path, name: str, text: str) -> None:
    with pytest.raises(OptiProxyError, match=text):
        run(project, run_id="r", settings={**GUIDED, "prior": name})
    assert not (project / "data" / "08_reporting" / "r" / "manifest.json").exists()


def test_a_sweep_learns_from_what_there_was_before_it(with_earlier: Any) -> None:
    block: dict[str, Any] = {
        **TINY,
        "dataset": "cifar100",
        "seed": "0:2",
        "prior": "experiment:nb201_search",
    }
    options: dict[str, Any] = {
        "executor": "serial",
        "tracking": False,
        "progress": False,
        "name": "s",
    }
    outcome = run_sweep(with_earlier, [block], **options)
    assert (outcome.done, outcome.failed) == (2, [])
    expected = search("cifar100", prior=archive(with_earlier, "earlier"), seed=1, **TINY)
    values: Any = outcome.results.set_index("run_id").loc[outcome.points[1].run_id, "value"]
    assert values.tolist() == expected.archive["value"].tolist()
    assert [point.parameters["prior"] for point in outcome.points] == [["earlier"]] * 2
    assert run_sweep(with_earlier, [block], **options).skipped == 2
    with pytest.raises(ParameterError, match="did you mean 'earlier'"):
        run_sweep(with_earlier, [{**block, "prior": "earlyer"}], **{**options, "name": "t"})
    with pytest.raises(ParameterError, match="names no earlier run"):
        run_sweep(with_earlier, [{**block, "prior": ";"}], **{**options, "name": "t"})


def test_of_many_runs_of_a_store_the_last_are_read(
    with_earlier: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(with_earlier, run_id="later", settings={**TINY, "seed": 1}, tracking=True)
    monkeypatch.setattr(prior, "MOST", 1)
    with caplog.at_level(logging.WARNING):
        names = prior.with_run_ids(with_earlier, ["experiment:nb201_search", "flops"])
    assert names == ["later", "flops"]
    assert "of 2 runs the last 1 are used" in caplog.text


def test_a_baseline_refuses_it(project: Path) -> None:
    with pytest.raises(ParameterError, match="is of method 'optiproxy'"):
        run(
            project,
            run_id="r",
            pipeline="nb201_methods",
            settings={"method": "random_search", "budget": 16, "prior": "earlier"},
        )


def test_manifests_of_other_runs_say_nothing_of_it(with_earlier: Any) -> None:
    record = manifest(with_earlier, "earlier")
    assert "prior" not in record["parameters"]
    assert "prior" not in record["data"]
