"""The project's pipelines. A search pipeline's length follows from its parameters: see
:class:`~optiproxy_nas.pipelines.configuration.SearchContext`."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from optiproxy_nas.pipelines.registration import (
    benchmark_pipelines,
    looking_pipelines,
    own_pipelines,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines by name; those of searches have one step, which shows all there is."""
    searches = benchmark_pipelines()
    return {
        "__default__": searches["nb201_search"],
        **searches,
        **looking_pipelines(),
        **own_pipelines(),
    }
