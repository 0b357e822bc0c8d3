"""Ingest: the raw files of one benchmark source become one checked table and its data card.

Parameters, nodes (pure functions over raw objects and the tidy table) and pipeline. It runs once
per source; afterwards its outputs are only read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from kedro.pipeline import Node
from pydantic import Field

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.loading import RawObjects, build_model, read_rows
from optiproxy_nas.benchmarks.source_benchmark import TabularBenchmark
from optiproxy_nas.benchmarks.source_registry import families, find_source, first_source, get_source
from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.benchmarks.tidy_table import check_table, columns, table_digest
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import StrictModel, source_name
from optiproxy_nas.core.validation import validate
from optiproxy_nas.pipelines.project_pipeline import ProjectPipeline
from optiproxy_nas.pipelines.run_parameters import GIVEN

Facts = dict[str, dict[str, dict[str, Any]]]


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
    facts = {
        part: {
            name: {fact: value for fact, value in file.items() if fact != "object"}
            for name, file in contents.items()
        }
        for part, contents in files.items()
    }
    return read_rows(files, get_source(source)), facts


def check(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return the table if it is what its source claims to be (``check_table``)."""
    return check_table(rows, get_source(source))


def build(files: RawObjects, table: pd.DataFrame, source: str) -> bytes:
    """Return the model that answers for architectures outside the table; b"" without one."""
    return build_model(files, table, get_source(source))


def describe(table: pd.DataFrame, model: bytes, file_facts: Facts, source: str) -> dict[str, Any]:
    """Return the data card: origin, content and digest of the table, ready for JSON."""
    benchmark_source = get_source(source)
    return {
        "source": benchmark_source.name,
        "benchmark": benchmark_source.family.name,
        "space": benchmark_source.family.space,
        "parts": [_describe_part(part, file_facts[part.name]) for part in benchmark_source.parts],
        "rows": len(table),
        "datasets": {
            str(dataset): _describe_dataset(
                TabularBenchmark(table, str(dataset), benchmark_source), rows, benchmark_source
            )
            for dataset, rows in table.groupby("dataset")
        },
        "schema": columns(benchmark_source),
        "target": benchmark_source.contents.target,
        "caution": benchmark_source.contents.caution,
        "table_sha256": table_digest(table),
        **(_describe_model(table, model, benchmark_source) if model else {}),
    }


def _describe_model(table: pd.DataFrame, model: bytes, source: Source) -> dict[str, Any]:
    """Return the digest of the model that answers, and what its source has measured of it."""
    facts = source.model.facts(table, model) if source.model else {}
    return {"model_sha256": hashlib.sha256(model).hexdigest(), "model": dict(facts)}


def _describe_part(part: Source, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Describe a single source: its release, licence and files, each with all its datasets."""
    files = part.publication.files
    return {
        "source": part.name,
        "version": part.publication.version,
        "licence": part.publication.licence,
        "homepage": part.publication.homepage,
        "files": [
            {
                "name": file.name,
                "datasets": [other.dataset for other in files if other.name == file.name],
                "url": file.url,
                "package_path": file.package_path,
                "pinned": file.sha256 is not None,
                **facts[file.name],
            }
            for file in {file.name: file for file in files}.values()
            if file.name in facts
        ],
    }


def _describe_dataset(
    benchmark: TabularBenchmark, rows: pd.DataFrame, source: Source
) -> dict[str, Any]:
    """Count cells by epochs, gaps of each metric and training seeds; name the best cells."""
    counts = rows["epochs"].value_counts().sort_index()
    described: dict[str, Any] = {
        "cells": int(rows["architecture"].nunique()),
        "cells_by_epochs": {str(epochs): int(count) for epochs, count in counts.items()},
        "metrics": {
            metric: {
                "numbers": int(np.isfinite(rows[metric]).sum()),
                "not_stated": int(rows[metric].isna().sum()),
                "cannot_run": int(np.isposinf(rows[metric]).sum()),
            }
            for metric in source.contents.metrics
        },
        "optimum": {
            metric: _optimum(benchmark, metric)
            for metric in dict.fromkeys((benchmark.target, VALIDATION_ACCURACY, TEST_ACCURACY))
            if metric in benchmark.metrics
        },
    }
    if "training_seeds" in benchmark.metrics:
        full = rows[rows["epochs"] == benchmark.epochs[-1]]
        seeds = full["training_seeds"].value_counts().sort_index()
        described["training_seeds"] = {f"{count:g}": int(cells) for count, cells in seeds.items()}
    return described


def _optimum(benchmark: TabularBenchmark, metric: str) -> dict[str, Any]:
    """Return the best fully trained cell by one accuracy, and what it scores by every accuracy."""
    architecture, value = benchmark.optimum(metric)
    return {
        "architecture": architecture,
        metric: value,
        **{
            accuracy: float(benchmark.query([architecture], accuracy)[0])
            for accuracy in (VALIDATION_ACCURACY, TEST_ACCURACY)
            if accuracy in benchmark.metrics
        },
    }
