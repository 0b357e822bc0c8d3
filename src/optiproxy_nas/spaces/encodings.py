"""Encodings of architectures as vectors (White et al. 2020, "A study on encodings for NAS").

The adjacency encoding (``vertex_tokens``) and the path encoding are computed from the labelled
graph (``SearchSpace.graph``), so they fit every space. They are the same function for discrete and
relaxed architectures, smooth in between, with a gradient at the corners as well. For a discrete
architecture they are exactly 0 or 1 where its graph is. The graph of NAS-Bench-NLP also has labels
of hidden states (1/4, 1/2, 3/4) and weights of a blend's inputs (1/2, 3/4): the adjacency encoding
holds them as they are, the path encoding holds their products.

The label of a vertex is its row of ``features``: first the input, then the M operations, last the
output, as in all spaces of this package.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.spaces.base import Encoding, Graph, SearchSpace
from optiproxy_nas.spaces.graph_space import require_graph

MAX_PATHS = 10_000  # label sequences; a fitted layer of 64 on top has then 640,000 weights


def graph_features(space: SearchSpace, encoding: Encoding) -> Tensor:
    """Return [s_o, s_t, 1ᵀV, VᵀAV] of n encodings, [n, D].

    Of a space without a graph, its features alone.
    """
    if not space.num_vertices:
        return space.features(encoding)
    graph = space.graph(encoding)
    vertices = graph.features  # [n, V, F], 0 where masked
    counts = vertices.sum(-2)
    pairs = vertices.transpose(-1, -2) @ (graph.adjacency @ vertices)  # [n, F, F]
    return torch.cat([space.features(encoding), counts, pairs.flatten(1)], dim=1)


def connected_counts(space: SearchSpace, encoding: Encoding) -> Tensor:
    """Return how many operations of each kind lie on a path from input to output: [n, F].

    Of a cell with many ``none`` (an operation that gives zeros) most others change nothing.
    Relaxed, the presence of vertices counts as independent, as in :func:`path_indicators`. Without
    ``none`` among the operations, or without a graph, there is nothing to count: [n, 0].
    """
    if not space.num_vertices or "none" not in space.operations:
        return encoding.operations.new_zeros(len(encoding.operations), 0)
    graph = space.graph(encoding)
    labels = graph.features  # [n, V, F], 0 where masked
    passes = labels.sum(-1) - labels[..., 1 + list(space.operations).index("none")]  # [n, V]
    reached, leads = labels[..., 0], labels[..., -1]  # from the input, to the output
    for _ in range(_longest_path(graph.adjacency)):
        reached = _either(labels[..., 0], passes * _any(graph.adjacency * reached[..., None], 1))
        leads = _either(labels[..., -1], passes * _any(graph.adjacency * leads[:, None], 2))
    counts: Tensor = (labels * (reached * leads)[..., None]).sum(-2)
    return counts


def _longest_path(adjacency: Tensor) -> int:
    """Return the edges of the longest path that any of the graphs [n, V, V] has."""
    links = (adjacency > 0).any(0).float()
    walks, length = links, 0
    while bool(walks.any()):
        walks, length = (walks @ links).clamp_max(1), length + 1
    return length


def _either(left: Tensor, right: Tensor) -> Tensor:
    return left + right - left * right


def vertex_tokens(graph: Graph) -> Tensor:
    """Return each vertex's label and incoming edges [n, V, F + V], zero for padding."""
    incoming = graph.adjacency.transpose(-1, -2)
    return torch.cat([graph.features, incoming], dim=-1)


def searched_vertices(space: SearchSpace) -> list[int]:
    """Return the vertices whose label or incoming edges depend on the architecture, in order."""
    # Whatever depends on the architecture differs between two points in general position.
    generator = torch.Generator().manual_seed(0)
    operations = torch.rand(2, space.num_nodes, len(space.operations), generator=generator)
    edges = torch.rand(2, space.num_edges, generator=generator)
    first, second = vertex_tokens(space.graph(Encoding(operations.softmax(-1), edges)))
    vertices: list[int] = (first != second).any(-1).nonzero().flatten().tolist()
    return vertices


def path_lengths(space: SearchSpace, longest: int | None = None) -> tuple[int, ...]:
    """Return the lengths, in operations, of the paths of the space up to ``longest``, ascending.

    Raises:
        ParameterError: no path is that short, there are more than ``MAX_PATHS`` label sequences,
            the graph's labels are not input, operations, output, or the space has no graph.
    """
    require_graph(space)
    choices = len(space.operations)
    if space.num_features != choices + 2:
        raise ParameterError(
            f"The path encoding needs vertex labels that are input, {choices} operations, output; "
            f"the graph of space {space.name!r} has {space.num_features} labels, not {choices + 2}."
            " Use another encoding or proxy for this space.",
            space=space.name,
            labels=space.num_features,
        )
    # With every operation and edge present to some extent, every possible path is in the graph.
    operations = torch.full((1, space.num_nodes, choices), 1 / choices)
    features, adjacency, _ = space.graph(Encoding(operations, torch.ones(1, space.num_edges)))
    labels = (features > 0).float()[0]  # [V, F]
    links = (adjacency > 0).float()[0]
    ends = (links @ labels[:, -1]) > 0  # [V] can be the last before the output
    reached, lengths = labels[:, 0], []
    for length in range(space.num_vertices if longest is None else longest + 1):
        if bool((reached * ends).any()):
            lengths.append(length)
        reached = ((reached @ links) * labels[:, 1:-1].sum(-1) > 0).float()
    _check_lengths(space, lengths, longest)
    return tuple(lengths)


def _check_lengths(space: SearchSpace, lengths: Sequence[int], longest: int | None) -> None:
    choices = len(space.operations)
    totals = list(accumulate(choices**length for length in lengths))
    if not lengths:
        raise ParameterError(
            f"No path from input to output of space {space.name!r} has at most {longest} "
            "operations. Raise longest.",
            space=space.name,
            longest=longest,
        )
    if totals[-1] > MAX_PATHS:
        fitting = [n for n, total in zip(lengths, totals, strict=True) if total <= MAX_PATHS]
        raise ParameterError(
            f"The path encoding of space {space.name!r} has {totals[-1]} sequences of up to "
            f"{max(lengths)} out of {choices} operations; the limit is {MAX_PATHS}. Truncate it: "
            f"longest={max(fitting, default=0)} (proxy truncated_path_mlp), or use another "
            "encoding.",
            space=space.name,
            paths=totals[-1],
            limit=MAX_PATHS,
        )


def path_indicators(graph: Graph, lengths: Collection[int]) -> Tensor:
    """Return the path encoding [n, P] in [0, 1]: which label sequences lead from input to output.

    Columns are by length, then lexicographic in the operations' order, the first operation being
    the most significant: 5 + 25 + 125 of NAS-Bench-201. An edge from input to output is a path of
    length 0. P grows as M^longest, the work as n · V² · M^(longest - 1).

    The state [n, V, M^k] marks the sequences of k operations that lead from an input to a vertex.
    It goes along the edges, and where several arrive, any of them suffices: 1 - Π(1 - p). At the
    corners that is "or"; unlike a clipped count it has a gradient in between. Where paths with the
    same sequence share no vertex, as in NAS-Bench-201, it is the probability that the sequence
    occurs when vertices draw their operation, and edges their presence, independently.
    """
    labels = graph.features  # [n, V, F], 0 where masked
    exits = _any(graph.adjacency * labels[:, None, :, -1], 2)  # [n, V] leads to an output
    state = labels[..., :1]  # [n, V, 1]
    indicators = []
    for length in range(max(lengths) + 1):
        if length:
            arriving = _any(graph.adjacency.unsqueeze(-1) * state.unsqueeze(2), 1)
            state = (arriving.unsqueeze(-1) * labels.unsqueeze(-2)[..., 1:-1]).flatten(2)
        if length in lengths:
            indicators.append(_any(exits.unsqueeze(-1) * state, 1))
    return torch.cat(indicators, dim=1)


def _any(probability: Tensor, dim: int) -> Tensor:
    """Return 1 - Π(1 - p) along ``dim``, by halves: the gradient is exact where factors are 0."""
    missing = 1 - probability
    while (size := missing.shape[dim]) > 1:
        half = size // 2
        pairs = missing.narrow(dim, 0, half) * missing.narrow(dim, half, half)
        missing = (
            torch.cat([pairs, missing.narrow(dim, 2 * half, 1)], dim=dim) if size % 2 else pairs
        )
    return 1 - missing.squeeze(dim)
