"""Searches of the sections that search by themselves: a record of all, and a file of those shown.

The record is data/08_reporting/<section>/searches.jsonl: a line of JSON is added as each search
ends, so that nothing is searched twice unless its settings have changed since. The file is
docs/evidence/<section>.parquet, which the tables are computed from. An entry has a key, numbers,
texts and curves of one length, by query; of a curve the file has the places at which the first one
changes, and the last.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evidence.collect import Evidence
from evidence.sections import digest_of
from optiproxy_nas import Search
from optiproxy_nas.core.errors import DataError

Entry = Mapping[str, Any]
REPORTING = Path("data") / "08_reporting"
_DIGITS = 8  # of a number of a curve in the record
_QUERY, _LENGTH = "query", "length"  # columns of the file beside those of the entries


class Record:
    """A file of JSON lines, one a search.

    Args:
        path: it need not be there.
        settings: key -> digest of the settings of its search, as they are today; entries of other
            settings are passed over.
    """

    def __init__(self, path: Path, settings: Callable[[str], str]) -> None:
        self._path, self._settings = path, settings

    def read(self) -> dict[str, Entry]:
        """Return the entries by their keys."""
        found: dict[str, Entry] = {}
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        for line in lines:
            entry = json.loads(line)
            key, settings = entry.pop("key"), entry.pop("settings", "")
            if settings == self._settings(key):
                found[key] = {name: _read(value) for name, value in entry.items()}
        return found

    def add(self, key: str, entry: Entry) -> None:
        """Add an entry: numbers, texts and curves."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        values = {name: _written(value) for name, value in entry.items()}
        line = json.dumps({"key": key, "settings": self._settings(key), **values})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _written(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return [None if np.isnan(it) else float(f"{it:.{_DIGITS}g}") for it in value]


def _read(value: Any) -> Any:
    return np.array(value, dtype=np.float64) if isinstance(value, list) else value


@cache
def settings_of(arguments: str, without: tuple[str, ...] = ("seed",)) -> str:
    """Return what tells the settings of a search by these arguments (JSON) from others."""
    parameters = Search(**json.loads(arguments)).parameters
    values = parameters.model_dump(mode="json", exclude=set(without))
    selection = getattr(parameters, "selection", None)
    # A setting may be left out of the dump where it is the default, which may change.
    return digest_of([values, {} if selection is None else dict(selection)])


def shown_searches(
    evidence: Evidence, find: Callable[[], Mapping[str, Entry]]
) -> tuple[dict[str, Entry], bytes]:
    """Return the entries of the file in ``evidence``, or those that ``find`` returns; and the file.

    Raises:
        DataError: the file is not one of searches.
    """
    data = to_bytes(find()) if evidence.stored is None else evidence.stored
    return from_bytes(data), data


def to_bytes(entries: Mapping[str, Entry]) -> bytes:
    """Return a Parquet file of entries, by key."""
    table = pd.DataFrame([{"key": key, **_compact(entries[key])} for key in sorted(entries)])
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False, compression="brotli", compression_level=11)
    return buffer.getvalue()


def from_bytes(data: bytes) -> dict[str, Entry]:
    """Return the entries of a Parquet file; between the places that it has, a curve is level.

    Raises:
        DataError: it is none of searches.
    """
    try:
        table = pd.read_parquet(io.BytesIO(data))
        keys = table.pop("key")
    except (ValueError, KeyError, OSError) as error:  # of pyarrow, too
        raise DataError(f"This is no file of searches: {error}.") from None
    return {str(key): _whole(row) for key, row in zip(keys, table.to_dict("records"), strict=True)}


def _compact(entry: Entry) -> dict[str, Any]:
    curves = {name: value for name, value in entry.items() if isinstance(value, np.ndarray)}
    compact = {name: value for name, value in entry.items() if name not in curves}
    if curves:
        first = next(iter(curves.values()))
        changed = first[1:] != first[:-1]
        changed &= ~(np.isnan(first[1:]) & np.isnan(first[:-1]))
        places = np.unique([0, *(1 + np.flatnonzero(changed)), len(first) - 1])
        compact |= {_QUERY: (places + 1).astype(np.uint16), _LENGTH: len(first)}
        compact |= {name: curve[places] for name, curve in curves.items()}
    return compact


def _whole(row: dict[Any, Any]) -> Entry:
    queries, length = row.pop(_QUERY, None), row.pop(_LENGTH, 0)
    if queries is None:
        return row
    place = np.searchsorted(queries, np.arange(1, int(length) + 1), side="right") - 1
    return {n: v[place] if isinstance(v, np.ndarray) else v for n, v in row.items()}


def only(entries: Mapping[str, Entry], keys: Iterable[str]) -> dict[str, Entry]:
    """Return the entries of these keys, of those that there are."""
    return {key: entries[key] for key in keys if key in entries}
