"""Benchmarks without Kedro; fitted models are kept in the user's cache folder.

Fitting a model may take ten seconds, so that it is kept between Python processes. A Kedro run has
its own, with its digest, beside the table (``ingest``).
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

import pandas as pd
import pooch

from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.data_card import Facts, facts_of
from optiproxy_nas.benchmarks.loading import build_model, load_files, open_benchmark, read_rows
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE
from optiproxy_nas.benchmarks.source_registry import SOURCES, check_complete, get_source
from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.benchmarks.tidy_table import check_table, table_digest
from optiproxy_nas.core.code_digest import NOT_FOUND, combined, imported_code
from optiproxy_nas.core.errors import unknown_name
from optiproxy_nas.core.random_streams import isolated


@isolated()
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
        raise unknown_name("dataset", dataset, source.datasets, where=f"of source {name!r}")
    return _read(name, source.of_dataset(dataset), directory)[:2]


@isolated()
def load_source(name: str) -> tuple[pd.DataFrame, bytes, Facts]:
    """Return table and model of all datasets of a source without Kedro, and facts of its files.

    Raises:
        UnknownNameError, ParameterError, DataError: as of :func:`load_benchmark`.
    """
    return _read(name, get_source(name), os.environ.get(DATA_DIRECTORY_VARIABLE))


def _read(name: str, source: Source, directory: str | None) -> tuple[pd.DataFrame, bytes, Facts]:
    files = load_files(source, directory, Path(pooch.os_cache("optiproxy_nas")))
    table = check_table(read_rows(files, source), source)
    if source.model is None:
        return table, b"", facts_of(files)
    module = SOURCES.get(name, name).partition(":")[0]
    model = kept_model(source.name, table, lambda: build_model(files, table, source), [module])
    return table, model, facts_of(files)


WORTH_SECONDS = 1.0  # what takes less to build is not kept
_LIBRARIES = ("lightgbm", "numpy", "pandas", "scipy")  # another release may build another model


def kept_model(
    source: str, table: pd.DataFrame, build: Callable[[], bytes], modules: Iterable[str] = ()
) -> bytes:
    """Return what ``build`` gives, or gave an earlier process for the same table and code.

    Kept in the user's cache folder, where there is one that can be written. A file that is not what
    was written is built anew, and so is a model of code that cannot be read.

    Args:
        source: its name.
        table: the checked table that the model is made of.
        build: makes the model.
        modules: names of those whose code, with all that it imports, makes the model.
    """
    code = imported_code(modules)
    if NOT_FOUND in code.values():
        return build()
    path = _folder() / f"{source}-{_key(table, code)}.model"
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


def _key(table: pd.DataFrame, code: Mapping[str, str]) -> str:
    parts = [table_digest(table), combined(code)]
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
