"""The table that a run reads: ingested where it is missing, and known by its digest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import filelock
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol, DataCatalog
from kedro.runner import SequentialRunner

from optiproxy_nas.benchmarks.schema import columns, table_digest
from optiproxy_nas.benchmarks.sources import get_source
from optiproxy_nas.datasets.atomic import AtomicDataset, verify
from optiproxy_nas.errors import DataError

# SHA-256 of a table's file -> digest of the table: a sweep asks often, and it takes a while.
_known: dict[str, str] = {}


def ingest_missing(project: Path, source: str, catalog: CatalogProtocol[Any, Any]) -> None:
    """Run the ingest pipeline where the source's table or card is missing or of another layout."""
    layout = columns(get_source(source))

    def missing() -> bool:
        if not (catalog.exists("benchmark_table") and catalog.exists("benchmark_card")):
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


def data_of(source: str, catalog: DataCatalog) -> dict[str, str]:
    """Source and digest of the table, as a manifest records them.

    Raises:
        DataError: the table is not the one that its card describes.
    """
    found = _digest(catalog)
    recorded = catalog.load("benchmark_card")["table_sha256"]
    if found != recorded:
        raise DataError(
            f"The table of source {source!r} in data/03_primary is not the one that its data "
            f"card describes: SHA-256 {found[:12]}.. instead of {recorded[:12]}... Delete both "
            "and run again; ingest writes them anew.",
            source=source,
            found=found,
            recorded=recorded,
        )
    return {"source": source, "table_sha256": found}


def _digest(catalog: DataCatalog) -> str:
    dataset = catalog.get("benchmark_table")
    path = dataset.stored() if isinstance(dataset, AtomicDataset) else None
    if path is None:
        return table_digest(catalog.load("benchmark_table"))
    file = verify(path)
    if file not in _known:
        _known[file] = table_digest(catalog.load("benchmark_table"))
    return _known[file]
