"""Parameters of a search run: preset plus overrides, checked against the benchmark's source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optiproxy_nas import pipeline_registry
from optiproxy_nas.algorithm.budget import number_of_steps
from optiproxy_nas.benchmarks.source_registry import check_source
from optiproxy_nas.pipelines.run_parameters import RUN_KEYS, name_run
from optiproxy_nas.pipelines.search.nodes import figure_names
from optiproxy_nas.presets import resolve as resolve_search


def resolve(values: Mapping[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """``params:search`` of the given values; sets the run's id and source."""
    search = resolve_search(values, also=RUN_KEYS)
    # Not in a hook: Kedro-Viz runs none, and is to draw the pipeline of these parameters.
    pipeline_registry.set_shape(number_of_steps(search), figure_names(search))
    check_source(search)
    name_run(run, search, search.preset)
    return {"search": search.model_dump(), "source": search.source}
