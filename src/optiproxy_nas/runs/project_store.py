"""The MLflow store of a project: which it is, its lock, and that its artifacts lie in the project.

MLflow keeps absolute places of artifacts. In a project that was moved or copied they are those of
before, which may be another project by now: they are written anew when the store is opened.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import filelock

from optiproxy_nas.core.errors import TrackingError
from optiproxy_nas.runs.mlflow_store import SQLITE, open_client, sqlite_file

ARTIFACTS = "mlruns"  # the folder of a project's artifacts
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
)


class ProjectStore:
    """``mlflow.db`` and ``mlruns`` of a project, or the store that ``MLFLOW_TRACKING_URI`` names.

    Args:
        project: its folder.

    Attributes:
        uri: of the store.
        artifacts: the folder of artifacts; None: the store that was named decides.
    """

    def __init__(self, project: Path) -> None:
        chosen = os.environ.get("MLFLOW_TRACKING_URI")
        self.uri = chosen or f"{SQLITE}{project}/mlflow.db"
        self.artifacts = None if chosen else project / ARTIFACTS
        self._lock_path = None if chosen else project / ".mlflow.lock"
        self._locks: dict[int, filelock.BaseFileLock] = {}  # by process

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """The local store's lock, one a process, since a lock must not cross a fork.

        Two first runs at once would both create the store's tables, and SQLite refuses a second
        writer.
        """
        if self._lock_path is None:
            return nullcontext()
        process = os.getpid()
        if process not in self._locks:
            self._locks = {
                process: filelock.FileLock(self._lock_path, timeout=60, poll_interval=0.01)
            }
        return self._locks[process]

    def open(self) -> Any:
        """Return a client of the store."""
        database = sqlite_file(self.uri)
        if self.artifacts is not None and database is not None and database.exists():
            with self.lock:
                _bring_along(database, self.artifacts)
        return open_client(self.uri)

    def check_place(self, uri: str) -> None:
        """Refuse to write artifacts elsewhere than in the project, if nobody named the store.

        Args:
            uri: of the artifacts of a run.

        Raises:
            TrackingError: they are files outside the project.
        """
        place = _local_path(uri)
        if self.artifacts is None or place is None:
            return
        project = self.artifacts.parent.resolve()
        if not place.resolve().is_relative_to(project):
            raise TrackingError(
                f"The project's MLflow store says that artifacts of this run go to {place}, which "
                f"is not in the project {project}. To write there, name the store: "
                f"MLFLOW_TRACKING_URI={self.uri}. Else run without it by --params=tracking=off.",
                uri=self.uri,
                path=str(place),
            )


def _bring_along(database: Path, artifacts: Path) -> None:
    """Let a store name the artifacts in the project that it lies in, wherever that was before."""
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "experiments" not in tables:
            return
        for old in set(_earlier_folders(connection, artifacts)):
            new = artifacts.as_uri() if "://" in old else str(artifacts)
            for table, column in _PLACES:
                if table in tables:
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                        f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                        (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
                    )


def _earlier_folders(connection: sqlite3.Connection, artifacts: Path) -> Iterator[str]:
    """Give each folder ``mlruns`` of another place, as the experiments of a store name it."""
    for (location,) in connection.execute("SELECT artifact_location FROM experiments"):
        folder = _local_path(location or "")
        while folder is not None and folder.name != ARTIFACTS:
            folder = folder.parent if folder != folder.parent else None
        if folder is not None and folder.resolve() != artifacts.resolve():
            yield folder.as_uri() if "://" in location else str(folder)


def _local_path(uri: str) -> Path | None:
    """Return the file that a URI or a path names, None: it is on no file system of this machine."""
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(url2pathname(parts.path))
    is_path = len(parts.scheme) < 2  # a letter is a drive
    return Path(uri) if uri and is_path else None
