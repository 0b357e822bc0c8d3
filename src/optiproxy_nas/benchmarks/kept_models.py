"""Models of sources, kept between Python processes: fitting one may take ten seconds.

For the plain-Python API. A Kedro run has its own, with its digest, beside the table (``ingest``).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import pandas as pd
import pooch

from optiproxy_nas.benchmarks.schema import table_digest

WORTH_SECONDS = 1.0  # what takes less to build is not kept
_LIBRARIES = ("lightgbm", "numpy", "pandas", "scipy")  # another release may build another model


def kept_model(source: str, table: pd.DataFrame, build: Callable[[], bytes]) -> bytes:
    """What ``build`` gives, or gave an earlier process from the same table by the same code.

    Kept in the user's cache folder, where there is one that can be written. A file that is not what
    was written is built anew.

    Args:
        source: its name.
        table: the checked table that the model is made of.
        build: makes the model.
    """
    path = _folder() / f"{source}-{_key(table)}.model"
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


def _key(table: pd.DataFrame) -> str:
    from optiproxy_nas.runs.software import (
        code_digest,  # needs the methods, and they need benchmarks
    )

    parts = [table_digest(table), code_digest(("benchmarks", "spaces"))]
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
