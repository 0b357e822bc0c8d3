"""Temporary Kedro projects: the repository's configuration over empty data layers."""

import shutil
from pathlib import Path

import pytest
from kedro_runs import copy_project, enter, run, search_digests, without_pictures

from quick_kedro import quick_bootstrap as quick_bootstrap
from quick_kedro import quick_sessions as quick_sessions


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A project with the benchmark's table and a finished run, "reference", without pictures."""
    project = copy_project(tmp_path_factory.mktemp("template") / "project")
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(project, monkeypatch)
        without_pictures(monkeypatch)
        run(project, run_id="reference")
    return project


@pytest.fixture(scope="session")
def reference(template):
    """Artifact -> digest of an uninterrupted, sequential, tiny search."""
    return search_digests(template, "reference")


@pytest.fixture
def bare_project(tmp_path, monkeypatch):
    """A project as cloned: no table, no tracking store."""
    return enter(copy_project(tmp_path / "project"), monkeypatch)


@pytest.fixture
def project(template, tmp_path, monkeypatch):
    """A project with the table and nothing else."""
    project = copy_project(tmp_path / "project")
    layer = Path("data") / "03_primary"
    shutil.copytree(template / layer, project / layer, dirs_exist_ok=True)
    return enter(project, monkeypatch)


@pytest.fixture
def quick(project, monkeypatch):
    """As ``project``; reports hold no pictures."""
    without_pictures(monkeypatch)
    return project


@pytest.fixture
def finished(template, tmp_path, monkeypatch):
    """A project with the finished run "reference"; reports hold no pictures."""
    project = tmp_path / "project"
    shutil.copytree(template, project)
    without_pictures(monkeypatch)
    return enter(project, monkeypatch)


@pytest.fixture
def tracked(quick, empty_store):
    """As ``quick``, with an empty tracking store."""
    shutil.copy(empty_store, quick / "mlflow.db")
    return quick
