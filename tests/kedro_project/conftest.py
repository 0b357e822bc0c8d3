"""Temporary Kedro projects: the repository's configuration over empty data layers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import filelock
import pytest
from kedro_runs import copy_project, enter, run, search_digests, without_pictures

from quick_kedro import quick_bootstrap as quick_bootstrap
from quick_kedro import quick_sessions as quick_sessions


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> Any:
    """A project with the benchmark's table and a finished run, "reference", without pictures.

    It is a copy of one that is made once for all workers.
    """
    made = shared_folder / "template"
    with filelock.FileLock(f"{made}.lock"), pytest.MonkeyPatch.context() as monkeypatch:
        if not made.exists():
            enter(copy_project(made), monkeypatch)
            without_pictures(monkeypatch)
            run(made, run_id="reference")
    return shutil.copytree(made, tmp_path_factory.mktemp("template") / "project")


@pytest.fixture(scope="session")
def reference(template: Any) -> Any:
    """Artifact -> digest of an uninterrupted, sequential, tiny search."""
    return search_digests(template, "reference")


@pytest.fixture
def bare_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project as cloned: no table, no tracking store."""
    return enter(copy_project(tmp_path / "project"), monkeypatch)


@pytest.fixture
def project(template: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project with the table and nothing else."""
    project = copy_project(tmp_path / "project")
    layer = Path("data") / "03_primary"
    shutil.copytree(template / layer, project / layer, dirs_exist_ok=True)
    return enter(project, monkeypatch)


@pytest.fixture
def quick(project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As ``project``; reports hold no pictures."""
    without_pictures(monkeypatch)
    return project


@pytest.fixture
def finished(template: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project with the finished run "reference"; reports hold no pictures."""
    project = tmp_path / "project"
    shutil.copytree(template, project)
    without_pictures(monkeypatch)
    return enter(project, monkeypatch)


@pytest.fixture
def tracked(quick: Any, empty_store: Path) -> Any:
    """As ``quick``, with an empty tracking store."""
    shutil.copy(empty_store, quick / "mlflow.db")
    return quick
