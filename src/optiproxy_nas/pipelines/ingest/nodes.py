"""Nodes of the ingest pipeline: pure functions over raw objects and the tidy table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.loading import RawObjects, build_model, read_rows
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.benchmarks.tabular import TabularBenchmark
from optiproxy_nas.benchmarks.tidy_table import check_table, columns, table_digest

Facts = dict[str, dict[str, dict[str, Any]]]


def read(files: RawObjects, source: str) -> tuple[pd.DataFrame, Facts]:
    """Raw objects to one tidy table; and the facts of the files, digest and bytes, by source."""
    facts = {
        part: {
            name: {fact: value for fact, value in file.items() if fact != "object"}
            for name, file in own.items()
        }
        for part, own in files.items()
    }
    return read_rows(files, get_source(source)), facts


def check(rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """The table, if it is what its source claims to be (``check_table``)."""
    return check_table(rows, get_source(source))


def build(files: RawObjects, table: pd.DataFrame, source: str) -> bytes:
    """The model that answers for architectures outside the table; b"" where there is none."""
    return build_model(files, table, get_source(source))


def describe(table: pd.DataFrame, model: bytes, file_facts: Facts, source: str) -> dict[str, Any]:
    """The data card: where the table comes from, what it holds and its digest. JSON-ready."""
    known = get_source(source)
    return {
        "source": known.name,
        "benchmark": known.benchmark,
        "space": known.space,
        "parts": [_describe_part(part, file_facts[part.name]) for part in known.parts],
        "rows": len(table),
        "datasets": {
            str(dataset): _describe_dataset(
                TabularBenchmark.of(table, str(dataset), known), rows, known
            )
            for dataset, rows in table.groupby("dataset")
        },
        "schema": columns(known),
        "target": known.target,
        "caution": known.caution,
        "table_sha256": table_digest(table),
        **(_describe_model(table, model, known) if model else {}),
    }


def _describe_model(table: pd.DataFrame, model: bytes, source: Source) -> dict[str, Any]:
    """The digest of the model that answers, and what its source has measured of it."""
    facts = source.facts(table, model) if source.facts else {}
    return {"model_sha256": hashlib.sha256(model).hexdigest(), "model": dict(facts)}


def _describe_part(part: Source, facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A single source: its release, licence and files, each with all its datasets."""
    return {
        "source": part.name,
        "version": part.version,
        "licence": part.licence,
        "homepage": part.homepage,
        "files": [
            {
                "name": file.name,
                "datasets": [other.dataset for other in part.files if other.name == file.name],
                "url": file.url,
                "package_path": file.package_path,
                "pinned": file.sha256 is not None,
                **facts[file.name],
            }
            for file in {file.name: file for file in part.files}.values()
            if file.name in facts
        ],
    }


def _describe_dataset(
    benchmark: TabularBenchmark, rows: pd.DataFrame, source: Source
) -> dict[str, Any]:
    """Cells by epochs, of each metric the gaps, the best cells, and cells by training seeds."""
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
            for metric in source.metrics
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
    """The best fully trained cell by one accuracy, and what it scores by every accuracy."""
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
