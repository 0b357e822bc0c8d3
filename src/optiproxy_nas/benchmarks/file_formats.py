"""Parsers of raw files for ``Source.parse``: bytes in, plain objects out, no code run.

Each takes the content and the path that messages name, and raises ``DataError`` for content of
another kind. The default of a source is :func:`restricted_load`.

None of them takes more memory than :class:`~optiproxy_nas.core.bounded_files.Limits` has.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optiproxy_nas.benchmarks.plain_pickle import load_plain
from optiproxy_nas.core.bounded_files import LIMITS, Limits
from optiproxy_nas.core.errors import DataError, UnsafePickleError


def restricted_load(
    content: bytes,
    path: str = "the pickle",
    allowed_globals: Mapping[str, Any] | None = None,
    limits: Limits = LIMITS,
) -> Any:
    """Load plain data from a pickle.

    Args:
        content: of the file.
        path: what to call the file in messages.
        allowed_globals: "module.name" -> the object that the pickle gets for it; none by default.
        limits: of what it may hold.

    Raises:
        UnsafePickleError: it names any other global, or exceeds a limit; nothing was run.
        DataError: it is truncated or no pickle.
    """
    try:
        return load_plain(content, allowed_globals or {}, limits)
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f"{path} {error.message}; it was not loaded. Use the file of the documented source.",
            file=path,
            **error.data,
        ) from error
    except Exception as error:  # Bytes that are no pickle can raise almost anything.
        raise _unreadable(path, "a pickle of benchmark values", error, "truncated") from error


def csv_table(content: bytes, path: str) -> pd.DataFrame:
    """Parse a CSV file (UTF-8, names in the first line), every cell as the text that it is.

    A cell that is not there is the empty text.

    Raises:
        DataError: it is no such file, or a line has more cells than the first has names.
    """
    try:
        table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    except ValueError as error:  # pandas' own errors and UnicodeDecodeError are ValueErrors
        raise _unreadable(path, "a table of comma-separated values", error) from error
    if not isinstance(table.index, pd.RangeIndex):  # more cells than names: taken as an index
        raise DataError(
            f"{path}: its lines have more cells than its first line has names.", file=path
        )
    return table


def gzip_csv_table(content: bytes, path: str, limits: Limits = LIMITS) -> pd.DataFrame:
    """Parse a CSV file compressed by gzip, as :func:`csv_table` does.

    Raises:
        DataError: it is not compressed so, or as :func:`csv_table`.
    """
    try:
        plain = _bounded(gzip.GzipFile(fileobj=io.BytesIO(content)), limits)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise _unreadable(path, "compressed by gzip", error) from error
    return csv_table(plain, path)


def npz_arrays(
    content: bytes, path: str, names: Sequence[str] | None = None, limits: Limits = LIMITS
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a NumPy archive; none that holds pickled objects.

    Args:
        content: of the file.
        path: what to call the file in messages.
        names: which arrays to unpack; default all.
        limits: of what it may hold.

    Raises:
        DataError: it is no such archive, or lacks one of the names.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            if sum(part.file_size for part in parts.infolist()) > limits.size:
                raise ValueError(f"it holds more than {limits.size} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            missing = [name for name in names or () if name not in archive]
            wanted = archive.files if names is None else names
            arrays = {} if missing else {name: archive[name] for name in wanted}
    except Exception as error:  # a damaged zip file can raise almost anything
        raise _unreadable(path, "a NumPy archive (.npz) of plain arrays", error) from error
    if missing:
        raise DataError(
            f"{path} has no {', '.join(missing)}; it needs {', '.join(wanted)}.",
            file=path,
            missing=missing,
        )
    return arrays


def bz2_pickle(
    content: bytes,
    path: str,
    allowed_globals: Mapping[str, Any] | None = None,
    limits: Limits = LIMITS,
) -> Any:
    """Load a pickle compressed by bzip2 (``.pickle.pbz2``), by the restricted unpickler.

    Raises:
        UnsafePickleError, DataError: as :func:`restricted_load`.
    """
    try:
        plain = _bounded(bz2.BZ2File(io.BytesIO(content)), limits)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, "compressed by bzip2", error) from error
    return restricted_load(plain, path, allowed_globals, limits)


def _bounded(file: gzip.GzipFile | bz2.BZ2File, limits: Limits) -> bytes:
    """Return what a compressed file holds.

    Raises:
        ValueError: it is larger than the limit.
    """
    with file:
        plain = file.read(limits.size + 1)
    if len(plain) > limits.size:
        raise ValueError(f"it holds more than {limits.size} bytes")
    return plain


def json_object(content: bytes, path: str) -> Any:
    """Parse a JSON file (UTF-8).

    Raises:
        DataError: it is none.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise DataError(f"{path} is damaged or is not JSON ({error}).", file=path) from error


def _unreadable(path: str, what: str, error: Exception, state: str = "damaged") -> DataError:
    return DataError(
        f"{path} is {state} or is not {what} ({type(error).__name__}: {error}). Replace it with "
        "a fresh copy.",
        file=path,
    )
