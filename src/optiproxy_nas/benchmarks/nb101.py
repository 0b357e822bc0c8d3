"""NAS-Bench-101: its constants, and the cells of published records.

Values are means over all records of a hash, so these must be trainings of one cell. A hash of 32
hexadecimal digits must also be the cell's own, as NAS-Bench-101 computes it (``graph_hash``). All
cells are checked, which takes about a minute for the benchmark's 423,624.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from optiproxy_nas.benchmarks.sources import BenchmarkFamily
from optiproxy_nas.benchmarks.tfrecord import Record
from optiproxy_nas.core.arrays import Integers
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError
from optiproxy_nas.spaces.nb101.isomorphism import (
    CODE_LENGTH,
    OPERATIONS,
    VERTICES,
    canonicalise,
    graph_hash,
    is_valid,
    matrices,
)
from optiproxy_nas.spaces.nb101.notation import INPUT, OUTPUT, embed, from_nasbench, to_strings

EPOCHS = (4, 12, 36, 108)  # of the published trainings; the last is full training
NB101 = BenchmarkFamily(
    name="nb101",
    space="nb101",
    source="nb101_table",
    full_epochs=EPOCHS[-1],
    cells=423_624,
    budget=150,
)
BEST_TEST_ACCURACY = 94.3176  # percent, mean of three trainings for 108 epochs, of all cells

_INDEX = {name: i for i, name in enumerate(OPERATIONS)}
_MODULE_HASH = re.compile(r"[0-9a-f]{32}")
_BLOCK = 8192  # cells whose matrices, lists of lists, are in memory together
_WRITTEN_SO = "The checksums are right, so the file was written like that: get the published one."


class Spelling(NamedTuple):
    """One way in which records of a hash write their cell, and the first record that does."""

    hash: str
    adjacency: str
    operations: str
    record: Record  # its data may be left out


def cells_of(spellings: list[Spelling], path: str) -> tuple[Tensor, Integers]:
    """Return the cells, canonical codes [n, 26], and of each the first row [n] of its hash.

    Raises:
        DataError: one is no cell of the space, a hash has two cells, or is not that of its cell.
    """
    codes = _codes(spellings, path)
    rows: dict[str, int] = {}
    first = np.array([rows.setdefault(cell.hash, row) for row, cell in enumerate(spellings)])
    other = (codes != codes[torch.from_numpy(first)]).any(1).numpy()
    if other.any():
        row = int(other.argmax())
        raise _two_cells(codes, spellings, [int(first[row]), row], path)
    _check_hashes(codes, spellings, list(rows.values()), path)
    return codes, first


def _check_hashes(codes: Tensor, spellings: list[Spelling], rows: list[int], path: str) -> None:
    """Refuse module hashes that are not those of their cells."""
    rows = [row for row in rows if _MODULE_HASH.fullmatch(spellings[row].hash)]
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        for row, cell in zip(block, matrices(codes[block]), strict=True):
            if (expected := graph_hash(*cell)) != spellings[row].hash:
                raise _wrong_hash(codes, spellings, row, expected, path)


def _two_cells(codes: Tensor, spellings: list[Spelling], rows: list[int], path: str) -> DataError:
    one, other = to_strings(codes[rows])
    name, (first, second) = spellings[rows[0]].hash, [spellings[row].record for row in rows]
    return DataError(
        f"{path}: hash {name!r} is that of two cells, {one} in record {first.number}, which starts "
        f"at byte {first.offset}, and {other} in record {second.number}, at byte {second.offset}. "
        f"All records of a hash must be trainings of one cell. {_WRITTEN_SO}",
        file=path,
        hash=name,
        cells=[one, other],
        record=second.number,
        byte=second.offset,
    )


def _wrong_hash(
    codes: Tensor, spellings: list[Spelling], row: int, expected: str, path: str
) -> DataError:
    (cell,), (name, _, _, record) = to_strings(codes[[row]]), spellings[row]
    return DataError(
        f"{path}: record {record.number}, which starts at byte {record.offset}, has cell {cell} "
        f"and hash {name}, but NAS-Bench-101's hash of this cell is {expected}. {_WRITTEN_SO}",
        file=path,
        hash=name,
        expected=expected,
        cells=[cell],
        record=record.number,
        byte=record.offset,
    )


def _codes(cells: list[Spelling], path: str) -> Tensor:
    """Return canonical codes [m, 26] of the cells, computed by size."""
    sizes = np.array([_size(cell, path) for cell in cells])
    codes = torch.zeros(len(cells), CODE_LENGTH, dtype=torch.int64)
    operation_codes: dict[str, list[int]] = {}
    for size in np.unique(sizes).tolist():
        rows = np.flatnonzero(sizes == size)
        text = "".join(cells[row].adjacency for row in rows).encode("ascii", "replace")
        adjacency = (np.frombuffer(text, dtype=np.uint8) - ord("0")).reshape(-1, size, size)
        operations = np.zeros((len(rows), size - 2), dtype=np.int64)
        for place, row in enumerate(rows):
            names = cells[row].operations
            if names not in operation_codes:
                operation_codes[names] = [_INDEX.get(name, -1) for name in names.split(",")[1:-1]]
            operations[place] = operation_codes[names]
        codes[torch.from_numpy(rows)] = embed(adjacency, operations)
        odd = (adjacency > 1).any((1, 2)) | np.tril(adjacency).any((1, 2)) | (operations < 0).any(1)
        if odd.any():
            raise _no_cell(cells[int(rows[odd.argmax()])], path)
    valid = is_valid(codes).numpy()
    if not valid.all():
        raise _no_cell(cells[int((~valid).argmax())], path)
    return canonicalise(codes)


def _size(cell: Spelling, path: str) -> int:
    """Return the number of vertices of a cell, on which its two texts must agree."""
    _, adjacency, operations, record = cell
    if not isinstance(adjacency, str) or not isinstance(operations, str):
        raise unlike(path, record, "adjacency and operations are not texts")
    size = math.isqrt(len(adjacency))
    names = operations.count(",") + 1
    fits = size * size == len(adjacency) and names == size and 2 <= size <= VERTICES
    if not fits or not operations.startswith(f"{INPUT},") or not operations.endswith(f",{OUTPUT}"):
        raise unlike(
            path,
            record,
            f"{len(adjacency)} adjacency entries and the operations {operations!r} do not make a "
            f"cell of up to {VERTICES} vertices from input to output",
        )
    return size


def _no_cell(cell: Spelling, path: str) -> DataError:
    """Return the error for a cell that breaks a rule of the space, in the space's words."""
    _, adjacency, operations, record = cell
    size = math.isqrt(len(adjacency))
    entries = [int(sign) if sign in "0123456789" else 9 for sign in adjacency]
    try:
        from_nasbench([(np.array(entries).reshape(size, size), operations.split(","))])
    except InvalidArchitectureError as error:
        return unlike(path, record, error.message)
    raise AssertionError(f"{adjacency} {operations} is a cell")  # pragma: no cover


def unlike(path: str, record: Record, reason: str) -> DataError:
    """Return the error for a record of another layout."""
    return DataError(
        f"{path}: record {record.number}, which starts at byte {record.offset}, is not a training "
        f"of NAS-Bench-101: {reason}. Expected [hash, epochs, adjacency, operations, metrics].",
        file=path,
        record=record.number,
        byte=record.offset,
    )
