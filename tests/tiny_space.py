"""A search space of 72 architectures whose edges are searched: 2 nodes, 3 edges, 1 padding vertex.

Vertices: input 0, a 1, b 2, output 3, padding 4. Fixed edges 0->1 and 2->3; free ones 0->2,
1->2 and 1->3. It shows that the protocol fits a searched adjacency (no built-in space has one).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from optiproxy_nas.core.errors import InvalidArchitectureError
from optiproxy_nas.spaces.base import Candidates, Encoding, Graph, Logits, as_list
from optiproxy_nas.spaces.graph_space import GraphSpace
from optiproxy_nas.spaces.relaxation import (
    binary_concrete,
    gumbel_softmax,
    sample_edges,
    sample_operations,
)

FREE_EDGES = ((0, 2), (1, 2), (1, 3))


class TinySpace(GraphSpace):
    name = "tiny"
    operations: tuple[str, ...] = ("conv", "pool", "skip")
    node_labels: tuple[str, ...] = ("a", "b")
    num_nodes = 2
    num_edges = 3
    code_length = 5
    num_vertices = 5
    vertex_labels: tuple[str, ...] = ("input", "", "", "output", "padding")
    num_features = 5  # input, three operations, output
    size: int | None = 72

    def random(self, count: int, generator: torch.Generator) -> Tensor:
        operations = torch.randint(0, 3, (count, 2), generator=generator)
        return torch.cat([operations, torch.randint(0, 2, (count, 3), generator=generator)], 1)

    def sample(
        self, logits: Logits, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Candidates:
        operations = sample_operations(logits.alpha, count, generator, exploration)
        edges = sample_edges(logits.beta, count, generator, exploration)
        group = torch.arange(len(operations)).repeat_interleave(count)
        return Candidates(torch.cat([operations, edges], -1).reshape(-1, 5), group)

    def relax(
        self, logits: Logits, temperature: float, generator: torch.Generator, noise: str
    ) -> Encoding:
        operations = gumbel_softmax(logits.alpha, temperature, generator)
        return Encoding(operations, binary_concrete(logits.beta, temperature, generator, noise))

    def encode(self, codes: Tensor) -> Encoding:
        return Encoding(torch.nn.functional.one_hot(codes[:, :2], 3).float(), codes[:, 2:].float())

    def graph(self, encoding: Encoding) -> Graph:
        operations, edges = encoding
        count = len(operations)
        features = torch.zeros(count, 5, 5).to(operations)
        features[:, 0, 0] = features[:, 3, 4] = 1
        features[:, 1:3, 1:4] = operations
        adjacency = torch.zeros(count, 5, 5).to(operations)
        adjacency[:, 0, 1] = adjacency[:, 2, 3] = 1
        for i, (source, target) in enumerate(FREE_EDGES):
            adjacency[:, source, target] = edges[:, i]
        mask = torch.tensor([1.0, 1, 1, 1, 0]).to(operations).expand(count, 5)
        return Graph(features, adjacency, mask)

    def identify(self, codes: Tensor) -> list[Hashable]:
        return [tuple(code) for code in codes.tolist()]

    def canonical(self, codes: Tensor) -> list[Hashable]:
        functions: list[Hashable] = []
        for a, b, input_b, a_b, a_output in codes.tolist():
            b = None if not (input_b or a_b) else b
            a = None if not (a_b or a_output) else a
            functions.append((a, b, input_b, a_b, a_output))
        return functions

    def isomorphic(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """A node without input, or without use, computes nothing: any operation will do."""
        a, b, input_b, a_b, a_output = codes.T
        shift = torch.randint(1, 3, (2, len(codes)), generator=generator)
        moved = codes.clone()
        moved[:, 0] = torch.where((a_b + a_output) == 0, (a + shift[0]) % 3, a)
        moved[:, 1] = torch.where((input_b + a_b) == 0, (b + shift[1]) % 3, b)
        return moved

    def neighbours(self, codes: Tensor) -> Tensor:
        moved = []
        for code in codes:
            for position in range(5):
                choices = 3 if position < 2 else 2
                for value in range(choices):
                    if value != code[position]:
                        other = code.clone()
                        other[position] = value
                        moved.append(other)
        return torch.stack(moved) if moved else codes[:0]

    def to_string(self, codes: Tensor) -> list[str]:
        return [
            f"{self.operations[a]}-{self.operations[b]}/{''.join(map(str, edges))}"
            for a, b, *edges in codes.tolist()
        ]

    def from_string(self, architectures: Sequence[Any]) -> Tensor:
        codes = []
        for architecture in as_list(architectures):
            try:
                names, edges = architecture.split("/")
                a, b = (self.operations.index(name) for name in names.split("-"))
                code = [a, b, *map(("0", "1").index, edges)]
                assert len(code) == 5
            except (ValueError, AssertionError) as error:
                raise InvalidArchitectureError(f"not tiny: {architecture!r}") from error
            codes.append(code)
        return torch.tensor(codes, dtype=torch.int64).reshape(-1, 5)

    def draw(self, architecture: str) -> str:
        return architecture
