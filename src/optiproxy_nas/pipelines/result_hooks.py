"""Last lines of the pipelines that are no run: ``ingest``, ``compare`` and ``diagnose``."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.core.errors import TrackingError, first_line
from optiproxy_nas.pipelines.benchmark_data import write_croissant
from optiproxy_nas.pipelines.configuration import run_of
from optiproxy_nas.report.diagnose.diagnosis_html import headline
from optiproxy_nas.runs.datasets import AtomicDataset
from optiproxy_nas.runs.manifest import read_manifest, reporting_folder
from optiproxy_nas.runs.tracking import MlflowTracker

logger = logging.getLogger(__name__)


class ResultHooks:
    """Says where the result lies; does nothing in a search.

    The files of a diagnosis also join the MLflow run of the diagnosed run.
    """

    def __init__(self) -> None:
        self._project = Path()
        self._run: dict[str, Any] | None = None  # None: a pipeline of the user's is run

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember what is run, and whether to be quiet."""
        self._project = context.project_path
        self._run = run_of(context)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Say what there is now, and where it lies."""
        if self._run is None:
            return
        outputs = pipeline.all_outputs()
        lines: list[str] = []
        if "benchmark_card" in outputs:
            write_croissant(catalog)
            lines = _ingested(catalog)
        elif "comparison.page" in outputs:
            lines = [f"Look at {path}" for path in _relative_paths(catalog, "comparison.page")]
        elif "diagnosis.page" in outputs:
            lines = self._diagnosed(self._run, sorted(outputs), catalog)
        if lines and self._run["json"]:
            print(json.dumps({"lines": lines}, indent=1), flush=True)
        elif lines and not self._run["quiet"]:
            print("\n".join(lines), flush=True)

    def _diagnosed(
        self, run: dict[str, Any], outputs: list[str], catalog: DataCatalog
    ) -> list[str]:
        files = _relative_paths(catalog, *outputs)
        logged = run["tracking"] and self._log(run["diagnosed"], files)
        numbers = catalog.load("diagnosis.numbers")
        folder = os.path.dirname(files[0])
        return [
            headline(numbers),
            *([f"Note: {numbers['caution']}"] if numbers["caution"] else []),
            *(f"ALARM: {alarm['text']}" for alarm in numbers["alarms"]),
            f"{len(files)} files in {folder}{' and in the MLflow run' if logged else ''}",
            f"Look at {folder}/diagnosis.html",
        ]

    def _log(self, diagnosed: str, files: list[str]) -> bool:
        """Copy the files to the MLflow run of the diagnosed run; False if it has none."""
        manifest = read_manifest(reporting_folder(self._project), diagnosed)
        run_id = manifest.get("mlflow_run_id")
        if run_id is None:
            return False
        tracker = MlflowTracker(self._project, manifest["pipeline"])
        try:
            tracker.log_later(run_id, diagnosed, map(Path, files), "diagnose")
        except TrackingError as error:
            logger.warning(
                "The diagnosis was written, but not to the MLflow store %s: %s. Run it again once "
                "the store is back, or with --params=tracking=off.",
                tracker.uri,
                first_line(error.__cause__ or error),
            )
            return False
        return True


def _ingested(catalog: DataCatalog) -> list[str]:
    """Return what was ingested, where it lies and how it is known."""
    card: dict[str, Any] = catalog.load("benchmark_card")
    datasets = ", ".join(card["datasets"] or get_source(card["source"]).datasets)
    if card["rows"] or "model_sha256" not in card:
        name, digest = "benchmark_table", f"SHA-256 of the table {card['table_sha256']}"
        what = f"{card['rows']:,} rows of {datasets}"
    else:
        name, digest = "benchmark_model", f"SHA-256 of the model {card['model_sha256']}"
        size = len(catalog.load("benchmark_model"))
        what = f"a model answers for {datasets} (its table has no rows), {size:,} bytes"
    where = "".join(f" in {path}" for path in _relative_paths(catalog, name))
    return [f"Source {card['source']}: {what}{where}, {digest}"]


def _relative_paths(catalog: DataCatalog, *names: str) -> list[str]:
    """Return the files of datasets that are stored, relative to the working directory."""
    datasets = [catalog.get(name) for name in names]
    stored = [data.stored() for data in datasets if isinstance(data, AtomicDataset)]
    return [os.path.relpath(path) for path in stored if path is not None]
