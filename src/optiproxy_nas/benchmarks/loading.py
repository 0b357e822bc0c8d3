"""From a source's name to its checked table, its model and its benchmark.

Ingest and the plain-Python API share it. Fitting a model may take ten seconds, so that the API
keeps it between Python processes (:func:`kept_model`); a Kedro run has its own, with its digest,
beside the table (``ingest``).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pooch
from tqdm import tqdm

from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE, Fetched, Folder, fetch
from optiproxy_nas.benchmarks.source_benchmark import SurrogateBenchmark, TabularBenchmark
from optiproxy_nas.benchmarks.source_registry import check_complete, get_source
from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.benchmarks.tidy_table import (
    assemble,
    check_table,
    join_rows,
    table_digest,
    wrong,
)
from optiproxy_nas.core.code_digest import combined, imported_code
from optiproxy_nas.core.errors import DataError, unknown_name

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


def load_benchmark(source: str, dataset: str, *, complete: bool = False) -> Benchmark:
    """Return a benchmark without Kedro; downloads, if any, go to the user's cache folder.

    Args:
        source: its registered name.
        dataset: one of its datasets.
        complete: refuse a table that lacks architectures, since a search may ask for them.

    Raises:
        UnknownNameError: no such source or dataset.
        ParameterError: the sources cannot be joined.
        DataError: its files are missing, damaged or not what they claim to be.
    """
    found = get_source(source)
    table, model = _loaded(source, dataset, os.environ.get(DATA_DIRECTORY_VARIABLE))
    if complete:
        check_complete(table, dataset, found)
    return open_benchmark(table, model, dataset, found)


@lru_cache(maxsize=4)
def _loaded(name: str, dataset: str, directory: str | None) -> tuple[pd.DataFrame, bytes]:
    """Return table and model of one dataset alone: a third of the memory of all three."""
    source = get_source(name)
    if dataset not in source.datasets:
        raise unknown_name("dataset", dataset, source.datasets)
    source = source.of_dataset(dataset)
    files = load_files(source, directory, Path(pooch.os_cache("optiproxy_nas")))
    table = check_table(read_rows(files, source), source)
    if source.model is None:
        return table, b""
    modules = [getattr(source.model.build, "func", source.model.build).__module__]  # of a partial
    model = kept_model(source.name, table, lambda: build_model(files, table, source), modules)
    return table, model


WORTH_SECONDS = 1.0  # what takes less to build is not kept
_LIBRARIES = ("lightgbm", "numpy", "pandas", "scipy")  # another release may build another model


def kept_model(
    source: str, table: pd.DataFrame, build: Callable[[], bytes], modules: Iterable[str] = ()
) -> bytes:
    """Return what ``build`` gives, or gave an earlier process for the same table and code.

    Kept in the user's cache folder, where there is one that can be written. A file that is not what
    was written is built anew.

    Args:
        source: its name.
        table: the checked table that the model is made of.
        build: makes the model.
        modules: names of those whose code, with all that it imports, makes the model.
    """
    path = _folder() / f"{source}-{_key(table, modules)}.model"
    try:
        digest, _, model = path.read_bytes().partition(b"\n")
        if hashlib.sha256(model).hexdigest().encode() == digest:
            return model
    except OSError:
        pass  # there is none
    start = time.perf_counter()
    model = build()
    if time.perf_counter() - start >= WORTH_SECONDS:
        _keep(path, model)
    return model


def _folder() -> Path:
    return Path(pooch.os_cache("optiproxy_nas")) / "models"


def _key(table: pd.DataFrame, modules: Iterable[str]) -> str:
    parts = [table_digest(table), combined(imported_code(modules))]
    parts += [f"{name} {_version(name)}" for name in _LIBRARIES]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def _keep(path: Path, model: bytes) -> None:
    """Write the file whole or not at all, beside those of other code, which are left."""
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(hashlib.sha256(model).hexdigest().encode() + b"\n" + model)
        os.replace(partial, path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
