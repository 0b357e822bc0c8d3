"""The data card of an ingested table: its origin, content and digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.loading import RawObjects
from optiproxy_nas.benchmarks.source_benchmark import TabularBenchmark
from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.benchmarks.tidy_table import columns, table_digest

# Source -> file -> "sha256", "bytes" and, of a pattern, "count".
Facts = Mapping[str, Mapping[str, Mapping[str, Any]]]


def facts_of(files: RawObjects) -> Facts:
    """Return the facts of raw files, without their content."""
    return {
        part: {
            name: {fact: value for fact, value in file.items() if fact != "object"}
            for name, file in contents.items()
        }
        for part, contents in files.items()
    }


def recorded_data(card: Mapping[str, Any], source: str) -> dict[str, str]:
    """Return what a manifest says of the data: source, digests of table and model, if one answers.

    Args:
        card: of the source's table.
        source: as the search names it.
    """
    model = {"model_sha256": card["model_sha256"]} if "model_sha256" in card else {}
    return {"source": source, "table_sha256": card["table_sha256"], **model}


def data_card(
    table: pd.DataFrame, model: bytes, file_facts: Facts, benchmark_source: Source
) -> dict[str, Any]:
    """Return the data card of a source, ready for JSON.

    Args:
        table: checked, of all datasets.
        model: that answers for architectures outside the table; b"": there is none.
        file_facts: of the files that they were made of.
        benchmark_source: the source.
    """
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
