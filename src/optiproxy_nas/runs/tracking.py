"""Tracking: what a search tells MLflow, one MLflow run per Kedro run."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any

import pandas as pd

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.errors import first_line
from optiproxy_nas.core.secrets import masked
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.runs import metrics as run_metrics
from optiproxy_nas.runs.logged_model import log_model
from optiproxy_nas.runs.manifest import data_digest
from optiproxy_nas.runs.mlflow_run import MlflowRun, forgiving
from optiproxy_nas.runs.mlflow_view import NOTE

_DIGITS = 36  # of a dataset's digest, that MLflow takes
# MLflow's codes of a store that has no models.
_NO_MODELS = ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED", "INVALID_PARAMETER_VALUE")

logger = logging.getLogger(__name__)


class MlflowTracker(MlflowRun):
    """What of a search goes to its MLflow run: metrics as they come, the rest at its end.

    Of a lean run nothing goes before its end; then what it reached, the best value only where it
    improves, and no artifacts.

    Args:
        project_path: as of :class:`~optiproxy_nas.runs.mlflow_run.MlflowRun`.
        experiment: the experiment's name (the pipeline).
        lean: one of the many runs of a sweep.
        target: the metric that the benchmark is searched for.
        **options: as of ``MlflowRun``.
    """

    def __init__(
        self,
        project_path: Path,
        experiment: str,
        lean: bool = False,
        target: str = VALIDATION_ACCURACY,
        **options: str,
    ) -> None:
        super().__init__(project_path, experiment, lean, **options)
        self._target = target
        self._main_process = os.getpid()

    @forgiving
    def log_data(self, data: Mapping[str, Any], dataset: str) -> None:
        """Log the data that a manifest records, as inputs and by the tag ``data.sha256``.

        Args:
            data: of the manifest.
            dataset: which one of a benchmark's table is searched.
        """
        self.client.set_tag(self.run_id, "data.sha256", data_digest(data))
        if not self._lean and (inputs := _dataset_inputs(data, dataset)):
            self.client.log_inputs(self.run_id, inputs)

    @forgiving
    def log_node(
        self,
        name: str,
        outputs: Mapping[str, Any],
        seconds: float,
        objective: Objective,
    ) -> None:
        """Log the metrics of one finished node: its seconds, and those of its outputs.

        Args:
            name: of the node, within a step ``step_NN.kind``.
            outputs: dataset name -> value.
            seconds: how long it ran.
            objective: of the search.
        """
        if self._lean:
            return
        step, values = run_metrics.node_seconds(name, seconds)
        self._add([(step, values)])
        kind = name.rpartition(".")[2]
        if kind == "update_archive":
            (archive,) = outputs.values()
            first = len(archive) - int((archive["step"] == step).sum())
            self._add(run_metrics.query_metrics(archive, objective, self._target, first))
        if kind == "diagnose":
            (diagnostics,) = outputs.values()
            if diagnostics["step"] == step:  # else passed on by a step that was not made
                self._add([(step, run_metrics.step_metrics(diagnostics))])
        # Live enough; a worker process of ParallelRunner ends without a further call.
        if time.monotonic() - self._unsent.sent_at > 2 or os.getpid() != self._main_process:
            self.flush()

    @forgiving
    def log_result(
        self,
        summary: Mapping[str, Any],
        archive: pd.DataFrame,
        diagnostics: pd.DataFrame,
        seconds: Mapping[str, float],
        wall_seconds: float | None,
        objective: Objective,
        note: str,
    ) -> None:
        """Log all metrics of a finished search that the store lacks.

        Args:
            summary: of the search.
            archive: D, whole.
            diagnostics: one row a step.
            seconds: by node.
            wall_seconds: of the run; None: a version of before has not noted them.
            objective: of the search.
            note: what MLflow shows as the run's description, in Markdown.
        """
        if self._lean:
            self._add(run_metrics.improvements(archive, self._target))
        else:
            # Worker processes of ParallelRunner sent what its nodes gave.
            self._unsent.others_sent |= self._unsent.is_new
            self._add(run_metrics.query_metrics(archive, objective, self._target))
            steps = diagnostics.to_dict("records")
            self._add((values["step"], run_metrics.step_metrics(values)) for values in steps)
            self._add(starmap(run_metrics.node_seconds, seconds.items()))
            self._add(run_metrics.regret_metrics(archive, summary.get("optimum")))
        self._add([(0, {**run_metrics.final_metrics(summary), "seconds/run": wall_seconds})])
        self._unsent.add_tags({"best_architecture": summary["best_architecture"], NOTE: note})

    @forgiving
    def log_metrics(self, metrics: Iterable[tuple[int, run_metrics.Metrics]]) -> None:
        """Send metrics of steps or queries now."""
        if not self._lean:
            self._add(metrics)
            self.flush()

    @forgiving
    def log_trials(self, trials: pd.DataFrame, names: Sequence[str]) -> None:
        """Log what each trial of a problem gave, by its place.

        Args:
            trials: the journal as a table.
            names: of the metrics among its columns.
        """
        if not self._lean:
            self._add(run_metrics.trial_metrics(trials, names))

    @forgiving
    def log_model(self, folder: Path) -> None:
        """Log an exported answer as the run's model; a store that takes none is a warning."""
        if self._lean:
            return
        try:
            log_model(self.client, str(self.run_id), folder)
        except Exception as error:  # MLflow, requests: each has its own
            if getattr(error, "error_code", "") not in _NO_MODELS:
                raise
            logger.warning(
                "The model %s was not logged: the MLflow store %s takes none: %s.",
                folder,
                masked(self.uri),
                first_line(error),
            )


def _dataset_inputs(data: Mapping[str, Any], dataset: str) -> list[Any]:
    """Return MLflow's inputs of the data that a manifest records: a table, or each dataset.

    Their digests are the first 36 digits of ours, which MLflow keeps no more of; the whole digest
    is in their source.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if "table_sha256" in data:
        found = {f"{dataset} of {data['source']}": {"sha256": data["table_sha256"]}}
    else:
        found = {name: {"digest": it} for name, it in (data.get("datasets") or {}).items() if it}
    return [
        DatasetInput(
            Dataset(name, next(iter(facts.values()))[:_DIGITS], "optiproxy_nas", json.dumps(facts)),
            [InputTag("mlflow.data.context", "search")],
        )
        for name, facts in found.items()
    ]
