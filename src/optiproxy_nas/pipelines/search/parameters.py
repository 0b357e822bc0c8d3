"""Parameters of a search run: preset plus overrides, checked against the benchmark's source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optiproxy_nas.benchmarks.source_registry import check_source
from optiproxy_nas.pipelines.run_parameters import RUN_KEYS, name_run
from optiproxy_nas.presets import resolve as resolve_search


def resolve(values: Mapping[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """``params:search`` of the given values; sets the run's id and source."""
    search = resolve_search(values, also=RUN_KEYS)
    check_source(search)
    name_run(run, search, search.label)
    return {"search": search.model_dump(), "source": search.source}
