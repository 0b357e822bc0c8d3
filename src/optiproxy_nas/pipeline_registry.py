"""The project's pipelines. The search pipeline's length follows from the run's parameters."""

from __future__ import annotations

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

from optiproxy_nas.pipelines import compare, diagnose, ingest, methods, search

# Each has a section of its own in conf/base/parameters_<pipeline>.yml, and nothing else of its own.
BENCHMARKS = ("nb201", "nb101", "nb301", "nlp")

# Before any parameters are read (kedro registry list): one step shows all there is.
_steps = 1
_figures = search.FIGURES


def set_shape(steps: int, figures: tuple[str, ...]) -> None:
    """Have the search pipelines built with so many steps, and these pictures in the report."""
    global _steps, _figures
    if (steps, figures) != (_steps, _figures):
        _steps, _figures = steps, figures
        pipelines.configure(__name__)


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines by name."""
    any_search = search.create_pipeline(_steps, _figures)
    any_method = methods.create_pipeline()
    return {
        "__default__": any_search,
        **{f"{name}_search": any_search for name in (*BENCHMARKS, "hw", "lowfi")},
        **{f"{name}_methods": any_method for name in BENCHMARKS},
        "ingest": ingest.create_pipeline(),
        "compare": compare.create_pipeline(),
        "nb201_diagnose": diagnose.create_pipeline(),
    }
