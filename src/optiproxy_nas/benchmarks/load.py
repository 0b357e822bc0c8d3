"""From a source's name to its checked table: what ingest and the plain-Python API share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import pooch

from optiproxy_nas.benchmarks.fetch import fetch
from optiproxy_nas.benchmarks.schema import assemble, check_table
from optiproxy_nas.benchmarks.sources import Source, get_source
from optiproxy_nas.benchmarks.tabular import TabularBenchmark
from optiproxy_nas.benchmarks.unpickle import restricted_load
from optiproxy_nas.errors import unknown_name

RawObjects = Mapping[str, Mapping[str, Any]]


def load_files(
    source: Source, data_directory: str | None, raw_directory: Path
) -> dict[str, dict[str, Any]]:
    """Fetch, check and unpickle every file of a source.

    Returns:
        ``{file name: {"object": unpickled, "sha256": digest, "bytes": size}}``.

    Raises:
        DataError: a file is missing, damaged or not plain data.
    """
    return {
        name: {
            "object": restricted_load(file.content, source.allowed_globals, name=str(file.path)),
            "sha256": file.sha256,
            "bytes": len(file.content),
        }
        for name, file in fetch(source, data_directory, raw_directory).items()
    }


def read_rows(files: RawObjects, source: Source) -> pd.DataFrame:
    """The raw objects of a source as one tidy table, not yet checked."""
    return assemble(
        source.read(file, files[file.name]["object"]) for file in source.files if file.name in files
    )


def load_benchmark(source: str, dataset: str) -> TabularBenchmark:
    """A benchmark without Kedro; downloads, where needed, go to the user's cache folder.

    Raises:
        UnknownNameError: no such source or dataset.
        DataError: its files are missing, damaged or not what they claim to be.
    """
    known = get_source(source)
    table = _table(source, dataset)
    return TabularBenchmark(table, dataset, source, known.benchmark, known.space)


@lru_cache(maxsize=4)
def _table(source: str, dataset: str) -> pd.DataFrame:
    """The table of one dataset alone: a third of the memory of all three."""
    known = get_source(source)
    files = tuple(file for file in known.files if file.dataset == dataset)
    if not files:
        raise unknown_name("dataset", dataset, {file.dataset for file in known.files})
    known = replace(known, files=files)
    raw = load_files(known, None, Path(pooch.os_cache("optiproxy_nas")))
    return check_table(read_rows(raw, known), known)
