"""After a comparison: say where its page lies."""

from __future__ import annotations

import os
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from optiproxy_nas.runs.datasets.atomic import AtomicDataset


class ComparisonHooks:
    """Does nothing in a pipeline of any other kind."""

    def __init__(self) -> None:
        self._run: dict[str, Any] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember whether to be quiet."""
        self._run = context.config_loader["parameters"]["run"]

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """The page's path, as a last line."""
        if "comparison.page" not in pipeline.all_outputs() or self._run["quiet"]:
            return
        page = catalog.get("comparison.page")
        if isinstance(page, AtomicDataset) and (path := page.stored()) is not None:
            print(f"Look at {os.path.relpath(path)}", flush=True)
