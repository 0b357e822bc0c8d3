"""The record of a run: it locks the run's folder, and keeps its manifest."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optiproxy_nas.core.errors import ResumeError
from optiproxy_nas.runs.atomic_files import PARTIAL, lock_folder, write_json
from optiproxy_nas.runs.manifest import (
    LIMITS,
    REFITS,
    RETRIES,
    Manifest,
    differences,
    entry_of,
    is_asynchronous,
    manifest_path,
    new_manifest,
    now,
    read_manifest,
    reporting_folder,
    sealed,
)


class RunRecord:
    """A locked run folder with an open manifest.

    Args:
        project: the project's folder.
        run_id: the run.
        pipeline: its pipeline.
        parameters: what decides the search.
        tracking: whether MLflow is told of it.
        resume: go on with a run that exists, instead of refusing it.
        evaluation: where and how the trials of a problem are trained; None: of a benchmark.

    Raises:
        RunLockedError: another process works on the run.
        ResumeError: the run exists and ``resume`` is false, or it cannot go on.
        DataError: the data directory cannot be written to.
    """

    def __init__(
        self,
        project: Path,
        run_id: str,
        pipeline: str,
        parameters: Mapping[str, Any],
        tracking: bool,
        resume: bool = False,
        evaluation: Mapping[str, Any] | None = None,
    ) -> None:
        self._before: Manifest | None = None  # the manifest of the run that goes on
        self.folder = reporting_folder(project) / run_id
        self.path = manifest_path(self.folder.parent, run_id)
        self._lock = lock_folder(self.folder, f"run {run_id!r}", run_id=run_id).lock
        try:
            manifest = new_manifest(run_id, pipeline, parameters, tracking)
            if evaluation is not None:
                manifest["evaluation"] = dict(evaluation)
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
        return self.was_finished and (self._before or {})["artifacts"] == artifacts

    @property
    def was_finished(self) -> bool:
        """Whether the run had finished before it was resumed."""
        return (self._before or {}).get("status") == "finished"

    def restore(self) -> None:
        """Put the manifest back as it was before the run was resumed; give up the lock."""
        assert self._before is not None
        try:
            self._write(self._before)
        finally:
            self._lock.release()

    def end(self, status: str, **facts: Any) -> None:
        """Close the manifest with its status and more facts; give up the lock."""
        try:
            self._write({**self.manifest, **facts, "status": status, "closed": now()})
        finally:
            self._lock.release()

    def _write(self, manifest: Manifest) -> None:
        self.manifest = sealed(manifest)
        write_json(self.path, self.manifest)

    def _continue(self, new: Manifest, resume: bool) -> Manifest:
        run_id = new["run_id"]
        old = read_manifest(self.folder.parent, run_id, new["parameters"])
        if not resume:
            raise ResumeError(
                f"Run {run_id!r} exists already ({old['status']}). Go on with it by "
                f"'kedro run --resume {run_id}', or use another run_id.",
                run_id=run_id,
            )
        if is_asynchronous(old) != is_asynchronous(new):
            how = (
                "an asynchronous search, and goes on as one: its number of workers may change"
                if is_asynchronous(old)
                else "a search in steps that wait for their batches, and goes on so: leave workers "
                "out, and set evaluation.workers"
            )
            raise ResumeError(f"Run {run_id!r} was begun as {how}.", run_id=run_id)
        self._before = old
        new["data"] = old["data"]  # compared by record_data, once the table is there
        # The trials of a problem are in its journal, so what failed can be trained again.
        retried = old["parameters"].get("problem") is not None and not self.was_finished
        _refuse_if_different(old, new, (*LIMITS, RETRIES) if retried else LIMITS)
        again = retried and entry_of(old, RETRIES) != entry_of(new, RETRIES)
        for layer in self.folder.parents[1].glob(f"0*_*/{run_id}"):
            for name in ("step_*", "asynchronous", REFITS, "confirm") if again else ():
                for folder in layer.glob(name):
                    shutil.rmtree(folder)  # what followed from the failures
            for leftover in list(layer.rglob(f"{PARTIAL}*")):
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink(missing_ok=True)
        return {**new, "created": old["created"], "mlflow_run_id": old["mlflow_run_id"]}


def _refuse_if_different(old: Manifest, new: Manifest, but: Sequence[str] = LIMITS) -> None:
    lines = differences(old, new, but=but)
    if lines:
        raise ResumeError(
            f"Run {old['run_id']!r} cannot go on: it would not end as it began.\n  "
            + "\n  ".join(lines)
            + "\nUndo the difference, or start a new run.",
            run_id=old["run_id"],
            differences=lines,
        )
