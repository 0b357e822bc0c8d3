"""``kedro run --pipeline=compare``: what it reads back from MLflow, writes and refuses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.io import DatasetError
from kedro_runs import TINY, command, copy_project, enter, partial_files, run, without_pictures

from coarse import coarse_pictures
from optiproxy_nas.core.errors import ArtifactError, OptiProxyError, ParameterError, TrackingError
from optiproxy_nas.pipelines import compare as nodes
from optiproxy_nas.pipelines.compare import items, resolve
from optiproxy_nas.report import curve_values
from optiproxy_nas.report.compare import compare, comparison_html
from optiproxy_nas.runs.datasets.mlflow_runs import MlflowRuns
from optiproxy_nas.sweeps import run_sweep

METHODS = ("random_search", "local_search")


def make(project: Path, pipeline: str, **params: Any) -> None:
    """One tracked run."""
    params = {"pipeline": pipeline, "quiet": True, "tracking": True, **params}
    session: Any
    with KedroSession.create(project, runtime_params=params) as session:
        session.run(pipeline_names=[pipeline])


@pytest.fixture(scope="module")
def store(template: Path, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project with tracked runs: two methods, three seeds, a sweep, a search and a failure."""
    project = copy_project(tmp_path_factory.mktemp("compare") / "project")
    layer = Path("data") / "03_primary"
    shutil.copytree(template / layer, project / layer, dirs_exist_ok=True)
    shutil.copy(empty_store, project / "mlflow.db")
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(project, monkeypatch)
        without_pictures(monkeypatch)
        for method in METHODS:
            for seed in (1, 2):
                make(project, "nb201_methods", method=method, seed=seed, budget=12,
                     run_id=f"{method}-{seed}")  # fmt: skip
        run(project, run_id="search-1", seed=1, tracking=True)
        for seeds, name in (("1:3", "short"), ("1:4", "long")):
            grid = [
                {"pipeline": "nb201_methods", "method": METHODS[0], "seed": seeds, "budget": 12}
            ]
            run_sweep(project, grid, name=name, executor="serial", progress=False)
        client = MlflowRuns({}, str(project))._tracker.client
        experiment = client.get_experiment_by_name("nb201_methods").experiment_id
        client.create_run(experiment, run_name="still-running", tags={"run_id": "still-running"})
        empty = client.create_run(experiment, run_name="empty", tags={"run_id": "empty"})
        client.set_terminated(empty.info.run_id)
    return project


@pytest.fixture
def there(store: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The project of ``store``, which a test must not write runs into."""
    enter(store, monkeypatch)
    coarse_pictures(monkeypatch, comparison_html, curve_values, nodes)
    shutil.rmtree(store / "data" / "08_reporting" / "compare", ignore_errors=True)
    return store


def load(project: Path, **selection: Any) -> Any:
    """What the dataset gives; its own error if it refuses."""
    try:
        return MlflowRuns(selection, str(project)).load()
    except DatasetError as error:
        own = error.__cause__
        raise own if isinstance(own, OptiProxyError) else error from None


def written(project: Path) -> set[str]:
    folder = project / "data" / "08_reporting" / "compare"
    return {path.name for path in folder.glob("*") if path.suffix != ".sha256"}


def test_command_writes_one_page_and_its_pictures(there: Any) -> None:
    result = command(
        there, "run", "--pipeline=compare", "--params=experiment=nb201_methods,budgets=6;12"
    )
    assert result.exit_code == 0, result.output
    assert written(there) == {
        "nb201_methods.html",
        "nb201_methods_best_so_far.png",
        "nb201_methods_run_length.png",
        "nb201_methods_results.csv",
        "nb201_methods_paired.csv",
    }
    folder = there / "data" / "08_reporting" / "compare"
    page = (folder / "nb201_methods.html").read_text(encoding="utf-8")
    for expected in ("random_search", "local_search", "1 matching run has not finished"):
        assert expected in page
    assert "1 run left out, without an archive or a summary in the store: empty" in page
    results = pd.read_csv(folder / "nb201_methods_results.csv")
    assert sorted(set(results["budget"])) == [6, 12]
    assert (folder / "nb201_methods_best_so_far.png").read_bytes().startswith(b"\x89PNG")
    assert partial_files(there) == []


def test_comparison_is_no_run(there: Any) -> None:
    before = sorted(path.name for path in (there / "data" / "08_reporting").iterdir())
    command(there, "run", "--pipeline=compare", "--params=runs=search-1,name=mine")
    after = sorted(path.name for path in (there / "data" / "08_reporting").iterdir())
    assert after == sorted([*before, "compare"])
    assert "mine.html" in written(there)


def test_runs_are_read_as_they_were_made(there: Any) -> None:
    (found,) = load(there, runs=["search-1"]).runs
    stored = max((there / "data/07_model_output/search-1/step_02/archive.parquet").iterdir())
    archive = pd.read_parquet(stored / "archive.parquet")
    pd.testing.assert_frame_equal(found.archive, archive)
    assert found.budget == TINY["budget"]
    assert found.settings["gradient.epochs"] == "5"
    assert found.summary["optimum"] == pytest.approx(archive["value"].max(), abs=10)
    assert len(found.table) == 64
    by_reference = load(there, runs=[found.reference]).runs
    assert [run.run_id for run in by_reference] == ["search-1"]


def test_search_and_methods_are_compared(there: Any) -> None:
    found = load(there, runs=["search-1", "random_search-1", "random_search-2"])
    (panel,) = compare(found).panels
    assert [group.label for group in panel.groups] == ["optiproxy", "random_search"]
    assert [group.budget for group in panel.groups] == [TINY["budget"], 12]


def test_filter_and_experiment_together(there: Any) -> None:
    found = load(there, experiment="nb201_methods", filter="params.seed = '2'")
    assert {run.seed for run in found.runs} == {2}
    assert found.selection == "experiment nb201_methods, filter params.seed = '2'"


def test_short_runs_of_a_sweep_are_read_from_its_tables(there: Any) -> None:
    found = load(there, sweep="short")
    assert sorted(run.seed for run in found.runs) == [1, 2]
    for part in found.runs:
        (alone,) = load(there, runs=[f"random_search-{part.seed}"]).runs
        assert part.archive["value"].tolist() == alone.archive["value"].tolist()
        assert part.summary["optimum"] == pytest.approx(alone.summary["optimum"])


def test_points_that_a_sweep_found_finished_are_among_its_runs(there: Any) -> None:
    found = load(there, sweep="long")
    assert sorted(run.seed for run in found.runs) == [1, 2, 3]
    (panel,) = compare(found).panels
    assert len(panel.groups) == 1


@pytest.mark.parametrize(
    ("selection", "kind", "message"),
    [
        ({"experiment": "nb201_serch"}, ParameterError, "Did you mean 'nb201_search'"),
        ({"filter": "params.seed = '77'"}, ParameterError, "No finished run matches: filter"),
        ({"filter": "seed 1"}, ParameterError, "not one that MLflow can read"),
        ({"filter": "params.seed = 1"}, ParameterError, "quoted"),
        ({"runs": ["nowhere"]}, ParameterError, "Unknown run 'nowhere'.* search-1|latest"),
        ({"runs": ["o'clock"]}, ParameterError, 'Unknown run "o\'clock"'),
        ({"runs": ["still-running"]}, ParameterError, "1 that have not finished"),
        ({"runs": ["search-1", "empty"]}, ArtifactError, "'empty' has no archive"),
        ({"runs": ["short"]}, ParameterError, "^'short' is a sweep: use sweep=short.$"),
        ({"sweep": "shrt"}, ParameterError, "Did you mean 'short'.*Allowed: long, short"),
    ],
)
def test_refusals_say_what_there_is(there: Any, selection: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        load(there, **selection)


def test_missing_store_is_not_created(bare_project: Path) -> None:
    with pytest.raises(TrackingError, match="no run was tracked here yet"):
        load(bare_project, experiment="nb201_search")
    result = command(bare_project, "run", "--pipeline=compare", "--params=experiment=nb201_search")
    assert result.exit_code == 1
    assert "There is no MLflow store" in result.output
    assert not (bare_project / "mlflow.db").exists()


def test_another_store_is_read_from_where_it_is(
    there: Any, bare_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{there}/mlflow.db")
    assert [run.run_id for run in load(bare_project, runs=["search-1"]).runs] == ["search-1"]


def test_server_that_does_not_answer_is_told(
    bare_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match=r"http://127\.0\.0\.1:9 cannot be read"):
        load(bare_project, experiment="nb201_search")


def test_store_gone_midway_is_told_and_nothing_is_written(
    there: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("the server went away")

    monkeypatch.setattr(MlflowClient, "download_artifacts", fail)
    result = command(there, "run", "--pipeline=compare", "--params=experiment=nb201_methods")
    assert result.exit_code == 1
    assert "cannot be read: the server went away" in result.output
    assert written(there) == set()


def test_damaged_archive_is_named(there: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    real = MlflowClient.download_artifacts

    def damage(self: Any, run_id: str, path: str, folder: Any = None) -> str:
        local = Path(real(self, run_id, path, folder))
        if path != "archive.parquet":
            return str(local)
        copy = Path(folder) / "damaged.parquet"
        copy.write_bytes(local.read_bytes()[:100])
        return str(copy)

    monkeypatch.setattr(MlflowClient, "download_artifacts", damage)
    with pytest.raises(ArtifactError, match=r"archive\.parquet of MLflow run .* has SHA-256"):
        load(there, runs=["search-1"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "Which runs are to be compared"),
        ({"experiment": "a", "runs": "b"}, "cannot be added"),
        ({"experiment": "a", "budgets": "10;x"}, "'x' is no number of queries"),
        ({"experiment": "a", "budgets": [0]}, "0 is no number of queries"),
        ({"experiment": "a", "name": "../b"}, "names files"),
        ({"experiment": "a", "filter": {"x": "y"}}, "'filter' = "),
        ({"experiment": 7}, "'experiment' = 7"),
        ({"runs": [7]}, "'runs.0' = 7"),
        ({"experimnt": "a"}, "Did you mean 'experiment'"),
    ],
)
def test_parameters_are_checked(values: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        resolve(values, {})


def test_run_id_is_refused() -> None:
    with pytest.raises(ParameterError, match="no run_id"):
        resolve({"experiment": "a"}, {"run_id": "x"})


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"experiment": "nb201_search"}, "nb201_search"),
        ({"runs": "a"}, "a"),
        ({"runs": "a;b"}, "runs-3554d2b8"),
        ({"runs": "b;a"}, "runs-3554d2b8"),
        ({"experiment": "e", "filter": "params.seed = '0'"}, "e-params.seed-0"),
        ({"sweep": "s", "name": "mine"}, "mine"),
    ],
)
def test_pages_are_named_after_what_was_chosen(values: Any, name: str) -> None:
    run: dict[str, Any] = {}
    assert resolve(values, run)["compare"]["name"] == name == run["name"]


def test_sweep_may_come_among_the_parameters_of_the_run() -> None:
    run: dict[str, Any] = {"sweep": "mine"}
    resolve({"sweep": None}, run)
    assert run["selection"] == {"sweep": "mine"}


def test_long_names_are_cut_and_distinct() -> None:
    names = set()
    for last in ("x", "y"):
        run: dict[str, Any] = {}
        resolve({"filter": "params.seed = '0' AND " * 9 + last}, run)
        names.add(run["name"])
    assert len(names) == 2
    assert all(len(name) <= 80 for name in names)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ("a;b; c", ["a", "b", "c"]),
        (["a;b", "c"], ["a", "b", "c"]),
        (100, [100]),
        ([100, 192, 100], [100, 192]),
    ],
)
def test_lists_may_be_written_with_semicolons(value: Any, expected: Any) -> None:
    assert items(value) == expected


def test_a_sweep_under_bounds_beside_a_plain_run(tracked: Path) -> None:
    """Its points log no archive: what was best and spent comes from the sweep's tables."""
    grid = [
        {
            "pipeline": "nb201_methods", "method": "random_search", "seed": "0:2", "budget": 12,
            "objective": {"name": "constrained", "constraints": ["latency_ms <= 14"]},
        }
    ]  # fmt: skip
    run_sweep(tracked, grid, name="bounds", executor="serial", progress=False)
    run(tracked, pipeline="nb201_methods", run_id="plain", tracking=True,
        method="random_search", settings={"budget": 12})  # fmt: skip
    bounded = load(tracked, sweep="bounds")
    assert [len(one.archive) for one in bounded.runs] == [12, 12]
    for one in bounded.runs:
        assert one.objective.label == "latency_ms <= 14"
        assert set(one.summary["margins"]) == {"latency_ms"}
        assert one.answer < one.archive["value"].max()  # the best of all is slower
        assert one.optimum >= one.answer
    both = load(tracked, experiment="nb201_methods")
    comparison = compare(both)
    assert [panel.title for panel in comparison.panels] == ["cifar10", "cifar10, latency_ms <= 14"]
    assert comparison.table("paired").empty
    assert (comparison.table("margins")["least"] >= 0).all()
    assert any("2 different objectives" in told for told in comparison.cautions)
