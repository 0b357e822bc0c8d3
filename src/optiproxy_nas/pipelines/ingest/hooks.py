"""After ``kedro run --pipeline=ingest``: one line about what there is now."""

from __future__ import annotations

import os
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.runs.datasets.atomic import AtomicDataset


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
        datasets = ", ".join(card["datasets"] or get_source(card["source"]).datasets)
        if card["rows"] or "model_sha256" not in card:
            told = f"{card['rows']:,} rows of {datasets}{_where(catalog, 'benchmark_table')}, "
            told += f"SHA-256 of the table {card['table_sha256']}"
        else:
            size = len(catalog.load("benchmark_model"))
            told = f"a model answers for {datasets} (its table has no rows), {size:,} bytes"
            told += f"{_where(catalog, 'benchmark_model')}, SHA-256 of the model "
            told += card["model_sha256"]
        print(f"Source {card['source']}: {told}", flush=True)


def _where(catalog: DataCatalog, name: str) -> str:
    """The file of a dataset, if it is stored."""
    dataset = catalog.get(name)
    file = dataset.stored() if isinstance(dataset, AtomicDataset) else None
    return f" in {os.path.relpath(file)}" if file else ""
