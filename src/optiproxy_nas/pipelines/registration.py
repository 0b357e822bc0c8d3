"""Which pipelines there are: two of each benchmark, those that look at runs, and a user's own.

A project of a user registers what it needs in its ``pipeline_registry.py``; our own registers all::

    pipelines |= own_pipelines("my_package.my_module:MyProblem")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optiproxy_nas.benchmarks.source_registry import families, get_source
from optiproxy_nas.benchmarks.sources import BenchmarkFamily
from optiproxy_nas.methods import DEFAULT as DEFAULT_METHOD
from optiproxy_nas.pipelines import compare, diagnose, ingest, methods, search
from optiproxy_nas.pipelines.project_pipeline import ProjectPipeline
from optiproxy_nas.problems import Problem


def benchmark_pipelines() -> dict[str, ProjectPipeline]:
    """Return the pipelines of searches on tables, by name.

    Each registered benchmark has ``<name>_search`` and ``<name>_methods``.
    """
    one_step, whole = search.create_pipeline(last_step=1), methods.create_pipeline()
    found = {}
    for family in families().values():
        section = _section(family)
        found[f"{family.prefix}_search"] = one_step.with_section(section)
        found[f"{family.prefix}_methods"] = whole.with_section(
            {**section, "method": DEFAULT_METHOD}
        )
    return {**found, "hw_search": one_step, "lowfi_search": one_step}


def search_pipeline(
    problem: str | Mapping[str, Any] | type[Problem] | None = None, *, budget: int = 50
) -> ProjectPipeline:
    """Return the pipeline of a search on a problem by OptiProxy-NAS, to register under any name.

    Args:
        problem: ``package.module:Class``, a mapping of that name and settings, or the class; what
            is given at run time or in a parameter file wins. None: these name it.
        budget: where no other is given.
    """
    pipeline = search.create_pipeline(last_step=1, datasets=())
    return pipeline.with_section(_problem_section(problem, budget))


def methods_pipeline(
    problem: str | Mapping[str, Any] | type[Problem] | None = None, *, budget: int = 50
) -> ProjectPipeline:
    """Return the pipeline of a search on a problem by any method, whole in one node.

    Arguments as of :func:`search_pipeline`.
    """
    section = {**_problem_section(problem, budget), "method": DEFAULT_METHOD}
    return methods.create_pipeline(datasets=()).with_section(section)


def own_pipelines(
    problem: str | Mapping[str, Any] | type[Problem] | None = None, *, budget: int = 50
) -> dict[str, ProjectPipeline]:
    """Return all that a project with a problem of its own needs, by name.

    ``own_search``, ``own_methods`` (for sweeps), ``compare`` and ``own_diagnose``. Arguments as of
    :func:`search_pipeline`.
    """
    return {
        "own_search": search_pipeline(problem, budget=budget),
        "own_methods": methods_pipeline(problem, budget=budget),
        "own_diagnose": diagnose.create_pipeline(),
        "compare": compare.create_pipeline(),
    }


def looking_pipelines() -> dict[str, ProjectPipeline]:
    """Return the pipelines that read tables or finished runs and make none, by name."""
    return {
        "ingest": ingest.create_pipeline(),
        "compare": compare.create_pipeline(),
        "nb201_diagnose": diagnose.create_pipeline(),
    }


def _problem_section(problem: Any, budget: int) -> dict[str, Any]:
    """Return the parameters of a search on a problem as far as no file says otherwise."""
    if isinstance(problem, type):
        problem = f"{problem.__module__}:{problem.__qualname__}"
    named = {} if problem is None else {"problem": problem}
    return {**named, "seed": 0, "budget": budget}


def _section(family: BenchmarkFamily) -> dict[str, Any]:
    """Return the parameters of a benchmark's pipelines as far as no file says otherwise."""
    return {
        "space": family.space,
        "benchmark": family.name,
        "source": family.source,
        "dataset": get_source(family.source).datasets[0],
        "seed": 0,
        "budget": family.budget,
    }
