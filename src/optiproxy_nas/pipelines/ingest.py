"""Ingest: the raw files of one benchmark source become one checked table and its data card.

Parameters, nodes (pure functions over raw objects and the tidy table) and pipeline. It runs once
per source; afterwards its outputs are only read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from kedro.pipeline import Node
from pydantic import Field

from optiproxy_nas.benchmarks.data_card import Facts, data_card, facts_of
from optiproxy_nas.benchmarks.loading import RawObjects, build_model, read_rows
from optiproxy_nas.benchmarks.source_registry import families, find_source, first_source, get_source
from optiproxy_nas.benchmarks.tidy_table import check_table
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import StrictModel, source_name
from optiproxy_nas.core.validation import validate
from optiproxy_nas.pipelines.project_pipeline import ProjectPipeline
from optiproxy_nas.pipelines.run_parameters import GIVEN


class IngestSettings(StrictModel):
    """What is read."""

    source: str | None = Field(
        default=None, description="registered source, or several joined: v1_0+hw_nas_bench"
    )
    benchmark: str | None = Field(
        default=None, description="whose first source is read where none is named; null: nb201"
    )


def create_pipeline() -> ProjectPipeline:
    """Return the pipeline from raw files to table, model and data card.

    Input: ``benchmark_files``, ``params:source``.
    """
    table, model, source = "benchmark_table", "benchmark_model", "params:source"
    files, rows, facts = "benchmark_files", "benchmark_rows", "benchmark_file_facts"
    return ProjectPipeline(
        [
            Node(read, [files, source], [rows, facts], name="read_benchmark"),
            Node(check, [rows, source], table, name="check_benchmark"),
            Node(build, [files, table, source], model, name="build_benchmark"),
            Node(
                describe, [table, model, facts, source], "benchmark_card", name="describe_benchmark"
            ),
        ],
        "ingest",
    )


def resolve(
    values: Mapping[str, Any], run: dict[str, Any], also: Iterable[str] = GIVEN
) -> dict[str, Any]:
    """Return the source, or several joined by "+", checked; ingest belongs to no run.

    Where only ``benchmark`` is given, its default source; without that, the first benchmark's.

    Raises:
        UnknownNameError: an unknown benchmark or source.
        ParameterError: an unknown parameter; or the sources cannot be joined, or are of another
            benchmark.
    """
    settings = validate(IngestSettings, values, also)
    benchmark = settings.benchmark
    if settings.source is None:
        name = first_source(next(iter(families())) if benchmark is None else benchmark)
    else:
        name = source_name(settings.source)
    source = find_source(name, benchmark or "")
    if benchmark not in (None, source.family.name):
        raise ParameterError(
            f"Source {name!r} is of benchmark {source.family.name!r}, not {benchmark!r}; give one "
            "of the two only.",
            source=name,
            benchmark=benchmark,
        )
    run["source"], run["benchmark"] = name, source.family.name
    return {"source": name}


def read(files: RawObjects, source: str) -> tuple[pd.DataFrame, Facts]:
    """Return one tidy table, and the facts of the files (digest and bytes) by source."""
    return read_rows(files, get_source(source)), facts_of(files)


def check(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the table if it is what its source claims to be (``check_table``)."""
    return check_table(rows, get_source(source))


def build(files: RawObjects, table: pd.DataFrame, source: str) -> bytes:
    """Return the model that answers for architectures outside the table; b"" without one."""
    return build_model(files, table, get_source(source))


def describe(table: pd.DataFrame, model: bytes, file_facts: Facts, source: str) -> dict[str, Any]:
    """Return the data card: origin, content and digest of the table, ready for JSON."""
    return data_card(table, model, file_facts, get_source(source))
