"""The MLflow run of a sweep, under which those of its points are nested."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optiproxy_nas.core.errors import TrackingError
from optiproxy_nas.runs.tracking import MlflowTracker

MOST = 500  # characters of a parameter, which MLflow limits
logger = logging.getLogger(__name__)


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
