"""From a source's files to its checked table, its model and its benchmark.

Ingest and the plain-Python API share it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.joining import join_rows
from optiproxy_nas.benchmarks.raw_files import Fetched, Folder, fetch
from optiproxy_nas.benchmarks.source_benchmark import SurrogateBenchmark, TabularBenchmark
from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.benchmarks.tidy_table import assemble, check_table, wrong
from optiproxy_nas.core.errors import DataError

# Source -> file name -> {"object": parsed, "sha256": digest, "bytes": size}.
RawObjects = Mapping[str, Mapping[str, Mapping[str, Any]]]


def load_files(
    source: Source, data_directory: str | None, raw_directory: Path
) -> dict[str, dict[str, dict[str, Any]]]:
    """Fetch, check and parse every file of a source.

    Returns:
        ``{single source: {file name: {"object": parsed, "sha256": digest, "bytes": size}}}``;
        of a pattern the object is ``{path: parsed}``, the digest one of all its files' digests.

    Raises:
        DataError: a file is missing, damaged or not plain data.
    """
    return {
        part.name: {
            name: _parse_folder(part, name, found)
            if isinstance(found, Folder)
            else {
                "object": _parse(part, found),
                "sha256": found.sha256,
                "bytes": len(found.content),
            }
            for name, found in fetch(part, data_directory, raw_directory).items()
        }
        for part in source.parts
    }


def _parse(source: Source, file: Fetched) -> Any:
    """Return the parsed content; of a damaged file, say how to get it."""
    try:
        return source.parse(file.content, str(file.path))
    except DataError as error:
        message = f"{error.message} {source.publication.obtain}"
        raise type(error)(message, **error.data) from error


def _parse_folder(source: Source, name: str, folder: Folder) -> dict[str, Any]:
    """Parse one file after the other: their contents are never in memory together."""
    objects: dict[str, Any] = {}
    digest, size = hashlib.sha256(), 0
    with tqdm(folder.paths, desc=name, unit="file", leave=False, delay=2) as paths:
        for path in paths:
            file = folder.read(path)
            objects[path] = _parse(source, file)
            digest.update(f"{path}\0{file.sha256}\n".encode())
            size += len(file.content)
    return {"object": objects, "sha256": digest.hexdigest(), "bytes": size, "count": len(objects)}


def read_rows(files: RawObjects, source: Source) -> pd.DataFrame:
    """Return the raw objects of a source as one tidy table.

    The table of a single source is not yet checked; those that are joined are, each by itself.

    Raises:
        DataError: a file has another layout, or the joined tables do not fit together.
    """
    if not source.joined:
        return _rows(files[source.name], source)
    parts = source.parts
    return join_rows([check_table(_rows(files[part.name], part), part) for part in parts], source)


def _rows(files: Mapping[str, Mapping[str, Any]], source: Source) -> pd.DataFrame:
    listed = [file for file in source.publication.files if file.name in files]
    table = assemble(source.read(file, files[file.name]["object"]) for file in listed)
    if table.empty and source.model is None:
        raise wrong(source, "its files hold no architecture")
    return table


def build_model(files: RawObjects, table: pd.DataFrame, source: Source) -> bytes:
    """Return what answers for architectures outside the checked table; b"" where nothing does."""
    if source.model is None:
        return b""
    objects = {name: file["object"] for name, file in files[source.name].items()}
    return source.model.build(objects, table)


def open_benchmark(table: pd.DataFrame, model: bytes, dataset: str, source: Source) -> Benchmark:
    """Return the benchmark that answers queries of one dataset, from a source's table and model.

    Raises:
        UnknownNameError: the table has no such dataset.
        DataError: the table holds an architecture twice, or the model is not what it should be.
    """
    if source.model is not None:
        predict = source.model.load(model)
        return SurrogateBenchmark(source, dataset, predict, source.model.metrics)
    return TabularBenchmark(table, dataset, source)
