"""Ingested tables of real sources, made once for all tests by the worker that asks first."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
import pytest

from optiproxy_nas.benchmarks import loading
from optiproxy_nas.benchmarks.benchmark_cache import kept_model
from optiproxy_nas.benchmarks.loading import RawObjects, build_model
from optiproxy_nas.benchmarks.raw_files import Fetched
from optiproxy_nas.benchmarks.source_registry import SOURCES, get_source
from optiproxy_nas.benchmarks.sources import Source

REPOSITORY = Path(__file__).parents[1]
LAYERS = sorted(path.name for path in (REPOSITORY / "data").glob("0*_*"))


def copy_project(target: Path) -> Path:
    """What of the repository a project needs, without any data."""
    target.mkdir(parents=True)
    ignore = shutil.ignore_patterns("local")
    shutil.copytree(REPOSITORY / "conf", target / "conf", ignore=ignore)
    (target / "conf" / "local").mkdir()
    for name in ("pyproject.toml", ".kedro.yml", ".telemetry"):
        shutil.copy(REPOSITORY / name, target)
    (target / "src").mkdir()
    for layer in LAYERS:
        (target / "data" / layer).mkdir(parents=True)
    return target


def enter(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a project as its user does; undone after the test."""
    from kedro.framework.startup import bootstrap_project

    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", sys.path[:])  # bootstrap adds to both
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("KEDRO_ENV", raising=False)
    bootstrap_project(project)
    return project


class Ingested:
    """The layer 03_primary of a project that only ingests.

    Args:
        folder: of all workers; it may not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def table(self, source: str) -> pd.DataFrame:
        """The table of a source; a test that changes it copies it first."""
        return pd.read_parquet(f"{self._path(source)}.parquet")

    def put(self, project: Path, *sources: str) -> None:
        """Copy tables, models and cards of sources to a project, as if they were ingested there."""
        for source in sources:
            stem = self._path(source)
            target = project / stem.relative_to(self._folder / "project").parent
            target.mkdir(parents=True, exist_ok=True)
            for kind in ("parquet", "model", "json"):
                for path in stem.parent.glob(f"{stem.name}.{kind}*"):
                    shutil.copy(path, target)

    def _path(self, source: str) -> Path:
        """What the files of an ingested source are called, without their kind."""
        project = self._folder / "project"
        with filelock.FileLock(f"{self._folder}.lock"):
            if not project.exists():
                copy_project(project)
            family = get_source(source).family.name
            stem = project / "data" / "03_primary" / family / source
            if not Path(f"{stem}.json").exists():
                _ingest(project, source)
        return stem


def _ingest(project: Path, source: str) -> None:
    from kedro.framework.session import KedroSession

    from optiproxy_nas.pipelines import ingest

    parameters = {"pipeline": "ingest", "source": source, "quiet": True}
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(project, monkeypatch)
        monkeypatch.setattr(ingest, "build_model", _kept)
        monkeypatch.setattr(loading, "_parse", partial(_parsed_once, project / "parsed"))
        session: Any = KedroSession.create(project, runtime_params=parameters)
        with session:
            session.run(pipeline_names=["ingest"])


def _parsed_once(folder: Path, source: Source, file: Fetched) -> Any:
    """What a file holds, read in pure Python only for the first of the sources that share it."""
    path = folder / f"{source.name}-{file.sha256}.pickle"
    if not path.exists():
        folder.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(source.parse(file.content, str(file.path))))
    return pickle.loads(path.read_bytes())


def _kept(files: RawObjects, table: pd.DataFrame, source: Source) -> bytes:
    """The model that the plain-Python API keeps: fitting one takes ten seconds."""
    if source.model is None:
        return b""
    modules = [SOURCES[source.name].partition(":")[0]]
    return kept_model(source.name, table, lambda: build_model(files, table, source), modules)
