"""The MLflow store of a project that is moved or copied."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from optiproxy_nas.core.errors import TrackingError
from optiproxy_nas.runs import project_store
from optiproxy_nas.runs.project_store import ProjectStore


@pytest.fixture(autouse=True)
def no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow itself is not needed."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(project_store, "open_client", lambda uri: uri)


def places(project: Path) -> list[str]:
    with closing(sqlite3.connect(project / "mlflow.db")) as store:
        experiments = store.execute("SELECT artifact_location FROM experiments ORDER BY 1")
        return [place for (place,) in [*experiments, *store.execute("SELECT * FROM runs")]]


def make_store(project: Path, *locations: str) -> None:
    project.mkdir()
    with closing(sqlite3.connect(project / "mlflow.db")) as store, store:
        store.execute("CREATE TABLE experiments (artifact_location)")
        store.execute("CREATE TABLE runs (artifact_uri)")
        for location in locations:
            store.execute("INSERT INTO experiments VALUES (?)", (location,))
            store.execute("INSERT INTO runs VALUES (?)", (f"{location}/id/artifacts",))


@pytest.mark.parametrize("name", ["here", "with a blank", "50%"])
def test_a_moved_project_has_its_artifacts_where_it_is(tmp_path: Path, name: str) -> None:
    before, project = tmp_path / "before it's" / "mlruns", tmp_path / name
    beside = f"{tmp_path}/before it's/mlruns2"  # begins as the folder does, and is another one
    make_store(project, before.as_uri(), f"{before}/0", "s3://bucket/mlruns", beside)
    ProjectStore(project).open()
    now = project / "mlruns"
    expected = [now.as_uri(), f"{now}/0", "s3://bucket/mlruns", beside]
    assert set(places(project)) == {*expected, *(f"{it}/id/artifacts" for it in expected)}


def test_what_lies_in_the_project_stays(tmp_path: Path) -> None:
    project = tmp_path / "project"
    make_store(project, (project / "mlruns").as_uri(), str(project / "elsewhere"))
    before = places(project)
    ProjectStore(project).open()
    assert places(project) == before


def test_nothing_is_written_outside_the_project_unless_the_store_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ProjectStore(tmp_path / "project")
    store.check_place((tmp_path / "project" / "mlruns" / "id").as_uri())
    store.check_place("s3://bucket")
    for place in (tmp_path / "other").as_uri(), str(tmp_path / "project" / ".." / "other"):
        with pytest.raises(TrackingError) as caught:
            store.check_place(place)
        assert "MLFLOW_TRACKING_URI=" in caught.value.message
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    ProjectStore(tmp_path / "project").check_place((tmp_path / "other").as_uri())
