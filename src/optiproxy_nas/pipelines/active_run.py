"""A run in progress: its record, what tracks and shows it, and what trains its trials."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

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
from optiproxy_nas.pipelines.run_evaluator import RunEvaluator
from optiproxy_nas.pipelines.run_progress import RunProgress
from optiproxy_nas.problems.resolution import resolve_problem
from optiproxy_nas.runs.manifest import SEAL, data_digest
from optiproxy_nas.runs.run_record import RunRecord
from optiproxy_nas.runs.tracking import MlflowTracker


class ActiveRun:
    """A run whose manifest is open."""

    def __init__(self, record: RunRecord, parameters: RunParameters) -> None:
        self.record = record
        self.parameters = parameters
        if parameters.problem is None:
            self.target = self.label = get_source(parameters.source).contents.target
        else:
            target = resolve_problem(parameters.problem).target
            self.target, self.label = target.name, target.label
        self.evaluator: RunEvaluator | None = None  # of a problem
        self.tracker: MlflowTracker | None = None
        self.progress: RunProgress | None = None
        self.live: LiveStatus | None = None  # of a problem
        self.node_started: dict[str, float] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)  # by kind of node

    def node_ended(self, node: Node, outputs: dict[str, Any]) -> None:
        """Add a node's seconds, show the archive that it made, and track both."""
        seconds = time.perf_counter() - self.node_started.pop(node.name, time.perf_counter())
        kind = node.name.rpartition(".")[2]
        self.seconds[kind] += seconds
        of_search = [name for name in outputs if not name.startswith(("confirm.", "refits."))]
        by_kind = {name.rpartition(".")[2]: outputs[name] for name in of_search}
        if self.progress is not None:
            self.progress.update(by_kind.get("archive"), by_kind.get("failed"))
        for name, value in outputs.items():
            if kind == "update_archive" and self.evaluator is not None:
                self.evaluator.empty_folders(value)
            if name == "evaluate" and isinstance(value, RunEvaluator):
                self.evaluator = value
                value.live = self.live = self._live_status()
                if self.progress is not None:
                    value.on_ended = self.progress.trial_ended
            elif name == "data_digests":
                self.record_data({"problem": self.parameters.problem, "datasets": value})
        if self.live is not None:
            self.live.send(by_kind.get("archive"))
        if self.tracker is not None:
            objective = self.parameters.objective
            self.tracker.log_node(kind, node.namespace or "", outputs, seconds, objective)

    def _live_status(self) -> LiveStatus:
        return LiveStatus(self.progress, self.tracker, self.parameters.objective, self.target)

    def record_data(self, data: Mapping[str, Any]) -> None:
        """Write which data the run reads, and tag the MLflow run with their digest.

        Raises:
            ResumeError: the run began on other data.
        """
        self.record.record_data(data)
        if self.tracker is not None:
            self.tracker.tag({"data.sha256": data_digest(data)})

    def track_trials(self, catalog: CatalogProtocol[Any, Any]) -> None:
        """Track what each trial of a problem gave."""
        if self.parameters.problem is not None and self.tracker is not None:
            trials = catalog.load("report.trials")
            self.tracker.log_trials(trials, metric_columns(trials))

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

    def fail(self, reason: str, mlflow_status: str) -> None:
        """Close manifest and MLflow run as failed."""
        try:
            self.record.end("failed", error=reason)
        finally:
            if self.tracker is not None and self.tracker.run_id is not None:
                self.tracker.tag({"error": reason[:500]})
                self.tracker.end(mlflow_status, self.record.manifest[SEAL])
