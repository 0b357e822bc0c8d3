"""Which pipelines there are: two of each benchmark, those that look at runs, and a user's own.

A project of a user registers what it needs in its ``pipeline_registry.py``; our own registers all.
"""

from __future__ import annotations

from typing import Any

from optiproxy_nas.benchmarks.source_registry import families, get_source
from optiproxy_nas.benchmarks.sources import BenchmarkFamily
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.methods import DEFAULT as DEFAULT_METHOD
from optiproxy_nas.objectives import DEFAULT as DEFAULT_OBJECTIVE
from optiproxy_nas.pipelines import compare, diagnose, ingest, methods, search
from optiproxy_nas.pipelines.project_pipeline import ProjectPipeline
from optiproxy_nas.presets import preset_for


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


def looking_pipelines() -> dict[str, ProjectPipeline]:
    """Return the pipelines that read tables or finished runs and make none, by name."""
    return {
        "ingest": ingest.create_pipeline(),
        "compare": compare.create_pipeline(),
        "nb201_diagnose": diagnose.create_pipeline(),
    }


def _section(family: BenchmarkFamily) -> dict[str, Any]:
    """Return the parameters of a benchmark's pipelines as far as no file says otherwise."""
    try:
        preset = preset_for(family.space, DEFAULT_OBJECTIVE)
    except ParameterError:  # an installed package's space that cannot be imported
        preset = None
    return {
        "space": family.space,
        "benchmark": family.name,
        "source": family.source,
        "dataset": get_source(family.source).datasets[0],
        "preset": preset or "default",
        "seed": 0,
        "budget": family.budget,
    }
