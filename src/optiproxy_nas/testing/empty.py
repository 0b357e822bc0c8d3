"""Whether a space takes 0 architectures, and 0 groups, like any other number of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch

from optiproxy_nas.spaces.base import Encoding, Graph, Logits, SearchSpace
from optiproxy_nas.testing.streams import generator, logits_of

Result = TypeVar("Result")


def check_empty(space: SearchSpace, seed: int) -> None:
    """Assert that every method gives an empty batch, of the right shape, for an empty one."""
    none = torch.zeros(0, space.code_length, dtype=torch.int64)
    two = logits_of(space, 2, seed)
    no_groups = Logits(two.alpha[:0], two.beta[:0])
    drawn = _tried("sample", partial(space.sample, two, 0, generator(seed)))
    undrawn = _tried("sample for 0 groups", partial(space.sample, no_groups, 2, generator(seed)))
    for name, codes in {
        "random": _tried("random", partial(space.random, 0, generator(seed))),
        "sample": drawn.codes,
        "sample for 0 groups": undrawn.codes,
        "isomorphic": _tried("isomorphic", partial(space.isomorphic, none, generator(seed))),
        "neighbours": _tried("neighbours", partial(space.neighbours, none)),
        "from_string": _tried("from_string", partial(space.from_string, [])),
    }.items():
        assert codes.shape == none.shape, f"{name} of 0 architectures: {tuple(codes.shape)}"
        assert codes.dtype == none.dtype, f"{name} of 0 architectures: {codes.dtype}, not int64"
    for name, listed in {
        "identify": _tried("identify", partial(space.identify, none)),
        "canonical": _tried("canonical", partial(space.canonical, none)),
        "to_string": _tried("to_string", partial(space.to_string, none)),
    }.items():
        assert listed == [], f"{name} of 0 architectures: {listed}"
    relax = partial(space.relax, no_groups, 0.7, generator(seed), "logistic")
    for name, encoding in {
        "encode": _tried("encode", partial(space.encode, none)),
        "relax": _tried("relax", relax),
    }.items():
        vertices = space.num_vertices
        _check_shapes(
            name, encoding, ((space.num_nodes, len(space.operations)), (space.num_edges,))
        )
        graph: Graph = _tried(f"graph after {name}", partial(space.graph, encoding))
        _check_shapes(
            f"graph after {name}",
            graph,
            ((vertices, space.num_features), (vertices, vertices), (vertices,)),
        )


def _tried(name: str, act: Callable[[], Result]) -> Result:
    try:
        return act()
    except Exception as error:
        raise AssertionError(f"{name} of 0 architectures fails: {error!r}") from error


def _check_shapes(name: str, parts: Encoding | Graph, wanted: tuple[tuple[int, ...], ...]) -> None:
    for field, part, shape in zip(parts._fields, parts, wanted, strict=True):
        assert part.shape == (0, *shape), f"{name} of 0 architectures: {field} {tuple(part.shape)}"
