"""A sweep from its grid to its tables: run what is missing, then read all of it."""

from __future__ import annotations

import hashlib
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution.base import Executor
from optiproxy_nas.execution.registry import open_executor
from optiproxy_nas.runs.atomic_files import (
    file_digest,
    flush_files,
    lock_folder,
    write_atomically,
    write_json,
)
from optiproxy_nas.runs.manifest import digest, reporting_folder
from optiproxy_nas.runs.mlflow_reader import RECORD, RECORD_TAG
from optiproxy_nas.runs.run_names import check_name
from optiproxy_nas.sweeps import point as sweep_points
from optiproxy_nas.sweeps import record, tables
from optiproxy_nas.sweeps.grid import parse_block
from optiproxy_nas.sweeps.jobs import (
    executor_settings,
    note_of_sharing,
    run_points,
    workers_of_searches,
)
from optiproxy_nas.sweeps.planning import PIPELINE, plan
from optiproxy_nas.sweeps.point import Outcome, Point, RunPoint, Tracked


class Failed(NamedTuple):
    """A point that failed, and why."""

    run_id: str
    error: str


@dataclass(frozen=True)
class SweepOutcome:
    """What a sweep came to.

    Attributes:
        name: of the sweep.
        folder: where its tables are.
        points: of the grid, in its order.
        results: one row a query (``tables.RESULTS``).
        runs: one row a point (``tables.RUNS``).
        failed: the points that failed, in the order of the grid.
        done: points run now, without those that failed.
        skipped: points that had finished before.
        wall_seconds: of running the points, from the first to the last.
        search_seconds: of the searches that were run now, added up.
        notes: what the user is to know of single points.
    """

    name: str
    folder: Path
    points: list[Point]
    results: pd.DataFrame
    runs: pd.DataFrame
    failed: list[Failed]
    done: int
    skipped: int
    wall_seconds: float
    search_seconds: float
    notes: list[str] = field(default_factory=list)


def run_sweep(
    project_path: Path | str,
    blocks: Sequence[Mapping[str, Any]],
    name: str | None = None,
    executor: str = "processes",
    workers: int = 2,
    scheduler: str | None = None,
    tracking: bool = True,
    progress: bool = True,
    *,
    replace: bool = False,
    slurm: Mapping[str, Any] | None = None,
) -> SweepOutcome:
    """Run the points of a grid that have not finished, and write the tables of all of them.

    A point that fails is recorded with its error and the others go on.

    Args:
        project_path: the Kedro project.
        blocks: as of :func:`optiproxy_nas.sweeps.planning.plan`.
        name: of the sweep; by default the pipeline's with a digest of the grid.
        executor: a registered one (serial, processes, dask, slurm) or ``package.module:Class``.
        workers: points that run at the same time.
        scheduler: of a Dask cluster.
        tracking: whether MLflow is told: one run for the sweep, and one a point under it.
        progress: whether to show a bar on standard error.
        replace: whether tables of another grid under this name may be replaced.
        slurm: what a point's job asks for, as ``evaluation.slurm`` of a search.

    Raises:
        ParameterError: the grid, the name (also one with tables of another grid) or the executor;
            nothing has been run.
        RunLockedError: another process works on the sweep of this name.
        ArtifactError: tables of another version are in its folder, or its record was edited.
        DataError: its folder cannot be written to.
        TrackingError: the MLflow store cannot be used; nothing has been run.
    """
    project = sweep_points.enter_project(project_path)
    settings = executor_settings(executor, workers, scheduler, slurm)
    if name is not None:
        check_name("The sweep's name", name)
    points = plan(project, blocks)
    function = RunPoint(project, workers_of_searches(settings, points))
    grid = [_canonical(block) for block in blocks]  # lists, so after the check of their size
    grid_digest = digest(grid)
    name = name or f"{points[0].pipeline}-{grid_digest[:8]}"
    folder = reporting_folder(project) / "sweeps" / name
    record.check_places(folder)
    with lock_folder(folder, f"sweep {name!r}", name=name):
        before = record.read_facts(folder)
        if before is not None and not replace:
            record.refuse_other_grid(folder, name, before, grid_digest)
        if before is None or before["grid_sha256"] != grid_digest:
            before = {"mlflow_run_id": None, "tables": {}}
        facts = {
            "schema": tables.SCHEMA,
            "name": name,
            "status": "running",
            "grid": grid,
            "grid_sha256": grid_digest,
            "points": len(points),
            "mlflow_run_id": before["mlflow_run_id"],
            "tables": before["tables"],
        }
        return _Sweep(project, folder, name, points, facts, tracking, progress).run(
            settings, function
        )


@dataclass
class _Sweep:
    """One sweep in progress, whose lock is held."""

    project: Path
    folder: Path
    name: str
    points: list[Point]
    facts: dict[str, Any]
    tracking: bool
    progress: bool

    def run(self, settings: EvaluationSettings, function: RunPoint) -> SweepOutcome:
        missing = [point for point in self.points if not self._is_done(point)]
        with ExitStack() as stack:
            executor = None
            if missing:
                jobs = self.folder / ".jobs"  # what the executor writes for itself
                stack.callback(shutil.rmtree, jobs, ignore_errors=True)
                opened = open_executor(settings, function, "the sweep", folder=jobs)
                executor = stack.enter_context(opened)
            outcome = self._tracked(executor, missing)
        if note := note_of_sharing(missing, function.workers):
            outcome.notes.append(note)
        return outcome

    def _is_done(self, point: Point) -> bool:
        """Return whether a point has finished, and MLflow has all of it, if it is to be told."""
        manifest = tables.finished_manifest(self.project, point)
        return manifest is not None and not (self.tracking and manifest.get("mlflow_owed"))

    def _tracked(self, executor: Executor | None, missing: Sequence[Point]) -> SweepOutcome:
        """Run what is missing, and tell MLflow of the sweep."""
        tracker = nested_under = None
        experiment = self.points[0].pipeline
        if self.tracking:
            grid, before = self.facts["grid"], self.facts["mlflow_run_id"]
            tracker, parent = record.open_parent(self.project, experiment, self.name, grid, before)
            self.facts["mlflow_run_id"] = parent
            nested_under = {
                **{"name": self.name, "parent": parent, "experiment": experiment},
                "opened": time.time_ns(),  # a store that failed is asked again by the next sweep
            }
        try:
            self._write_facts()
            outcome = self._run_points(executor, missing, nested_under)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            self.facts["status"] = "interrupted" if interrupted else "failed"
            with suppress(OSError):  # a full disk may be what ended it
                self._write_facts()
            if tracker is not None:
                tracker.end("KILLED" if interrupted else "FAILED")
            raise
        if tracker is not None:
            counts = {"points": len(outcome.runs), "points/failed": len(outcome.failed)}
            tracker.add({**counts, "seconds/sweep": outcome.wall_seconds}, 0)
            names = (*self.facts["tables"], RECORD)
            tracker.log_artifacts((self.folder / name, "") for name in names)
            tracker.tag({RECORD_TAG: file_digest(self.folder / RECORD)})
            tracker.end("FAILED" if outcome.failed else "FINISHED")
        return outcome

    def _run_points(
        self, executor: Executor | None, missing: Sequence[Point], tracked: Tracked
    ) -> SweepOutcome:
        started = time.perf_counter()
        outcomes = {} if executor is None else self._outcomes(executor, missing, tracked)
        wall = time.perf_counter() - started
        rows, failed, seconds = [], [], 0.0
        for point in self.points:
            manifest = tables.finished_manifest(self.project, point)
            outcome = outcomes.get(point.run_id, Outcome())
            if manifest is not None:  # also if its worker died just after
                rows.append(tables.finished_rows(self.project, point, manifest))
                seconds += tables.search_seconds(manifest) if point.run_id in outcomes else 0.0
                continue
            error = outcome.error or "It finished, but its files are not those of its manifest."
            rows.append(tables.failed_rows(point, error))
            failed.append(Failed(point.run_id, error))
        results, runs = tables.assemble(rows)
        self._write_tables(results, runs)
        notes = list(dict.fromkeys(note for p in self.points if (note := p.note)))
        notes += [f"{run_id}: {o.note}" for run_id, o in outcomes.items() if o.note]
        if any(outcome.tracking_lost for outcome in outcomes.values()):
            notes.append("The MLflow store failed; some of the runs, or all, are not in it.")
        return SweepOutcome(
            name=self.name,
            folder=self.folder,
            points=self.points,
            results=results,
            runs=runs,
            failed=failed,
            done=len(outcomes) - len(failed),
            skipped=len(self.points) - len(missing),
            wall_seconds=wall,
            search_seconds=seconds,
            notes=notes,
        )

    def _outcomes(
        self, executor: Executor, points: Sequence[Point], tracked: Tracked
    ) -> dict[str, Outcome]:
        """Return the outcomes by run id; show a progress bar."""
        outcomes: dict[str, Outcome] = {}
        total = len(self.points)
        tqdm.set_lock(threading.RLock())  # its own is a semaphore, which outlives a killed process
        bar = tqdm(
            total=total,
            initial=total - len(points),
            desc="points",
            unit="point",
            file=sys.stderr,
            smoothing=0,  # the mean of all: points differ
            disable=not self.progress,
        )
        outcome_by_point = closing(run_points(executor, points, tracked, self.folder))
        with sweep_points.quiet_logs(), closing(bar), outcome_by_point as finished:
            for point, outcome in finished:
                outcomes[point.run_id] = outcome
                if outcome.error:
                    failures = sum(bool(o.error) for o in outcomes.values())
                    bar.set_postfix_str(f"{failures} failed", refresh=False)
                bar.update()
        return outcomes

    def _write_tables(self, results: pd.DataFrame, runs: pd.DataFrame) -> None:
        digests = {}
        for name, table in zip(record.TABLES, (results, runs), strict=True):
            data = tables.parquet(table)
            write_atomically(self.folder / name, data)
            digests[name] = hashlib.sha256(data).hexdigest()
        flush_files(self.folder / name for name in digests)
        self.facts["tables"] = digests
        self.facts["status"] = "finished" if (runs["status"] == "finished").all() else "failed"
        self._write_facts()

    def _write_facts(self) -> None:
        write_json(self.folder / RECORD, self.facts)


def _canonical(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return a block as plain lists: equal for all spellings of the same grid."""
    parsed = parse_block(block)
    values = {name: list(values) for name, values in parsed.values.items()}
    return {"pipeline": parsed.pipeline or PIPELINE, **values}
