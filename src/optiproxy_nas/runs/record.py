"""The record of one run on disk: its lock, its manifest, its data, its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import filelock

from optiproxy_nas.core.errors import DataError, ResumeError, RunLockedError
from optiproxy_nas.runs.atomic_files import PARTIAL
from optiproxy_nas.runs.manifest import (
    Manifest,
    close,
    differences,
    new_manifest,
    read_manifest,
    write_manifest,
)


class RunRecord:
    """A locked run folder with an open manifest.

    Args:
        data: the project's data directory.
        run_id: the run.
        pipeline: its pipeline.
        parameters: what decides the search.
        tracking: whether MLflow is told of it.
        resume: go on with a run that exists, instead of refusing it.

    Raises:
        RunLockedError: another process works on the run.
        ResumeError: the run exists and ``resume`` is false, or it cannot go on.
        DataError: the data directory cannot be written to.
    """

    def __init__(
        self,
        data: Path,
        run_id: str,
        pipeline: str,
        parameters: Mapping[str, Any],
        tracking: bool,
        resume: bool = False,
    ) -> None:
        self._data = data
        self._before: Manifest | None = None  # the manifest of the run that goes on
        self.folder = data / "08_reporting" / run_id
        self.path = self.folder / "manifest.json"
        self._acquire(run_id)
        try:
            manifest = new_manifest(run_id, pipeline, parameters, tracking)
            if self.path.exists():
                manifest = self._continue(manifest, resume)
            self._write(manifest)
        except BaseException:
            self._lock.release()
            raise

    def update(self, **facts: Any) -> None:
        """Add facts to the open manifest."""
        self._write({**self.manifest, **facts})

    def record_data(self, data: Mapping[str, Any]) -> None:
        """Write which data the run reads.

        Raises:
            ResumeError: the run began on other data.
        """
        if self.manifest["data"]:
            _refuse_if_different(self.manifest, {**self.manifest, "data": dict(data)})
        self.update(data=dict(data))

    def unchanged(self, artifacts: Mapping[str, Any]) -> bool:
        """Return whether a finished run was resumed and nothing was missing."""
        before = self._before or {}
        return before.get("status") == "finished" and before["artifacts"] == artifacts

    def restore(self) -> None:
        """Put the manifest back as it was before the run was resumed; give up the lock."""
        assert self._before is not None
        try:
            self._write(self._before)
        finally:
            self._lock.release()

    def end(self, status: str, **facts: Any) -> None:
        """Close the manifest and give up the lock."""
        try:
            self._write(close(self.manifest, status, **facts))
        finally:
            self._lock.release()

    def _write(self, manifest: Manifest) -> None:
        self.manifest = manifest
        write_manifest(self.path, manifest)

    def _acquire(self, run_id: str) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.FileLock(self.folder / ".lock", timeout=0)
            self._lock.acquire()
        except filelock.Timeout:
            raise RunLockedError(
                f"Another process is working on run {run_id!r}. Wait for it, or use another "
                "run_id.",
                run_id=run_id,
            ) from None
        except OSError as error:
            raise DataError(
                f"Cannot write to the data directory {self._data}: {error.strerror}. Make it "
                "writable, or work in a copy of the project.",
                path=str(self._data),
            ) from error

    def _continue(self, new: Manifest, resume: bool) -> Manifest:
        run_id = new["run_id"]
        old = read_manifest(self.folder.parent, run_id)
        if not resume:
            raise ResumeError(
                f"Run {run_id!r} exists already ({old['status']}). Go on with it by "
                f"'kedro run --resume {run_id}', or use another run_id.",
                run_id=run_id,
            )
        self._before = old
        new["data"] = old["data"]  # compared by record_data, once the table is there
        _refuse_if_different(old, new)
        for layer in self._data.glob(f"0*_*/{run_id}"):
            for leftover in layer.rglob(f"{PARTIAL}*"):
                leftover.unlink()
        return {**new, "created": old["created"], "mlflow_run_id": old["mlflow_run_id"]}


def _refuse_if_different(old: Manifest, new: Manifest) -> None:
    lines = differences(old, new)
    if lines:
        raise ResumeError(
            f"Run {old['run_id']!r} cannot go on: it would not end as it began.\n  "
            + "\n  ".join(lines)
            + "\nUndo the difference, or start a new run.",
            run_id=old["run_id"],
            differences=lines,
        )
