"""The record of a sweep: its folder with ``sweep.json``, and its run in MLflow."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optiproxy_nas.core import errors
from optiproxy_nas.runs.mlflow_reader import POINTS, RECORD, RESULTS
from optiproxy_nas.runs.tracking import MlflowTracker
from optiproxy_nas.sweeps.tables import SCHEMA

TABLES = (RESULTS, POINTS)
_KEYS = {"schema", "grid_sha256", "mlflow_run_id", "tables"}
_WAYS_OUT = "Move the folder away, or give the sweep another --name; its runs are kept and used."
MOST = 500  # characters of a parameter, which MLflow limits
logger = logging.getLogger(__name__)


def check_places(folder: Path) -> None:
    """Refuse a file where a folder is to be, and a folder where a file is.

    Raises:
        DataError: something else is in the place of the folder or of one of its files.
    """
    kinds = {folder.parent: "folder", folder: "folder"}
    kinds |= {folder / name: "file" for name in (".lock", RECORD, *TABLES)}
    for place, kind in kinds.items():
        found = "folder" if place.is_dir() else "file"
        if place.exists() and found != kind:
            other = "" if place == folder.parent else ", or give the sweep another --name"
            raise errors.DataError(
                f"{place} is a {found}, and a {kind} of a sweep's tables is to be there. Move it "
                f"away{other}.",
                path=str(place),
            )


def read_facts(folder: Path) -> dict[str, Any] | None:
    """Return the content of ``sweep.json``, None where there is none.

    Raises:
        ArtifactError: not readable, or of another version of the schema.
    """
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise errors.ArtifactError(
            f"{path} is not readable: {error}. {_WAYS_OUT}", path=str(path)
        ) from error
    if not isinstance(facts, dict) or "schema" not in facts:
        raise _no_record(path)
    if facts["schema"] != SCHEMA:
        raise errors.ArtifactError(
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
        raise errors.ParameterError(
            f"The sweep {name!r} has tables of another grid, in {folder}. Choose another --name, "
            "or delete that folder; finished runs are not in it, and are not run again.",
            name=name,
            path=str(folder),
        )


def _no_record(path: Path) -> errors.ArtifactError:
    return errors.ArtifactError(
        f"{path} is not the record of a sweep: it is to be a mapping with "
        f"{', '.join(sorted(_KEYS))}. It was edited. {_WAYS_OUT}",
        path=str(path),
    )


def open_parent(
    project: Path, experiment: str, name: str, grid: Sequence[Mapping[str, Any]], before: str | None
) -> tuple[MlflowTracker, str]:
    """Open the parent run, or the one with id ``before`` again; return tracker and run id.

    Raises:
        TrackingError: the store cannot be used; no point has been run.
    """
    advice = "or sweep without it by --no-tracking. No point was run."
    tracker = MlflowTracker(project, experiment, advice=advice, remedy="kedro sweep")
    parameters = {
        (f"block_{index}.{key}" if len(grid) > 1 else key): _text(value)
        for index, block in enumerate(grid)
        for key, value in block.items()
    }
    tags = {"sweep": name, "blocks": str(len(grid))}
    if before is not None:
        try:
            return tracker, tracker.start(name, {}, {}, before, anew=True)
        except errors.TrackingError as error:
            logger.warning(
                "Note: the sweep goes on under a new MLflow run; that of before cannot be opened "
                "again (%s).",
                errors.first_line(error.__cause__ or error),
            )
    return tracker, tracker.start(name, parameters, tags, None)


def _text(value: Any) -> str:
    """Return a grid's values for a table of parameters: integers in a row as a range."""
    if not isinstance(value, list):
        return str(value)
    if len(value) > 2 and all(isinstance(item, int) for item in value):
        found = range(value[0], value[-1] + 1)
        if value == list(found):
            return f"{found.start}:{found.stop}"
    text = ",".join(map(str, value))
    return text if len(text) <= MOST else f"{text[: MOST - 3]}..."
