"""The file of an MLflow store: whole or not there, and what is said of one that is half-made."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest

from optiproxy_nas.core.errors import TrackingError
from optiproxy_nas.runs.mlflow_store import SQLITE, open_client, sqlite_file, store_errors


class Killed(BaseException):
    """Ends a process in the middle."""


class Client:
    """A client of MLflow, whose first call makes the store."""

    content = b"a store"

    def __init__(self, tracking_uri: str) -> None:
        self.path = sqlite_file(tracking_uri)

    def search_experiments(self) -> None:
        assert self.path is not None
        self.path.write_bytes(self.content)


class KilledClient(Client):
    """One whose process is killed before the store is whole."""

    def search_experiments(self) -> None:
        super().search_experiments()
        raise Killed


def made_meanwhile(path: Path) -> type[Client]:
    class Slow(Client):
        def search_experiments(self) -> None:
            super().search_experiments()
            path.write_bytes(b"of another process")

    return Slow


def test_a_killed_creation_leaves_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mlflow.db"
    monkeypatch.setattr(mlflow, "MlflowClient", KilledClient)
    with pytest.raises(Killed):
        open_client(f"{SQLITE}{path}")
    assert not path.exists()
    (tmp_path / "mlflow.db-journal").write_bytes(b"of a store that was moved away")
    monkeypatch.setattr(mlflow, "MlflowClient", Client)
    open_client(f"{SQLITE}{path}")
    assert path.read_bytes() == Client.content
    assert os.listdir(tmp_path) == ["mlflow.db"]


def test_the_store_of_a_faster_process_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mlflow.db"
    monkeypatch.setattr(mlflow, "MlflowClient", made_meanwhile(path))
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
