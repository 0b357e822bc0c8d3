"""NAS-Bench-101 (Ying et al. 2019): α over 5 vertices' operations, β over 21 edges (A.8.2).

A cell is a DAG of up to 7 vertices, input and output included, with at most 9 edges. Vertices that
are on no path from input to output do not count, and isomorphic cells are one architecture: 423,624
of them. Codes that come out of this space are canonical (``isomorphism.canonicalise``); those that
go in may be any spelling.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from optiproxy_nas.spaces import relaxation
from optiproxy_nas.spaces.base import Candidates, Encoding, Graph, Logits, as_list
from optiproxy_nas.spaces.graph_space import GraphSpace
from optiproxy_nas.spaces.nb101 import isomorphism, notation
from optiproxy_nas.spaces.nb101.isomorphism import CODE_LENGTH, INNER, OPERATIONS, PAIRS, VERTICES
from optiproxy_nas.spaces.nb101.neighbours import one_change_neighbours
from optiproxy_nas.spaces.rejection import draw_valid

_SPARE = 2  # random draws for each missing cell: 73 % are valid
_RANDOM_ROUNDS = 200


class NASBench101(GraphSpace):
    """The NAS-Bench-101 cell space: N = 5, M = 3, E = 21, 423,624 distinct cells."""

    name = "nb101"
    operations: tuple[str, ...] = OPERATIONS
    node_labels = tuple(f"vertex {v}" for v in range(1, VERTICES - 1))
    num_nodes = INNER
    num_edges = len(PAIRS)
    code_length = CODE_LENGTH
    num_vertices = VERTICES
    vertex_labels: tuple[str, ...] = ("input", *INNER * ("",), "output")
    num_features = len(OPERATIONS) + 2  # input, three operations, output
    size: int | None = 423_624

    def __init__(self) -> None:
        self._spread = torch.zeros(len(PAIRS), VERTICES * VERTICES)  # pairs -> matrix entries
        self._spread[torch.arange(len(PAIRS)), isomorphism.FLAT] = 1
        self._ends = torch.zeros(VERTICES, self.num_features)  # one-hot rows of input and output
        self._ends[0, 0] = self._ends[-1, -1] = 1

    def random(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw cells as the benchmark's authors do: codes [count, 26].

        Operations and matrices of seven vertices are uniform, drawn until the cell is valid. So the
        more orders of its vertices a cell has, the likelier it is.
        """
        codes = torch.zeros(0, CODE_LENGTH, dtype=torch.int64)
        for _ in range(_RANDOM_ROUNDS):
            draws = (count - len(codes)) * _SPARE
            operations = torch.randint(0, len(OPERATIONS), (draws, INNER), generator=generator)
            edges = torch.randint(0, 2, (draws, len(PAIRS)), generator=generator)
            drawn = torch.cat([operations, edges], dim=1)
            codes = torch.cat([codes, drawn[isomorphism.is_valid(drawn)]])[:count]
            if len(codes) == count:
                break
        else:  # never seen: three draws of four are valid
            smallest = torch.zeros(count - len(codes), CODE_LENGTH, dtype=torch.int64)
            smallest[:, INNER + PAIRS.index((0, VERTICES - 1))] = 1
            codes = torch.cat([codes, smallest])
        return isomorphism.canonicalise(codes)

    def sample(
        self, logits: Logits, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Candidates:
        """Draw ``count`` valid cells a group from Cat(softmax(α)) and Bernoulli(σ(β)), Eq. 5 and 6.

        Invalid draws are discarded; those before a group's last cell are counted as rejected. Where
        a group yields too few in six rounds of twice as many draws, uniform choices are mixed in,
        more with each of six further rounds. Cells that are still missing are drawn at random.
        """
        groups = logits.alpha.shape[0]

        def draw(open_groups: Tensor, draws: int, share: float) -> Tensor:
            alpha, beta = (field.detach()[open_groups] for field in logits)
            operations = relaxation.sample_operations(alpha, draws, generator, share)
            return torch.cat(
                [operations, relaxation.sample_edges(beta, draws, generator, share)], dim=-1
            )

        shape = groups, count, CODE_LENGTH
        codes, found, rejected = draw_valid(draw, isomorphism.is_valid, shape, exploration)
        empty = torch.arange(count) >= found.unsqueeze(1)
        if bool(empty.any()):
            codes[empty] = self.random(int(empty.sum()), generator)
        group = torch.arange(groups).repeat_interleave(count)
        return Candidates(isomorphism.canonicalise(codes.reshape(-1, CODE_LENGTH)), group, rejected)

    def relax(
        self, logits: Logits, temperature: float, generator: torch.Generator, noise: str
    ) -> Encoding:
        """Draw Gumbel-softmax operations (Eq. 9) and Binary-Concrete edges (Eq. 10)."""
        operations = relaxation.gumbel_softmax(logits.alpha, temperature, generator)
        edges = relaxation.binary_concrete(logits.beta, temperature, generator, noise)
        return Encoding(operations, edges)

    def encode(self, codes: Tensor) -> Encoding:
        """Return one-hot operations [n, 5, 3] and edges [n, 21], vertices in the code's order.

        Raises:
            ValueError: a code is out of range.
        """
        isomorphism.check_range(codes)
        operations = torch.nn.functional.one_hot(codes[:, :INNER], len(OPERATIONS)).float()
        return Encoding(operations, codes[:, INNER:].float())

    def graph(self, encoding: Encoding) -> Graph:
        """Return the pruned cell: features [n, 7, 5], adjacency [n, 7, 7], mask [n, 7].

        The mask of a vertex is the extent to which it is on a path from input to output
        (``isomorphism.on_paths``): 0 or 1 in a discrete cell, a polynomial in the edges of a
        relaxed one. The output is always the last vertex.
        """
        edges, vertices = isomorphism.on_paths(encoding.edges)
        adjacency = (edges @ self._spread.to(edges)).reshape(-1, VERTICES, VERTICES)
        used = encoding.operations * vertices[:, 1:-1].unsqueeze(-1)
        features = torch.nn.functional.pad(used, (1, 1, 1, 1)) + self._ends.to(used)
        return Graph(features, adjacency, vertices)

    def identify(self, codes: Tensor) -> list[Hashable]:
        """Return one integer a cell, equal for isomorphic cells, as the benchmark's hash is."""
        rows: list[Hashable] = isomorphism.keys(codes).tolist()
        return rows

    def canonical(self, codes: Tensor) -> list[Hashable]:
        """Return ``identify``: the benchmark has one row for all orders of a cell's vertices."""
        return self.identify(codes)

    def isomorphic(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Return the same cells with their vertices in another order: [n, 26]."""
        return isomorphism.reorder(codes, generator)

    def neighbours(self, codes: Tensor) -> Tensor:
        """Return the cells that are one change away from each of codes [n, 26]: [m, 26].

        A change is another operation, an edge added or removed, or a vertex inserted with one edge
        to it and one from it (which undoes the loss of an edge that leaves a vertex unused).
        """
        return one_change_neighbours(codes)

    def hashes(self, codes: Tensor) -> list[str]:
        """Return the benchmark's graph hash of each cell, 32 hexadecimal digits."""
        return [isomorphism.graph_hash(*cell) for cell in isomorphism.matrices(codes)]

    def to_string(self, codes: Tensor) -> list[str]:
        """Return the text of each cell (``notation``): one for all orders of its vertices."""
        return notation.to_strings(isomorphism.canonicalise(codes))

    def from_string(self, architectures: Sequence[str]) -> Tensor:
        """Parse the texts of cells, or of one, to canonical codes [n, 26].

        Raises:
            InvalidArchitectureError: which rule a cell breaks.
        """
        parsed = [notation.parse(architecture) for architecture in as_list(architectures)]
        return isomorphism.canonicalise(notation.stacked(parsed))

    def from_nasbench(self, cells: Sequence[tuple[ArrayLike, Sequence[str]]]) -> Tensor:
        """Return canonical codes [n, 26] of the benchmark's (matrix, operations) pairs (ModelSpec).

        Raises:
            InvalidArchitectureError: which rule a cell breaks.
        """
        return notation.from_nasbench(cells)

    def to_nasbench(self, codes: Tensor) -> list[notation.Cell]:
        """Return the benchmark's (matrix, operations) of codes [n, 26], pruned."""
        return [
            (matrix, [notation.INPUT, *(OPERATIONS[i] for i in inner), notation.OUTPUT])
            for matrix, inner in isomorphism.matrices(isomorphism.canonicalise(codes))
        ]

    def draw(self, architecture: str) -> str:
        """Draw the cell as a list: each vertex, its operation, and which vertices it feeds."""
        ((matrix, names),) = self.to_nasbench(self.from_string([architecture]))
        lines = []
        for vertex, (row, name) in enumerate(zip(matrix, names, strict=True)):
            feeds = " ".join(str(target) for target, edge in enumerate(row) if edge)
            lines.append(f"{vertex}  {name:<16}{'-> ' + feeds if feeds else ''}".rstrip())
        return "\n".join(lines)
