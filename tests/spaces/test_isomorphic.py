"""Spellings of one architecture: the built-in spaces, and spaces that get them wrong."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from optiproxy_nas.spaces import Graph
from optiproxy_nas.spaces.base import Candidates
from optiproxy_nas.spaces.nb101 import NASBench101
from optiproxy_nas.spaces.nb201 import NASBench201
from optiproxy_nas.testing import check_search_space
from tiny_space import TinySpace


def test_nb201_swaps_its_two_inner_nodes(generator: torch.Generator) -> None:
    space = NASBench201()
    codes = torch.tensor(list(itertools.product(range(5), repeat=6)))
    spelt = space.isomorphic(codes, generator)
    assert space.canonical(spelt) == space.canonical(codes)
    assert torch.equal(space.isomorphic(spelt, generator), codes)
    # (1,2) <-> (1,3) and (2,4) <-> (3,4), where (2,3) is none.
    assert space.isomorphic(torch.tensor([[3, 1, 0, 2, 4, 2]]), generator).tolist() == [
        [1, 3, 0, 2, 2, 4]
    ]
    moved = (spelt != codes).any(1)
    assert moved.sum() == 5 * (5**4 - 5**2)  # not those that look the same both ways
    assert not moved[codes[:, 2] != 0].any()


class OtherNetwork(TinySpace):
    def isomorphic(self, codes: Any, generator: torch.Generator) -> Any:
        return codes.flip(0)


class Impure(TinySpace):
    calls = 0

    def isomorphic(self, codes: Any, generator: torch.Generator) -> Any:
        type(self).calls += 1
        return codes if self.calls % 2 else super().isomorphic(codes, generator)


class TwoCodes(NASBench101):
    """Hands on the codes as they were drawn."""

    def neighbours(self, codes: Any) -> Any:
        return self.isomorphic(super().neighbours(codes), torch.Generator().manual_seed(0))


class AsSpelt(NASBench101):
    """Parses to some spelling of the cell, never to the canonical one."""

    def from_string(self, architectures: Any) -> Any:
        codes = super().from_string(architectures)
        return self.isomorphic(codes, torch.Generator().manual_seed(0))


class TellsSpellingsApart(NASBench101):
    def canonical(self, codes: Any) -> Any:
        return [tuple(code) for code in codes.tolist()]


class SeesTheOrder(NASBench101):
    """The published encoding's kind of mistake: the graph depends on where a vertex is written."""

    def graph(self, encoding: Any) -> Any:
        features, adjacency, mask = super().graph(encoding)
        weight = torch.linspace(0.5, 1.0, 7).to(features)
        return Graph(features * weight.unsqueeze(-1), adjacency, mask)


class DeadVerticesInTheMean(NASBench101):
    """Unused vertices are no padding: their operations and edges are seen."""

    def graph(self, encoding: Any) -> Any:
        features, _, mask = super().graph(encoding)
        features = features.clone()
        features[:, 1:-1, 1:-1] = encoding.operations
        adjacency = torch.zeros(len(features), 49).to(features)
        adjacency[:, self._spread.nonzero()[:, 1]] = encoding.edges
        return Graph(features, adjacency.reshape(-1, 7, 7), mask.detach() * 0 + 1)

    def isomorphic(self, codes: Any, generator: torch.Generator) -> Any:
        spelt = super().isomorphic(codes, generator)
        unused = super().graph(self.encode(spelt)).mask[:, 1:-1] == 0
        spelt[:, :5][unused] = 1
        return spelt


class NegativeCount(TinySpace):
    def sample(
        self, logits: Any, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Any:
        drawn = super().sample(logits, count, generator, exploration)
        return Candidates(drawn.codes, drawn.group, -1)


class TooFew(TinySpace):
    """Gives up where the logits leave nothing."""

    def sample(
        self, logits: Any, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Any:
        drawn = super().sample(logits, count, generator, exploration)
        kept = (drawn.codes[:, 2:4].sum(1) > 0) | bool((logits.beta > -30).any())
        return Candidates(drawn.codes[kept], drawn.group[kept])


class WrongMaskGradient(NASBench101):
    def graph(self, encoding: Any) -> Any:
        features, adjacency, mask = super().graph(encoding)
        return Graph(features, adjacency, 2 * mask - mask.detach())


class JumpingMask(NASBench101):
    """A vertex is in or out: nothing in between pulls it into the cell."""

    def graph(self, encoding: Any) -> Any:
        features, adjacency, mask = super().graph(encoding)
        return Graph(features, adjacency, (mask > 0.999).to(mask))


class FlatMask(JumpingMask):
    def graph(self, encoding: Any) -> Any:
        features, adjacency, mask = super().graph(encoding)
        return Graph(features, adjacency, mask + 0 * encoding.edges.sum())


class WideDrawing(TinySpace):
    def draw(self, architecture: str) -> Any:
        return "-" * 79


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (OtherNetwork, "isomorphic: another network"),
        (Impure, "isomorphic: not reproducible"),
        (TwoCodes, "random and neighbours: one architecture, two codes"),
        (AsSpelt, "from_string: one architecture, two codes"),
        (TellsSpellingsApart, "canonical distinguishes its orders"),
        (SeesTheOrder, "not the same graph"),
        (DeadVerticesInTheMean, "not the same graph"),
        (NegativeCount, "rejected is negative"),
        (TooFew, "sample: shape"),
        (WrongMaskGradient, "finite differences"),
        (JumpingMask, "not a function of the relaxed"),
        (FlatMask, "the mask jumps"),
        (WideDrawing, "wider than 78"),
    ],
)
def test_broken_spaces_are_named(broken: Any, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_search_space(broken())
