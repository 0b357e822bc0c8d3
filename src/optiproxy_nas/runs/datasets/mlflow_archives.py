"""What one MLflow run has stored, as a run to be compared; also of the many runs of a sweep.

A run of its own logs its archive. The short runs of a sweep log none: their queries are rows of
the tables that the sweep's parent run logs at its end, which are read once for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.errors import ArtifactError
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.report.compare.runs import ComparedRun
from optiproxy_nas.runs.metrics import MARGIN

ARCHIVE, MANIFEST, SUMMARY = "archive.parquet", "manifest.json", "report/summary.json"
QUERY = ("architecture", "value", "best", "spent")  # the last of these since schema 2
RESULTS, POINTS = "results.parquet", "runs.parquet"  # of a sweep
PARENT, SWEEP = "mlflow.parentRunId", "sweep"


class SweepTables(NamedTuple):
    """The tables of a sweep: archives by run id, and one row a point."""

    archives: dict[str, pd.DataFrame]
    points: pd.DataFrame


class RunReader:
    """Reads runs of one store.

    Args:
        client: an ``MlflowClient``.
        folder: where files of a remote store may be put for the moment.
    """

    def __init__(self, client: Any, folder: Path) -> None:
        self._client = client
        self._folder = folder
        self._sweeps: dict[str, SweepTables | None] = {}

    def read(self, run: Any, parent: str | None = None) -> ComparedRun | None:
        """A run with its archive; None if the store lacks the archive or the result.

        ``parent``: of the sweep whose tables may hold it; by default the run's own.

        Raises:
            ArtifactError: a file is not readable, or is not what its name says.
        """
        names = self._names(run.info.run_id)
        if ARCHIVE in names:
            archive = self._fetch(run.info.run_id, ARCHIVE, pd.read_parquet)
        else:
            parent = parent or run.data.tags.get(PARENT)
            sweep = self.sweep(parent) if parent else None
            archive = sweep.archives.get(own_id(run)) if sweep else None
        summary = _summary(run) or self._stored_summary(run.info.run_id, names)
        if archive is None or not summary:
            return None
        found = MANIFEST in names
        manifest = self._fetch(run.info.run_id, MANIFEST, _json) if found else {}
        tags = dict(run.data.tags)
        if search_code := (manifest.get("code") or {}).get("search_sha256"):
            tags["code.search_sha256"] = search_code
        table = (manifest.get("data") or {}).get("table_sha256") or tags.get("data.sha256")
        return ComparedRun(
            run_id=own_id(run),
            reference=run.info.run_id,
            parameters=dict(run.data.params),
            tags=tags,
            summary={**summary, "margins": _margins(run)},
            archive=archive,
            table=str(table or ""),
        )

    def sweep(self, parent: str) -> SweepTables | None:
        """The tables that a sweep's parent run logged; None while it has not ended."""
        if parent not in self._sweeps:
            tables = None
            if {RESULTS, POINTS} <= self._names(parent):
                rows = self._fetch(parent, RESULTS, pd.read_parquet)
                rows = rows.assign(order=rows["query"] - 1)
                kept = [n for n in ("order", *QUERY) if n in rows]
                archives = {str(name): part[kept] for name, part in rows.groupby("run_id")}
                tables = SweepTables(archives, self._fetch(parent, POINTS, pd.read_parquet))
            self._sweeps[parent] = tables
        return self._sweeps[parent]

    def points(self, parent: str) -> set[str]:
        """Our ids of the points of a sweep's grid; empty while it has not ended."""
        tables = self.sweep(parent)
        return set() if tables is None else set(tables.points["run_id"])

    def other_points(self, parent: str, known: Collection[str]) -> tuple[list[ComparedRun], int]:
        """Points of a sweep that have no run under it, and how many more failed.

        They had been run before the sweep, so it took them as they were.
        """
        tables = self.sweep(parent)
        if tables is None:
            return [], 0
        points = tables.points[~tables.points["run_id"].isin(list(known))]
        finished = points[points["status"] == "finished"]
        runs = [
            ComparedRun(
                run_id=row["run_id"],
                reference=parent,
                parameters={k: str(v) for k, v in flatten(json.loads(row["parameters"])).items()},
                tags={},
                summary={k: row[k] for k in ("optimum", "test_accuracy", "best_architecture")},
                archive=tables.archives[row["run_id"]],
            )
            for row in finished.to_dict("records")
        ]
        return runs, len(points) - len(finished)

    def _stored_summary(self, run_id: str, names: Collection[str]) -> dict[str, Any]:
        folder = Path(SUMMARY).parent.name
        if folder not in names or SUMMARY not in self._names(run_id, folder):
            return {}
        summary: dict[str, Any] = self._fetch(run_id, SUMMARY, _json)
        return summary

    def _names(self, run_id: str, folder: str | None = None) -> set[str]:
        return {file.path for file in self._client.list_artifacts(run_id, folder)}

    def _fetch(self, run_id: str, path: str, read: Callable[[Path], Any]) -> Any:
        folder = self._folder / run_id
        folder.mkdir(exist_ok=True)
        local = Path(self._client.download_artifacts(run_id, path, str(folder)))
        try:
            return read(local)
        except (ValueError, OSError) as error:  # pyarrow's errors are of both kinds
            raise ArtifactError(
                f"{path} of MLflow run {run_id} is not readable: {error}. Leave the run out, or "
                "run it again.",
                run_id=run_id,
            ) from error


def own_id(run: Any) -> str:
    """Our id of an MLflow run, else its name there."""
    return str(run.data.tags.get("run_id") or run.info.run_name or run.info.run_id)


def is_sweep(run: Any) -> bool:
    """Whether an MLflow run is the parent of a sweep."""
    return SWEEP in run.data.tags and PARENT not in run.data.tags


def _summary(run: Any) -> dict[str, Any]:
    """The summary as its metrics tell it: saves reading a file for each run."""
    metrics, target = run.data.metrics, run.data.tags.get("target", VALIDATION_ACCURACY)
    value, optimum = metrics.get(f"final/{target}"), metrics.get("final/optimum")
    if value is not None and optimum is None and "final/regret" in metrics:
        optimum = value + metrics["final/regret"]  # as older runs tell it
    if value is None:
        return {}
    return {
        "target": target,
        "optimum": optimum,
        "test_accuracy": metrics.get("final/test_accuracy"),
        "best_architecture": run.data.tags.get("best_architecture"),
    }


def _margins(run: Any) -> dict[str, float]:
    """Bounded metric -> distance of the answer to its bound."""
    return {
        name.removeprefix(MARGIN): value
        for name, value in run.data.metrics.items()
        if name.startswith(MARGIN)
    }


def _json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value
