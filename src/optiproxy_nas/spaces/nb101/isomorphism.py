"""NAS-Bench-101 cells as integers: pruning, validity, canonical codes, the benchmark's hash.

A code [26] has the operations of vertices 1-5, then the 21 pairs of vertices (i, j), i < j, row by
row: 1 where i feeds j. Vertex 0 is the input and vertex 6 the output, also of a smaller cell, whose
unused vertices have no edge. All functions but the hash work on n codes at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from itertools import permutations

import torch
from torch import Tensor

from optiproxy_nas.spaces.base import check_codes

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
VERTICES = 7
INNER = 5
MAX_EDGES = 9
PAIRS = tuple((i, j) for i in range(VERTICES) for j in range(i + 1, VERTICES))
CODE_LENGTH = INNER + len(PAIRS)
check_range = partial(  # of codes [n, 26]
    check_codes,
    choices=torch.tensor([len(OPERATIONS)] * INNER + [2] * len(PAIRS)),
    rule="A NAS-Bench-101 code is five operations of 0-2 and 21 edges of 0 or 1 for vertices "
    "1-5 and the pairs of seven vertices.",
)

SOURCES = torch.tensor([i for i, _ in PAIRS])
TARGETS = torch.tensor([j for _, j in PAIRS])
FLAT = SOURCES * VERTICES + TARGETS  # where a pair is in a flattened 7 x 7 matrix
# The pair that takes a pair's place when input and output, and all arrows, are swapped.
_REVERSED = torch.tensor([PAIRS.index((6 - j, 6 - i)) for i, j in PAIRS])

_UNUSED = 3  # the digit of a vertex that is on no path: larger than all operations
_BITS = len(PAIRS)
BROKEN = 2.0**40  # the key of an order with an edge backwards; above every key of 31 bits
_BLOCK = 8192  # cells x 120 orders at a time: 8 MB


def reach(edges: Tensor) -> tuple[Tensor, Tensor]:
    """Return to what extent vertices are reached from the input, and reach the output.

    Along the DAG r_0 = 1 and r_j = 1 - Π_i (1 - e_ij r_i): "or" at the corners, a polynomial in
    between; backwards likewise.

    Args:
        edges: [n, 21] in [0, 1].

    Returns:
        Two tensors [n, 7] in [0, 1], exactly 0 or 1 for edges of 0 and 1.
    """
    both = torch.cat([edges, edges[:, _REVERSED]])  # backwards is forwards in the reversed cell
    start = VERTICES - 1
    missing = 1 - both[:, :start]  # of the vertices ahead: Π (1 - e_ij r_i) so far
    extents = [torch.ones_like(missing[:, :1])]
    for width in range(start - 1, -1, -1):
        reached = 1 - missing[:, :1]
        extents.append(reached)
        missing = missing[:, 1:]
        if width:
            row = both[:, start : start + width]
            missing = torch.addcmul(missing, missing * reached, row, value=-1)
            start += width
    forwards, backwards = torch.cat(extents, dim=1).chunk(2)
    return forwards, backwards.flip(1)


def on_paths(edges: Tensor) -> tuple[Tensor, Tensor]:
    """Return to what extent edges [n, 21] and vertices [n, 7] are on a path from input to output.

    An edge counts as present x its source reached x its target reaching the output. Exactly 0 or 1
    for edges of 0 and 1; polynomials in between. Input and output always count as 1.
    """
    forwards, backwards = reach(edges)
    kept = edges * forwards[:, SOURCES] * backwards[:, TARGETS]
    ends = torch.ones_like(edges[:, :1])
    return kept, torch.cat([ends, (forwards * backwards)[:, 1:-1], ends], dim=1)


def is_valid(codes: Tensor) -> Tensor:
    """Return whether input and output are connected, by at most 9 edges on paths: [n]."""
    edges, vertices = codes[:, INNER:].float(), VERTICES
    forwards, backwards = reach(edges)
    kept = edges * forwards[:, SOURCES] * backwards[:, TARGETS]
    return (forwards[:, vertices - 1] == 1) & (kept.sum(1) <= MAX_EDGES)


# The 120 orders of the vertices, input and output fixed: vertex -> new place, [120, 7].
PLACES = torch.tensor([(0, *order, 6) for order in permutations(range(1, 6))])


def _weights() -> Tensor:
    """Return what each digit of a code adds to the key of each order: [26, 120].

    The key has the operations first (base 4, vertex 1 leading), then the 21 edges as bits.
    """
    weights = torch.zeros(CODE_LENGTH, len(PLACES), dtype=torch.float64)
    for column, places in enumerate(PLACES.tolist()):
        for vertex in range(1, VERTICES - 1):
            weights[vertex - 1, column] = 4.0 ** (INNER - places[vertex]) * 2.0**_BITS
        for row, (i, j) in enumerate(PAIRS, start=INNER):
            pair = (places[i], places[j])
            weights[row, column] = (
                2.0 ** (_BITS - 1 - PAIRS.index(pair)) if pair in PAIRS else BROKEN
            )
    return weights


_WEIGHTS = _weights()


def _digits(codes: Tensor) -> Tensor:
    """Return pruned codes [n, 26] as float64, with the digit 3 for unused vertices."""
    kept, vertices = on_paths(codes[:, INNER:].double())
    used = vertices[:, 1:-1]
    return torch.cat([codes[:, :INNER] * used + _UNUSED * (1 - used), kept], dim=1)


def keys_by_order(codes: Tensor) -> Tensor:
    """Return the key [n, 120] of each pruned cell in all orders, the given order first.

    A key is at least ``BROKEN`` where an edge would go backwards.
    """
    return _digits(codes) @ _WEIGHTS


def keys(codes: Tensor) -> Tensor:
    """Return one integer a cell [n], equal for isomorphic cells: the least key over all orders.

    Args:
        codes: [n, 26], vertices in any order.

    Raises:
        ValueError: a code is out of range.
    """
    check_range(codes)
    least = [keys_by_order(block).amin(1) for block in torch.split(codes, _BLOCK)]
    return torch.cat(least).long()


def decode(keys: Tensor) -> Tensor:
    """Return the canonical codes [n, 26] of keys [n]: unused vertices last, as operation 0."""
    shifts = torch.arange(_BITS - 1, -1, -1)
    edges = (keys.unsqueeze(1) >> shifts) & 1
    operations = (keys.unsqueeze(1) >> (_BITS + 2 * torch.arange(INNER - 1, -1, -1))) & 3
    operations[operations == _UNUSED] = 0
    return torch.cat([operations, edges], dim=1)


def canonicalise(codes: Tensor) -> Tensor:
    """Return the canonical codes [n, 26]: pruned, vertices in the order with the least key.

    Raises:
        ValueError: a code is out of range.
    """
    return decode(keys(codes))


def reorder(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Return pruned codes [n, 26] with the vertices in another order, drawn at random.

    The order has no edge backwards. A cell with the same code in all its orders stays as it is.

    Raises:
        ValueError: a code is out of range.
    """
    check_range(codes)
    order_keys = keys_by_order(codes)
    possible = (order_keys < BROKEN) & (order_keys != order_keys[:, :1])
    ticket = torch.rand(order_keys.shape, generator=generator) * possible
    chosen = order_keys.gather(1, ticket.argmax(1, keepdim=True))[:, 0].long()
    return decode(chosen)


def matrices(codes: Tensor) -> list[tuple[list[list[int]], list[int]]]:
    """Return (adjacency matrix, operation indices of inner vertices) of canonical codes, pruned."""
    kept, vertices = on_paths(codes[:, INNER:].float())
    full = torch.zeros(len(codes), VERTICES * VERTICES, dtype=torch.int64)
    full[:, FLAT] = kept.long()
    square = full.reshape(-1, VERTICES, VERTICES)
    cells = []
    for matrix, used, code in zip(square, vertices.bool(), codes.tolist(), strict=True):
        places = used.nonzero()[:, 0].tolist()
        rows = matrix.tolist()
        cells.append(
            ([[rows[i][j] for j in places] for i in places], [code[v - 1] for v in places[1:-1]])
        )
    return cells


def graph_hash(matrix: Sequence[Sequence[int]], operations: Sequence[int]) -> str:
    """Return NAS-Bench-101's ``hash_module`` (nasbench/lib/graph_util.py), 32 hexadecimal digits.

    Iterated md5 of each vertex's label and its neighbours' hashes; equal for isomorphic cells.

    Args:
        matrix: pruned adjacency [v, v] of 0 and 1, row = from.
        operations: indices of the v - 2 inner vertices' operations.
    """

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    size = len(matrix)
    labels = [-1, *operations, -2]
    into = [[i for i in range(size) if matrix[i][v]] for v in range(size)]
    out = [[j for j in range(size) if matrix[v][j]] for v in range(size)]
    hashes = [md5(str((len(out[v]), len(into[v]), labels[v]))) for v in range(size)]
    for _ in range(size):
        hashes = [
            md5(
                "".join(sorted(hashes[w] for w in into[v]))
                + "|"
                + "".join(sorted(hashes[w] for w in out[v]))
                + "|"
                + hashes[v]
            )
            for v in range(size)
        ]
    return md5(str(sorted(hashes)))
