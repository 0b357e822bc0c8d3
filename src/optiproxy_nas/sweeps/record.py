"""The record of a sweep: its folder with the lock and ``sweep.json``, and its run in MLflow."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock

from optiproxy_nas.core.errors import (
    ArtifactError,
    DataError,
    ParameterError,
    RunLockedError,
    TrackingError,
)
from optiproxy_nas.runs.tracking import MlflowTracker
from optiproxy_nas.sweeps.tables import SCHEMA

RECORD = "sweep.json"
TABLES = ("results.parquet", "runs.parquet")
_KEYS = {"schema", "grid_sha256", "mlflow_run_id", "tables"}
_WAYS_OUT = "Move the folder away, or give the sweep another --name; its runs are kept and used."
MOST = 500  # characters of a parameter, which MLflow limits
logger = logging.getLogger(__name__)


def lock(folder: Path, name: str) -> filelock.AcquireReturnProxy[Any]:
    """The lock of a sweep, held; ``with`` gives it up. The folder is made.

    Raises:
        RunLockedError: another process holds it.
        DataError: the folder cannot be written to, or something else is in its place.
    """
    _check_places(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return filelock.FileLock(folder / ".lock", timeout=0).acquire()
    except filelock.Timeout:
        raise RunLockedError(
            f"Another process is running sweep {name!r}. Wait for it, or give this one another "
            "--name.",
            name=name,
        ) from None
    except OSError as error:
        raise DataError(
            f"Cannot write to {folder}: {error.strerror}. Make it writable, or work in a copy of "
            "the project.",
            path=str(folder),
        ) from error


def read_facts(folder: Path) -> dict[str, Any] | None:
    """``sweep.json`` of a sweep's folder, None where there is none.

    Raises:
        ArtifactError: not readable, or of another version of the schema.
    """
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path} is not readable: {error}. {_WAYS_OUT}", path=str(path)
        ) from error
    if not isinstance(facts, dict) or "schema" not in facts:
        raise _no_record(path)
    if facts["schema"] != SCHEMA:
        raise ArtifactError(
            f"The tables in {folder} have schema version {facts['schema']}; this version of the "
            f"package reads and writes {SCHEMA}. {_WAYS_OUT}",
            path=str(path),
            found=facts["schema"],
            expected=SCHEMA,
        )
    if not facts.keys() >= _KEYS or not isinstance(facts["tables"], dict):
        raise _no_record(path)
    return facts


def refuse_other_grid(folder: Path, name: str, facts: dict[str, Any], digest: str) -> None:
    """Keep the tables of one grid from being replaced by those of another.

    Raises:
        ParameterError: the sweep of this name has tables of a grid with another digest.
    """
    if facts["tables"] and facts["grid_sha256"] != digest:
        raise ParameterError(
            f"The sweep {name!r} has tables of another grid, in {folder}. Choose another --name, "
            "or delete that folder; finished runs are not in it, and are not run again.",
            name=name,
            path=str(folder),
        )


def _no_record(path: Path) -> ArtifactError:
    return ArtifactError(
        f"{path} is not the record of a sweep: it is to be a mapping with "
        f"{', '.join(sorted(_KEYS))}. It was edited. {_WAYS_OUT}",
        path=str(path),
    )


def _check_places(folder: Path) -> None:
    """Refuse a file where a folder is to be, and a folder where a file is."""
    for place in (folder.parent, folder):
        if place.exists() and not place.is_dir():
            other = ", or give the sweep another --name" if place == folder else ""
            raise DataError(
                f"{place} is a file, and the folder of a sweep's tables is to be there. Move it "
                f"away{other}.",
                path=str(place),
            )
    for name in (".lock", RECORD, *TABLES):
        place = folder / name
        if place.is_dir():
            raise DataError(
                f"{place} is a folder, and the sweep is to write a file there. Move it away, or "
                "give the sweep another --name.",
                path=str(place),
            )


def open_parent(
    project: Path, experiment: str, name: str, grid: Sequence[Mapping[str, Any]], known: str | None
) -> tuple[MlflowTracker, str]:
    """Open the parent run, or the one with id ``known`` again; the tracker and the run's id.

    Raises:
        TrackingError: the store cannot be used; no point has been run.
    """
    tracker = MlflowTracker(project, experiment)
    parameters = {
        (f"block_{index}.{key}" if len(grid) > 1 else key): _text(value)
        for index, block in enumerate(grid)
        for key, value in block.items()
    }
    tags = {"sweep": name, "blocks": str(len(grid))}
    if known is not None:
        try:
            return tracker, tracker.start(name, {}, {}, known)
        except TrackingError as error:
            logger.warning(
                "Note: the sweep goes on under a new MLflow run; that of before cannot be opened "
                "again (%s).",
                _reason(error),
            )
    try:
        return tracker, tracker.start(name, parameters, tags, None)
    except TrackingError as error:
        raise TrackingError(
            f"The MLflow store {tracker.uri} cannot be used: {_reason(error)}. Set or unset "
            "MLFLOW_TRACKING_URI, or sweep without it by --no-tracking. No point was run.",
            **error.data,
        ) from error


def close_parent(
    tracker: MlflowTracker, status: str, metrics: Mapping[str, float], files: Sequence[Path]
) -> None:
    """Send what the sweep came to, and close its run: FINISHED, FAILED or KILLED."""
    tracker.add(metrics, 0)
    tracker.log_artifacts((path, "") for path in files)
    tracker.end(status)


def _reason(error: TrackingError) -> str:
    """What the store said; the tracker's own message advises ``kedro run``, not a sweep."""
    text = str(error.__cause__) or type(error.__cause__).__name__
    return text.splitlines()[0][:MOST].rstrip(".")


def _text(value: Any) -> str:
    """Values of the grid for a table of parameters: integers in a row as a range."""
    if not isinstance(value, list):
        return str(value)
    if len(value) > 2 and all(isinstance(item, int) for item in value):
        found = range(value[0], value[-1] + 1)
        if value == list(found):
            return f"{found.start}:{found.stop}"
    text = ",".join(map(str, value))
    return text if len(text) <= MOST else f"{text[: MOST - 3]}..."
