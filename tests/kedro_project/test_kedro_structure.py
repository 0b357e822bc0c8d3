"""The pipelines' shape follows from the parameters; catalog and files are as documented."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd
import pytest
import yaml
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro_runs import REPOSITORY, catalog_patterns

import optiproxy_nas
from optiproxy_nas.pipeline_registry import register_pipelines
from optiproxy_nas.pipelines import asynchronous, configuration, ingest, methods, search
from optiproxy_nas.pipelines.configuration import DRAWN_STEPS, SearchSession
from optiproxy_nas.pipelines.report_nodes import collect_diagnostics
from optiproxy_nas.problems.resolution import PROBLEMS, resolve_problem
from optiproxy_nas.runs.datasets.model_folder import MODEL

STEP_NODES = [
    "fit_proxy",
    "gradient_search",
    "sample",
    "select",
    "evaluate",
    "update_archive",
    "diagnose",
]


class NoPlugins:
    """The plug-ins of Kedro-Viz: any call of a hook does nothing."""

    def __getattr__(self, name: Any) -> Any:
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        return None


def test_kedro_viz_draws_few_steps(project: Path) -> None:
    session: Any
    with KedroSession.create(project, runtime_params={"budget": 100}) as session:
        session._hook_manager = NoPlugins()
        session.load_context()
    drawn = {node.namespace for node in pipelines["nb201_search"].nodes}
    assert {name for name in drawn if name and name.startswith("step_")} == {
        f"step_{step:02d}" for step in range(DRAWN_STEPS + 1)
    }


@pytest.mark.parametrize(
    ("budget", "initial", "batch", "steps"),
    [(100, 10, 5, 18), (16, 6, 5, 2), (17, 6, 5, 3), (192, 10, 10, 19), (6, 6, 5, 0), (7, 6, 5, 1)],
)
def test_steps_follow_from_budget_initial_sample_and_batch(
    project: Path, budget: int, initial: int, batch: int, steps: int
) -> None:
    params = {"budget": budget, "initial_samples": initial, "selection": {"batch": batch}}
    session: Any
    with KedroSession.create(project, runtime_params=params) as session:
        session.load_context()
    for name in ("nb201_search", "__default__"):
        found = {node.namespace for node in pipelines[name].nodes if node.namespace}
        assert found == {"report", *(f"step_{step:02d}" for step in range(steps + 1))}


def test_node_names() -> None:
    pipeline = search.create_pipeline(3)
    names = [node.name for node in pipeline.nodes]
    expected = ["load_benchmark", "encode"]
    expected += [f"step_00.{name}" for name in ("sample", "evaluate", "update_archive")]
    expected += [f"step_{step:02d}.{name}" for step in (1, 2, 3) for name in STEP_NODES]
    expected += [f"report.{name}" for name in ("summarise", "collect_diagnostics", "report")]
    assert sorted(names) == sorted(expected)


def test_reading_the_types_of_every_node_does_not_raise() -> None:
    """Else it warns of each of them, before every run."""
    for node in search.create_pipeline(3, may_stop=True).nodes:
        get_type_hints(node.func)


def test_a_step_reads_only_itself_and_the_one_before() -> None:
    for node in search.create_pipeline(4).nodes:
        if (namespace := node.namespace or "").startswith("step_"):
            here = int(namespace[5:])
            read = {int(n[5:7]) for n in node.inputs if n.startswith("step_")}
            assert read <= {here - 1, here}, node.name


def test_the_search_reads_the_table_by_one_node() -> None:
    for data in ("benchmark_table", "benchmark_model"):
        readers = [n.name for n in search.create_pipeline(2).nodes if data in n.inputs]
        assert readers == ["load_benchmark"]
    seen = {i for n in search.create_pipeline(2).nodes for i in n.inputs if n.namespace != "report"}
    assert "benchmark" not in seen  # the steps get ``evaluate``, not the table


def test_inputs_of_the_pipelines() -> None:
    assert search.create_pipeline(2).inputs() == {
        "benchmark_table",
        "benchmark_model",
        "params:search",
        "params:run",
    }
    assert ingest.create_pipeline().inputs() == {"benchmark_files", "params:source"}
    made = {"benchmark_table", "benchmark_model", "benchmark_card"}
    assert made <= ingest.create_pipeline().all_outputs()


def matches(pattern: Any, name: str) -> Any:
    parts = re.split(r"\{\w+\}", pattern)
    return re.fullmatch(".+".join(map(re.escape, parts)), name)


def test_every_catalog_entry_is_used() -> None:
    found = [
        *register_pipelines().values(),
        search.create_pipeline(2, may_stop=True, has_prior=True),
    ]
    names = {name for pipeline in found for name in pipeline.datasets()}
    for problem in PROBLEMS:
        names |= set(resolve_problem(problem).datasets)
    names |= methods.create_pipeline(datasets=(), confirms=True).datasets()
    names |= asynchronous.create_pipeline((), datasets=()).datasets()
    for pattern in catalog_patterns():
        assert any(matches(pattern, name) for name in names), pattern


@pytest.mark.parametrize(
    ("pipeline", "in_memory"),
    [
        (search.create_pipeline(2), {"benchmark", "evaluate", "space"}),
        (
            asynchronous.create_pipeline(search.FIGURES, datasets=(), confirms=True),
            {"data_digests", "evaluate", "space"},
        ),
    ],
)
def test_every_product_of_a_step_and_of_the_report_is_stored(pipeline: Any, in_memory: Any) -> None:
    stored = [p for p in catalog_patterns()]
    outputs = pipeline.all_outputs()
    loose = {name for name in outputs if not any(matches(p, name) for p in stored)}
    assert loose == in_memory


# What tells the outputs of two runs of a pipeline apart, and what is only read.
OWN_PATH = {"comparison": "${run:name}", "diagnosis": "/${run:diagnosed}/"}
READ_ONLY = ("benchmark_", "compared_runs", "diagnosed_run", "journal", "mnist1d", "sklearn_digits")


def test_run_paths_carry_the_run_id_and_steps_are_versioned() -> None:
    for name, entry in catalog_patterns().items():
        if name.startswith(READ_ONLY):
            continue
        own = OWN_PATH.get(name.partition(".")[0], "/${run:run_id}/")
        is_partitioned = name.startswith("refits.")
        assert own in entry["path" if is_partitioned else "filepath"], name
        versioned = ("{step}", "asynchronous.", "confirm.", "refits.")
        assert entry.get("versioned", False) == name.startswith(versioned), name
        kind = "PartitionedArtifacts" if is_partitioned else "AtomicDataset"
        kind = "ModelDataset" if name == MODEL else kind
        assert entry["type"] == f"optiproxy_nas.runs.datasets.{kind}", name


def test_legacy_kedro_file_equals_pyproject() -> None:
    legacy = yaml.safe_load((REPOSITORY / ".kedro.yml").read_text(encoding="utf-8"))
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        assert legacy == tomllib.load(file)["tool"]["kedro"]


@pytest.mark.parametrize(
    "name", ["src", "conf", "data", "notebooks", "tests", "pyproject.toml", ".kedro.yml"]
)
def test_top_level_of_the_card(name: str) -> None:
    path = REPOSITORY / name
    assert path.is_file() if "." in name else any(path.iterdir())


def test_layers() -> None:
    layers = sorted(path.name for path in (REPOSITORY / "data").glob("0*_*"))
    assert [name[:2] for name in layers] == [f"{i:02d}" for i in range(1, 9)]
    for name, entry in catalog_patterns().items():
        if name == "compared_runs":  # of the MLflow store
            continue
        if entry["type"] == "CachedDataset":
            entry = entry["dataset"]
        path = entry.get("filepath") or entry["path"]
        assert path.split("/")[1] in layers


def test_telemetry_is_off() -> None:
    assert yaml.safe_load((REPOSITORY / ".telemetry").read_text()) == {"consent": False}


def test_a_search_of_its_initial_sample_alone_has_diagnostics_that_can_be_read(
    tmp_path: Path,
) -> None:
    found = optiproxy_nas.search(evaluate=len, budget=4, initial_samples=4)
    for diagnostics in (collect_diagnostics(), found.diagnostics):
        diagnostics.to_csv(tmp_path / "diagnostics.csv", index=False)
        assert pd.read_csv(tmp_path / "diagnostics.csv").columns.tolist() == ["step"]


def test_a_session_of_a_subfolder_logs_as_its_project_does(
    bare_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied: list[dict[str, Any]] = []
    monkeypatch.setattr(configuration, "configure_logging", applied.append)
    monkeypatch.delenv("KEDRO_LOGGING_CONFIG", raising=False)
    SearchSession.create(bare_project)
    assert applied == []  # Kedro itself has read the file
    monkeypatch.chdir(bare_project / "conf")
    SearchSession.create(bare_project)
    (settings,) = applied
    assert settings["loggers"]["kedro"]["level"] == "ERROR"
