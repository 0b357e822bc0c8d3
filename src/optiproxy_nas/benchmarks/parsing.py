"""Parsers of raw files for ``Source.parse``: bytes in, plain objects out, no code run.

Each takes the content and the path that messages name, and raises ``DataError`` for content of
another kind. The default of a source, an uncompressed pickle, is ``unpickle.restricted_load``.
"""

from __future__ import annotations

import bz2
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optiproxy_nas.benchmarks.unpickle import restricted_load
from optiproxy_nas.core.errors import DataError


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
