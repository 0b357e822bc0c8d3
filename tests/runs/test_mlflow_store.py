"""The file of an MLflow store: whole or not there, and what is said of one that is half-made."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.store.tracking import sqlalchemy_store

from optiproxy_nas.core.errors import TrackingError
from optiproxy_nas.runs.mlflow_store import SQLITE, open_client, sqlite_file, store_errors


class Killed(BaseException):
    """Ends a process in the middle."""


class Store:
    """MLflow's store, which making it writes."""

    content = b"a store"

    def __init__(self, uri: str, artifacts: str) -> None:
        path = sqlite_file(uri)
        assert path is not None
        path.write_bytes(self.content)


class KilledStore(Store):
    """One whose process is killed before it is whole."""

    def __init__(self, uri: str, artifacts: str) -> None:
        super().__init__(uri, artifacts)
        raise Killed


def made_meanwhile(path: Path) -> type[Store]:
    class Slow(Store):
        def __init__(self, uri: str, artifacts: str) -> None:
            super().__init__(uri, artifacts)
            path.write_bytes(b"of another process")

    return Slow


@pytest.fixture
def make_store_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Store]], None]:
    """Have MLflow make its stores by another class."""
    monkeypatch.setattr(mlflow, "MlflowClient", lambda tracking_uri: None)
    return partial(monkeypatch.setattr, sqlalchemy_store, "SqlAlchemyStore")


def test_a_killed_creation_leaves_no_store(
    tmp_path: Path, make_store_by: Callable[[type[Store]], None]
) -> None:
    path = tmp_path / "mlflow.db"
    make_store_by(KilledStore)
    with pytest.raises(Killed):
        open_client(f"{SQLITE}{path}")
    assert not path.exists()
    (tmp_path / "mlflow.db-journal").write_bytes(b"of a store that was moved away")
    make_store_by(Store)
    open_client(f"{SQLITE}{path}")
    assert path.read_bytes() == Store.content
    assert os.listdir(tmp_path) == ["mlflow.db"]


def test_the_store_of_a_faster_process_is_kept(
    tmp_path: Path, make_store_by: Callable[[type[Store]], None]
) -> None:
    path = tmp_path / "mlflow.db"
    make_store_by(made_meanwhile(path))
    open_client(f"{SQLITE}{path}")
    assert path.read_bytes() == b"of another process"


def failure_of(path: Path, *statements: str) -> str:
    """Return what is said where a store of these tables fails."""
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    error: Any
    with pytest.raises(TrackingError) as error, store_errors(f"{SQLITE}{path}", "used", "or not."):
        raise ValueError("table _alembic_tmp_runs already exists")
    return str(error.value.message)


def test_a_half_made_store_is_to_be_moved_away(tmp_path: Path) -> None:
    runs, experiments = "CREATE TABLE runs (id INT)", "CREATE TABLE experiments (id INT)"
    move = f"mv {tmp_path}"
    assert move in failure_of(tmp_path / "early.db", experiments)
    assert move in failure_of(tmp_path / "late.db", experiments, runs)
    with_runs = failure_of(tmp_path / "used.db", experiments, runs, "INSERT INTO runs VALUES (1)")
    assert move not in with_runs


def test_of_a_folder_that_cannot_be_written_to_another_store_is_not_advised(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(TrackingError) as caught, store_errors(uri, "read", "and try again."):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / ".mlflow.lock"))
    assert "MLFLOW_TRACKING_URI" not in caught.value.message
    assert str(tmp_path) in caught.value.message
