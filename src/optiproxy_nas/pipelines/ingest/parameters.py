"""Parameters of ingest: the source, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optiproxy_nas.benchmarks.source_registry import find_source, first_source
from optiproxy_nas.core.errors import ParameterError, unknown_name
from optiproxy_nas.core.parameters import source_name
from optiproxy_nas.pipelines.run_parameters import RUN_KEYS


def resolve(values: Mapping[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """The source, or several joined by "+", checked; ingest belongs to no run.

    Where only ``benchmark`` is given, the first source that is registered for it.

    Raises:
        UnknownNameError: an unknown parameter, benchmark or source.
        ParameterError: the sources cannot be joined, or are of another benchmark.
    """
    for name in sorted(set(values) - {"source", "benchmark"}):
        raise unknown_name("parameter", name, ["source", "benchmark", *RUN_KEYS])
    wanted = values.get("benchmark")
    name = source_name(str(values.get("source") or first_source(wanted or "nb201")))
    source = find_source(name, str(wanted or ""))
    if wanted not in (None, source.benchmark):
        raise ParameterError(
            f"Source {name!r} is of benchmark {source.benchmark!r}, not {wanted!r}; give one of "
            "the two only.",
            source=name,
            benchmark=wanted,
        )
    run["source"], run["benchmark"] = name, source.benchmark
    return {"source": name}
