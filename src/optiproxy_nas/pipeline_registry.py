"""The project's pipelines. A search pipeline's length follows from its parameters: see
:class:`~optiproxy_nas.pipelines.configuration.SearchContext`."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from optiproxy_nas.pipelines import compare, diagnose, ingest, methods, search

# Each has a section of its own in conf/base/parameters_<pipeline>.yml, and nothing else of its own.
BENCHMARKS = ("nb201", "nb101", "nb301", "nlp")


def register_pipelines() -> dict[str, Pipeline]:
    """Return all pipelines by name; those of searches have one step, which shows all there is."""
    any_search = search.create_pipeline(last_step=1)
    any_method = methods.create_pipeline()
    return {
        "__default__": any_search,
        **{f"{name}_search": any_search for name in (*BENCHMARKS, "hw", "lowfi")},
        **{f"{name}_methods": any_method for name in BENCHMARKS},
        "ingest": ingest.create_pipeline(),
        "compare": compare.create_pipeline(),
        "nb201_diagnose": diagnose.create_pipeline(),
    }
