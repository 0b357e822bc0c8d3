"""The reader of finished runs: from a run's folder, or from an MLflow store.

Both give the same record, :class:`~optiproxy_nas.evaluation.finished_run.FinishedRun`. A run's
manifest tells what decided it and what it found; its archive lies beside. The short runs of a sweep
log neither to MLflow: they are rows of the tables that the sweep's parent run logs at its end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import ArtifactError, ResumeError
from optiproxy_nas.evaluation.finished_run import FinishedRun
from optiproxy_nas.runs.atomic_files import file_digest
from optiproxy_nas.runs.foreign_names import refuse_foreign_names
from optiproxy_nas.runs.manifest import (
    REFITS,
    Manifest,
    artifacts_by_step,
    data_digest,
    is_asynchronous,
    last_archive,
    load_manifest,
    provenance,
)
from optiproxy_nas.runs.metrics import MARGIN, margins
from optiproxy_nas.runs.mlflow_store import PARENT_TAG

ARCHIVE, MANIFEST = "archive.parquet", "manifest.json"  # in the store of a run of its own
RESULTS, POINTS = "results.parquet", "runs.parquet"  # in the store of a sweep's parent
SWEEP = "sweep"  # a tag
PROPOSALS = "result.trials"  # the artifact that has every proposal, repeats included
# Columns of a sweep's results that make an archive; ``spent`` since schema 2.
_OF_ARCHIVE = ("order", "architecture", "value", "best", "spent")
_OF_SUMMARY = (
    *("optimum", "test_accuracy", "best_architecture", "failed_trials"),
    *("confirmed_value", "confirmed_sd", "single_value", "confirmations"),
)


def finished_run(
    manifest: Manifest,
    archive: pd.DataFrame,
    tags: Mapping[str, str] | None = None,
    reference: str = "",
) -> FinishedRun:
    """Return the record of a finished run.

    Args:
        manifest: of the run, closed.
        archive: of the run.
        tags: further ones, of a store.
        reference: the id in that store.

    Raises:
        ArtifactError: what was read is no run, or is damaged.
    """
    result = manifest["result"]
    return FinishedRun(
        run_id=manifest["run_id"],
        parameters=manifest["parameters"],
        summary={**result, "margins": margins(result)},
        archive=archive,
        table=data_digest(manifest["data"]),
        tags={**(tags or {}), **provenance(manifest)},
        modules=(manifest.get("code") or {}).get("modules", {}),
        reference=reference,
        workers=manifest["evaluation"]["workers"] if is_asynchronous(manifest) else 1,
    )


class StoredRun:
    """The artifacts that a run's manifest names, in a project.

    Args:
        project: the project's folder.
        manifest: of the run.
    """

    def __init__(self, project: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self._project = project
        self._artifacts: Mapping[str, Mapping[str, str]] = manifest["artifacts"]

    def path(self, name: str) -> Path:
        """Return the file of an artifact; it need not exist."""
        return self._project / self._artifacts[name]["path"]

    def check(self, names: Iterable[str] | None = None) -> None:
        """Compare files with the manifest, all of them unless ``names`` are given.

        Raises:
            ArtifactError: one is missing, or has another SHA-256.
        """
        for error in self.damage(names):
            raise error

    def damage(self, names: Iterable[str] | None = None) -> Iterator[ArtifactError]:
        """Yield an error for each file that is missing or has another SHA-256 than recorded."""
        for name in self._artifacts if names is None else names:
            path, recorded = self.path(name), self._artifacts[name]["sha256"]
            found = file_digest(path) if path.exists() else None
            if found != recorded:
                state = "is missing" if found is None else f"has SHA-256 {found[:12]}.."
                yield ArtifactError(
                    f"Artifact {name!r} {state}, the manifest says {recorded[:12]}..: {path}. The "
                    "run was edited or damaged; restore the file ('kedro audit' lists all that is "
                    "damaged), or repeat the search.",
                    name=name,
                    path=str(path),
                    found=found,
                    recorded=recorded,
                )

    @property
    def tables(self) -> list[str]:
        """The artifacts with all that was queried: the archive, and the proposals if stored."""
        return [last_archive(self._artifacts), *self._artifacts.keys() & {PROPOSALS}]

    def archive(self) -> pd.DataFrame:
        """Return the whole archive, one row a query."""
        return pd.read_parquet(self.path(last_archive(self._artifacts)))

    def proposals(self) -> pd.DataFrame | None:
        """Return every proposal of a method that may repeat itself; None where none are stored."""
        stored = PROPOSALS in self._artifacts
        return pd.read_parquet(self.path(PROPOSALS)) if stored else None

    def tensors(self, kind: str) -> dict[int, Tensors]:
        """Return the tensors of a kind (``proxy``, ``logits``, ...) by step, on the CPU."""
        from safetensors.torch import load_file

        names = artifacts_by_step(self._artifacts, kind)
        return {step: load_file(self.path(name)) for step, name in names.items()}

    def fitted_rows(self) -> dict[int, int]:
        """Return on how many rows of D each step's proxy was fitted; {}: on those before it."""
        if not any(name.startswith(f"{REFITS}.") for name in self._artifacts):
            return {}
        names = artifacts_by_step(self._artifacts, "archive")
        return {
            step: len(pd.read_parquet(self.path(name), columns=["order"]))
            for step, name in names.items()
        }

    def read(self) -> FinishedRun:
        """Return the record of the run.

        Raises:
            ArtifactError: it is damaged.
        """
        return finished_run(self.manifest, self.archive())


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
    """

    def __init__(self, client: Any, folder: Path) -> None:
        self._client = client
        self._folder = folder
        self._sweeps: dict[str, SweepTables | None] = {}

    def read(self, run: Any, parent: str | None = None) -> FinishedRun | None:
        """Return a run's record; None if the store lacks its archive or its result.

        Args:
            run: an MLflow run.
            parent: of the sweep whose tables may hold it; by default the run's own.

        Raises:
            ArtifactError: a file is not readable, or is not what its name says.
        """
        tags, reference = run.data.tags, run.info.run_id
        if self._names(reference) >= {ARCHIVE, MANIFEST}:
            manifest = self._fetch(reference, MANIFEST, load_manifest)
            if manifest.get("result") is None:
                return None
            archive = self._fetch(reference, ARCHIVE, pd.read_parquet)
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
            if self._names(parent) >= {RESULTS, POINTS}:
                rows = self._fetch(parent, RESULTS, pd.read_parquet)
                rows = rows.assign(order=rows["query"] - 1)
                rows = rows[["run_id", *(name for name in _OF_ARCHIVE if name in rows)]]
                archives = {
                    str(run_id): archive.drop(columns="run_id")
                    for run_id, archive in rows.groupby("run_id")
                }
                points = self._fetch(parent, POINTS, pd.read_parquet).to_dict("records")
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

    def _fetch(self, run_id: str, path: str, read: Callable[[Path], Any]) -> Any:
        folder = self._folder / run_id
        folder.mkdir(exist_ok=True)
        local = Path(self._client.download_artifacts(run_id, path, str(folder)))
        try:
            return read(local)
        except (ValueError, OSError, ResumeError) as error:  # pyarrow's errors are of both kinds
            raise ArtifactError(
                f"{path} of MLflow run {run_id} is not readable: {error}. Leave the run out, or "
                "run it again.",
                run_id=run_id,
            ) from error


def id_of(run: Any) -> str:
    """Return our id of an MLflow run, else its name there."""
    return str(run.data.tags.get("run_id") or run.info.run_name or run.info.run_id)


def is_sweep(run: Any) -> bool:
    """Return whether an MLflow run is the parent of a sweep."""
    return SWEEP in run.data.tags and PARENT_TAG not in run.data.tags
