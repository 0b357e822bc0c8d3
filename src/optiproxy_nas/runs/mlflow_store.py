"""Stores of MLflow: how one is opened, and how it fails."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from errno import EACCES, EROFS
from pathlib import Path
from typing import Any

from optiproxy_nas.core.errors import OptiProxyError, TrackingError, first_line
from optiproxy_nas.runs.atomic_files import PARTIAL

PARENT_TAG = "mlflow.parentRunId"  # by which MLflow nests a run
SQLITE = "sqlite:///"


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a store; None: it is in none of SQLite."""
    name = uri.removeprefix(SQLITE).partition("?")[0]
    return Path(name) if uri.startswith(SQLITE) and name not in ("", ":memory:") else None


def open_client(uri: str) -> Any:
    """Return a client of a store; this imports MLflow, and makes a store of SQLite."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # A server that is not there is to be noticed in seconds, not minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.ERROR)  # it sets INFO when imported
    logging.getLogger("mlflow.store.db").setLevel(logging.CRITICAL)  # its errors are raised, too
    path = sqlite_file(uri)
    if path is not None and not path.exists():
        _make_store(path)
    return MlflowClient(tracking_uri=uri)


def _make_store(path: Path) -> None:
    """Make a store under another name, and give it its own once it is whole.

    MLflow takes hundreds of statements, and cannot go on where it was killed after some of them.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    # Of MLflow's own experiment, which it writes into SQL as it is: a quote would end it.
    artifacts = (path.parent / "mlruns").absolute().as_uri()
    partial = path.with_name(f"{PARTIAL}{os.getpid()}-{path.name}")
    try:
        store: Any = SqlAlchemyStore
        store(f"{SQLITE}{partial}", artifacts)
        for old in ("-journal", "-wal"):  # of a store that was moved away: SQLite would apply it
            path.with_name(path.name + old).unlink(missing_ok=True)
        os.link(partial, path)
    except FileExistsError:
        pass  # another process was faster
    except OSError:  # a file system without links
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def store_errors(uri: str, failure: str, advice: str) -> Iterator[None]:
    """Turn failures of a store into one kind: MLflow, SQLAlchemy and requests each have their own.

    Args:
        uri: of the store.
        failure: what cannot be done with it, such as "read".
        advice: how to go on without it.

    Raises:
        TrackingError: the store failed.
    """
    try:
        yield
    except OptiProxyError:
        raise
    except Exception as error:
        path = sqlite_file(uri)
        if path is not None and isinstance(error, OSError) and error.errno in (EROFS, EACCES):
            raise TrackingError(
                f"The MLflow store {uri} cannot be {failure}: {error.strerror}, and its lock is a "
                f"file in {path.parent}. Make that writable, or work in a copy of the project.",
                uri=uri,
            ) from error
        change = "Set or unset MLFLOW_TRACKING_URI"
        if path is not None and _has_no_run(path):
            change = (
                "No run is in it. If the process that made it was killed, move the file away, mv "
                f"{path} {path}.broken, and the next run makes a new one"
            )
        raise TrackingError(
            f"The MLflow store {uri} cannot be {failure}: {first_line(error)}. {change}, {advice}",
            uri=uri,
        ) from error


def _has_no_run(path: Path) -> bool:
    """Return whether a file of SQLite holds tables of MLflow, and no run."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            query = "SELECT name FROM sqlite_master WHERE type = 'table'"
            tables = {name for (name,) in database.execute(query)}
            if "runs" not in tables:
                return "experiments" in tables
            return database.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is None
    except sqlite3.Error:
        return False
