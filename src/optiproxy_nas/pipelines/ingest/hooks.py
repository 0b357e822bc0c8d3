"""After ``kedro run --pipeline=ingest``: one line about what there is now."""

from __future__ import annotations

import os
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from optiproxy_nas.datasets.atomic import AtomicDataset


class IngestHooks:
    """Does nothing in a pipeline of any other kind."""

    def __init__(self) -> None:
        self._quiet = False

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember whether anything is to be said."""
        self._quiet = bool(context.config_loader["parameters"]["run"]["quiet"])

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Say what was ingested, where it lies and how it is known."""
        if self._quiet or "benchmark_card" not in pipeline.all_outputs():
            return
        card: dict[str, Any] = catalog.load("benchmark_card")
        dataset = catalog.get("benchmark_table")
        file = dataset.stored() if isinstance(dataset, AtomicDataset) else None
        where = f" in {os.path.relpath(file)}" if file else ""
        print(
            f"Source {card['source']}: {card['rows']:,} rows of {', '.join(card['datasets'])}"
            f"{where}, SHA-256 of the table {card['table_sha256']}",
            flush=True,
        )
