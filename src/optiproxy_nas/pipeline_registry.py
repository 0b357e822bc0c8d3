"""The project's pipelines. The search pipeline's length follows from the run's parameters."""

from __future__ import annotations

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

from optiproxy_nas.pipelines import compare, diagnose, ingest, methods, search

# Before any parameters are read (kedro registry list): one step shows all there is.
_steps = 1


def set_steps(steps: int) -> None:
    """Have the search pipelines built with this many steps when they are next asked for."""
    global _steps
    if steps != _steps:
        _steps = steps
        pipelines.configure(__name__)


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines by name."""
    nb201_search = search.create_pipeline(_steps)
    return {
        "__default__": nb201_search,
        "nb201_search": nb201_search,
        "nb201_methods": methods.create_pipeline(),
        "ingest": ingest.create_pipeline(),
        "compare": compare.create_pipeline(),
        "nb201_diagnose": diagnose.create_pipeline(),
    }
