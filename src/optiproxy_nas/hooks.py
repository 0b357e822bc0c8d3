"""What happens around a run: lock, manifest, ingest, tracking, progress, summary.

The nodes know nothing of this; all of it is on the outside.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import filelock
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner
from tqdm import tqdm

from optiproxy_nas import manifest as manifests
from optiproxy_nas import pipeline_registry
from optiproxy_nas.datasets.atomic import PARTIAL, AtomicDataset, digest_path
from optiproxy_nas.errors import DataError, ParameterError, ResumeError, RunLockedError
from optiproxy_nas.parameters import SearchParameters
from optiproxy_nas.reporting.terminal import terminal_summary
from optiproxy_nas.tracking import MlflowTracker

STEP_METRICS = (
    "kendall_tau",
    "spearman",
    "fit_loss",
    "entropy",
    "temperature",
    "duplicates_rejected",
    "twins_rejected",
)


class RunHooks:
    """One run at a time in a process, as in Kedro."""

    def __init__(self) -> None:
        self._context: KedroContext | None = None
        self._clear()

    def _clear(self) -> None:
        self._manifest: manifests.Manifest | None = None
        self._tracker: MlflowTracker | None = None
        self._lock: filelock.BaseFileLock | None = None
        self._bar: Any = None
        self._started = 0.0
        self._node_started: dict[str, float] = {}
        self._process = os.getpid()

    @property
    def run_id(self) -> str | None:
        """The id of the run in progress, if one is."""
        return self._manifest["run_id"] if self._manifest else None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check all parameters, and build the pipelines as long as they say."""
        self._context = context
        parameters = context.config_loader["parameters"]
        if "search" in parameters:
            search = SearchParameters.model_validate(parameters["search"])
            pipeline_registry.set_steps(search.steps())
        self._search = search if "search" in parameters else None
        self._run = parameters["run"]

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Lock and write the manifest first; then tracking; then ingest what is missing."""
        names = run_params["pipeline_names"] or ["__default__"]
        if "benchmark_table" not in pipeline.inputs():
            return
        if self._search is None or not {self._run["pipeline"], "__default__"} & set(names):
            raise ParameterError(
                f"Pipeline {names[0]!r} was asked for, but the parameters are those of "
                f"{self._run['pipeline']!r}. Give --params=pipeline={names[0]} (the command line "
                "does it by itself).",
                pipeline=names[0],
            )
        self._clear()
        self._started = time.perf_counter()
        self._open(self._run["run_id"], bool(self._run["resume"]))
        try:
            self._start_tracking(run_params)
            self._ingest(catalog)
            self._record_data(catalog)
        except BaseException as error:
            self._fail(error)
            raise
        total = self._search.budget
        self._bar = tqdm(
            total=total, desc="queries", unit="query", file=sys.stderr, dynamic_ncols=True
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
        if kind == "update_archive":
            (archive,) = outputs.values()
            if self._bar is not None:
                self._bar.update(len(archive) - self._bar.n)
                self._bar.set_postfix_str(f"best {archive['best'].iloc[-1]:.3f} %")
        if self._tracker is None:
            return
        step = int(node.namespace[5:]) if (node.namespace or "").startswith("step_") else 0
        self._tracker.add({f"seconds/{kind}": seconds}, step)
        if kind == "update_archive":
            for row in archive[archive["step"] == step].itertuples():
                self._tracker.add(
                    {"validation_accuracy": row.value, "best_validation_accuracy": row.best},
                    row.order + 1,
                )
        if kind == "diagnose":
            (values,) = outputs.values()
            self._tracker.add({f"step/{name}": values[name] for name in STEP_METRICS}, step)
        # A worker process of ParallelRunner ends without a further call.
        if kind == "diagnose" or os.getpid() != self._process:
            self._tracker.flush()

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Close the manifest and the MLflow run; print the summary."""
        if self._manifest is None:
            return
        self._close_bar()
        artifacts, logged = self._artifacts(pipeline, catalog)
        summary = catalog.load("report.summary") if "report.summary" in artifacts else None
        status = "finished" if summary else "partial"
        self._write(manifests.close(self._manifest, status, artifacts=artifacts, result=summary))
        facts = {"wall_seconds": time.perf_counter() - self._started}
        if self._tracker is not None:
            self._end_tracking(catalog, logged, summary, facts["wall_seconds"])
        if summary is not None:
            folder = self._folder(self._manifest["run_id"])
            facts["artifacts"] = os.path.relpath(folder)
            print(terminal_summary({**summary, **facts, **self._mlflow_command()}), flush=True)
        self._release()

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Mark the manifest and the MLflow run as failed; what was stored stays."""
        if self._manifest is not None:
            self._fail(error)

    def interrupt(self) -> None:
        """The user pressed Ctrl-C: as a failure, but MLflow says KILLED."""
        if self._manifest is not None:
            self._fail(KeyboardInterrupt("interrupted"), "KILLED")

    # -- the manifest

    def _folder(self, run_id: str) -> Path:
        assert self._context is not None
        return self._context.project_path / "data" / "08_reporting" / run_id

    def _write(self, manifest: manifests.Manifest) -> None:
        self._manifest = manifest
        manifests.write_manifest(self._folder(manifest["run_id"]) / "manifest.json", manifest)

    def _open(self, run_id: str, resume: bool) -> None:
        assert self._search is not None
        folder = self._folder(run_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.FileLock(folder / ".lock", timeout=0)
            self._lock.acquire()
        except filelock.Timeout:
            raise RunLockedError(
                f"Another process is working on run {run_id!r}. Wait for it, or use another "
                "run_id.",
                run_id=run_id,
            ) from None
        except OSError as error:
            raise DataError(
                f"Cannot write to the data directory {folder.parent}: {error.strerror}. Make it "
                "writable, or work in a copy of the project.",
                path=str(folder),
            ) from error
        fresh = manifests.new_manifest(run_id, self._run["pipeline"], self._search.model_dump())
        path = folder / "manifest.json"
        if path.exists():
            old = manifests.read_manifest(folder.parent, run_id)
            if not resume:
                self._release()
                raise ResumeError(
                    f"Run {run_id!r} exists already ({old['status']}). Go on with it by "
                    f"'kedro run --resume {run_id}', or use another run_id.",
                    run_id=run_id,
                )
            fresh["data"] = old["data"]
            self._refuse_if_different(old, fresh)
            fresh |= {key: old[key] for key in ("created", "mlflow_run_id")}
            for layer in folder.parents[1].glob(f"0*_*/{run_id}"):
                for leftover in layer.rglob(f"{PARTIAL}*"):
                    leftover.unlink()
        self._write(fresh)

    def _refuse_if_different(
        self, old: manifests.Manifest, new: manifests.Manifest
    ) -> None:
        lines = manifests.differences(old, new)
        if lines:
            self._release()
            self._manifest = None
            raise ResumeError(
                f"Run {old['run_id']!r} cannot go on: it would not end as it began.\n  "
                + "\n  ".join(lines)
                + "\nUndo the difference, or start a new run.",
                run_id=old["run_id"],
                differences=lines,
            )

    def _artifacts(
        self, pipeline: Pipeline, catalog: DataCatalog
    ) -> tuple[dict[str, Any], list[tuple[Path, str]]]:
        """Every stored output: for the manifest, and those that MLflow gets a copy of."""
        assert self._context is not None
        artifacts, logged = {}, []
        for name in sorted(pipeline.all_outputs()):
            dataset = catalog.get(name)
            path = dataset.stored() if isinstance(dataset, AtomicDataset) else None
            if path is None:
                continue
            artifacts[name] = {
                "path": path.relative_to(self._context.project_path).as_posix(),
                "sha256": digest_path(path).read_text().split()[0],
            }
            if (dataset.metadata or {}).get("mlflow"):
                logged.append((path, name.rpartition(".")[0]))
        return artifacts, logged

    def _fail(self, error: BaseException, mlflow_status: str = "FAILED") -> None:
        assert self._manifest is not None
        self._close_bar()
        try:
            reason = f"{type(error).__name__}: {error}"
            self._write(manifests.close(self._manifest, "failed", error=reason))
            if self._tracker is not None and self._tracker.run_id is not None:
                self._tracker.tag({"error": reason[:500]})
                self._tracker.end(mlflow_status)
        finally:
            self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
        self._lock = self._manifest = self._tracker = None

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    # -- data

    def _ingest(self, catalog: DataCatalog) -> None:
        """Run the ingest pipeline where the source's table or card is missing."""
        assert self._context is not None
        if catalog.exists("benchmark_table") and catalog.exists("benchmark_card"):
            return
        source = self._run["source"]
        print(f"Ingesting benchmark source {source!r} ...", file=sys.stderr, flush=True)
        table = self._context.project_path / "data" / "03_primary" / ".ingest.lock"
        table.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(table, timeout=600):
            if not (catalog.exists("benchmark_table") and catalog.exists("benchmark_card")):
                SequentialRunner().run(pipelines["ingest"], catalog)

    def _record_data(self, catalog: DataCatalog) -> None:
        assert self._manifest is not None
        card = catalog.load("benchmark_card")
        data = {"source": card["source"], "table_sha256": card["table_sha256"]}
        if self._manifest["data"]:
            self._refuse_if_different(self._manifest, {**self._manifest, "data": data})
        self._write({**self._manifest, "data": data})
        if self._tracker is not None:
            self._tracker.tag({"data.table_sha256": data["table_sha256"]})

    # -- MLflow

    def _start_tracking(self, run_params: dict[str, Any]) -> None:
        assert self._context is not None and self._manifest is not None
        if not self._run["tracking"]:
            return
        manifest = self._manifest
        self._tracker = MlflowTracker(self._context.project_path, manifest["pipeline"])
        tags = {
            "run_id": manifest["run_id"],
            "git.commit": str(manifest["git"]["commit"]),
            "git.clean": str(manifest["git"]["clean"]),
            "code.sha256": manifest["code"]["sha256"],
            "parameters.sha256": manifest["parameters_sha256"],
            "kedro.runner": str(run_params.get("runner")),
            **{f"version.{name}": value for name, value in manifest["libraries"].items()},
        }
        parameters = manifests.flatten(manifest["parameters"])
        run_id = self._tracker.start(
            manifest["run_id"], parameters, tags, manifest["mlflow_run_id"]
        )
        self._write({**manifest, "mlflow_run_id": run_id})

    def _end_tracking(
        self,
        catalog: DataCatalog,
        logged: list[tuple[Path, str]],
        summary: dict[str, Any] | None,
        wall_seconds: float,
    ) -> None:
        assert self._tracker is not None and self._manifest is not None
        if summary is not None:
            optimum = summary["optimum"]
            last = max(name for name in self._manifest["artifacts"] if name.endswith(".archive"))
            for row in catalog.load(last).itertuples():
                self._tracker.add({"regret": optimum - row.best}, row.order + 1)
            final = ("validation_accuracy", "test_accuracy", "queries_to_best")
            self._tracker.add({f"final/{name}": summary[name] for name in final}, 0)
        self._tracker.add({"seconds/run": wall_seconds}, 0)
        manifest_file = self._folder(self._manifest["run_id"]) / "manifest.json"
        self._tracker.log_artifacts([*logged, (manifest_file, "")])
        self._tracker.end("FINISHED")

    def _mlflow_command(self) -> dict[str, str]:
        if self._tracker is None:
            return {}
        return {"mlflow_command": f"mlflow ui --backend-store-uri {self._tracker.uri}"}
