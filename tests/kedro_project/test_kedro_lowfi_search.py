"""The search with two fidelities as a Kedro pipeline: ledger, report, store, audit, resume."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro_runs import (
    Killed,
    artifact,
    assert_history,
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
    tree,
    without_pictures,
)

from ingested import Ingested
from optiproxy_nas import search

pytestmark = pytest.mark.skipif(
    not os.environ.get("OPTIPROXY_DATA_DIR"),
    reason="OPTIPROXY_DATA_DIR is not set: no accuracies after 12 epochs here",
)

PICTURES = ("fidelities", "epochs_by_step")  # those of the two fidelities
LOW, FULL, STEP = 12, 200, 224
BUDGET, INITIAL, LOW_FIRST = 1500, 20, 40
STEPS = 6  # ceil((1500 - 240 - 11) / 224)
SETTINGS: dict[str, Any] = {
    "budget": BUDGET,
    "initial_samples": INITIAL,
    "gradient": {"epochs": 5},
    "fit": {"epochs": 5, "first_epochs": 10},
}
ARGUMENT = (
    f"budget={BUDGET},initial_samples={INITIAL},objective.low_first={LOW_FIRST},"
    "gradient.epochs=5,fit.epochs=5,fit.first_epochs=10"
)


def lowfi_run(project: Path, how: Any = run, **params: Any) -> Any:
    objective = {"low_first": LOW_FIRST}
    return how(project, pipeline="lowfi_search", settings=SETTINGS, objective=objective, **params)


@pytest.fixture(scope="session")
def lowfi_template(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path, ingested: Ingested
) -> Any:
    """A project with one finished run "reference" from the command line: tracked, with pictures."""
    project = copy_project(tmp_path_factory.mktemp("lowfi") / "project")
    ingested.put(project, "v1_0+schedule12")
    shutil.copy(empty_store, project / "mlflow.db")
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(project, monkeypatch)
        without_pictures(monkeypatch, *PICTURES)
        result = command(
            project, "run", "--pipeline=lowfi_search", f"--params=run_id=reference,{ARGUMENT}"
        )
    assert result.exit_code == 0, result.output
    return project


@pytest.fixture
def lowfi(lowfi_template: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A copy of it, to run in."""
    project = tmp_path / "project"
    shutil.copytree(lowfi_template, project)
    return enter(project, monkeypatch)


@pytest.fixture
def table(lowfi_template: Any) -> Any:
    return pd.read_parquet(artifact(lowfi_template, "reference", f"step_{STEPS:02d}.archive"))


@pytest.fixture
def summary(lowfi_template: Any) -> Any:
    return json.loads(artifact(lowfi_template, "reference", "report.summary").read_text())


def test_the_ledger(lowfi_template: Any, table: Any) -> None:
    parameters = manifest(lowfi_template, "reference")["parameters"]
    assert parameters["preset"] == "low_fidelity"
    assert parameters["source"] == "v1_0+schedule12"
    full = table["epochs"] == FULL
    assert set(table["epochs"]) == set(table["cost"]) == {LOW, FULL}
    assert (table["cost"] == table["epochs"]).all()  # the schedule of 12 epochs is its own
    spent = table["cost"].cumsum()
    assert BUDGET - LOW < spent.iloc[-1] <= BUDGET
    for step, told in spent.groupby(table["step"]):
        assert told.iloc[-1] <= INITIAL * LOW + step * STEP
    assert not table.duplicated(["architecture", "epochs"]).any()
    # Promotions begin when there are enough cells, and are of cells that were trained briefly.
    assert full.sum() >= 3
    assert (~full)[: full.idxmax()].sum() >= LOW_FIRST
    assert (table["step"][full].diff().dropna() == 1).all()  # one in each step from then on
    known: set[Any] = set()
    for _, batch in table.groupby("step"):
        assert set(batch["architecture"][full]) <= known
        known |= set(batch["architecture"][~full])
    assert table["best"].equals(table["value"].where(full).cummax().ffill())


def test_the_summary(table: Any, summary: Any) -> None:
    full = table["epochs"] == FULL
    assert summary["spent_epochs"] == table["cost"].sum()
    assert summary["low_queries"] == (~full).sum()
    assert summary["full_queries"] == full.sum()
    assert summary["queries"] == len(table)
    best = table.loc[table["value"].where(full).idxmax()]
    assert summary["best_architecture"] == best["architecture"]
    assert summary["validation_accuracy"] == best["value"] == table["best"].iloc[-1]
    assert summary["queries_to_best"] == best["order"] + 1
    assert summary["regret"] == pytest.approx(summary["optimum"] - best["value"])
    assert summary["optimum"] == pytest.approx(91.61, abs=0.005)  # of the table, by hand


def test_the_page_and_its_pictures(lowfi_template: Any, summary: Any) -> None:
    for name in PICTURES:
        picture = artifact(lowfi_template, "reference", f"report.{name}").read_bytes()
        assert picture.startswith(b"\x89PNG")
    page = artifact(lowfi_template, "reference", "report.page").read_text()
    assert page.count("data:image/png;base64,") >= len(PICTURES)
    assert summary["best_architecture"] in page
    for title in ("Low against full fidelity", "What each step was spent on"):
        assert title in page


def test_mlflow_holds_epochs_by_query_and_promotions_by_step(
    lowfi_template: Any, table: Any
) -> None:
    client, found = mlflow_run(lowfi_template, "reference", experiment="lowfi_search")
    told = pd.read_csv(artifact(lowfi_template, "reference", "report.diagnostics"))
    full = table["epochs"] == FULL
    assert len(told) == STEPS
    by_step = full.groupby(table["step"]).sum().loc[1:]
    assert told["promoted"].tolist() == by_step.tolist()
    for name in ("promoted", "spent_epochs", "spent"):
        assert_history(client, found.info.run_id, f"step/{name}", told[name])
    assert_history(client, found.info.run_id, "spent_epochs", table["cost"].cumsum())
    assert_history(client, found.info.run_id, "epochs", table["epochs"])
    known = told.dropna(subset="fidelity_spearman")
    assert len(known)
    noted: list[Any] = history(client, found.info.run_id, "step/fidelity_spearman")
    assert noted == [
        (step, pytest.approx(value))
        for step, value in zip(known["step"], known["fidelity_spearman"], strict=True)
    ]
    metrics = found.data.metrics
    assert metrics["final/spent_epochs"] == table["cost"].sum()
    assert metrics["final/full_queries"] == full.sum()
    assert metrics["final/low_queries"] == (~full).sum()
    assert metrics["final/validation_accuracy"] == table["value"][full].max()


def test_the_pipeline_is_the_plain_search_byte_for_byte(
    lowfi_template: Any, tmp_path: Path
) -> None:
    objective = {"name": "multi_fidelity", "low_first": LOW_FIRST}
    plain = search(
        source="v1_0+schedule12", preset="low_fidelity", objective=objective, **SETTINGS
    ).archive
    plain.to_parquet(tmp_path / "archive.parquet")
    stored = artifact(lowfi_template, "reference", f"step_{STEPS:02d}.archive")
    pd.testing.assert_frame_equal(pd.read_parquet(stored), plain, check_exact=True)
    assert stored.read_bytes() == (tmp_path / "archive.parquet").read_bytes()


def test_the_audit_passes(lowfi: Any, table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    without_pictures(monkeypatch, *PICTURES)
    result = command(lowfi, "audit", "reference")
    assert result.exit_code == 0, result.output
    assert f"AUDIT PASSED: {len(table)} archive rows" in result.output


def test_resume_after_a_kill_ends_as_the_run_that_never_stopped(
    lowfi: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut off after some promotions, before others."""
    without_pictures(monkeypatch)
    with monkeypatch.context() as patch:
        die_at(patch, "step_04.evaluate")
        with pytest.raises(Killed):
            lowfi_run(lowfi, run_id="r")
    before = {name: facts for name, facts in tree(lowfi).items() if "/r/" in name}
    lowfi_run(lowfi, resume, run_id="r")
    assert search_digests(lowfi, "r") == search_digests(lowfi, "reference")
    after = tree(lowfi)
    kept = {name for name in before if Path(name).suffix in (".parquet", ".safetensors")}
    assert len(kept) > 16
    assert all(after[name] == before[name] for name in kept)
