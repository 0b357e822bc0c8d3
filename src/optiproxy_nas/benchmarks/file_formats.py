"""Parsers of raw files for ``Source.parse``: bytes in, plain objects out, no code run.

Each takes the content and the path that messages name, and raises ``DataError`` for content of
another kind. The default of a source is :func:`restricted_load`.

A pickle is a program. The values that we read are dicts, lists, strings and floats, for which
no global is ever looked up; the exceptions are numpy's scalars, and those are rebuilt by the
stand-ins below instead of numpy's own constructors, which were not written for hostile input.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import pickle
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optiproxy_nas.core.errors import DataError, UnsafePickleError

_PLAIN = re.compile(r"[fiu][1248]|b1")


class _PlainDtype:
    """Stands in for ``numpy.dtype``: a plain number's kind, width and byte order."""

    def __init__(self, code: str, *_flags: bool) -> None:
        if not _PLAIN.fullmatch(code):
            raise UnsafePickleError(f"asks for numpy.dtype({code!r}), which is no plain number")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise UnsafePickleError(f"asks for numpy.dtype of byte order {order!r}")
        self.code = order + self.code


def _scalar(dtype: _PlainDtype, content: bytes) -> Any:
    """Stands in for numpy's ``scalar``: a Python number."""
    return np.frombuffer(content, dtype.code)[0].item()


# What a pickle of numpy scalars names (numpy 1 and 2), and what it gets instead.
NUMPY_SCALARS: Mapping[str, Any] = {
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.dtype": _PlainDtype,
}


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, content: bytes, allowed: Mapping[str, Any]) -> None:
        super().__init__(io.BytesIO(content))
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of an allowed global; refuse every other global."""
        if f"{module}.{name}" not in self._allowed:
            raise UnsafePickleError(
                f"asks for {module}.{name}, which plain benchmark values never need",
                requested=f"{module}.{name}",
            )
        return self._allowed[f"{module}.{name}"]


def restricted_load(
    content: bytes, path: str = "the pickle", allowed_globals: Mapping[str, Any] | None = None
) -> Any:
    """Load plain data from a pickle.

    Args:
        content: of the file.
        path: what to call the file in messages.
        allowed_globals: "module.name" -> the object that the pickle gets for it; none by default.

    Raises:
        UnsafePickleError: it names any other global; nothing was run.
        DataError: it is truncated or no pickle.
    """
    try:
        return _RestrictedUnpickler(content, allowed_globals or {}).load()
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


def gzip_csv_table(content: bytes, path: str) -> pd.DataFrame:
    """Parse a CSV file compressed by gzip, as :func:`csv_table` does.

    Raises:
        DataError: it is not compressed so, or as :func:`csv_table`.
    """
    try:
        plain = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, "compressed by gzip", error) from error
    return csv_table(plain, path)


def npz_arrays(
    content: bytes, path: str, names: Sequence[str] | None = None
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a NumPy archive; none that holds pickled objects.

    Args:
        content: of the file.
        path: what to call the file in messages.
        names: which arrays to unpack; default all.

    Raises:
        DataError: it is no such archive, or lacks one of the names.
    """
    try:
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


def bz2_pickle(content: bytes, path: str, allowed_globals: Mapping[str, Any] | None = None) -> Any:
    """Load a pickle compressed by bzip2 (``.pickle.pbz2``), by the restricted unpickler.

    Raises:
        UnsafePickleError, DataError: as :func:`restricted_load`.
    """
    try:
        plain = bz2.decompress(content)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, "compressed by bzip2", error) from error
    return restricted_load(plain, path, allowed_globals)


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
