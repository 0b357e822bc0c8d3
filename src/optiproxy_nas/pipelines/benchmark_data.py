"""The table that a run reads: ingested where it is missing, and known by its digest."""

from __future__ import annotations

import hashlib
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol, DataCatalog
from kedro.runner import SequentialRunner

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.benchmarks.data_card import recorded_data
from optiproxy_nas.benchmarks.loading import open_benchmark
from optiproxy_nas.benchmarks.source_registry import check_complete, get_source
from optiproxy_nas.benchmarks.tidy_table import columns, table_digest
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.evaluation.benchmark_problem import check_benchmark
from optiproxy_nas.proof.croissant import croissant_of
from optiproxy_nas.runs.atomic_files import file_digest, verify, write_json
from optiproxy_nas.runs.datasets import AtomicDataset

_NO_MODEL = hashlib.sha256(b"").hexdigest()


def ingest_missing(project: Path, source: str, catalog: CatalogProtocol[Any, Any]) -> None:
    """Run the ingest pipeline where the source's table or card is missing or of another layout."""
    layout = columns(get_source(source))

    def missing() -> bool:
        if not all(catalog.exists(f"benchmark_{part}") for part in ("table", "model", "card")):
            return True
        found = catalog.load("benchmark_card").get("schema")
        return found is None or list(found) != list(layout)

    if missing():
        lock = project / "data" / "03_primary" / ".ingest.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock, timeout=600):  # another run may be at it
            if missing():
                print(f"Ingesting benchmark source {source!r}", file=sys.stderr, flush=True)
                SequentialRunner().run(pipelines["ingest"], catalog)
                write_croissant(catalog)


def write_croissant(catalog: CatalogProtocol[Any, Any]) -> None:
    """Write the Croissant card of an ingested table beside its data card, if it is stored."""
    table = catalog.get("benchmark_table")
    path = table.stored() if isinstance(table, AtomicDataset) else None
    if path is not None:
        card = croissant_of(catalog.load("benchmark_card"), path.name, file_digest(path))
        write_json(path.with_suffix(".croissant.json"), card)


def check_answers(parameters: RunParameters, catalog: CatalogProtocol[Any, Any]) -> None:
    """Refuse a search whose objective asks for what the ingested source cannot answer.

    Raises:
        UnknownNameError: the table has no such dataset, or not the metric of a bound.
        ObjectiveError: see :func:`~optiproxy_nas.evaluation.benchmark_problem.check_benchmark`.
        MetricUnavailableError: it has no accuracies after so many epochs.
        DataError: it lacks architectures that a search may ask for, or its model cannot be used.
    """
    objective, table = parameters.objective, catalog.load("benchmark_table")
    source = get_source(parameters.source)
    has_dataset = bool((table["dataset"] == parameters.dataset).any())
    needs_more = bool(objective.metrics or objective.fidelities)
    # Opening a table may take long. A model may need a package that is not installed.
    if needs_more or not has_dataset or source.model is not None:
        model = catalog.load("benchmark_model")
        check_benchmark(objective, open_benchmark(table, model, parameters.dataset, source))
    if has_dataset:
        check_complete(table, parameters.dataset, source)


def data_of(source: str, catalog: DataCatalog) -> dict[str, str]:
    """Return source and digest of the table, and of a model that answers, for a manifest.

    Raises:
        DataError: the table is not the one that its card describes.
    """
    card = catalog.load("benchmark_card")
    model = hashlib.sha256(catalog.load("benchmark_model")).hexdigest()
    for kind, found, recorded in (
        ("table", _digest(catalog), card["table_sha256"]),
        ("model", model, card.get("model_sha256", _NO_MODEL)),
    ):
        if found != recorded:
            raise DataError(
                f"The {kind} of source {source!r} in data/03_primary is not the one that its data "
                f"card describes: SHA-256 {found[:12]}.. instead of {recorded[:12]}... Delete both "
                "and run again; ingest writes them anew.",
                source=source,
                found=found,
                recorded=recorded,
            )
    return recorded_data(card, source)


def _digest(catalog: DataCatalog) -> str:
    """Return the digest of the table that the catalog holds."""
    dataset = catalog.get("benchmark_table")
    path = dataset.stored() if isinstance(dataset, AtomicDataset) else None
    if path is None:
        return table_digest(catalog.load("benchmark_table"))
    return _digest_of_file(path, verify(path))


@lru_cache(maxsize=16)  # a sweep asks often, and it takes a while
def _digest_of_file(path: Path, sha256: str) -> str:
    """Return the digest of the table in a file with these bytes."""
    return table_digest(pd.read_parquet(path))
