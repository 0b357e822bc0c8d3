"""Parameters of a run of any method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optiproxy_nas.benchmarks.source_registry import check_source
from optiproxy_nas.methods import resolve_method
from optiproxy_nas.pipelines.run_parameters import RUN_KEYS, name_run


def resolve(values: Mapping[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """``params:search`` of the given values; sets the run's id and source."""
    parameters = resolve_method(values, also=RUN_KEYS)
    check_source(parameters)
    name_run(run, parameters, parameters.label)
    return {"search": parameters.model_dump(), "source": parameters.source}
