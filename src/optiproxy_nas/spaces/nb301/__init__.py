"""NAS-Bench-301, the DARTS space (Liu et al. 2019, Siems et al. 2020; A.8.3).

A code has 24 numbers: the operations of the normal cell's 8 slots and of the reduction cell's 8,
then for each node of both cells which pair of inputs it takes (``darts_cell.PAIRS``). α has a row
for each slot; β a logit for each *pair* of inputs of a node, 1 + 3 + 6 + 10 for a cell. The pairs
of a node compete in one softmax. So two inputs are always distinct, every draw is valid, and all
180 topologies of a cell can be drawn.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from optiproxy_nas.core.errors import InvalidArchitectureError
from optiproxy_nas.spaces.base import Candidates, Encoding, Graph, Logits, as_list, operation_moves
from optiproxy_nas.spaces.graph_space import GraphSpace
from optiproxy_nas.spaces.nb301 import darts_cell, genotype
from optiproxy_nas.spaces.nb301.darts_cell import CHOICES, NODES, OPERATIONS, SLOTS, VERTICES
from optiproxy_nas.spaces.nb301.genotype import Genotype
from optiproxy_nas.spaces.relaxation import gumbel_softmax, sample_operations

_SOURCES = ("c_{k-2}", "c_{k-1}", *(f"node {number}" for number in range(2, 2 + NODES)))


class NASBench301(GraphSpace):
    """The DARTS cell space of NAS-Bench-301: about 10^18 pairs of a normal and a reduction cell.

    The nodes of a cell can be numbered in several orders. The benchmark's surrogates answer
    differently for different orders, so ``identify`` distinguishes them and codes keep them.
    ``canonical`` does not, and the selection's ``skip_twins`` skips them.
    """

    name = "nb301"
    operations: tuple[str, ...] = OPERATIONS
    node_labels = tuple(
        f"{cell} {node}{'ab'[slot]}"
        for cell in ("normal", "reduction")
        for node in range(2, 2 + NODES)
        for slot in range(2)
    )
    num_nodes = 2 * SLOTS
    num_edges = 2 * sum(CHOICES)
    code_length = 2 * (SLOTS + NODES)
    num_vertices = 2 * VERTICES
    vertex_labels = tuple(
        f"{cell} cell: {name}" if name else ""
        for cell in ("normal", "reduction")
        for name in ("c_{k-2}", "c_{k-1}", *SLOTS * ("",), "output")
    )
    num_features = len(OPERATIONS) + 2  # input, seven operations, output
    size: int | None = (prod(CHOICES) * len(OPERATIONS) ** SLOTS) ** 2

    def __init__(self) -> None:
        fixed, chosen = darts_cell.graph_of_pairs()
        self._fixed = fixed
        self._chosen = chosen.flatten(1)  # [40, 22 * 22]
        self._moves = tuple(darts_cell.input_moves(node) for node in range(NODES))
        ends = torch.zeros(self.num_vertices, self.num_features)  # one-hot rows of inputs, outputs
        ends[[0, 1, VERTICES, VERTICES + 1], 0] = 1
        ends[[VERTICES - 1, 2 * VERTICES - 1], -1] = 1
        self._ends = ends
        self._mask = torch.ones(1, self.num_vertices)

    def random(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw codes [count, 24] uniformly: every operation and pair of inputs equally often."""
        operations = torch.randint(0, len(OPERATIONS), (count, 2 * SLOTS), generator=generator)
        pairs = [torch.randint(0, n, (count, 2), generator=generator) for n in CHOICES]
        return torch.cat([operations, _by_cell(pairs)], dim=1)

    def sample(
        self, logits: Logits, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Candidates:
        """Draw ``count`` a group: Cat(softmax(α)) a slot, Cat(softmax(β)) over a node's pairs."""
        operations = sample_operations(logits.alpha, count, generator, exploration)
        pairs = [
            sample_operations(part, count, generator, exploration) for part in _groups(logits.beta)
        ]
        codes = torch.cat([operations, _by_cell(pairs)], dim=-1)
        group = torch.arange(codes.shape[0]).repeat_interleave(count)
        return Candidates(codes.reshape(-1, self.code_length), group)

    def relax(
        self, logits: Logits, temperature: float, generator: torch.Generator, noise: str
    ) -> Encoding:
        """Draw Gumbel-softmax operations and pairs of each node (Eq. 9 for both).

        ``noise`` is that of independent edges (Eq. 10), which this space does not have.
        """
        operations = gumbel_softmax(logits.alpha, temperature, generator)
        pairs = [gumbel_softmax(part, temperature, generator) for part in _groups(logits.beta)]
        return Encoding(operations, torch.cat(pairs, dim=-1).flatten(1))

    def encode(self, codes: Tensor) -> Encoding:
        """Return one-hot operations [n, 16, 7] and one-hot pairs of inputs [n, 40].

        Raises:
            ValueError: a code is out of range.
        """
        darts_cell.check_range(codes)
        one_hot = torch.nn.functional.one_hot
        pairs = _pairs(codes)
        hot = [one_hot(pairs[..., node], choices) for node, choices in enumerate(CHOICES)]
        edges = torch.cat(hot, dim=-1).flatten(1)
        operations = one_hot(codes[:, : 2 * SLOTS], len(OPERATIONS))
        return Encoding(operations.float(), edges.float())

    def graph(self, encoding: Encoding) -> Graph:
        """Return the merged graph of both cells: features [n, 22, 9], adjacency [n, 22, 22].

        An edge is present to the extent that its slot takes that input: the sum of the node's
        pairs that have the input in that place.
        """
        operations, edges = encoding
        count, size = len(operations), self.num_vertices
        taken = (edges @ self._chosen.to(edges)).reshape(count, size, size)
        adjacency = taken + self._fixed.to(edges)
        # The sum of a softmax can exceed 1 in the last digit.
        adjacency = adjacency - (adjacency - 1).clamp(min=0).detach()
        labels = torch.nn.functional.pad(operations, (1, 1))
        labels = labels.reshape(count, 2, SLOTS, self.num_features)
        features = torch.nn.functional.pad(labels, (0, 0, 2, 1)).flatten(1, 2)
        mask = self._mask.to(features).expand(count, size)
        return Graph(features + self._ends.to(features), adjacency, mask)

    def identify(self, codes: Tensor) -> list[Hashable]:
        """Return one identity for each order of nodes: the surrogates distinguish the orders."""
        keys = _keys_by_order(codes)[:, 0].reshape(-1, 2)
        return [tuple(pair) for pair in keys.tolist()]

    def canonical(self, codes: Tensor) -> list[Hashable]:
        """Return the keys of both cells in the order with the least key: equal if isomorphic.

        Networks that are equal for another reason (two equal sums of skip connections) are not
        recognised.
        """
        keys = _keys_by_order(codes).amin(-1).reshape(-1, 2)
        return [tuple(pair) for pair in keys.tolist()]

    def isomorphic(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Return both cells with their nodes in another order, where that gives another code."""
        keys = _keys_by_order(codes)
        other = (keys != keys[:, :1]) & (keys < darts_cell.IMPOSSIBLE)
        draw = torch.rand(other.shape, generator=generator).masked_fill(~other, -1)
        draw[:, 0] = -0.5  # the given order, where there is no other
        operations, pairs = darts_cell.decode(keys.gather(1, draw.argmax(-1, keepdim=True))[:, 0])
        return torch.cat([operations.reshape(-1, 2 * SLOTS), pairs.reshape(-1, 2 * NODES)], dim=1)

    def neighbours(self, codes: Tensor) -> Tensor:
        """Return the 120 neighbours with one other operation or one other input: [120 n, 24].

        96 have another operation, 24 (12 a cell) another input; an operation stays with its input.
        """
        darts_cell.check_range(codes)
        slots = 2 * SLOTS
        groups = [operation_moves(codes, slots, len(OPERATIONS))]
        for cell in range(2):
            for node in range(NODES):
                position, first = slots + cell * NODES + node, cell * SLOTS + 2 * node
                move = self._moves[node]
                pair, swapped = move.pair[codes[:, position]], move.swapped[codes[:, position]]
                moved = codes.unsqueeze(1).repeat(1, pair.shape[1], 1)
                two = moved[..., first : first + 2]
                moved[..., first : first + 2] = torch.where(
                    swapped.unsqueeze(-1), two.flip(-1), two
                )
                moved[..., position] = pair
                groups.append(moved)
        return torch.cat(groups, dim=1).reshape(-1, codes.shape[1]) if len(codes) else codes

    def to_string(self, codes: Tensor) -> list[str]:
        """Return DARTS genotypes as text; in each node the lower input is first."""
        darts_cell.check_range(codes)
        return [genotype.text_of(code) for code in codes.tolist()]

    def from_string(self, architectures: Sequence[str]) -> Tensor:
        """Parse genotypes, the two pairs of a node in any order, to codes [n, 24].

        Raises:
            InvalidArchitectureError: which rule one breaks, and in which node.
        """
        return _codes([*map(genotype.code_of_text, as_list(architectures))])

    def to_genotype(self, codes: Tensor) -> list[Genotype]:
        """Return named tuples with the fields of DARTS' ``Genotype``."""
        darts_cell.check_range(codes)
        return [genotype.genotype_of(code) for code in codes.tolist()]

    def from_genotype(self, genotypes: Sequence[Any]) -> Tensor:
        """Return codes [n, 24] of objects with the fields of DARTS' ``Genotype``, of any package.

        Raises:
            InvalidArchitectureError: a field is missing, or as ``from_string``.
        """
        codes = []
        for named in genotypes:
            missing = [name for name in Genotype._fields if not hasattr(named, name)]
            if missing:
                raise InvalidArchitectureError(
                    f"Not a genotype: {named!r} has no {', '.join(missing)}.", architecture=named
                )
            fields = {name: getattr(named, name) for name in Genotype._fields}
            codes.append(genotype.code_of_fields(fields, named))
        return _codes(codes)

    def to_naslib(self, codes: Tensor) -> list[tuple[tuple[tuple[int, int], ...], ...]]:
        """Return NASLib's compact form: (normal, reduction), each 8 pairs (input, operation)."""
        return [
            tuple(
                tuple((source, OPERATIONS.index(operation)) for operation, source in cell)
                for cell in (named.normal, named.reduce)
            )
            for named in self.to_genotype(codes)
        ]

    def from_naslib(self, compacts: Sequence[Any]) -> Tensor:
        """Return codes [n, 24] of NASLib's compact form, a cell's pairs in one list or four of two.

        Raises:
            InvalidArchitectureError: it has another form, or as ``from_string``.
        """
        fields = map(genotype.compact_fields, compacts)
        return _codes([*map(genotype.code_of_fields, fields, compacts)])

    def draw(self, architecture: str) -> str:
        """Draw each node of both cells as the sum that it computes."""
        (named,) = self.to_genotype(self.from_string([architecture]))
        lines = []
        for title, cell in (("normal cell", named.normal), ("reduction cell", named.reduce)):
            lines.append(f"{title}: output = all four nodes")
            for node in range(NODES):
                terms = [f"{name}({_SOURCES[i]})" for name, i in cell[2 * node : 2 * node + 2]]
                lines.append(f"  {_SOURCES[node + 2]} = {terms[0]:<22} + {terms[1]}")
        return "\n".join(lines)


def _groups(beta: Tensor) -> list[Tensor]:
    """Split β [K, 40] by node: [K, 2 cells, pairs of the node] each."""
    return list(torch.split(beta.reshape(-1, 2, sum(CHOICES)), list(CHOICES), dim=-1))


def _by_cell(pairs: Sequence[Tensor]) -> Tensor:
    """Return numbers of pairs by node, [..., 2 cells] each, in code order [..., 8]."""
    return torch.stack(list(pairs), dim=-1).flatten(-2)


def _pairs(codes: Tensor) -> Tensor:
    return codes[:, 2 * SLOTS :].reshape(-1, 2, NODES)


def _split(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return operations [n, 2, 8] and numbers of pairs [n, 2, 4] of codes [n, 24]."""
    darts_cell.check_range(codes)
    return codes[:, : 2 * SLOTS].reshape(-1, 2, SLOTS), _pairs(codes)


def _keys_by_order(codes: Tensor) -> Tensor:
    """Return the keys [2 n, 24] of normal and reduction cell of each code in turn."""
    operations, pairs = _split(codes)
    return darts_cell.keys_by_order(operations.reshape(-1, SLOTS), pairs.reshape(-1, NODES))


def _codes(rows: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 2 * (SLOTS + NODES))
