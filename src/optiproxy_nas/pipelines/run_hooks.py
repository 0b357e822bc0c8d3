"""What happens around a run: ingest, its record, tracking and progress.

The nodes know nothing of it. What a person sees is in :mod:`~optiproxy_nas.pipelines.run_progress`.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from optiproxy_nas.core.errors import ParameterError, TrackingError, first_line
from optiproxy_nas.core.numbers import unit
from optiproxy_nas.core.secrets import MaskedRecord
from optiproxy_nas.evaluation.interrupts import interrupts_held
from optiproxy_nas.export.folder import read_facts
from optiproxy_nas.methods import parameters_of
from optiproxy_nas.pipelines.active_run import ActiveRun, target_of
from optiproxy_nas.pipelines.benchmark_data import check_answers, data_of, ingest_missing
from optiproxy_nas.pipelines.configuration import run_of
from optiproxy_nas.pipelines.own_problem import (
    check_journal,
    check_problem,
    output_files,
    trial_tables,
)
from optiproxy_nas.pipelines.prior import TRIALS, read_prior, with_prior
from optiproxy_nas.pipelines.project_pipeline import STORED, check_inputs, check_outputs
from optiproxy_nas.pipelines.run_progress import RunProgress, say_misfit
from optiproxy_nas.runs.atomic_files import file_digest
from optiproxy_nas.runs.datasets import AtomicDataset, ModelDataset, PartitionedArtifacts
from optiproxy_nas.runs.datasets.model_folder import MODEL
from optiproxy_nas.runs.manifest import SEAL, is_asynchronous, last_archive, provenance
from optiproxy_nas.runs.mlflow_run import CREATED
from optiproxy_nas.runs.mlflow_store import PARENT_TAG
from optiproxy_nas.runs.mlflow_view import UI_COMMAND, compared, experiment_tags, title
from optiproxy_nas.runs.run_record import RunRecord
from optiproxy_nas.runs.tracking import MlflowTracker

logger = logging.getLogger(__name__)


class RunHooks:
    """Around one run at a time, as a Kedro session is."""

    def __init__(self) -> None:
        self._project = Path()
        self._run: dict[str, Any] = {}  # the parameters of the run itself; {}: of the user's
        self._search: dict[str, Any] | None = None  # what decides the run; None: it is none
        self._active: ActiveRun | None = None
        self._lost_sweep: int | None = None  # whose MLflow store failed: when it was opened

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember the parameters, which making the context has checked."""
        logging.setLogRecordFactory(MaskedRecord)
        self._active = None
        self._project = context.project_path
        self._run = run_of(context) or {}
        self._search = context.config_loader["parameters"].get("search") if self._run else None

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Ingest what is missing and check the search against it; then lock the run and write its
        manifest; then tracking. What is refused before the manifest leaves nothing of the run."""
        if not self._run or "benchmark_table" in pipeline.all_outputs():
            return  # a pipeline of the user's; ingest, which belongs to no run
        names = run_params["pipeline_names"] or ["__default__"]
        if names[0] not in (self._run["pipeline"], "__default__"):
            raise ParameterError(
                f"Pipeline {names[0]!r} was asked for, but the parameters are those of "
                f"{self._run['pipeline']!r}. Give pipeline={names[0]} among the runtime parameters "
                "(the command line does it by itself).",
                pipeline=names[0],
            )
        check_outputs(pipeline, catalog)
        if self._search is None:
            return  # it looks at runs, and is none
        parameters = parameters_of(self._search)
        if parameters.problem is None:
            ingest_missing(self._project, self._run["source"], catalog)
            check_answers(parameters, catalog)
        else:
            evaluation = None if self._run["replay"] else self._run["evaluation"]
            runner = str(run_params.get("runner"))
            check_problem(parameters, runner, list(catalog), evaluation)
        prior = read_prior(self._project, parameters, self._run, target_of(parameters), catalog)
        check_inputs(pipeline, catalog, [] if prior is None else [TRIALS])
        say_misfit(parameters, self._run["quiet"])
        record = RunRecord(
            self._project,
            self._run["run_id"],
            self._run["pipeline"],
            self._search,
            self._run["tracking"],
            self._run["resume"],
            self._run["evaluation"],
            bool(self._run["replay"]),
        )
        self._active = active = ActiveRun(record, parameters)
        active.prior = prior
        try:
            if prior is not None and not catalog.exists(TRIALS):
                catalog.save(TRIALS, prior)
            if self._run["resume"]:
                # Nothing is built on a damaged file.
                artifacts, _ = self._artifacts(pipeline, catalog)
                if parameters.problem is not None:
                    stored = map(catalog.load, trial_tables(artifacts))
                    check_journal(catalog.load("journal"), stored)
                record.check(artifacts)
            if parameters.problem is None:
                data = data_of(self._run["source"], catalog)
                active.record_data(with_prior(data, prior))
            record.begin()
            if self._run["tracking"]:
                self._start_tracking(active, str(run_params.get("runner")))
        except Exception as error:
            self._fail(error)
            raise
        active.progress = RunProgress(
            parameters, active.label, self._run["quiet"], self._run["json"]
        )

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Start the node's clock."""
        if self._active is not None:
            self._active.node_started(node)

    @hook_impl
    def after_node_run(self, node: Node, outputs: dict[str, Any]) -> None:
        """Show progress, and track the metrics of queries, steps and seconds."""
        if self._active is not None:
            self._active.node_ended(node, outputs)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Close the manifest and the MLflow run; show the summary."""
        if self._active is None:
            return
        try:
            self._finish(self._active, pipeline, catalog)
        except Exception as error:  # Kedro tells no hook of it
            self._fail(error)
            raise
        self._active = None

    def _finish(self, active: ActiveRun, pipeline: Pipeline, catalog: DataCatalog) -> None:
        active.close()
        record, tracker = active.record, active.tracker
        artifacts, logged = self._artifacts(pipeline, catalog)
        record.check(artifacts, but="report.")  # which other code may have made again
        summary = catalog.load("report.summary") if "report.summary" in artifacts else None
        facts: dict[str, Any] = {}
        model = _model(pipeline, catalog)
        if model is not None:
            missing = read_facts(model)["missing"]
            without = f" (without {', '.join(missing)}: see README.md)" if missing else ""
            facts["model"] = os.path.relpath(model) + without
        owes = True
        if record.unchanged(artifacts):
            if not self._run["quiet"]:
                print("The run had finished; nothing was run again.", flush=True)
            record.keep()
            if tracker is not None:
                sent = [*logged, (record.path, "")]
                owes = record.owed or tracker.was_open or tracker.lacks(sent)
        else:
            facts["resumed_seconds" if self._run["resume"] else "wall_seconds"] = active.seconds
            status = "finished" if summary else "partial"
            record.close(status, active.seconds, artifacts=artifacts, result=summary)
        if tracker is not None and owes:
            active.track(catalog, logged, model)
            if record.was_finished and not tracker.lost and not self._run["quiet"]:
                print("MLflow was sent what it lacked.", flush=True)
            if tracker.lost and self._run["sweep"]:
                self._lost_sweep = self._run["sweep"]["opened"]
        elif tracker is not None:
            tracker.end("FINISHED", record.manifest.get(SEAL, ""))
        if tracker is not None:
            facts["mlflow_command"] = UI_COMMAND
        record.release()
        if active.progress is not None:
            active.progress.say_end(summary, record.folder, **facts)

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Mark the manifest and the MLflow run as failed; what was stored stays."""
        self._fail(error)

    @hook_impl
    def on_run_interrupted(self, error: KeyboardInterrupt) -> None:
        """Mark the run as failed, as MLflow's KILLED; a note tells how to go on with it."""
        if self._active is not None:
            run_id = self._active.record.manifest["run_id"]
            error.add_note(f"Go on with: kedro run --resume {run_id}")
        self._fail(KeyboardInterrupt("interrupted"), "KILLED")

    @hook_impl
    def tracking_lost(self) -> bool:
        """Return whether the run is of a sweep whose MLflow store failed."""
        sweep = self._run.get("sweep")
        return sweep is not None and sweep["opened"] == self._lost_sweep

    def _start_tracking(self, active: ActiveRun, runner: str) -> None:
        """Open the MLflow run of a run that has begun; a sweep goes on without where it cannot."""
        if self.tracking_lost():
            return  # asking again at each of its points would cost a timeout each
        manifest, sweep = active.record.manifest, self._run["sweep"] or {}
        name, begun = manifest["run_id"], manifest["mlflow_run_id"]
        active.tracker = tracker = MlflowTracker(
            self._project,
            sweep.get("experiment") or manifest["pipeline"],
            sweep.get("lean", False),
            active.target,
            remedy="kedro sweep" if sweep else f"kedro run --resume {name}",
        )
        tags = {
            "run_id": name,
            CREATED: manifest["created"],
            **provenance(manifest),
            "parameters.sha256": manifest["parameters_sha256"],
            "kedro.runner": _word(runner),
            "target": active.target,
            "target.unit": unit(active.label),
        }
        if is_asynchronous(manifest):
            tags["workers"] = str(manifest["evaluation"]["workers"])
        if sweep:
            tags |= {PARENT_TAG: sweep["parent"], "sweep": sweep["name"]}
        shown = title(active.parameters)
        parameters = compared(active.parameters, manifest["parameters"])
        is_maximised = active.parameters.objective.order.sign > 0
        view = experiment_tags(active.target, is_maximised)
        try:
            created = manifest["created"] if self._run["resume"] else ""
            is_retried = active.record.is_retried
            mlflow_id = tracker.start(shown, parameters, tags, begun, is_retried, created, view)
        except TrackingError as error:
            if not sweep:
                raise
            self._lost_sweep, active.tracker = sweep["opened"], None
            reason = first_line(error.__cause__ or error)
            logger.warning("%s is not tracked, and the sweep goes on: %s", name, reason)
            return
        active.record.update(mlflow_run_id=mlflow_id)
        active.log_data()

    def _artifacts(
        self, pipeline: Pipeline, catalog: DataCatalog
    ) -> tuple[dict[str, dict[str, str]], list[tuple[Path, str]]]:
        """Return every stored output for the manifest, and (file, folder) of MLflow's artifacts."""
        artifacts, logged = {}, []
        for name in sorted(pipeline.all_outputs()):
            dataset = catalog.get(name)
            if not isinstance(dataset, STORED):
                continue
            is_logged = (dataset.metadata or {}).get("mlflow")
            for part, (path, sha256) in dataset.files().items():
                place = path.relative_to(self._project).as_posix()
                artifacts[f"{name}{part}"] = {"path": place, "sha256": sha256}
                if is_logged and isinstance(dataset, AtomicDataset):
                    logged.append((path, name.rpartition(".")[0]))
                elif is_logged and isinstance(dataset, PartitionedArtifacts):
                    logged.append((path, name.replace(".", "/")))
        files = catalog.load("journal") if "journal" in pipeline.inputs() else None
        if files is not None and files.journal.exists():
            artifacts["journal"] = {
                "path": files.journal.relative_to(self._project).as_posix(),
                "sha256": file_digest(files.journal),
            }
            logged += [(files.journal, ""), *output_files(files)]
        if TRIALS in pipeline.inputs() and isinstance(dataset := catalog.get(TRIALS), STORED):
            for path, sha256 in dataset.files().values():
                place = path.relative_to(self._project).as_posix()
                artifacts[TRIALS] = {"path": place, "sha256": sha256}
                logged.append((path, "prior"))
        if archives := [name for name in artifacts if name.endswith(".archive")]:
            path = self._project / artifacts[last_archive(archives)]["path"]
            logged.append((path, ""))  # the last one holds all the others
        return artifacts, logged

    def _fail(self, error: BaseException, mlflow_status: str = "FAILED") -> None:
        active, self._active = self._active, None
        if active is not None:
            active.advise(error)
            with interrupts_held():
                active.fail(error, mlflow_status)


def _word(runner: str) -> str:
    """Return the name of Kedro's runner, of what Kedro tells of it: a class, an object, none."""
    path = runner.removeprefix("<").partition(" ")[0]
    return "SequentialRunner" if path == "None" else path.rpartition(".")[2]


def _model(pipeline: Pipeline, catalog: DataCatalog) -> Path | None:
    """Return the folder of the exported answer, if there is one."""
    dataset = catalog.get(MODEL) if MODEL in pipeline.all_outputs() else None
    return dataset.stored() if isinstance(dataset, ModelDataset) else None
