"""Parameters of ingest: the source, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optiproxy_nas.benchmarks.sources import get_source
from optiproxy_nas.errors import unknown_name
from optiproxy_nas.run_parameters import RUN_KEYS


def resolve(values: Mapping[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """The source, or several joined by "+", checked; ingest belongs to no run.

    Raises:
        UnknownNameError: an unknown parameter or source.
        ParameterError: the sources cannot be joined.
    """
    for name in sorted(set(values) - {"source"}):
        raise unknown_name("parameter", name, ["source", *RUN_KEYS])
    run["source"] = values["source"]
    get_source(run["source"])
    return {"source": run["source"]}
