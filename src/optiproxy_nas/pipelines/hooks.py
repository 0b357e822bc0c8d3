"""What happens around a run: record, ingest, tracking, progress, summary.

The nodes know nothing of this; all of it is on the outside.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from tqdm import tqdm

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.core.errors import ParameterError, TrackingError
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.core.numbers import unit
from optiproxy_nas.methods import parameters_of
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.objectives.accuracy import Accuracy
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.pipelines.benchmark_data import check_answers, data_of, ingest_missing
from optiproxy_nas.presets import misfit
from optiproxy_nas.report.run_report import terminal_summary
from optiproxy_nas.runs.datasets.atomic import AtomicDataset, verify
from optiproxy_nas.runs.manifest import last_archive, provenance
from optiproxy_nas.runs.record import RunRecord
from optiproxy_nas.runs.tracking import PARENT_TAG, MlflowTracker

logger = logging.getLogger(__name__)


class RunHooks:
    """Around one run at a time, as a Kedro session is."""

    def __init__(self) -> None:
        self._project = Path()
        self._search: dict[str, Any] | None = None
        self._run: dict[str, Any] = {}
        self._objective: Objective = Accuracy()  # of the search, if one runs
        self._target = VALIDATION_ACCURACY
        self._lost_sweep: str | None = None  # whose MLflow store failed, by the parent run's id
        self._clear()

    def _clear(self) -> None:
        self._record: RunRecord | None = None
        self._tracker: MlflowTracker | None = None
        self._bar: Any = None
        self._started = time.perf_counter()
        self._node_started: dict[str, float] = {}
        self._seconds: dict[str, float] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check all parameters before anything else."""
        self._clear()
        self._project = context.project_path
        parameters = context.config_loader["parameters"]
        self._run = parameters["run"]
        self._search = parameters.get("search")
        if self._search is not None:
            self._objective = resolve_objective(self._search["objective"])
            self._target = get_source(self._search["source"]).target

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Ingest what is missing and check the search against it; then lock the run and write its
        manifest; then tracking. What is refused before the manifest leaves nothing of the run."""
        if "benchmark_table" in pipeline.all_outputs():
            return  # ingest, which belongs to no run
        names = run_params["pipeline_names"] or ["__default__"]
        if names[0] not in (self._run["pipeline"], "__default__"):
            raise ParameterError(
                f"Pipeline {names[0]!r} was asked for, but the parameters are those of "
                f"{self._run['pipeline']!r}. Give pipeline={names[0]} among the runtime parameters "
                "(the command line does it by itself).",
                pipeline=names[0],
            )
        if self._search is None:
            return  # it looks at runs, and is none
        source = self._run["source"]
        ingest_missing(self._project, source, catalog)
        parameters = parameters_of(self._search)
        check_answers(parameters, catalog)
        if (note := misfit(parameters)) and not self._run["quiet"]:
            print(f"Note: {note}", file=sys.stderr, flush=True)
        self._record = RunRecord(
            self._project / "data",
            self._run["run_id"],
            self._run["pipeline"],
            self._search,
            self._run["tracking"],
            self._run["resume"],
        )
        try:
            if self._run["tracking"]:
                self._start_tracking(str(run_params.get("runner")))
            if self._run["resume"]:
                self._artifacts(pipeline, catalog)  # refuses to build on a damaged file
            data = data_of(source, catalog)
            self._record.record_data(data)
            if self._tracker is not None:
                self._tracker.tag({"data.sha256": data["table_sha256"]})
        except Exception as error:
            self._fail(error)
            raise
        self._bar = tqdm(
            total=self._search["budget"],
            desc=self._objective.unit,
            file=sys.stderr,
            disable=self._run["quiet"],
        )

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Start the node's clock."""
        self._node_started[node.name] = time.perf_counter()

    @hook_impl
    def after_node_run(self, node: Node, outputs: dict[str, Any]) -> None:
        """Progress, and the metrics of queries, steps and seconds."""
        seconds = time.perf_counter() - self._node_started.pop(node.name, time.perf_counter())
        kind = node.name.rpartition(".")[2]
        self._seconds[kind] = self._seconds.get(kind, 0.0) + seconds
        archives = [value for name, value in outputs.items() if name.endswith(".archive")]
        if archives and self._bar is not None:
            (archive,) = archives
            best = archive["best"].iloc[-1]
            told = "-" if math.isnan(best) else f"{best:.3f} {unit(self._target)}".rstrip()
            self._bar.set_postfix_str(f"best {told}", refresh=False)
            self._bar.update(int(self._objective.costs(archive).sum()) - self._bar.n)
        if self._tracker is not None:
            self._tracker.log_node(kind, node.namespace or "", outputs, seconds, self._objective)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Close the manifest and the MLflow run; print the summary."""
        if self._record is None:
            return
        self._close_bar()
        artifacts, logged = self._artifacts(pipeline, catalog)
        summary = catalog.load("report.summary") if "report.summary" in artifacts else None
        status = "finished" if summary else "partial"
        unchanged = self._record.unchanged(artifacts)
        wall_seconds = time.perf_counter() - self._started
        facts: dict[str, Any] = {} if unchanged else {"wall_seconds": wall_seconds}
        if unchanged:
            print("The run had finished; nothing was run again.", flush=True)
            self._record.restore()
        else:
            self._record.end(status, artifacts=artifacts, result=summary, seconds=self._seconds)
        if self._tracker is not None:
            if not unchanged:
                if summary is not None:
                    archive = catalog.load(last_archive(artifacts))
                    diagnostics = catalog.load("report.diagnostics")
                    self._tracker.log_result(
                        summary, archive, diagnostics, wall_seconds, self._objective
                    )
                self._tracker.log_artifacts([*logged, (self._record.path, "")])
            self._tracker.end("FINISHED")
            if self._tracker.lost and self._run["sweep"]:
                self._lost_sweep = self._run["sweep"]["parent"]
            store = self._tracker.uri.replace(f"{Path.cwd()}/", "")
            facts["mlflow_command"] = f"mlflow ui --backend-store-uri {store}"
        if summary is not None and not self._run["quiet"]:
            facts["artifacts"] = os.path.relpath(self._record.folder)
            print(terminal_summary({**summary, **facts}), flush=True)
        self._clear()

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Mark the manifest and the MLflow run as failed; what was stored stays."""
        self._fail(error)

    @hook_impl
    def on_run_interrupted(self, error: KeyboardInterrupt) -> None:
        """As a failure, but MLflow says KILLED."""
        if self._record is not None:
            run_id = self._record.manifest["run_id"]
            error.add_note(f"Go on with: kedro run --resume {run_id}")
        self._fail(KeyboardInterrupt("interrupted"), "KILLED")

    @hook_impl
    def tracking_lost(self) -> bool:
        """Whether the run is of a sweep whose MLflow store failed."""
        sweep = self._run["sweep"]
        return bool(sweep) and sweep["parent"] == self._lost_sweep

    def _start_tracking(self, runner: str) -> None:
        assert self._record is not None
        manifest = self._record.manifest
        sweep = self._run["sweep"] or {}
        if sweep and sweep["parent"] == self._lost_sweep:
            return  # asking again at each of its points would cost a timeout each
        self._tracker = MlflowTracker(
            self._project,
            sweep.get("experiment") or manifest["pipeline"],
            sweep.get("lean", False),
            self._target,
        )
        tags = {
            "run_id": manifest["run_id"],
            **provenance(manifest),
            "parameters.sha256": manifest["parameters_sha256"],
            "kedro.runner": runner,
            "target": self._target,
        }
        if sweep:
            tags |= {PARENT_TAG: sweep["parent"], "sweep": sweep["name"]}
        parameters = flatten(manifest["parameters"])
        name, known = manifest["run_id"], manifest["mlflow_run_id"]
        try:
            mlflow_run_id = self._tracker.start(name, parameters, tags, known)
        except TrackingError as error:
            if not sweep:
                raise
            self._tracker, self._lost_sweep = None, sweep["parent"]
            why = str(error.__cause__ or error.message).partition("\n")[0]
            logger.warning("%s is not tracked, and the sweep goes on: %s", name, why)
        else:
            self._record.update(mlflow_run_id=mlflow_run_id)

    def _artifacts(
        self, pipeline: Pipeline, catalog: DataCatalog
    ) -> tuple[dict[str, dict[str, str]], list[tuple[Path, str]]]:
        """Every stored output for the manifest, and (file, folder) of those that MLflow gets."""
        artifacts, logged = {}, []
        for name in sorted(pipeline.all_outputs()):
            dataset = catalog.get(name)
            if not isinstance(dataset, AtomicDataset) or (path := dataset.stored()) is None:
                continue
            artifacts[name] = {
                "path": path.relative_to(self._project).as_posix(),
                "sha256": verify(path),
            }
            if (dataset.metadata or {}).get("mlflow"):
                logged.append((path, name.rpartition(".")[0]))
        if archives := [name for name in artifacts if name.endswith(".archive")]:
            path = self._project / artifacts[last_archive(archives)]["path"]
            logged.append((path, ""))  # the last one holds all the others
        return artifacts, logged

    def _fail(self, error: BaseException, mlflow_status: str = "FAILED") -> None:
        self._close_bar()
        record, tracker = self._record, self._tracker
        self._clear()
        reason = f"{type(error).__name__}: {error}"
        try:
            if record is not None:
                record.end("failed", error=reason)
        finally:
            if tracker is not None and tracker.run_id is not None:
                tracker.tag({"error": reason[:500]})
                tracker.end(mlflow_status)

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
