"""A run in progress: its record, what tracks and shows it, and what trains its trials."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import CatalogProtocol
from kedro.pipeline import Node

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.core.errors import (
    EvaluationError,
    FailedTrialsError,
    JournalError,
    project_error,
)
from optiproxy_nas.evaluation.journal_table import metric_columns
from optiproxy_nas.pipelines.live_status import LiveStatus
from optiproxy_nas.pipelines.prior import with_prior
from optiproxy_nas.pipelines.run_evaluator import RunEvaluator
from optiproxy_nas.pipelines.run_progress import RunProgress
from optiproxy_nas.problems.resolution import resolve_problem
from optiproxy_nas.report.summary import headline
from optiproxy_nas.report.terminal import audit_command
from optiproxy_nas.runs.manifest import SEAL, last_archive
from optiproxy_nas.runs.mlflow_view import note
from optiproxy_nas.runs.run_record import RunRecord
from optiproxy_nas.runs.tracking import MlflowTracker

BEST_SO_FAR = "best_so_far.png"  # the picture of every report


class ActiveRun:
    """A run whose manifest is open."""

    def __init__(self, record: RunRecord, parameters: RunParameters) -> None:
        self.record = record
        self.parameters = parameters
        self.target = self.label = target_of(parameters)
        if parameters.problem is not None:
            self.target = resolve_problem(parameters.problem).target.name
        self.prior: pd.DataFrame | None = None  # trials of the earlier runs that guide it
        self.evaluator: RunEvaluator | None = None  # of a problem
        self.tracker: MlflowTracker | None = None
        self.progress: RunProgress | None = None
        self.live: LiveStatus | None = None  # of a problem
        self._started: dict[str, tuple[float, float]] = {}  # node -> wall and CPU clock
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long this session has run."""
        return time.perf_counter() - self._began

    def node_started(self, node: Node) -> None:
        """Note when a node began, and show it."""
        self._started[node.name] = _clocks()
        if self.progress is not None:
            self.progress.node_began(node.name)

    def node_ended(self, node: Node, outputs: dict[str, Any]) -> None:
        """Add a node's seconds, show the archive that it made, and track both."""
        now = _clocks()
        wall, cpu = self._started.pop(node.name, now)
        seconds, cpu_seconds = now[0] - wall, now[1] - cpu
        kind = node.name.rpartition(".")[2]
        self.record.add_seconds(node.name, seconds, cpu_seconds)
        of_search = [name for name in outputs if not name.startswith(("confirm.", "refits."))]
        by_kind = {name.rpartition(".")[2]: outputs[name] for name in of_search}
        if self.progress is not None:
            self.progress.update(by_kind.get("archive"), by_kind.get("failed"))
            if kind == "diagnose":
                self.progress.step_ended(by_kind["diagnostics"])
        for name, value in outputs.items():
            if kind == "update_archive" and self.evaluator is not None:
                self.evaluator.empty_folders(value)
            if name == "evaluate" and isinstance(value, RunEvaluator):
                self.evaluator = value
                value.live = self.live = self._live_status()
                if self.progress is not None:
                    value.on_ended = self.progress.trial_ended
                    self.progress.trainings_begin(value.earlier, value.starts)
            elif name == "data_digests":
                data = {"problem": self.parameters.problem, "datasets": value}
                self.record_data(with_prior(data, self.prior))
        if self.live is not None:
            self.live.send(by_kind.get("archive"))
        if self.tracker is not None:
            objective = self.parameters.objective
            self.tracker.log_node(node.name, outputs, seconds, objective)

    def _live_status(self) -> LiveStatus:
        return LiveStatus(self.progress, self.tracker, self.parameters.objective, self.target)

    def record_data(self, data: Mapping[str, Any]) -> None:
        """Write which data the run reads, and log them as inputs of the MLflow run.

        Raises:
            ResumeError: the run began on other data.
        """
        self.record.record_data(data)
        self.log_data()

    def log_data(self) -> None:
        """Log the data as inputs of the MLflow run, where they are known already."""
        if self.tracker is not None and self.record.manifest["data"]:
            self.tracker.log_data(self.record.manifest["data"], self.parameters.dataset)

    def track(
        self,
        catalog: CatalogProtocol[Any, Any],
        files: Sequence[tuple[Path, str]],
        model: Path | None,
    ) -> None:
        """Send MLflow what it lacks of the closed run, and note whether it has all of it now.

        Args:
            catalog: of the run.
            files: (artifact, its folder in MLflow).
            model: the folder of the exported answer; None: there is none.
        """
        assert self.tracker is not None
        tracker, manifest = self.tracker, self.record.manifest
        self.log_data()
        if manifest["result"] is not None:
            archive = catalog.load(last_archive(manifest["artifacts"]))
            if self.parameters.problem is not None:
                trials = catalog.load("report.trials")
                tracker.log_trials(trials, metric_columns(trials))
            tracker.log_result(
                manifest["result"],
                archive,
                catalog.load("report.diagnostics"),
                manifest["node_seconds"],
                manifest["wall_seconds"] or None,
                self.parameters.objective,
                self._note(manifest["result"], [path for path, _ in files]),
            )
        tracker.log_artifacts(files)
        if model is not None:
            tracker.log_model(model)
        tracker.flush()
        if not tracker.lost:
            # First in the manifest, which MLflow gets too. A kill from now on leaves the run open
            # there, and that is a debt as well.
            self.record.settle(owed=False)
            tracker.log_artifacts([(self.record.path, "")])
            tracker.end("FINISHED", self.record.manifest[SEAL])
        if tracker.lost and not self.record.owed:
            self.record.settle(owed=True)

    def _note(self, summary: Mapping[str, Any], files: Iterable[Path]) -> str:
        """Return what MLflow shows as the description of the run: what it found, and a picture."""
        assert self.tracker is not None
        drawing = str(summary.get("best_drawing") or "").splitlines()
        lines = [summary["best_architecture"], "", *drawing, "", audit_command(summary["run_id"])]
        drawn = not self.tracker.is_lean and any(path.name == BEST_SO_FAR for path in files)
        picture = f"report/{BEST_SO_FAR}" if drawn else ""
        return note(headline(summary), lines, picture, str(self.tracker.run_id))

    def close(self) -> None:
        """Close the bar, and what trained the trials, if there is any."""
        if self.progress is not None:
            self.progress.close()
        if self.evaluator is not None:
            self.evaluator.close()

    def advise(self, error: BaseException) -> None:
        """Let an error that ended the run say what to do on Kedro's command line."""
        ours, go_on = project_error(error), f"kedro run --resume {self.record.manifest['run_id']}"
        more = "--params=failures.in_a_row=null,failures.share=null"
        if isinstance(ours, FailedTrialsError) and self.parameters.problem is None:
            ours.advise(f"To go on, however many fail: {go_on} {more}")
        elif isinstance(ours, FailedTrialsError):
            ours.advise(
                "Is the problem's code at fault, mend it and start a new run. Was it the machine, "
                f"train again what failed: {go_on} --params=failures.retries=1. To go on, however "
                f"many fail: {go_on} {more}"
            )
        elif isinstance(ours, JournalError) and ours.data.keys() & {"line", "names"}:
            ours.advise("Restore the file, or start a run with another run_id.")
        elif isinstance(ours, JournalError):
            ours.advise(f"When that is mended, go on: {go_on}")
        elif isinstance(ours, EvaluationError) and "running" in ours.data:
            running = len(ours.data["running"])
            joins = f", which joins those of the {running} trials that still run" if running else ""
            ours.advise(f"When that is mended, go on: {go_on}{joins}")

    def fail(self, error: BaseException, mlflow_status: str) -> None:
        """Close what is open; manifest and MLflow run say that the run failed.

        A run that had finished, and one that could not go on, stay as they were.
        """
        reason = f"{type(error).__name__}: {error}"
        mlflow = self.tracker.run_id if self.tracker is not None else None
        try:
            if mlflow is not None:
                self.record.update(mlflow_run_id=mlflow)  # also where its start failed midway
            with suppress(OSError):  # the terminal may be what was closed
                self.close()
        finally:
            try:
                self.record.fail(reason, self.seconds)
            finally:
                if self.tracker is not None and mlflow is not None:
                    self._end_tracking(self.tracker, reason, mlflow_status)
                self.record.release()

    def _end_tracking(self, tracker: MlflowTracker, reason: str, status: str) -> None:
        if self.record.was_finished and not (self.record.owed or tracker.was_open):
            tracker.end("FINISHED", self.record.before.get(SEAL, ""))
            return
        tracker.tag({"error": reason[:500]})
        tracker.end(status, self.record.manifest.get(SEAL, ""))


def target_of(parameters: RunParameters) -> str:
    """Return the metric that a run searches for; of a problem with its unit in brackets."""
    if parameters.problem is None:
        return get_source(parameters.source).contents.target
    return resolve_problem(parameters.problem).target.label


def _clocks() -> tuple[float, float]:
    """Return the wall clock and this process's CPU time, in seconds."""
    return time.perf_counter(), time.process_time()
