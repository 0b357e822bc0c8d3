"""The reader of finished runs of an MLflow store.

The artifacts of a run have its manifest and its archive. The short runs of a sweep have neither:
they are rows of the tables that the sweep's parent run logs at its end, beside the sweep's record.
Manifest and record say the digests of what lies beside them, and the store has theirs as a tag.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from optiproxy_nas.core.bounded_files import read_parquet
from optiproxy_nas.core.errors import ArtifactError, UntrustedNameError
from optiproxy_nas.evaluation.finished_run import FinishedRun
from optiproxy_nas.runs.atomic_files import file_digest
from optiproxy_nas.runs.finished import finished_run
from optiproxy_nas.runs.foreign_names import refuse_foreign_names
from optiproxy_nas.runs.manifest import ANCHOR, SEAL, Manifest, last_archive, load_manifest, seal_of
from optiproxy_nas.runs.metrics import MARGIN
from optiproxy_nas.runs.mlflow_store import PARENT_TAG

ARCHIVE, MANIFEST = "archive.parquet", "manifest.json"  # in the store of a run of its own
RECORD = "sweep.json"  # beside them, with their digests
RECORD_TAG = "sweep.sha256"  # of the parent: the digest of the record
RESULTS, POINTS = "results.parquet", "runs.parquet"  # in the store of a sweep's parent
SWEEP = "sweep"  # a tag
# Columns of a sweep's results that make an archive; ``spent`` since schema 2.
_OF_ARCHIVE = ("order", "architecture", "value", "best", "spent")
_OF_SUMMARY = (
    *("optimum", "test_accuracy", "best_architecture", "failed_trials"),
    *("confirmed_value", "confirmed_sd", "single_value", "confirmations"),
)


class SweepTables(NamedTuple):
    """The tables of a sweep, by run id."""

    archives: dict[str, pd.DataFrame]
    points: dict[str, dict[str, Any]]

    def read(self, run_id: str, reference: str) -> FinishedRun:
        """Return the record of a finished point.

        Raises:
            ArtifactError: it is damaged.
        """
        point = self.points[run_id]
        parameters = json.loads(point["parameters"])
        refuse_foreign_names(parameters, f"Run {run_id!r}", {})
        return FinishedRun(
            run_id=run_id,
            parameters=parameters,
            summary={name: point[name] for name in _OF_SUMMARY if name in point},
            archive=self.archives[run_id],
            reference=reference,
        )


class MlflowReader:
    """Reads runs of one MLflow store.

    Args:
        client: an ``MlflowClient``.
        folder: where files of a remote store may be put for the moment.

    Attributes:
        unchecked: what was read and might have been edited, since the store has no digest of it:
            ids of runs, and of parents of sweeps.
    """

    def __init__(self, client: Any, folder: Path) -> None:
        self._client = client
        self._folder = folder
        self._sweeps: dict[str, SweepTables | None] = {}
        self.unchecked: list[str] = []

    def read(self, run: Any, parent: str | None = None) -> FinishedRun | None:
        """Return a run's record; None if the store lacks its archive or its result.

        Args:
            run: an MLflow run.
            parent: of the sweep whose tables may hold it; by default the run's own.

        Raises:
            ArtifactError: a file is not readable, is not what its name says, or has another SHA-256
                than was recorded.
        """
        tags, reference = run.data.tags, run.info.run_id
        if self._names(reference) >= {ARCHIVE, MANIFEST}:
            manifest = self._fetch(reference, MANIFEST, load_manifest)
            recorded = tags.get(ANCHOR, manifest.get(SEAL))
            if recorded not in (None, found := seal_of(manifest)):
                raise _edited(reference, MANIFEST, found, recorded)
            if manifest.get("result") is None:
                return None
            if ANCHOR not in tags:
                self.unchecked.append(id_of(run))
            listed = _digest_of_archive(manifest, reference)
            archive = self._fetch(reference, ARCHIVE, read_parquet, listed)
            return finished_run(manifest, archive, tags, reference)
        parent = parent or tags.get(PARENT_TAG)
        sweep = self.sweep(parent) if parent else None
        if sweep is None or id_of(run) not in sweep.archives:
            return None
        point = sweep.read(id_of(run), reference)
        bounds = {
            name.removeprefix(MARGIN): value
            for name, value in run.data.metrics.items()
            if name.startswith(MARGIN)
        }
        return replace(
            point,
            tags=tags,
            summary={**point.summary, "target": tags.get("target"), "margins": bounds},
            table=tags.get("data.sha256", ""),
        )

    def sweep(self, parent: str) -> SweepTables | None:
        """Return the tables that a sweep's parent run logged; None while it has not ended."""
        if parent not in self._sweeps:
            tables = None
            names = self._names(parent)
            if names >= {RESULTS, POINTS}:
                digests = self._table_digests(parent) if RECORD in names else {}
                if not digests:
                    self.unchecked.append(parent)
                rows = self._fetch(parent, RESULTS, read_parquet, digests.get(RESULTS))
                rows = rows.assign(order=rows["query"] - 1)
                rows = rows[["run_id", *(name for name in _OF_ARCHIVE if name in rows)]]
                archives = {
                    str(run_id): archive.drop(columns="run_id")
                    for run_id, archive in rows.groupby("run_id")
                }
                table = self._fetch(parent, POINTS, read_parquet, digests.get(POINTS))
                points = table.to_dict("records")
                tables = SweepTables(archives, {point["run_id"]: point for point in points})
            self._sweeps[parent] = tables
        return self._sweeps[parent]

    def points(self, parent: str) -> set[str]:
        """Return our ids of the points of a sweep's grid; none while it has not ended."""
        tables = self.sweep(parent)
        return set(tables.points) if tables else set()

    def other_points(self, parent: str, run_ids: Collection[str]) -> tuple[list[FinishedRun], int]:
        """Return the points of a sweep that are not among ``run_ids``, and how many failed.

        They have no run under the sweep: they had been run before it, and it took them.
        """
        tables = self.sweep(parent)
        if tables is None:
            return [], 0
        others = [point for run_id, point in tables.points.items() if run_id not in run_ids]
        finished = [point["run_id"] for point in others if point["status"] == "finished"]
        runs = [tables.read(run_id, parent) for run_id in finished]
        return runs, len(others) - len(finished)

    def _names(self, run_id: str) -> set[str]:
        return {file.path for file in self._client.list_artifacts(run_id)}

    def _table_digests(self, parent: str) -> dict[str, str]:
        """Return the digests of a sweep's tables; {} where nothing vouches for its record."""
        recorded = self._client.get_run(parent).data.tags.get(RECORD_TAG)
        facts = self._fetch(parent, RECORD, lambda path: json.loads(path.read_bytes()), recorded)
        return {} if recorded is None else dict(facts["tables"])

    def _fetch(
        self, run_id: str, path: str, read: Callable[[Path], Any], recorded: str | None = None
    ) -> Any:
        """Return what is read of a file that has the recorded SHA-256, if there is one."""
        folder = self._folder / run_id
        folder.mkdir(exist_ok=True)
        local = Path(self._client.download_artifacts(run_id, path, str(folder)))
        found = None if recorded is None else file_digest(local)
        if found != recorded:
            raise _edited(run_id, path, found, recorded)
        try:
            return read(local)
        except UntrustedNameError:
            raise
        except Exception as error:  # a damaged table can raise almost anything
            raise ArtifactError(
                f"{path} of MLflow run {run_id} is not readable: {error}. Leave the run out, or "
                "run it again.",
                run_id=run_id,
            ) from error


def _edited(run_id: str, path: str, found: str | None, recorded: str | None) -> ArtifactError:
    return ArtifactError(
        f"{path} of MLflow run {run_id} has SHA-256 {found}, recorded is {recorded}. It was edited "
        "or damaged in the artifact store. Leave the run out, or delete the file and send it anew: "
        "'kedro run --resume RUN_ID', of a sweep 'kedro sweep'.",
        run_id=run_id,
        path=path,
        found=found,
        recorded=recorded,
    )


def _digest_of_archive(manifest: Manifest, reference: str) -> str:
    """Return the SHA-256 that a manifest says of the archive."""
    try:
        return str(manifest["artifacts"][last_archive(manifest["artifacts"])]["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{MANIFEST} of MLflow run {reference} lists no archive. Leave the run out.",
            run_id=reference,
        ) from error


def id_of(run: Any) -> str:
    """Return our id of an MLflow run, else its name there."""
    return str(run.data.tags.get("run_id") or run.info.run_name or run.info.run_id)


def is_sweep(run: Any) -> bool:
    """Return whether an MLflow run is the parent of a sweep."""
    return SWEEP in run.data.tags and PARENT_TAG not in run.data.tags
