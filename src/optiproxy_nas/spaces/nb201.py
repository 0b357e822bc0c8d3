"""NAS-Bench-201 (Dong & Yang 2020): 6 edges of a 4-node cell, 5 operations each (A.8.1).

Code order is that of the architecture string,
``|op(1,2)~0|+|op(1,3)~0|op(2,3)~1|+|op(1,4)~0|op(2,4)~1|op(3,4)~2|``,
and the operations are numbered as in the appendix. The adjacency is fixed: there is no β.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

from optiproxy_nas.core.errors import InvalidArchitectureError
from optiproxy_nas.spaces.base import Candidates, Encoding, Graph, Logits, as_list, operation_moves
from optiproxy_nas.spaces.graph_space import GraphSpace
from optiproxy_nas.spaces.relaxation import gumbel_softmax, sample_operations

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
# (from, to) of each code position; cell nodes counted from 0.
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))

# NASLib (naslib/search_spaces/nasbench201/conversions.py) orders both differently.
NASLIB_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
NASLIB_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))

_TOKEN = re.compile(r"(?P<operation>[^~|]+)~(?P<source>[0-9])")


def _operation_graph() -> Tensor:
    """Return the adjacency [8, 8] of the operation graph: input, the 6 edges in code order, output.

    Edge (a, b) feeds edge (b, c): 0->{1,2,4}; 1->{3,5}; 2->6; 3->6; 4->7; 5->7; 6->7.
    """
    vertices = [(-1, 0), *EDGES, (3, 4)]  # the input leads to node 0, the output from node 3
    return torch.tensor([[float(b == c) for c, _ in vertices] for _, b in vertices])


@cache
def _functions() -> list[int]:
    """Return a number for the function of each cell, by row of the table, equal for twins.

    A node of the cell is a sum of terms: 1 is the cell's input, and o + 3 (m - 1) the operation
    o = 2..4 on node m. Nothing comes of ``none`` or of an empty sum, and a skip adds the terms of
    its source. The number m of a node has its sorted terms as digits, so that a sum of one term has
    the term's number.
    """
    codes = np.indices((5,) * 6).reshape(6, -1)
    terms = [np.ones((1, codes.shape[1]), dtype=np.int64)]  # of each node: [terms, cells]
    numbers = [terms[0][0]]
    for target in (1, 2, 3):
        arriving = []
        for operations, (source, end) in zip(codes, EDGES, strict=True):
            if end == target:
                applied = operations + 3 * (numbers[source] - 1)
                is_term = (operations > 1) & (numbers[source] > 0)
                arriving += [terms[source] * (operations == 1), applied[np.newaxis] * is_term]
        digits = np.sort(np.concatenate(arriving), axis=0)[::-1]  # the largest term first
        digits = digits[digits.any(axis=1)]
        terms.append(digits)
        numbers.append((digits.max() + 1) ** np.arange(len(digits)) @ digits)
    return [int(number) for number in numbers[-1]]


class NASBench201(GraphSpace):
    """The NAS-Bench-201 cell space: N = 6, M = 5, fixed adjacency, 15,625 cells."""

    name = "nb201"
    operations: tuple[str, ...] = OPERATIONS
    node_labels = tuple(f"edge {source}→{target}" for source, target in EDGES)
    num_nodes = 6
    num_edges = 0
    code_length = 6
    num_vertices = 8
    vertex_labels: tuple[str, ...] = ("0 input", *len(EDGES) * ("",), "3 output")
    num_features = 7  # input, five operations, output
    size: int | None = 5**6

    def __init__(self) -> None:
        self._adjacency = _operation_graph()
        self._powers = 5 ** torch.arange(5, -1, -1)
        self._ends = torch.zeros(8, 7)  # the one-hot rows of input and output
        self._ends[0, 0] = self._ends[7, 6] = 1
        self._mask = torch.ones(1, 8)

    def random(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw cells uniformly: codes [count, 6]."""
        return torch.randint(0, 5, (count, 6), generator=generator)

    def sample(
        self, logits: Logits, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Candidates:
        """Draw ``count`` cells per group from Cat(softmax(α)), Eq. 5."""
        codes = sample_operations(logits.alpha, count, generator, exploration)
        group = torch.arange(codes.shape[0]).repeat_interleave(count)
        return Candidates(codes.reshape(-1, 6), group)

    def relax(
        self, logits: Logits, temperature: float, generator: torch.Generator, noise: str
    ) -> Encoding:
        """Draw Gumbel-softmax operations (Eq. 9); without edges ``noise`` has no effect."""
        return Encoding(gumbel_softmax(logits.alpha, temperature, generator), logits.beta)

    def encode(self, codes: Tensor) -> Encoding:
        """Return one-hot operations [n, 6, 5] and no edges [n, 0]."""
        operations = torch.nn.functional.one_hot(codes, 5).float()
        return Encoding(operations, torch.zeros(len(codes), 0))

    def graph(self, encoding: Encoding) -> Graph:
        """Return the operation graph: features [n, 8, 7], fixed adjacency [n, 8, 8]."""
        count = encoding.operations.shape[0]
        features = torch.nn.functional.pad(encoding.operations, (1, 1, 1, 1))
        adjacency = self._adjacency.to(features).expand(count, 8, 8)
        mask = self._mask.to(features).expand(count, 8)
        return Graph(features + self._ends.to(features), adjacency, mask)

    def identify(self, codes: Tensor) -> list[Hashable]:
        """Return the table rows: each code has one; the values of twins differ in it."""
        rows: list[Hashable] = (codes * self._powers).sum(-1).tolist()
        return rows

    def canonical(self, codes: Tensor) -> list[Hashable]:
        """Return numbers of the computed functions, of which 4,930 are distinct.

        None and dead edges are dropped, skips contracted, sums sorted.
        """
        functions = _functions()
        return [functions[row] for row in (codes * self._powers).sum(-1).tolist()]

    def isomorphic(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Exchange nodes 2 and 3 where no edge between them forbids it: [n, 6].

        There is one other order at most, so nothing is drawn. Each order has its own row of the
        table: the two are equal in ``canonical``, not in ``identify``.
        """
        swapped = codes[:, [1, 0, 2, 3, 5, 4]]
        return torch.where(codes[:, 2:3] == 0, swapped, codes)

    def neighbours(self, codes: Tensor) -> Tensor:
        """Return the 24 cells that differ in one operation, for each of codes [n, 6]: [24 n, 6]."""
        return operation_moves(codes, 6, 5).reshape(-1, 6)

    def to_string(self, codes: Tensor) -> list[str]:
        """Return the architecture strings of codes [n, 6]."""
        return [
            "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*(OPERATIONS[i] for i in code))
            for code in codes.tolist()
        ]

    def from_string(self, architectures: Sequence[str]) -> Tensor:
        """Parse architecture strings, or one, to codes [n, 6].

        Raises:
            InvalidArchitectureError: which rule a string breaks, and where.
        """
        codes = [_parse(architecture) for architecture in as_list(architectures)]
        return torch.tensor(codes, dtype=torch.int64).reshape(-1, 6)

    def from_naslib(self, tuples: Sequence[Sequence[int]]) -> Tensor:
        """Return the codes [n, 6] of NASLib's op-index tuples (NASLib orders both differently).

        Raises:
            InvalidArchitectureError: a tuple is not six indices of 0-4.
        """
        codes = []
        for indices in tuples:
            if len(indices) != 6 or any(i not in range(5) for i in indices):
                raise InvalidArchitectureError(
                    f"A NASLib NAS-Bench-201 tuple has six operation indices of 0-4, got "
                    f"{tuple(indices)!r}.",
                    architecture=tuple(indices),
                )
            by_edge = dict(zip(NASLIB_EDGES, indices, strict=True))
            codes.append([OPERATIONS.index(NASLIB_OPERATIONS[by_edge[edge]]) for edge in EDGES])
        return torch.tensor(codes, dtype=torch.int64).reshape(-1, 6)

    def to_naslib(self, codes: Tensor) -> list[tuple[int, ...]]:
        """Return NASLib's op-index tuples of codes [n, 6]."""
        position = [EDGES.index(edge) for edge in NASLIB_EDGES]
        return [
            tuple(NASLIB_OPERATIONS.index(OPERATIONS[code[p]]) for p in position)
            for code in codes.tolist()
        ]

    def draw(self, architecture: str) -> str:
        """Draw the cell as a matrix: rows are source nodes, columns target nodes."""
        code = self.from_string([architecture])[0].tolist()
        cell = {edge: OPERATIONS[i] for edge, i in zip(EDGES, code, strict=True)}
        names = ("0 input", "1", "2", "3 output")
        lines = ["from \\ to" + "".join(f"{names[target]:>14}" for target in (1, 2, 3))]
        for source in (0, 1, 2):
            row = (cell.get((source, target), "") for target in (1, 2, 3))
            lines.append(f"{names[source]:>9}" + "".join(f"{value:>14}" for value in row))
        return "\n".join(lines)


def _invalid(architecture: object, reason: str) -> InvalidArchitectureError:
    return InvalidArchitectureError(
        f"Not a NAS-Bench-201 cell: {architecture!r}: {reason}. Expected "
        "'|op~0|+|op~0|op~1|+|op~0|op~1|op~2|' with op one of " + ", ".join(OPERATIONS) + ".",
        architecture=architecture,
        reason=reason,
    )


def _parse(architecture: object) -> tuple[int, ...]:
    if not isinstance(architecture, str):
        raise _invalid(architecture, "it is not a string")
    return _parse_text(architecture)


@lru_cache(maxsize=2**14)  # all 15,625 cells: each table of a source names every one
def _parse_text(architecture: str) -> tuple[int, ...]:
    blocks = architecture.strip().split("+")
    if len(blocks) != 3:
        raise _invalid(architecture, f"{len(blocks)} node blocks joined by '+', not 3")
    code = []
    for node, block in enumerate(blocks, start=1):
        tokens = block[1:-1].split("|")
        if len(tokens) != node or block != f"|{'|'.join(tokens)}|":
            raise _invalid(
                architecture, f"node {node} needs {node} input(s) between '|' marks, got {block!r}"
            )
        for source, token in enumerate(tokens):
            match = _TOKEN.fullmatch(token)
            if match is None or int(match["source"]) != source:
                raise _invalid(
                    architecture, f"input {source} of node {node} must read 'op~{source}'"
                )
            if match["operation"] not in OPERATIONS:
                raise _invalid(architecture, f"unknown operation {match['operation']!r}")
            code.append(OPERATIONS.index(match["operation"]))
    return tuple(code)
