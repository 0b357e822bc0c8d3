"""Bounds on files of strangers: a small one takes no more memory and time than a large sound one.

``Limits`` are shared by all readers; the readers of Parquet and YAML that heed them are here.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

BATCH = 1024  # rows that are looked at together


class Limits(NamedTuple):
    """What a file of benchmark values, or of a search, may hold.

    Attributes:
        size: bytes of a file once it is decompressed; ten times the largest published one.
        objects: containers and references of a pickle.
        nodes: values of a pickle or a table, each counted as often as it is referred to.
        depth: of nested containers.
        key: values within one key of a dict, or the arguments of one call.
        record: bytes of one record of a TFRecord file.
        text: bytes of a YAML file, which is read slowly, and values that it has.
    """

    size: int = 2**30
    objects: int = 10_000_000
    nodes: int = 100_000_000
    depth: int = 100
    key: int = 1_000
    record: int = 2**16
    text: int = 2**22


LIMITS = Limits()


def refuse_endless(path: Path) -> None:
    """Refuse a pipe or a device, which a reader would wait for.

    Raises:
        ValueError: it is one.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError("it is no regular file")


def read_parquet(source: Path | bytes, limits: Limits = LIMITS) -> pd.DataFrame:
    """Return the table of a Parquet file, or of the files of a folder.

    What the file says of its size is not relied on: it is unpacked in parts, each of which is
    dropped, before it is read whole.

    Raises:
        ValueError: it holds more than the limits have.
        Exception: of any kind, where it is damaged or no Parquet file.
    """
    if isinstance(source, bytes):
        _check_parquet(BytesIO(source), limits)
        return pd.read_parquet(BytesIO(source))
    for path in sorted(source.rglob("*.parquet")) if source.is_dir() else [source]:
        _check_parquet(path, limits)
    return pd.read_parquet(source)


def _check_parquet(source: Any, limits: Limits) -> None:
    """Unpack a file in parts, and add up what they take.

    Raises:
        ValueError: it holds more than the limits have.
    """
    import pyarrow.parquet as pq
    from pyarrow import types

    with pq.ParquetFile(source) as file:
        texts = [
            field.name
            for field in file.schema_arrow
            if any(is_text(field.type) for is_text in (types.is_string, types.is_binary))
        ]
        stated = file.metadata
        if stated.num_rows * max(stated.num_columns, 1) > limits.nodes:
            raise ValueError(f"it has more than {limits.nodes} values")
    # A text that many rows have is in the file once, and so it stays here.
    with pq.ParquetFile(source, read_dictionary=texts) as file:
        rows = size = 0
        for batch in file.iter_batches(BATCH):
            rows += batch.num_rows
            size += sum(map(_size, batch.columns))
            if size > limits.size or rows * max(batch.num_columns, 1) > limits.nodes:
                raise ValueError(f"it holds more than {limits.size} bytes once it is unpacked")


def _size(column: Any) -> int:
    """Return the bytes of an array of Arrow, with each text as often as it is there."""
    import pyarrow as pa
    from pyarrow import compute

    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = compute.binary_length(column.dictionary)
    return int(compute.sum(compute.take(lengths, column.indices)).as_py() or 0)


class BoundedLoader(yaml.BaseLoader):
    """A YAML loader that refuses what is nested without end, and aliases that multiply."""

    limits = LIMITS

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = self._values = 0
        self._sizes: dict[int, int] = {}  # id of a node that is whole -> values in it

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, and count its values, those behind an alias as often as it is used.

        Raises:
            YAMLError: there are more than the limit has, or they are nested deeper.
        """
        is_alias, before = self.check_event(yaml.AliasEvent), self._values
        self._depth += 1
        if self._depth > self.limits.depth:
            raise yaml.YAMLError(f"it is nested deeper than {self.limits.depth}")
        node = super().compose_node(parent, index)
        if is_alias and id(node) not in self._sizes:
            raise yaml.YAMLError("an alias stands within what it is of")
        self._values += self._sizes[id(node)] if is_alias else 1
        if self._values > self.limits.text:
            raise yaml.YAMLError(f"it has more than {self.limits.text} values")
        if not is_alias:
            self._sizes[id(node)] = self._values - before
        self._depth -= 1
        return node
