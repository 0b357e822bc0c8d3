"""The project's pipelines. The search pipeline's length follows from the run's parameters."""

from __future__ import annotations

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

from optiproxy_nas.pipelines import compare, diagnose, ingest, methods, search

# Before any parameters are read (kedro registry list): one step shows all there is.
_steps = 1
_figures: tuple[str, ...] = ()


def set_shape(steps: int, figures: tuple[str, ...]) -> None:
    """Have the search pipelines built with so many steps, and the objective's own pictures."""
    global _steps, _figures
    if (steps, figures) != (_steps, _figures):
        _steps, _figures = steps, figures
        pipelines.configure(__name__)


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines by name."""
    any_search = search.create_pipeline(_steps, _figures)
    return {
        "__default__": any_search,
        "nb201_search": any_search,
        "hw_search": any_search,
        "lowfi_search": any_search,
        "nb201_methods": methods.create_pipeline(),
        "ingest": ingest.create_pipeline(),
        "compare": compare.create_pipeline(),
        "nb201_diagnose": diagnose.create_pipeline(),
    }
