"""Finished runs as they lie in a project: a manifest, and the artifacts that it names.

The record of one, :class:`~optiproxy_nas.evaluation.finished_run.FinishedRun`, is also read from
an MLflow store (:mod:`~optiproxy_nas.runs.mlflow_reader`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import ArtifactError
from optiproxy_nas.evaluation.finished_run import FinishedRun
from optiproxy_nas.runs.atomic_files import file_digest
from optiproxy_nas.runs.manifest import (
    REFITS,
    SEAL,
    Manifest,
    artifacts_by_step,
    data_digest,
    is_asynchronous,
    last_archive,
    provenance,
    seal_of,
)
from optiproxy_nas.runs.metrics import margins

PROPOSALS = "result.trials"  # the artifact that has every proposal, repeats included


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

    def check_manifest(self) -> bool:
        """Compare the manifest with its digest of itself; return False where it has none.

        Raises:
            ArtifactError: an entry was edited.
        """
        recorded = self.manifest.get(SEAL)
        if recorded is not None and (found := seal_of(self.manifest)) != recorded:
            raise ArtifactError(
                f"The manifest of run {self.manifest['run_id']!r} was edited: SHA-256 "
                f"{found[:12]}.., it says {recorded[:12]}... Restore it, or repeat the search.",
                name="manifest",
                found=found,
                recorded=recorded,
            )
        return recorded is not None

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
            found = file_digest(path) if path.is_file() else None
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

    def trials(self) -> pd.DataFrame:
        """Return the complete and the failed trials: number, architecture, state, value, error, ...

        The others are the columns of the archive; complete trials come first.
        """
        name = last_archive(self._artifacts)
        archive = self.archive()
        failed_name = f"{name.removesuffix('archive')}failed"
        tables = [archive.assign(state="complete", error="")]
        if failed_name in self._artifacts:
            failed = pd.read_parquet(self.path(failed_name))
            tables += [failed.assign(state="failed")] if len(failed) else []
        table = pd.concat(tables, ignore_index=True)
        table = table[[it for it in table if not str(it).startswith("code_") and it != "order"]]
        first = ["number", "architecture", "state", "value"]
        table = table.assign(number=range(len(table)))
        return table[[*first, *(it for it in table if it not in first)]]

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
