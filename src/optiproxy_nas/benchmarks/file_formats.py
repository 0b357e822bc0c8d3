"""Pickles of benchmark values, loaded without letting them run anything.

A pickle is a program. The values that we read are dicts, lists, strings and floats, for which
no global is ever looked up; the exceptions are numpy's scalars, and those are rebuilt by the
stand-ins below instead of numpy's own constructors, which were not written for hostile input.
"""

from __future__ import annotations

import bz2
import io
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
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
        """The stand-in of an allowed global; every other global is refused."""
        if f"{module}.{name}" not in self._allowed:
            raise UnsafePickleError(
                f"asks for {module}.{name}, which plain benchmark values never need",
                requested=f"{module}.{name}",
            )
        return self._allowed[f"{module}.{name}"]


def restricted_load(
    source: Path | bytes, allowed_globals: Mapping[str, Any] | None = None, name: str = ""
) -> Any:
    """Load plain data from a pickle.

    Args:
        source: the file, or its content.
        allowed_globals: "module.name" -> the object that the pickle gets for it; none by default.
        name: what to call the file in messages where ``source`` is its content.

    Raises:
        UnsafePickleError: it names any other global; nothing was run.
        DataError: it cannot be read, is truncated, or is no pickle.
    """
    name = name or ("the pickle" if isinstance(source, bytes) else str(source))
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()
        return _RestrictedUnpickler(content, allowed_globals or {}).load()
    except UnsafePickleError as error:
        raise UnsafePickleError(
            f"{name} {error.message}; it was not loaded. Use the file of the documented source.",
            file=name,
            **error.data,
        ) from error
    except Exception as error:  # Bytes that are no pickle can raise almost anything.
        raise DataError(
            f"{name} is truncated or is not a pickle of benchmark values "
            f"({type(error).__name__}: {error}). Replace it with a fresh copy.",
            file=name,
        ) from error


def csv_table(content: bytes, path: str) -> pd.DataFrame:
    """A CSV file (UTF-8, names in the first line), every cell as the text that it is.

    A cell that is not there is the empty text.
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


def npz_arrays(content: bytes, path: str) -> dict[str, NDArray[Any]]:
    """The arrays of a NumPy archive; none that holds pickled objects."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged zip file can raise almost anything
        raise _unreadable(path, "a NumPy archive (.npz) of plain arrays", error) from error


def bz2_pickle(content: bytes, path: str, allowed_globals: Mapping[str, Any] | None = None) -> Any:
    """A pickle compressed by bzip2 (``.pickle.pbz2``), by the restricted unpickler."""
    try:
        plain = bz2.decompress(content)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, "compressed by bzip2", error) from error
    return restricted_load(plain, allowed_globals, name=path)


def _unreadable(path: str, what: str, error: Exception) -> DataError:
    return DataError(
        f"{path} is damaged or is not {what} ({type(error).__name__}: {error}). Replace it with "
        "a fresh copy.",
        file=path,
    )
