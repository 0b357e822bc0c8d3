"""The project's pipelines. A search pipeline's length follows from its parameters: see
:class:`~optiproxy_nas.pipelines.configuration.SearchContext`."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from optiproxy_nas.pipelines import compare, diagnose, ingest, methods, search
from optiproxy_nas.pipelines.configuration import pipeline_kinds


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines by name; those of searches have one step, which shows all there is."""
    of_kind = {
        "search": search.create_pipeline(last_step=1),
        "methods": methods.create_pipeline(),
        "ingest": ingest.create_pipeline(),
        "compare": compare.create_pipeline(),
        "diagnose": diagnose.create_pipeline(),
    }
    return {
        "__default__": of_kind["search"],
        **{name: of_kind[kind] for name, kind in pipeline_kinds().items()},
    }
