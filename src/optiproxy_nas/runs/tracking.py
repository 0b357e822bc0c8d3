"""MLflow: one MLflow run per Kedro run, written through ``MlflowClient`` with explicit ids.

``mlflow`` is imported when the first run starts, since the import takes longer than a search.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import filelock
import pandas as pd

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.errors import first_line
from optiproxy_nas.core.secrets import masked, masked_values
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.runs import metrics as run_metrics
from optiproxy_nas.runs.logged_model import log_model
from optiproxy_nas.runs.mlflow_store import SQLITE, open_client, store_errors

ANCHOR = "manifest.sha256"  # a tag: the digest that the run's manifest states of itself
BATCH = 1000  # metrics that one call of the MLflow API takes
PARAMETERS = 100  # parameters that one call takes
_METRIC = re.compile(r"[^\w. :/-]")  # what MLflow takes in the name of no metric

logger = logging.getLogger(__name__)


def _forgiving(method: Callable[..., None]) -> Callable[..., None]:
    """Return a method whose first failure is logged and ends the tracking, not the search."""

    @functools.wraps(method)
    def wrapper(self: MlflowTracker, *args: Any, **kwargs: Any) -> None:
        if self.lost:
            return
        try:
            with self._lock:
                method(self, *args, **kwargs)
        except Exception as error:
            self.lost = True
            logger.warning(
                "The MLflow store %s failed and is told no more: %s. The search goes on, and its "
                "files and manifest are whole; 'kedro run --resume' sends what is missing once "
                "the store is back.",
                masked(self.uri),
                first_line(error),
            )

    return wrapper


class MlflowTracker:
    """Write one run: parameters and tags at its start, metrics as they come, artifacts at its end.

    Args:
        project_path: where the default store lies (``mlflow.db`` and ``mlruns/``), unless
            ``MLFLOW_TRACKING_URI`` names another.
        experiment: the experiment's name (the pipeline).
        lean: one of the many runs of a sweep: nothing before its end, then what it reached, the
            best value only where it improves, and no artifacts.
        target: the metric that the benchmark is searched for.
        advice: for the error where the store cannot be used: how to go on without it.
    """

    def __init__(
        self,
        project_path: Path,
        experiment: str,
        lean: bool = False,
        target: str = VALIDATION_ACCURACY,
        advice: str = "or run without it by --params=tracking=off. No query was made.",
    ) -> None:
        chosen = os.environ.get("MLFLOW_TRACKING_URI")
        self.uri = chosen or f"{SQLITE}{project_path}/mlflow.db"
        self._artifacts = None if chosen else project_path / "mlruns"
        self._lock_path = None if chosen else project_path / ".mlflow.lock"
        self._locks: dict[int, filelock.BaseFileLock] = {}  # by process
        self._experiment = experiment
        self._lean = lean
        self._target = target
        self._advice = advice
        self._client: Any = None
        self._process = 0
        self._main_process = os.getpid()
        self._metrics: list[tuple[str, float, int]] = []
        self._tags: dict[str, str] = {}
        self._flushed = 0.0
        self.lost = False  # the store failed in the middle of the run
        self.run_id: str | None = None

    @property
    def _lock(self) -> AbstractContextManager[Any]:
        """The local store's lock, one a process, since a lock must not cross a fork.

        Two first runs at once would both create the store's tables, and SQLite refuses a second
        writer.
        """
        if self._lock_path is None:
            return nullcontext()
        process = os.getpid()
        if process not in self._locks:
            self._locks = {
                process: filelock.FileLock(self._lock_path, timeout=60, poll_interval=0.01)
            }
        return self._locks[process]

    @property
    def client(self) -> Any:
        """This process's client: a database connection must not cross a fork."""
        if self._process != os.getpid():
            self._client = open_client(self.uri)
            self._process = os.getpid()
        return self._client

    def start(
        self, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str], resume: str | None
    ) -> str:
        """Open a run, or open again the one with id ``resume``, and return its id.

        Raises:
            TrackingError: the store cannot be reached or is damaged, or lacks the run.
        """
        with store_errors(self.uri, "used", self._advice), self._lock:
            if resume is None:
                run_id = self._create(name, parameters, tags)
            else:
                run_id = resume
                self.client.update_run(run_id, status="RUNNING")
                if "error" in self.client.get_run(run_id).data.tags:
                    self.client.delete_tag(run_id, "error")
        self.run_id = run_id
        return run_id

    def _create(self, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        from mlflow.entities import Param

        experiment = self.client.get_experiment_by_name(self._experiment)
        if experiment is None:
            location = self._artifacts.as_uri() if self._artifacts else None
            experiment_id = self.client.create_experiment(self._experiment, location)
        else:
            experiment_id = experiment.experiment_id
        run = self.client.create_run(experiment_id, run_name=name, tags=masked_values(tags))
        run_id: str = run.info.run_id
        params = [Param(key, masked(str(value))) for key, value in parameters.items()]
        for first in range(0, len(params), PARAMETERS):
            self.client.log_batch(run_id, params=params[first : first + PARAMETERS])
        return run_id

    @_forgiving
    def log_node(
        self,
        kind: str,
        namespace: str,
        outputs: Mapping[str, Any],
        seconds: float,
        objective: Objective,
    ) -> None:
        """Log the metrics of one finished node: its seconds, and those of its outputs.

        Args:
            kind: the node's name within its namespace.
            namespace: ``step_NN``, or anything else outside the steps.
            outputs: dataset name -> value.
            seconds: how long it ran.
            objective: of the search.
        """
        if self._lean:
            return
        step = int(namespace.removeprefix("step_")) if namespace.startswith("step_") else 0
        self.add({f"seconds/{kind}": seconds}, step)
        if kind == "update_archive":
            (archive,) = outputs.values()
            first = len(archive) - int((archive["step"] == step).sum())
            self._add_all(run_metrics.query_metrics(archive, objective, self._target, first))
        if kind == "diagnose":
            (values,) = outputs.values()
            if values["step"] == step:  # else passed on by a step that was not made
                self.add(run_metrics.step_metrics(values), step)
        # Live enough; a worker process of ParallelRunner ends without a further call.
        if time.monotonic() - self._flushed > 2 or os.getpid() != self._main_process:
            self.flush()

    @_forgiving
    def log_result(
        self,
        summary: Mapping[str, Any],
        archive: pd.DataFrame,
        diagnostics: pd.DataFrame,
        wall_seconds: float,
        objective: Objective,
    ) -> None:
        """Log what is known only after the search: regret by query, the summary, wall time.

        Also what a killed run had remembered and not sent.
        """
        if self._lean:
            self._add_all(run_metrics.improvements(archive, self._target))
        else:
            self._add_unsent(archive, diagnostics, objective)
            self._add_all(run_metrics.regret_metrics(archive, summary.get("optimum")))
        self.add({**run_metrics.final_metrics(summary), "seconds/run": wall_seconds}, 0)
        self._tags["best_architecture"] = summary["best_architecture"]

    @_forgiving
    def log_metrics(self, metrics: Iterable[tuple[int, run_metrics.Metrics]]) -> None:
        """Send metrics of steps or queries now."""
        if not self._lean:
            self._add_all(metrics)
            self.flush()

    @_forgiving
    def log_trials(self, trials: pd.DataFrame, names: Sequence[str]) -> None:
        """Log what each trial of a problem gave, that the store does not have yet, by its place.

        Args:
            trials: the journal as a table.
            names: of the metrics among its columns.
        """
        if not self._lean:
            history = self.client.get_metric_history(self.run_id, "trial/failed")
            sent = {metric.step for metric in history}
            by_place = run_metrics.trial_metrics(trials, names)
            self._add_all((place, values) for place, values in by_place if place not in sent)

    def _add_unsent(
        self, archive: pd.DataFrame, diagnostics: pd.DataFrame, objective: Objective
    ) -> None:
        """Add the queries and steps that the store does not have yet."""
        self.flush()
        by_query = run_metrics.query_metrics(archive, objective, self._target)
        steps = diagnostics.to_dict("records")
        by_step = ((values["step"], run_metrics.step_metrics(values)) for values in steps)
        for sent_with, metrics in ((self._target, by_query), ("step/queries", by_step)):
            sent = {m.step for m in self.client.get_metric_history(self.run_id, sent_with)}
            self._add_all((step, values) for step, values in metrics if step not in sent)

    def _add_all(self, metrics: Iterable[tuple[int, run_metrics.Metrics]]) -> None:
        for step, values in metrics:
            self.add(values, step)

    def add(self, values: Mapping[str, float | None], step: int) -> None:
        """Remember metrics of one step or query; what is no finite number is left out."""
        self._metrics += [
            (_METRIC.sub("_", name), float(value), int(step))
            for name, value in values.items()
            if value is not None and math.isfinite(value)
        ]

    def flush(self) -> None:
        """Send the remembered metrics and tags."""
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, step) for key, value, step in self._metrics]
        self._metrics, self._flushed = [], time.monotonic()
        tags = [RunTag(key, value) for key, value in self._tags.items()]
        self._tags = {}
        for first in range(0, max(len(metrics), len(tags)), BATCH):
            self.client.log_batch(self.run_id, metrics=metrics[first : first + BATCH], tags=tags)

    @_forgiving
    def log_artifacts(self, files: Iterable[tuple[Path, str]]) -> None:
        """Copy files to the run's artifact store: (file, folder there)."""
        for path, folder in () if self._lean else files:
            self.client.log_artifact(self.run_id, str(path), folder)

    def log_model(self, folder: Path) -> None:
        """Log an exported answer as the run's model; a store that takes none is a warning."""
        if self._lean or self.lost:
            return
        try:
            with self._lock:
                log_model(self.client, str(self.run_id), folder)
        except Exception as error:  # MLflow, SQLAlchemy, requests: each has its own
            logger.warning(
                "The model %s was not logged to the MLflow store %s: %s.",
                folder,
                masked(self.uri),
                first_line(error),
            )

    @_forgiving
    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags that are known late."""
        for key, value in tags.items():
            self.client.set_tag(self.run_id, key, masked(value))

    @_forgiving
    def end(self, status: str, manifest_sha256: str = "") -> None:
        """Close the run: FINISHED, FAILED or KILLED; keep the digest of its closed manifest."""
        if manifest_sha256:
            self._tags[ANCHOR] = manifest_sha256
        self.flush()
        self.client.set_terminated(self.run_id, status=status)
