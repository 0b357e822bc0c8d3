"""Nodes of the ingest pipeline: pure functions over raw objects and the tidy table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from optiproxy_nas.benchmarks.base import Metric
from optiproxy_nas.benchmarks.load import read_rows
from optiproxy_nas.benchmarks.schema import COLUMNS, check_table, table_digest
from optiproxy_nas.benchmarks.sources import get_source
from optiproxy_nas.benchmarks.tabular import TabularBenchmark


def read(
    files: Mapping[str, Mapping[str, Any]], source: str
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Raw objects to one tidy table, and the facts of the files: digest and bytes by name."""
    facts = {
        name: {"sha256": file["sha256"], "bytes": file["bytes"]} for name, file in files.items()
    }
    return read_rows(files, get_source(source)), facts


def check(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """The table, if it is what its source claims to be (``schema.check_table``)."""
    return check_table(rows, get_source(source))


def describe(
    table: pd.DataFrame, file_facts: Mapping[str, Mapping[str, Any]], source: str
) -> dict[str, Any]:
    """The data card: where the table comes from, what it holds and its digest. JSON-ready."""
    known = get_source(source)
    return {
        "source": known.name,
        "benchmark": known.benchmark,
        "space": known.space,
        "version": known.version,
        "licence": known.licence,
        "homepage": known.homepage,
        "files": [
            {
                "name": file.name,
                "dataset": file.dataset,
                "url": file.url,
                "package_path": file.package_path,
                "pinned": file.sha256 is not None,
                **file_facts[file.name],
            }
            for file in known.files
            if file.name in file_facts
        ],
        "rows": len(table),
        "datasets": {
            str(dataset): _describe_dataset(
                TabularBenchmark(table, str(dataset), source, known.benchmark, known.space), rows
            )
            for dataset, rows in table.groupby("dataset")
        },
        "schema": dict(COLUMNS),
        "table_sha256": table_digest(table),
    }


def _describe_dataset(benchmark: TabularBenchmark, rows: pd.DataFrame) -> dict[str, Any]:
    """Cells per number of training seeds ("unknown" too) and the best cell of each split."""
    cells = rows.drop_duplicates("architecture")
    seeds = cells["training_seeds"].value_counts(dropna=False).sort_index()
    return {
        "cells": len(cells),
        "splits": {str(split): int(n) for split, n in rows["split"].value_counts().items()},
        "training_seeds": {
            "unknown" if count is pd.NA else str(count): int(n) for count, n in seeds.items()
        },
        "optimum": {
            metric.split_name: _optimum(benchmark, metric) for metric in sorted(benchmark.metrics)
        },
    }


def _optimum(benchmark: TabularBenchmark, metric: Metric) -> dict[str, Any]:
    """The best cell by one metric, and what it scores by every metric of the source."""
    architecture, _ = benchmark.optimum(metric)
    return {
        "architecture": architecture,
        "accuracy": {
            other.split_name: float(benchmark.query([architecture], other)[0])
            for other in sorted(benchmark.metrics)
        },
    }
