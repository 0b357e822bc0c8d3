"""Corners: logits that leave one choice each, though few corners are codes of the space.

A search ends near one. What sampling takes it for, the relaxed graph must show, without the parts
that do not count; where it is no architecture, sampling must say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from optiproxy_nas.spaces.base import Candidates, Encoding, Graph, Logits, SearchSpace
from optiproxy_nas.testing.determinism import SURE, generator, logits_of, point_at
from optiproxy_nas.testing.graph_checks import check_discrete, invariants
from optiproxy_nas.testing.sampling_checks import extremes

Result = TypeVar("Result")

_ARCHITECTURES = 4
_CHANGES = 24  # edges, and operations, of each that are changed, one at a time
_DRAWS = 8
_COLD = 0.01  # temperature
_NOISES = 32  # by chance one in 2^31 corners that leave two choices seems certain


def check_corners(space: SearchSpace, codes: Tensor, seed: int) -> None:
    """Assert that sampling and the relaxed graph agree on what corners are.

    One edge of an architecture is turned over, or all edges are as one. An operation is replaced
    only where that makes no difference: a space may complete in several ways what lacks an input.
    """
    some = codes[:_ARCHITECTURES]
    edges = [_turned_edges(space, some, seed), *extremes(space, seed)]
    logits, corners = _certain(space, Logits(*map(torch.cat, zip(*edges, strict=True))), seed)
    drawn = list(_drawn(space, logits, seed))
    for draws in drawn:
        found = sorted(set(space.to_string(draws.codes)))
        assert len(found) == 1 or draws.rejected, (
            "sample: rejected is 0, though logits that leave one choice are no architecture: "
            f"drawn are {found[0]} and {found[1]}"
        )
    _check_same_graphs(space, corners, drawn)

    owner, changed = _changed_operations(space, some, seed)
    own = space.identify(some)
    tried = space.sample(changed, _DRAWS, generator(seed))
    other = torch.zeros(len(owner), dtype=torch.bool)
    for identity, group in zip(space.identify(tried.codes), tried.group.tolist(), strict=True):
        other[group] |= identity != own[int(owner[group])]
    logits, corners = _certain(space, _rows(changed, ~other), seed)
    _check_same_graphs(space, corners, list(_drawn(space, logits, seed)))


def _check_same_graphs(space: SearchSpace, corners: Encoding, drawn: Sequence[Candidates]) -> None:
    """Assert that the corners which are architectures look like them, in some order of vertices."""
    valid = [row for row, draws in enumerate(drawn) if draws.rejected == 0]
    if not valid:
        return
    codes = torch.stack([drawn[row].codes[0] for row in valid])
    graph = space.graph(Encoding(*(part[valid] for part in corners)))
    discrete = space.graph(space.encode(codes))
    check_discrete(graph, "relaxed encodings whose logits leave one choice")
    for one, two in zip(invariants(graph), invariants(discrete), strict=True):
        same = torch.isclose(one, two).flatten(1).all(1)
        worst = codes[int(same.int().argmin())].unsqueeze(0)
        assert same.all(), (
            "graph: where the logits leave one choice, the relaxed graph is not that of the "
            f"architecture that is sampled, {space.to_string(worst)[0]}; parts that do not count "
            "in a discrete one must not count in a relaxed one (or was the draw replaced, and "
            "rejected is 0?)"
        )


def _turned_edges(space: SearchSpace, codes: Tensor, seed: int) -> Logits:
    """Each of codes [n, L] with one edge turned over, for some of the edges."""
    sure = point_at(space, codes)
    order = torch.rand(sure.beta.shape, generator=generator(seed)).argsort(1)[:, :_CHANGES]
    alpha, beta = (part.repeat_interleave(order.shape[1], 0) for part in sure)
    rows, turned = torch.arange(len(beta)), order.flatten()
    beta[rows, turned] = -beta[rows, turned]
    return Logits(alpha, beta)


def _changed_operations(space: SearchSpace, codes: Tensor, seed: int) -> tuple[Tensor, Logits]:
    """Each of codes [n, L] with another operation at one node, and which of them it is."""
    sure, stream = point_at(space, codes), generator(seed)
    order = torch.rand(sure.alpha.shape[:2], generator=stream).argsort(1)[:, :_CHANGES]
    alpha, beta = (part.repeat_interleave(order.shape[1], 0) for part in sure)
    rows, node = torch.arange(len(alpha)), order.flatten()
    choices = alpha.shape[-1]
    shift = torch.randint(1, choices, (len(rows),), generator=stream)
    other = (alpha[rows, node].argmax(-1) + shift) % choices
    alpha[rows, node] = SURE * torch.nn.functional.one_hot(other, choices).to(alpha)
    return rows // max(1, order.shape[1]), Logits(alpha, beta)


def _certain(space: SearchSpace, logits: Logits, seed: int) -> tuple[Logits, Encoding]:
    """The groups whose relaxed draws are all one corner at a temperature near 0, and that corner.

    Edges that exclude one another may leave several choices, or none, where one is turned over.
    """
    corners: Encoding | None = None
    for number in range(_NOISES):
        if not len(logits.alpha):
            break
        drawn = space.relax(logits, _COLD, generator(seed + number), "logistic")
        rounded = Encoding(drawn.operations.round(), drawn.edges.round())
        first = corners or rounded
        kept = torch.ones(len(logits.alpha), dtype=torch.bool)
        for part, near, same in zip(drawn, rounded, first, strict=True):
            off = torch.maximum((part - near).abs(), (near - same).abs())
            kept &= (off < 1e-3).flatten(1).all(1)
        logits, corners = _rows(logits, kept), Encoding(*(part[kept] for part in first))
    return logits, corners or Encoding(*logits)


def _drawn(space: SearchSpace, logits: Logits, seed: int) -> Iterator[Candidates]:
    """Draws from each group by itself; those of which none is rejected are drawn together."""
    groups = len(logits.alpha)
    if not groups:
        return
    drawn = space.sample(logits, _DRAWS, generator(seed))
    if drawn.rejected == 0 or groups == 1:
        for group in range(groups):
            own = drawn.group == group
            yield Candidates(drawn.codes[own], drawn.group[own], drawn.rejected)
        return
    half = torch.arange(groups) < groups // 2
    for part in (half, ~half):
        yield from _drawn(space, _rows(logits, part), seed)


def _rows(logits: Logits, kept: Tensor) -> Logits:
    return Logits(logits.alpha[kept], logits.beta[kept])


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
