"""A source whose values a model gives, in nats, from the search to every page that shows them.

Nothing can be enumerated, so there is no optimum and no regret; no page may speak of either.
"""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro_runs import (
    TINY,
    command,
    copy_project,
    enter,
    manifest,
    mlflow_run,
    run,
    tree,
    without_pictures,
)
from model_source import CAUTION, FILE, KNOWN, TARGET

from coarse import coarse_pictures
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.pipelines import diagnose
from optiproxy_nas.report.compare import compare, comparison_page
from optiproxy_nas.runs.datasets.mlflow_runs import MlflowRuns
from optiproxy_nas.spaces import get_space
from optiproxy_nas.sweeps import run_sweep

SOURCE = "model_source:SOURCE"
PAGES = Path("data") / "08_reporting"
MODEL = Path("data") / "03_primary" / "nb201" / f"{SOURCE}.model"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Any:
    """A project with a tracked search, its diagnosis and a sweep."""
    folder = tmp_path_factory.mktemp("model")
    project = copy_project(folder / "project")
    (folder / "own" / "nb201").mkdir(parents=True)
    (folder / "own" / "nb201" / FILE).write_text("[0.0, 0.5, 1.5, 2.0, 0.25]")
    shutil.copy(empty_store, project / "mlflow.db")
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(project, monkeypatch)
        monkeypatch.setenv("OPTIPROXY_DATA_DIR", str(folder / "own"))
        without_pictures(monkeypatch, "best_so_far")
        coarse_pictures(monkeypatch, diagnose)
        run(project, run_id="r", source=SOURCE, tracking=True)
        told = command(project, "run", "--pipeline=nb201_diagnose", "--params=run=r,probe=60")
        assert told.exit_code == 0, told.output
        grid = [{"source": SOURCE, "method": "random_search", "seed": "0:2", "budget": 12}]
        run_sweep(project, grid, name="short", executor="serial", progress=False)
    return project, told.output


@pytest.fixture
def project(made: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    return enter(made[0], monkeypatch)


def says_nothing_of_an_optimum(text: str) -> bool:
    told = text.lower()
    return "optimum of the table" not in told and "table's optimum" not in told


def test_the_run_tells_value_unit_and_caution(project: Any) -> None:
    summary = manifest(project, "r")["result"]
    assert summary["target"] == TARGET
    assert summary[TARGET] < 0
    assert summary["optimum"] is None
    assert summary["regret"] is None
    page = html.unescape((project / PAGES / "r" / "report.html").read_text())
    assert f"{summary[TARGET]:.2f} nats negative test loss" in page
    assert CAUTION in page
    assert "Value (nats)" in page
    assert "Validation accuracy" not in page
    assert says_nothing_of_an_optimum(page)


def test_the_store_is_told_the_target_by_its_name(project: Any) -> None:
    _, found = mlflow_run(project, "r")
    assert found.data.tags["target"] == TARGET
    summary = manifest(project, "r")["result"]
    assert found.data.metrics[f"final/{TARGET}"] == pytest.approx(summary[TARGET])
    assert found.data.metrics[f"best_{TARGET}"] == pytest.approx(summary[TARGET])
    assert not {"regret", "final/regret", "final/optimum"} & found.data.metrics.keys()
    assert not any("validation_accuracy" in name for name in found.data.metrics)


def test_the_diagnosis_draws_its_cells_from_the_space(made: Any) -> None:
    project, told = made
    folder = project / PAGES / "r" / "diagnose"
    numbers = json.loads((folder / "numbers.json").read_text())
    assert numbers["optimum"] is None
    assert numbers["regret"] is None
    assert numbers["cells"].endswith("random architectures of the space, as there is no table of "
                                     "all, with those queried,")  # fmt: skip
    assert 55 < numbers["probe_cells"] <= 60
    assert numbers["prediction_difference"] < 1e-3
    page = html.unescape((folder / "diagnosis.html").read_text())
    for text in (told, page):
        assert " nats below the best of them" in text
        assert CAUTION in text
        assert says_nothing_of_an_optimum(text)
    assert "random architectures of the space" in page
    assert "negative test loss (nats)" in page
    assert "Validation accuracy" not in page


def test_the_model_must_be_the_one_that_answered(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    shutil.copytree(made[0], project)
    enter(project, monkeypatch)
    diagnose = ("run", "--pipeline=nb201_diagnose", "--params=run=r,tracking=off")
    (project / MODEL).write_bytes(b"[0, 0, 0, 0, 0]")
    told = command(project, *diagnose)
    assert told.exit_code == 1
    assert "is the one" not in told.output
    assert f"The model of source '{SOURCE}' has SHA-256" in told.output
    (project / MODEL).unlink()
    told = command(project, *diagnose)
    assert "is missing; run 'r' was answered by" in told.output
    assert f"--params=source={SOURCE}" in told.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", f"--params=run_id=s,tracking=off,source={SOURCE}"),
        ("sweep", f"source={SOURCE}", "seed=0:2", "--executor=serial", "--no-tracking"),
    ],
)
def test_a_model_that_cannot_be_used_is_told_before_the_run(
    project: Any, arguments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an optional package is missing: the message alone, and nothing is left."""

    def missing(_: Any) -> None:
        raise DataError("This model needs a package, which cannot be imported.")

    monkeypatch.setattr("model_source.predict", missing)
    before = tree(project)
    told = command(project, *arguments)
    assert told.exit_code == 1
    assert "needs a package" in told.output
    assert "0/" not in told.output  # no progress bar
    assert tree(project).keys() == before.keys()


def test_a_sweep_leaves_what_nobody_knows_empty_and_tells_the_caution(project: Any) -> None:
    runs = pd.read_parquet(project / PAGES / "sweeps" / "short" / "runs.parquet")
    assert (runs["value"] < 0).all()
    assert runs[["optimum", "regret", "test_accuracy"]].isna().all(axis=None)
    grid = [f"source={SOURCE}", "method=random_search", "seed=0:2", "budget=12"]
    told = command(project, "sweep", *grid, "--executor", "serial", "--no-tracking")
    assert told.exit_code == 0, told.output
    assert told.output.count(f"Note: {CAUTION}") == 1


@pytest.mark.parametrize("selection", [{"runs": ["r"]}, {"sweep": "short"}])
def test_a_comparison_has_the_best_known_value_in_nats(project: Any, selection: Any) -> None:
    found = compare(MlflowRuns(selection, str(project)).load())
    (panel,) = found.panels
    assert panel.metric == TARGET
    value, is_optimum = panel.target
    assert not is_optimum
    assert value == max(run.answer for run in panel.runs)
    page = html.unescape(comparison_page(found, get_space("nb201")))
    assert page.count(f'<p class="caution">{CAUTION}</p>') == 1
    assert "Values: negative test loss (nats)" in page
    assert "the best value that any run found is −" in page
    assert "Negative test loss (nats)" in page
    assert "alidation accuracy" not in page
    assert "Below the best known" in page
    assert "Regret" not in page
    assert says_nothing_of_an_optimum(page)


def test_the_table_holds_the_reference_values_only(project: Any) -> None:
    card = json.loads((project / MODEL.with_suffix(".json")).read_text())
    assert card["model"] == {"operations": 5}
    assert len(pd.read_parquet(project / MODEL.with_suffix(".parquet"))) == KNOWN
    assert TINY["budget"] > KNOWN
