"""One architecture may be written in several ways: what must not depend on which one it is."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from optiproxy_nas.spaces.base import Graph, SearchSpace
from optiproxy_nas.testing.streams import generator


def check_spellings(space: SearchSpace, codes: Tensor, seed: int) -> None:
    """Assert that isomorphic spellings are one network in all that is said of them."""
    spelt = space.isomorphic(codes, generator(seed))
    assert spelt.shape == codes.shape, "isomorphic: not one code each"
    assert spelt.dtype == torch.int64, f"isomorphic: codes are {spelt.dtype}, not int64"
    assert torch.equal(spelt, space.isomorphic(codes, generator(seed))), (
        "isomorphic: not reproducible"
    )
    several = torch.cat([space.isomorphic(codes, generator(seed + k)) for k in range(4)])
    again = codes.repeat(4, 1)
    assert space.canonical(several) == space.canonical(again), (
        "isomorphic: another network, or canonical tells spellings apart"
    )
    parsed = space.from_string(space.to_string(several))
    assert space.identify(parsed) == space.identify(several), "isomorphic: an invalid architecture"
    same = torch.tensor(
        [
            one == two
            for one, two in zip(space.identify(several), space.identify(again), strict=True)
        ]
    )
    check_one_code_each(space, torch.cat([parsed[same], again[same]]), "from_string")
    if not bool(same.any()):
        return
    # What the benchmark does not tell apart looks the same but for the order of its vertices.
    graphs = (space.graph(space.encode(written[same])) for written in (several, again))
    for one, two in zip(*map(invariants, graphs), strict=True):
        assert torch.allclose(one, two), "graph: isomorphic architectures are not the same graph"


def check_one_code_each(space: SearchSpace, codes: Tensor, where: str) -> None:
    """Assert that codes which come out of the space are the same where the architecture is."""
    seen: dict[Hashable, tuple[int, ...]] = {}
    for identity, code in zip(space.identify(codes), map(tuple, codes.tolist()), strict=True):
        assert seen.setdefault(identity, code) == code, f"{where}: one architecture, two codes"


def invariants(graph: Graph) -> list[Tensor]:
    """What no order of the n graphs' vertices changes, [n, ...] each.

    How many there are, 1ᵀV, and VᵀA^kV for walks of k = 1, 2, 3 edges.
    """
    vertices = (graph.features * graph.mask.unsqueeze(-1)).double()
    found, walked = [graph.mask.double().sum(-1, keepdim=True), vertices.sum(-2)], vertices
    for _ in range(3):
        walked = graph.adjacency.double() @ walked
        found.append(vertices.transpose(-1, -2) @ walked)
    return found
