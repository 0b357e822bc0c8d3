"""The tests' own space with searched edges is what the other tests take it for."""

from __future__ import annotations

import itertools

import torch

from tiny_space import TinySpace


def test_all_72_architectures(tiny: TinySpace) -> None:
    codes = torch.tensor(list(itertools.product(range(3), range(3), *[range(2)] * 3)))
    assert len(set(tiny.to_string(codes))) == tiny.size == 72
    assert torch.equal(tiny.from_string(tiny.to_string(codes)), codes)
    graph = tiny.graph(tiny.encode(codes))
    assert graph.adjacency[:, 4].sum() == graph.adjacency[:, :, 4].sum() == 0
    assert len(set(tiny.canonical(codes))) < 72
