"""Check a space at its boundaries: corners of the logits, and batches of 0 architectures.

A corner has logits that leave one choice each. A search ends near one, though few corners are codes
of the space. The relaxed graph must show the architecture that sampling takes a corner for, without
vertices and edges that do not count. Where a corner is no architecture, sampling must report
rejected draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from optiproxy_nas.spaces.base import Candidates, Encoding, Logits, SearchSpace
from optiproxy_nas.testing.determinism import SURE, check_codes, generator, logits_of, point_at
from optiproxy_nas.testing.graph_checks import (
    check_discrete,
    check_encoding,
    check_graph,
    invariants,
)
from optiproxy_nas.testing.sampling_checks import extremes

Result = TypeVar("Result")

_ARCHITECTURES = 4
_CHANGES = 24  # edges, and operations, of each that are changed, one at a time
_DRAWS = 8
_COLD = 0.01  # temperature
_NOISES = 32  # one in 2^31 corners that leave two choices appears certain by chance


def check_corners(space: SearchSpace, codes: Tensor, seed: int) -> None:
    """Assert that sampling and the relaxed graph agree on the architectures of corners.

    Corners are architectures with one edge flipped, and all edges present or absent. An operation
    is replaced only where that makes no difference: a space may complete a missing input in
    several ways.

    Args:
        space: the plug-in.
        codes: valid architectures [n, L].
        seed: of the corners that are tried.

    Raises:
        AssertionError: which corner differs.
    """
    first = codes[:_ARCHITECTURES]
    edges = [_flipped_edges(space, first, seed), *extremes(space, seed)]
    logits, corners = _certain(space, Logits(*map(torch.cat, zip(*edges, strict=True))), seed)
    drawn = list(_drawn(space, logits, seed))
    for draws in drawn:
        strings = sorted(set(space.to_string(draws.codes)))
        assert len(strings) == 1 or draws.rejected, (
            "sample: rejected is 0, though logits that leave one choice are no architecture: "
            f"drawn are {strings[0]} and {strings[1]}"
        )
    _check_same_graphs(space, corners, drawn)

    owner, changed = _changed_operations(space, first, seed)
    identities = space.identify(first)
    draws = space.sample(changed, _DRAWS, generator(seed))
    is_other = torch.zeros(len(owner), dtype=torch.bool)
    for identity, group in zip(space.identify(draws.codes), draws.group.tolist(), strict=True):
        is_other[group] |= identity != identities[int(owner[group])]
    logits, corners = _certain(space, _rows(changed, ~is_other), seed)
    _check_same_graphs(space, corners, list(_drawn(space, logits, seed)))


def _check_same_graphs(space: SearchSpace, corners: Encoding, drawn: Sequence[Candidates]) -> None:
    """Assert that corners have the graphs of their architectures, in some order of vertices."""
    valid = [row for row, draws in enumerate(drawn) if draws.rejected == 0]
    if not valid:
        return
    codes = torch.stack([drawn[row].codes[0] for row in valid])
    relaxed_corners = Encoding(*(field[valid] for field in corners))
    if space.num_vertices:
        check_discrete(
            space.graph(relaxed_corners), "relaxed encodings whose logits leave one choice"
        )
    pairs = zip(
        invariants(space, relaxed_corners), invariants(space, space.encode(codes)), strict=True
    )
    for relaxed, hard in pairs:
        equal = torch.isclose(relaxed, hard).flatten(1).all(1)
        worst = codes[int(equal.int().argmin())].unsqueeze(0)
        assert equal.all(), (
            "graph: where the logits leave one choice, the relaxed graph is not that of the "
            f"architecture that is sampled, {space.to_string(worst)[0]}; parts that do not count "
            "in a discrete one must not count in a relaxed one (or was the draw replaced, and "
            "rejected is 0?)"
        )


def _flipped_edges(space: SearchSpace, codes: Tensor, seed: int) -> Logits:
    """Return logits of each of codes [n, L] with one edge flipped, for some of the edges."""
    sure = point_at(space, codes)
    order = torch.rand(sure.beta.shape, generator=generator(seed)).argsort(1)[:, :_CHANGES]
    alpha, beta = (field.repeat_interleave(order.shape[1], 0) for field in sure)
    rows, flipped = torch.arange(len(beta)), order.flatten()
    beta[rows, flipped] = -beta[rows, flipped]
    return Logits(alpha, beta)


def _changed_operations(space: SearchSpace, codes: Tensor, seed: int) -> tuple[Tensor, Logits]:
    """Return rows of codes [n, L], and their logits with another operation at one node."""
    sure, stream = point_at(space, codes), generator(seed)
    order = torch.rand(sure.alpha.shape[:2], generator=stream).argsort(1)[:, :_CHANGES]
    alpha, beta = (field.repeat_interleave(order.shape[1], 0) for field in sure)
    rows, node = torch.arange(len(alpha)), order.flatten()
    choices = alpha.shape[-1]
    shift = torch.randint(1, choices, (len(rows),), generator=stream)
    other = (alpha[rows, node].argmax(-1) + shift) % choices
    alpha[rows, node] = SURE * torch.nn.functional.one_hot(other, choices).to(alpha)
    return rows // max(1, order.shape[1]), Logits(alpha, beta)


def _certain(space: SearchSpace, logits: Logits, seed: int) -> tuple[Logits, Encoding]:
    """Return the groups whose relaxed draws are all one corner near temperature 0, and the corners.

    Edges that exclude one another may leave several choices, or none, where one is flipped.
    """
    corners: Encoding | None = None
    for number in range(_NOISES):
        if not len(logits.alpha):
            break
        drawn = space.relax(logits, _COLD, generator(seed + number), "logistic")
        rounded = Encoding(drawn.operations.round(), drawn.edges.round())
        first = corners or rounded
        kept = torch.ones(len(logits.alpha), dtype=torch.bool)
        for soft, corner, first_corner in zip(drawn, rounded, first, strict=True):
            distance = torch.maximum((soft - corner).abs(), (corner - first_corner).abs())
            kept &= (distance < 1e-3).flatten(1).all(1)
        logits, corners = _rows(logits, kept), Encoding(*(field[kept] for field in first))
    return logits, corners or Encoding(*logits)


def _drawn(space: SearchSpace, logits: Logits, seed: int) -> Iterator[Candidates]:
    """Yield draws from each group by itself; groups without rejected draws are drawn together."""
    groups = len(logits.alpha)
    if not groups:
        return
    drawn = space.sample(logits, _DRAWS, generator(seed))
    if drawn.rejected == 0 or groups == 1:
        for group in range(groups):
            rows = drawn.group == group
            yield Candidates(drawn.codes[rows], drawn.group[rows], drawn.rejected)
        return
    half = torch.arange(groups) < groups // 2
    for kept in (half, ~half):
        yield from _drawn(space, _rows(logits, kept), seed)


def _rows(logits: Logits, kept: Tensor) -> Logits:
    return Logits(logits.alpha[kept], logits.beta[kept])


def check_empty(space: SearchSpace, seed: int) -> None:
    """Assert that every method returns an empty batch, of the right shape, for an empty one."""
    none = torch.zeros(0, space.code_length, dtype=torch.int64)
    two = logits_of(space, 2, seed)
    no_groups, stream = Logits(two.alpha[:0], two.beta[:0]), generator(seed)
    codes_of: dict[str, Callable[[], Tensor]] = {
        "random": lambda: space.random(0, stream),
        "sample": lambda: space.sample(two, 0, stream).codes,
        "sample for 0 groups": lambda: space.sample(no_groups, 2, stream).codes,
        "isomorphic": lambda: space.isomorphic(none, stream),
        "neighbours": lambda: space.neighbours(none),
        "from_string": lambda: space.from_string([]),
    }
    for name, act in codes_of.items():
        check_codes(f"{name} of 0 architectures", space, _attempt(name, act), 0)
    for name in ("identify", "canonical", "to_string"):
        listed = _attempt(name, partial(getattr(space, name), none))
        assert listed == [], f"{name} of 0 architectures: {listed}"
    for name, encode in {
        "encode": partial(space.encode, none),
        "relax": partial(space.relax, no_groups, 0.7, stream, "logistic"),
    }.items():
        encoding = _attempt(name, encode)
        check_encoding(space, encoding, 0, f"{name} of 0 architectures")
        features = _attempt(f"features after {name}", partial(space.features, encoding))
        assert len(features) == 0, f"features of 0 architectures: {features}"
        if space.num_vertices:
            graph = _attempt(f"graph after {name}", partial(space.graph, encoding))
            check_graph(space, graph, 0, f"0 {name}d")


def _attempt(name: str, act: Callable[[], Result]) -> Result:
    try:
        return act()
    except Exception as error:
        raise AssertionError(f"{name} of 0 architectures fails: {error!r}") from error
