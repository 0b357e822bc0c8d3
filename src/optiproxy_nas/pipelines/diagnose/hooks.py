"""After a diagnosis: its files join the run's MLflow run, and a few lines are shown."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from optiproxy_nas.report.diagnose.page import headline
from optiproxy_nas.runs.datasets.atomic import AtomicDataset
from optiproxy_nas.runs.manifest import read_manifest
from optiproxy_nas.runs.tracking import MlflowTracker

logger = logging.getLogger(__name__)


class DiagnosisHooks:
    """Does nothing in a pipeline of any other kind."""

    def __init__(self) -> None:
        self._project = Path()
        self._run: dict[str, Any] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember which run is diagnosed, if one is."""
        self._project = context.project_path
        parameters = context.config_loader["parameters"]
        self._run = parameters["run"] if "diagnose" in parameters else {}

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Log the files, and say what was found and where it lies."""
        if not self._run or "diagnosis.page" not in pipeline.all_outputs():
            return
        datasets = [catalog.get(name) for name in sorted(pipeline.all_outputs())]
        files = [
            path
            for dataset in datasets
            if isinstance(dataset, AtomicDataset) and (path := dataset.stored()) is not None
        ]
        logged = self._run["tracking"] and self._log(files)
        if self._run["quiet"]:
            return
        numbers = catalog.load("diagnosis.numbers")
        print(headline(numbers))
        if numbers["caution"]:
            print(f"Note: {numbers['caution']}")
        for alarm in numbers["alarms"]:
            print(f"ALARM: {alarm['text']}")
        folder = os.path.relpath(files[0].parent)
        print(f"{len(files)} files in {folder}{' and in the MLflow run' if logged else ''}")
        print(f"Look at {folder}/diagnosis.html", flush=True)

    def _log(self, files: list[Path]) -> bool:
        """Copy the files to the MLflow run of the diagnosed run, where it has one."""
        manifest = read_manifest(self._project / "data" / "08_reporting", self._run["diagnosed"])
        run_id = manifest.get("mlflow_run_id")
        if run_id is None:
            return False
        tracker = MlflowTracker(self._project, manifest["pipeline"])
        try:
            for path in files:
                tracker.client.log_artifact(run_id, str(path), "diagnose")
        except Exception as error:  # MLflow, SQLAlchemy, requests: each has its own
            reason = (str(error) or type(error).__name__).splitlines()[0][:300]
            logger.warning(
                "The diagnosis was written, but not to the MLflow store %s: %s. Run it again once "
                "the store is back, or with --params=tracking=off.",
                tracker.uri,
                reason,
            )
            return False
        return True
