"""NAS-Bench-101 cells as text and as the benchmark's own (matrix, operations).

The text has the operations of the inner vertices, then the upper triangle of the adjacency matrix
of the pruned cell, one row a vertex but the output: ``conv3x3+maxpool3x3/101.11.1`` is

    input -> conv3x3 -> output,  input -> output,  conv3x3 -> maxpool3x3 -> output

The published figures use ``conv3x3`` for ``conv3x3-bn-relu``, and so does the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from optiproxy_nas.core.arrays import Mask
from optiproxy_nas.core.errors import InvalidArchitectureError
from optiproxy_nas.spaces.nb101 import isomorphism
from optiproxy_nas.spaces.nb101.isomorphism import INNER, OPERATIONS, PAIRS, VERTICES

INPUT, OUTPUT = "input", "output"
SHORT = tuple(name.split("-")[0] for name in OPERATIONS)
_INDEX = {name: i % len(OPERATIONS) for i, name in enumerate((*SHORT, *OPERATIONS))}
_ROWS = re.compile(r"[01]+(\.[01]+)*", re.ASCII)

Cell = tuple[list[list[int]], list[str]]


def to_strings(codes: Tensor) -> list[str]:
    """Return the texts of canonical codes [n, 26]; each distinct matrix is written only once."""
    if not len(codes):
        return []
    used = isomorphism.on_paths(codes[:, INNER:].float())[1].long().sum(1)  # [n] vertices, 2-7
    powers = 3 ** torch.arange(INNER - 1, -1, -1)
    operations = used * 3**INNER + (codes[:, :INNER] * powers).sum(1)
    edges = used * 2 ** len(PAIRS) + (codes[:, INNER:] << torch.arange(len(PAIRS) - 1, -1, -1)).sum(
        1
    )
    halves = []
    for identity, write in ((operations, _write_operations), (edges, _write_edges)):
        _, first, inverse = np.unique(identity.numpy(), return_index=True, return_inverse=True)
        texts = [
            write(code, size)
            for code, size in zip(codes[first].tolist(), used[first].tolist(), strict=True)
        ]
        halves.append([texts[i] for i in inverse.tolist()])
    return [f"{left}/{right}" for left, right in zip(*halves, strict=True)]


def _write_operations(code: list[int], size: int) -> str:
    return "+".join(SHORT[operation] for operation in code[: size - 2])


def _write_edges(code: list[int], size: int) -> str:
    """Return the rows of the matrix of a cell of ``size`` vertices, the output last."""
    places = [*range(size - 1), VERTICES - 1]
    bit = {pair: code[INNER + row] for row, pair in enumerate(PAIRS)}
    return ".".join(
        "".join(str(bit[places[i], places[j]]) for j in range(i + 1, size)) for i in range(size - 1)
    )


def stacked(codes: Sequence[Tensor]) -> Tensor:
    """Return codes [26] as one tensor [n, 26], also where there are none."""
    return torch.stack([*codes]) if codes else torch.zeros(0, isomorphism.CODE_LENGTH).long()


def parse(architecture: str) -> Tensor:
    """Return the code [26], not yet canonical, of the text of one cell.

    The text may have the whole matrix in place of the upper triangle, long names of operations,
    vertices in any order without an edge backwards, and vertices that lead nowhere.

    Raises:
        InvalidArchitectureError: which rule it breaks.
    """
    if not isinstance(architecture, str):
        raise _invalid(architecture, "it is not a string")
    left, slash, right = architecture.partition("/")
    if not slash or not _ROWS.fullmatch(right):
        raise _invalid(architecture, "after the operations it needs '/' and rows of 0 and 1")
    rows = right.split(".")
    whole = len(rows) > 1 and all(len(row) == len(rows) for row in rows)
    size = len(rows) if whole else len(rows) + 1
    matrix = np.zeros((size, size), dtype=np.int64)
    for i, row in enumerate(rows):
        width = size if whole else size - 1 - i
        if len(row) != width:
            raise _invalid(
                architecture,
                f"row {i} has {len(row)} entries; in a cell of {size} vertices it has "
                f"{size - 1 - i}, one for each later vertex",
            )
        matrix[i, size - width :] = [int(bit) for bit in row]
    return code_of(matrix, left.split("+") if left else [], architecture)


def code_of(matrix: NDArray[Any], names: Sequence[str], shown: Any) -> Tensor:
    """Return the code [26], not yet canonical, of a matrix and the names of the inner operations.

    Args:
        matrix: [v, v] of 0 and 1, row = from, the input first and the output last.
        names: v - 2 of them, long or short.
        shown: the cell as the user gave it, for the message.

    Raises:
        InvalidArchitectureError: which rule it breaks.
    """
    size = len(matrix)
    unknown = [name for name in names if name not in _INDEX]
    if unknown:
        raise _invalid(shown, f"unknown operation {unknown[0]!r}")
    if len(names) != size - 2:
        raise _invalid(shown, f"{len(names)} inner operations for a matrix of {size} vertices")
    if np.tril(matrix).any():
        i, j = np.argwhere(np.tril(matrix))[0]
        raise _invalid(
            shown,
            f"an edge from vertex {i} to vertex {j}, on or below the diagonal: edges go from "
            "earlier to later vertices, so that there is no cycle",
        )
    used = _used(matrix)
    if not used[0]:
        raise _invalid(shown, "no path from input to output")
    places = np.flatnonzero(used)
    if len(places) > VERTICES:
        raise _invalid(shown, f"{len(places)} vertices on paths, more than {VERTICES}")
    kept = matrix[np.ix_(places, places)]
    if kept.sum() > isomorphism.MAX_EDGES:
        raise _invalid(shown, f"{kept.sum()} edges on paths, more than {isomorphism.MAX_EDGES}")
    operations = [_INDEX[names[v - 1]] for v in places[1:-1]]
    return embed(kept[None], np.array([operations], dtype=np.int64))[0]


def _used(matrix: NDArray[Any]) -> Mask:
    """Return which vertices [v] of an upper-triangular matrix are on a path from first to last."""
    size = len(matrix)
    forwards, backwards = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    forwards[0] = backwards[-1] = True
    for v in range(1, size):
        forwards[v] = (matrix[:v, v].astype(bool) & forwards[:v]).any()
    for v in range(size - 2, -1, -1):
        backwards[v] = (matrix[v, v + 1 :].astype(bool) & backwards[v + 1 :]).any()
    return np.asarray(forwards & backwards)


def embed(matrices: ArrayLike, operations: ArrayLike) -> Tensor:
    """Return codes [n, 26], not canonical, of n cells of the same number of vertices, v <= 7.

    Args:
        matrices: [n, v, v] of 0 and 1, upper-triangular.
        operations: [n, v - 2] indices.
    """
    matrices = np.asarray(matrices)
    count, size = matrices.shape[:2]
    places = [*range(size - 1), VERTICES - 1]
    codes = torch.zeros(count, isomorphism.CODE_LENGTH, dtype=torch.int64)
    codes[:, : size - 2] = torch.from_numpy(np.asarray(operations, dtype=np.int64))
    for i in range(size):
        for j in range(i + 1, size):
            column = INNER + PAIRS.index((places[i], places[j]))
            codes[:, column] = torch.from_numpy(matrices[:, i, j].astype(np.int64))
    return codes


def from_nasbench(cells: Sequence[tuple[ArrayLike, Sequence[str]]]) -> Tensor:
    """Return canonical codes [n, 26] of (matrix, operations), "input" and "output" included.

    Raises:
        InvalidArchitectureError: which rule a cell breaks.
    """
    codes = []
    for given, names in cells:
        shown = (np.asarray(given).tolist(), list(names))
        matrix = np.asarray(given)
        if matrix.ndim != 2 or len(matrix) != matrix.shape[1] or len(matrix) < 2:
            raise _invalid(shown, f"its matrix has shape {matrix.shape}, not [v, v]")
        if not np.isin(matrix, (0, 1)).all():
            raise _invalid(shown, "its matrix has other entries than 0 and 1")
        if len(names) < 2 or names[0] != INPUT or names[-1] != OUTPUT:
            raise _invalid(shown, "its operations do not begin with 'input' and end with 'output'")
        codes.append(code_of(matrix.astype(np.int64), names[1:-1], shown))
    return isomorphism.canonicalise(stacked(codes))


def _invalid(shown: Any, reason: str) -> InvalidArchitectureError:
    return InvalidArchitectureError(
        f"Not a NAS-Bench-101 cell: {shown!r}: {reason}. Expected the operations of up to 5 inner "
        f"vertices ({', '.join(SHORT)}) and the upper triangle of the adjacency matrix, "
        "'conv3x3+maxpool3x3/101.11.1', with a path from input to output and at most 9 edges.",
        architecture=shown,
        reason=reason,
    )
