"""Helpers of the integration tests: run a project, and look at what it left on disk."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result
from kedro.framework.cli.cli import KedroCLI
from kedro.framework.startup import bootstrap_project
from kedro.runner.task import Task

from ingested import copy_project as copy_project
from ingested import enter as enter
from optiproxy_nas import cli
from optiproxy_nas.pipelines import report_nodes as nodes
from optiproxy_nas.pipelines.configuration import SearchSession
from optiproxy_nas.report.run_data import RunData
from optiproxy_nas.report.run_report import RunFigures
from optiproxy_nas.report.style import ReportFigure

REPOSITORY = Path(__file__).parents[2]
BUDGET, INITIAL, BATCH = 16, 6, 5
STEPS = 2  # ceil((16 - 6) / 5)
TINY: dict[str, Any] = {
    "budget": BUDGET,
    "initial_samples": INITIAL,
    "selection": {"batch": BATCH},
    "gradient": {"epochs": 5},
    "fit": {"epochs": 5, "first_epochs": 5},
}
TINY_ARGUMENT = (
    f"budget={BUDGET},initial_samples={INITIAL},selection.batch={BATCH},"
    "gradient.epochs=5,fit.epochs=5,fit.first_epochs=5"
)


class Killed(BaseException):
    """Stands for the end of the process: nothing in Kedro or the project catches it."""


def without_pictures(monkeypatch: pytest.MonkeyPatch, *but: str) -> None:
    """Draw no figures ``but`` those with these ids: they take most of a tiny run's time."""
    draw = nodes.draw_figures  # type: ignore[attr-defined]

    def some(run: RunData, figures: RunFigures) -> dict[ReportFigure[RunData], bytes]:
        drawn = draw(run, tuple(figure for figure in figures if figure.id in but))
        return {figure: drawn.get(figure, figure.title.encode()) for figure in figures}

    monkeypatch.setattr(nodes, "draw_figures", some)


def die_at(monkeypatch: pytest.MonkeyPatch, name: str, after: bool = False) -> None:
    """Let the process "end" before a node begins, or after it has been stored."""
    real = Task.execute

    def execute(self: Task) -> Any:
        if self.node.name == name and not after:
            raise Killed
        done = real(self)
        if self.node.name == name:
            raise Killed
        return done

    monkeypatch.setattr(Task, "execute", execute)


def run(
    project: Path,
    runner: Any = None,
    only_missing_outputs: bool = False,
    pipeline: str = "nb201_search",
    settings: Mapping[str, Any] = MappingProxyType(TINY),
    **params: Any,
) -> dict[str, Any]:
    """One search in this process, without tracking unless asked for; its manifest."""
    params = {"tracking": False, "quiet": True, "pipeline": pipeline, **settings, **params}
    session: Any
    with SearchSession.create(project, runtime_params=params) as session:
        session.run(
            pipeline_names=[pipeline],
            runner=runner,
            only_missing_outputs=only_missing_outputs,
        )
    return manifest(project, params["run_id"])


def resume(project: Path, **params: Any) -> dict[str, Any]:
    """Go on with a run in this process."""
    return run(project, only_missing_outputs=True, resume=True, **params)


def command(project: Path, *arguments: str) -> Result:
    """A command of the project's command line, in this process: ``command(p, "audit", "x")``."""
    metadata = bootstrap_project(project)
    return CliRunner().invoke(cli.cli, list(arguments), obj=metadata)


def kedro(project: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """``kedro ARGUMENTS`` in a process of its own, as a user starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=project,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def forked(folder: Path, *arguments: str, errors: Path | None = None) -> tuple[ForkProcess, Path]:
    """``kedro ARGUMENTS`` in a process of its own, which a fork spares the imports.

    Returns:
        The process, and the file of what it shows; ``errors`` gets what it writes to stderr.
    """
    shown = folder / "shown.txt"
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_type, args=(folder, arguments, shown, errors))
    process.start()
    return process, shown


def _type(folder: Path, arguments: Iterable[str], shown: Path, errors: Path | None) -> None:
    sys.stdout = sys.stderr = shown.open("w", buffering=1, encoding="utf-8")
    if errors is not None:
        sys.stderr = errors.open("w", buffering=1, encoding="utf-8")
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stderr.fileno(), 2)
    os.chdir(folder)
    KedroCLI(folder).main(list(arguments))


def manifest(project: Path, run_id: str) -> dict[str, Any]:
    path = project / "data" / "08_reporting" / run_id / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def digests(project: Path, run_id: str) -> dict[str, str]:
    """Artifact -> SHA-256 of its file, computed here; paths from the manifest."""
    return {
        name: sha256(project / facts["path"])
        for name, facts in manifest(project, run_id)["artifacts"].items()
    }


def search_digests(project: Path, run_id: str) -> dict[str, str]:
    """As ``digests``, without the report, which names the run."""
    return {k: v for k, v in digests(project, run_id).items() if not k.startswith("report.")}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def artifact(project: Path, run_id: str, name: str) -> Path:
    return project / str(manifest(project, run_id)["artifacts"][name]["path"])


def archive(project: Path, run_id: str, step: int = STEPS) -> pd.DataFrame:
    """The archive after a step, read as any user would; also of an unfinished run."""
    folder = project / "data" / "07_model_output" / run_id / f"step_{step:02d}" / "archive.parquet"
    return pd.read_parquet(max(folder.iterdir()) / "archive.parquet")


def tree(project: Path) -> dict[str, tuple[str, int]]:
    """Every file but those of Kedro-Viz -> (SHA-256, time of its last change)."""
    return {
        path.relative_to(project).as_posix(): (sha256(path), path.stat().st_mtime_ns)
        for path in project.rglob("*")
        if path.is_file() and ".viz" not in path.parts
    }


def run_files(project: Path, run_id: str) -> list[str]:
    """Every file of a run but its lock."""
    return sorted(
        path.relative_to(project).as_posix()
        for folder in (project / "data").glob(f"0*_*/{run_id}")
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    )


def partial_files(project: Path) -> list[str]:
    return [p.relative_to(project).as_posix() for p in project.rglob(".partial-*")]


def sign(path: Path) -> None:
    """Write a file's digest file anew, as someone does who edits both."""
    path.with_name(path.name + ".sha256").write_text(f"{sha256(path)}  {path.name}\n")


def mlflow_run(
    project: Path, run_id: str, uri: str | None = None, experiment: str = "nb201_search"
) -> Any:
    """(client, the MLflow run of a run id)."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri or f"sqlite:///{project}/mlflow.db")
    of_runs = client.get_experiment_by_name(experiment)
    assert of_runs is not None, f"no MLflow experiment {experiment!r}"
    found = client.search_runs([of_runs.experiment_id], f"tags.run_id = '{run_id}'")
    assert len(found) == 1, f"{len(found)} MLflow runs of {run_id!r}"
    return client, found[0]


def history(client: Any, mlflow_id: str, metric: str) -> list[tuple[int, float]]:
    """(step, value) of a metric, by step."""
    return sorted((m.step, m.value) for m in client.get_metric_history(mlflow_id, metric))


def assert_history(client: Any, mlflow_id: str, metric: str, values: Iterable[float]) -> None:
    """A metric has these values at steps 1, 2, ..., each once."""
    found, expected = history(client, mlflow_id, metric), list(values)
    assert [step for step, _ in found] == list(range(1, len(expected) + 1)), metric
    assert [value for _, value in found] == pytest.approx(expected), metric


def catalog_patterns() -> dict[str, dict[str, Any]]:
    """Catalog entries of conf/base by name or pattern."""
    entries: dict[str, dict[str, Any]] = {}
    for path in sorted((REPOSITORY / "conf" / "base").glob("catalog*.yml")):
        entries |= yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: entry for name, entry in entries.items() if not name.startswith("_")}
