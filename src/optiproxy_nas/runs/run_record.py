"""The record of a run: it locks the run's folder, and keeps its manifest."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optiproxy_nas.core.errors import ArtifactError, ParameterError, ResumeError
from optiproxy_nas.runs.atomic_files import LOCK, PARTIAL, flush_files, lock_folder, write_json
from optiproxy_nas.runs.finished import StoredRun
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
from optiproxy_nas.runs.user_stamp import STAMP, stamp_of

Artifacts = Mapping[str, Mapping[str, str]]  # name -> path and sha256
SECONDS = ".seconds.jsonl"  # of the nodes of a run that has not been closed
# Of the manifest of a run that goes on.
_KEPT = (
    "created",
    "mlflow_run_id",
    "mlflow_owed",
    "node_seconds",
    "node_cpu_seconds",
    "wall_seconds",
)


class RunRecord:
    """A locked run folder with an open manifest.

    The manifest of a run that goes on is not touched before :meth:`begin`, and that of a run that
    had finished not before :meth:`close`.

    Args:
        project: the project's folder.
        run_id: the run.
        pipeline: its pipeline.
        parameters: what decides the search.
        tracking: whether MLflow is told of it.
        resume: go on with a run that exists, instead of refusing it.
        evaluation: where and how the trials of a problem are trained; None: of a benchmark.
        replay: repeat a run in a copy of the project, by the journal that lies there.

    Raises:
        RunLockedError: another process works on the run.
        ResumeError: the run exists and ``resume`` is false, or it cannot go on.
        ArtifactError: its manifest was edited.
        ParameterError: there are files of something else in folders of that name.
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
        replay: bool = False,
    ) -> None:
        self.before: Manifest = {}  # the manifest of the run that goes on
        self._is_begun = False
        self.is_retried = False  # what failed is trained again, and what followed made anew
        self._project = project
        self.folder = reporting_folder(project) / run_id
        self.path = manifest_path(self.folder.parent, run_id)
        self._seconds_path = self.folder / SECONDS
        if not self.path.exists() and not replay:
            _refuse_files_of_others(project, run_id)
        self._lock = lock_folder(self.folder, f"run {run_id!r}", run_id=run_id).lock
        try:
            manifest = new_manifest(run_id, pipeline, parameters, tracking)
            if evaluation is not None:
                manifest["evaluation"] = dict(evaluation)
                manifest[STAMP] = stamp_of(run_id, evaluation)
            if self.path.exists():
                self.manifest = self._continue(manifest, resume)
                self._remove_partial_files()
            else:
                self._remove_partial_files()  # killed at its first write, a run has no manifest
                self.manifest = manifest
                self.begin()
        except BaseException:
            self._lock.release()
            raise

    @property
    def was_finished(self) -> bool:
        """Whether the run had finished before it was resumed."""
        return self.before.get("status") == "finished"

    @property
    def owed(self) -> bool:
        """Whether MLflow lacks a part of the run, as far as the manifest says."""
        return bool(self.manifest["mlflow_owed"])

    def begin(self) -> None:
        """Write the manifest of a run that goes on, as open; of one that had finished, keep it.

        Where failures are trained again, what followed from them is taken away, not before.
        """
        for name in ("step_*", "asynchronous", REFITS, "confirm") if self.is_retried else ():
            for folder in self.folder.parents[1].glob(f"0*_*/{self.folder.name}/{name}"):
                shutil.rmtree(folder)
        if not self.was_finished:
            self._is_begun = True
            self._write(self.manifest)

    def update(self, **facts: Any) -> None:
        """Add facts to the open manifest."""
        self.manifest |= facts
        if self._is_begun:
            self._write(self.manifest, flushed=False)

    def record_data(self, data: Mapping[str, Any]) -> None:
        """Write which data the run reads.

        Raises:
            ResumeError: the run began on other data.
        """
        if self.manifest["data"]:
            _refuse_if_different(self.manifest, {**self.manifest, "data": dict(data)})
        self.update(data=dict(data))

    def check(self, artifacts: Artifacts, but: str = "") -> None:
        """Compare artifacts with those that the manifest lists.

        Args:
            artifacts: of the run, as they are.
            but: what the names of those begin with that may be others by now.

        Raises:
            ArtifactError: one has another SHA-256, or a finished run does not list it.
        """
        listed = self.manifest["artifacts"]
        for name, facts in artifacts.items():
            grows = name == "journal" and not self.was_finished
            if grows or (but and name.startswith(but)):
                continue
            recorded = listed.get(name, {}).get("sha256")
            if recorded == facts["sha256"] or (recorded is None and not self.was_finished):
                continue
            found = facts["sha256"]
            state = "lists no such file" if recorded is None else f"says {recorded[:12]}.."
            raise ArtifactError(
                f"Artifact {name!r} has SHA-256 {found[:12]}.., the manifest {state}: "
                f"{facts['path']}. It was put there or edited after the run. Take it away, or "
                "restore what was there; the run is as it was.",
                name=name,
                path=facts["path"],
                found=found,
                recorded=recorded,
            )

    def unchanged(self, artifacts: Artifacts) -> bool:
        """Return whether a finished run was resumed and nothing was missing."""
        return self.was_finished and self.before["artifacts"] == artifacts

    def add_seconds(self, node: str, seconds: float, cpu_seconds: float) -> None:
        """Note how long a node ran; also of a run that is killed later, from any process.

        ``cpu_seconds`` are of the whole process, so that of nodes in threads they overlap.
        """
        with self._seconds_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([node, seconds, cpu_seconds]) + "\n")

    def seconds(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the wall and the CPU seconds of each node when it ran first, in any session."""
        seconds = dict(self.manifest["node_seconds"])
        cpu_seconds = dict(self.manifest["node_cpu_seconds"])
        lines = self._seconds_path.read_text("utf-8") if self._seconds_path.is_file() else ""
        for line in lines.splitlines():
            with suppress(ValueError):  # cut by a kill
                node, wall, cpu = json.loads(line)
                seconds.setdefault(node, wall)
                cpu_seconds.setdefault(node, cpu)
        return seconds, cpu_seconds

    def keep(self) -> None:
        """Leave the manifest of a finished run as it is."""
        self._seconds_path.unlink(missing_ok=True)  # of a session that was killed at its end
        facts = {name: self.manifest[name] for name in ("tracking", "mlflow_run_id")}
        lacking = {name: self.manifest[name] for name in _KEPT}  # in manifests of before
        self.manifest = {**lacking, **self.before, **(facts if self.manifest["tracking"] else {})}

    def close(self, status: str, seconds: float = 0.0, **facts: Any) -> None:
        """Write the status that a run ends with, and more facts; artifacts are on the disk first.

        Args:
            status: "finished", "partial" or "failed".
            seconds: how long this session took.
            **facts: for the manifest.
        """
        artifacts: Artifacts = facts.get("artifacts", {})
        flush_files(self._project / facts["path"] for facts in artifacts.values())
        by_node, cpu_by_node = self.seconds()
        by_kind: defaultdict[str, float] = defaultdict(float)
        for node, value in by_node.items():
            by_kind[node.rpartition(".")[2]] += value
        facts |= {"status": status, "closed": now(), "seconds": dict(by_kind)}
        facts["wall_seconds"] = self.manifest["wall_seconds"] + seconds
        is_tracked = self.manifest["tracking"] or self.manifest["mlflow_run_id"] is not None
        facts["mlflow_owed"] = is_tracked  # until it is settled
        self._write(
            {**self.manifest, **facts, "node_seconds": by_node, "node_cpu_seconds": cpu_by_node}
        )
        self._seconds_path.unlink(missing_ok=True)

    def settle(self, owed: bool) -> None:
        """Write whether MLflow lacks a part of the closed run."""
        self._write({**self.manifest, "mlflow_owed": owed})

    def fail(self, reason: str, seconds: float) -> None:
        """Close the manifest of a run that was begun as failed; any other stays as it is."""
        if self._is_begun and self.manifest["status"] == "running":
            self.close("failed", seconds, error=reason)

    def release(self) -> None:
        """Give up the lock."""
        self._lock.release()

    def _remove_partial_files(self) -> None:
        """Remove what a session that was killed had not written to its end."""
        for layer in self.folder.parents[1].glob(f"0*_*/{self.folder.name}"):
            for leftover in list(layer.rglob(f"{PARTIAL}*")):
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink(missing_ok=True)

    def _write(self, manifest: Manifest, flushed: bool = True) -> None:
        self.manifest = sealed(manifest)
        write_json(self.path, self.manifest, flushed)

    def _continue(self, new: Manifest, resume: bool) -> Manifest:
        run_id = new["run_id"]
        old = read_manifest(self.folder.parent, run_id, new["parameters"])
        if not resume:
            raise ResumeError(
                f"Run {run_id!r} exists already ({old['status']}). Go on with it by "
                f"'kedro run --resume {run_id}', or use another run_id.",
                run_id=run_id,
            )
        StoredRun(self._project, old).check_manifest()
        if is_asynchronous(old) != is_asynchronous(new):
            how = (
                "an asynchronous search, and goes on as one: its number of workers may change"
                if is_asynchronous(old)
                else "a search in steps that wait for their batches, and goes on so: leave workers "
                "out, and set evaluation.workers"
            )
            raise ResumeError(f"Run {run_id!r} was begun as {how}.", run_id=run_id)
        self.before = old
        new["data"] = old["data"]  # compared by record_data, once the table is there
        # The trials of a problem are in its journal, so what failed can be trained again.
        retried = old["parameters"].get("problem") is not None and not self.was_finished
        _refuse_if_different(old, new, (*LIMITS, RETRIES) if retried else LIMITS)
        self.is_retried = retried and entry_of(old, RETRIES) != entry_of(new, RETRIES)
        # ``.get``: the manifests of before have not all of them.
        kept = {name: old.get(name, new[name]) for name in _KEPT}
        owes = kept["mlflow_owed"] or (new["tracking"] and old["mlflow_run_id"] is None)
        artifacts = {} if self.is_retried else old["artifacts"]
        return {**new, **kept, "mlflow_owed": owes, "artifacts": artifacts}


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


def _refuse_files_of_others(project: Path, run_id: str) -> None:
    """Refuse to begin a run in folders that hold files, which would be taken for the run's.

    Raises:
        ParameterError: there are some; the first.
    """
    for folder in sorted((project / "data").glob(f"0*_*/{run_id}")):
        for path in sorted(folder.rglob("*")):
            place = path.relative_to(project)
            is_left = path.name == LOCK or any(part.startswith(PARTIAL) for part in place.parts)
            if not path.is_dir() and not is_left:  # a run that was killed at its first write
                raise ParameterError(
                    f"Parameter 'run_id' = {run_id!r}: there is {place} already, and no manifest "
                    "of such a run. Choose another run_id, or take those files away.",
                    name="run_id",
                    value=run_id,
                    path=str(place),
                )
