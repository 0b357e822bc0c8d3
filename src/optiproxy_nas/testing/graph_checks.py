"""Check the graph and the features of discrete and relaxed architectures, and their gradients.

A space without a graph (``num_vertices`` 0) is checked by its features alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from optiproxy_nas.spaces.base import Encoding, Graph, Logits, SearchSpace
from optiproxy_nas.testing.determinism import COUNT, generator, logits_of, point_at

_DIRECTIONS = 16
_STEP = 1e-5  # of a finite difference, along a direction with entries of about 1


def check_encoding(space: SearchSpace, encoding: Encoding, count: int, name: str) -> None:
    """Assert that ``encoding`` is of ``count`` architectures; ``name`` is for the message."""
    shapes = ((count, space.num_nodes, len(space.operations)), (count, space.num_edges))
    for field, value, shape in zip(Encoding._fields, encoding, shapes, strict=True):
        assert value.shape == shape, f"{name}: {field} {tuple(value.shape)}, not {shape}"


def check_features(space: SearchSpace, encoding: Encoding, count: int, name: str) -> None:
    """Assert that features are one finite vector an architecture, whatever else is in its batch."""
    features = space.features(encoding)
    assert features.dim() == 2, f"features of {name} encodings: not [n, D]"
    assert len(features) == count, f"features of {name} encodings: {len(features)}, not {count}"
    assert torch.isfinite(features).all(), f"features of {name} encodings: not finite"
    first = Encoding(encoding.operations[:1], encoding.edges[:1])
    assert torch.allclose(features[:1], space.features(first), rtol=0, atol=1e-6), (
        f"features of {name} encodings depend on the rest of the batch"
    )


def check_rows_alone(space: SearchSpace, encoding: Encoding, tolerance: float, name: str) -> None:
    """Assert that the graph of an encoding does not depend on the rest of its batch."""
    batch = space.graph(encoding)
    alone = space.graph(Encoding(encoding.operations[:1], encoding.edges[:1]))
    for field, whole, row in zip(Graph._fields, batch, alone, strict=True):
        assert torch.allclose(whole[:1], row, rtol=0, atol=tolerance), (
            f"graph: {field} of {name} encodings depends on the rest of the batch"
        )


def check_graph(space: SearchSpace, graph: Graph, count: int, name: str) -> None:
    """Assert that ``graph`` is ``count`` DAGs of the right shape, from inputs to outputs.

    Args:
        space: the plug-in.
        graph: of n encodings.
        count: n.
        name: of the encodings, for the message.
    """
    vertices, features = space.num_vertices, space.num_features
    shapes = ((count, vertices, features), (count, vertices, vertices), (count, vertices))
    for field, value, shape in zip(Graph._fields, graph, shapes, strict=True):
        assert value.shape == shape, (
            f"graph of {name} encodings: {field} {tuple(value.shape)}, {shape}"
        )
        assert ((value >= 0) & (value <= 1)).all(), f"graph of {name} encodings: {field} beyond 0-1"
    paths = torch.linalg.matrix_power((graph.adjacency > 0).double(), vertices)
    assert (paths == 0).all(), f"graph of {name} encodings: has a cycle"
    inputs, outputs = (graph.features[..., column] == 1 for column in (0, -1))
    # Where a graph has several components, the output of one may feed the inputs of the next.
    within = graph.adjacency * ~(outputs.unsqueeze(-1) & inputs.unsqueeze(-2))
    for problem, weights in (
        ("enters an input", within.transpose(-1, -2)[inputs]),
        ("leaves an output", within[outputs]),
    ):
        assert (weights == 0).all(), (
            f"graph of {name} encodings: an edge {problem}; a row of the adjacency is the vertex "
            "from which edges go (of a vertex's features, the first is input, the last output)"
        )


def check_discrete(graph: Graph, name: str) -> None:
    """Assert that all vertices of discrete architectures but their padding are labelled.

    Args:
        graph: n architectures.
        name: of the architectures, for the message.
    """
    assert ((graph.mask == 0) | (graph.mask == 1)).all(), f"graph of {name}: mask not 0 or 1"
    padding = (graph.mask == 0).unsqueeze(-1)
    assert (graph.features * padding == 0).all(), (
        f"graph of {name}: a padding vertex has features; they must be times the mask"
    )
    touched = graph.adjacency * (padding | padding.transpose(-1, -2))
    assert (touched == 0).all(), (
        f"graph of {name}: an edge touches a padding vertex; it must be times the mask at its ends"
    )
    unlabelled = (graph.features == 0).all(-1) & (graph.mask != 0)
    assert not unlabelled.any(), (
        f"graph of {name}: a vertex without any label is not masked as padding"
    )
    for column, label in ((0, "input"), (-1, "output")):
        has_label = (graph.features[..., column] == 1).any(-1)
        assert has_label.all(), (
            f"graph of {name}: no vertex is labelled {label} (1 as the "
            f"{'last' if column else 'first'} of its features)"
        )


def invariants(space: SearchSpace, encoding: Encoding) -> list[Tensor]:
    """Return what does not depend on the order of n graphs' vertices, [n, ...] each.

    The number of vertices, 1ᵀV, and VᵀA^kV for walks of k = 1, 2, 3 edges; of a space without a
    graph its features.
    """
    if not space.num_vertices:
        return [space.features(encoding)]
    graph = space.graph(encoding)
    vertices = (graph.features * graph.mask.unsqueeze(-1)).double()
    statistics, walked = [graph.mask.double().sum(-1, keepdim=True), vertices.sum(-2)], vertices
    for _ in range(3):
        walked = graph.adjacency.double() @ walked
        statistics.append(vertices.transpose(-1, -2) @ walked)
    return statistics


def check_relaxation(space: SearchSpace, codes: Tensor, seed: int) -> None:
    """Assert that relaxed draws and their graphs have the right limits as τ -> 0 and τ -> ∞."""
    hard = space.encode(codes)
    for noise in ("logistic", "gumbel"):
        cold = space.relax(point_at(space, codes), 0.1, generator(seed), noise)
        for field, value, limit in zip(Encoding._fields, cold, hard, strict=True):
            assert torch.allclose(value, limit, atol=1e-3), (
                f"relax: limit of {field}, {noise} noise"
            )
        limits = [("features", space.features(cold), space.features(hard))]
        if space.num_vertices:
            fields = map("graph: {}".format, Graph._fields)
            limits += zip(fields, space.graph(cold), space.graph(hard), strict=True)
        for field, value, limit in limits:
            assert torch.allclose(value, limit, atol=1e-2), f"limit of {field}"
        soft = space.relax(logits_of(space, COUNT, seed), 0.7, generator(seed), noise)
        again = space.relax(logits_of(space, COUNT, seed), 0.7, generator(seed), noise)
        assert all(map(torch.equal, soft, again)), "relax: not reproducible"
        assert torch.allclose(soft.operations.sum(-1), torch.ones(())), (
            "relax: rows do not sum to 1"
        )
        check_features(space, soft, COUNT, "soft")
        if space.num_vertices:
            check_graph(space, space.graph(soft), COUNT, "soft")
            check_rows_alone(space, soft, 1e-6, "soft")
    random_logits = logits_of(space, COUNT, seed)
    cold = space.relax(random_logits, 1e-4, generator(seed), "logistic")
    certain = torch.cat([cold.operations.amax(-1).flatten(), (2 * cold.edges - 1).abs().flatten()])
    assert (certain > 0.99).double().mean() > 0.95, "relax: not discrete as the temperature falls"
    warm = space.relax(random_logits, 1e4, generator(seed), "logistic")
    # A share may be outside the allowed ones: of positions that do not exist for certain.
    flat = space.allowed / space.allowed.sum(-1, keepdim=True)
    shown = warm.operations * space.allowed
    existing = shown.sum(-1, keepdim=True)
    assert torch.allclose(shown, flat * existing, rtol=1e-2, atol=1e-5), (
        "relax: not flat over the allowed operations at high temperature"
    )


def check_gradients(space: SearchSpace, seed: int) -> None:
    """Assert that gradients reach (α, β), stay within their group, and match finite differences."""
    _check_gradients(space, seed, "features", space.features)
    if not space.num_vertices:
        return

    def graph_vector(encoding: Encoding) -> Tensor:
        return torch.cat([field.flatten(1) for field in space.graph(encoding)], dim=1)

    _check_gradients(space, seed, "graph", graph_vector)


def _check_gradients(
    space: SearchSpace, seed: int, view: str, vector: Callable[[Encoding], Tensor]
) -> None:
    """Check the gradient of a weighted sum of ``vector``, encodings -> [n, D], named ``view``."""
    alpha, beta = (field.double().requires_grad_() for field in logits_of(space, 2, seed))

    def scores(alpha: Tensor, beta: Tensor) -> Tensor:
        seen = vector(space.relax(Logits(alpha, beta), 0.7, generator(seed), "logistic"))
        weights = torch.randn(seen.shape[1], generator=generator(seed), dtype=torch.float64)
        return seen @ weights

    logits = {"alpha": alpha, "beta": beta} if space.num_edges else {"alpha": alpha}
    for name, field in logits.items():
        (gradient,) = torch.autograd.grad(scores(alpha, beta)[0], field, allow_unused=True)
        assert gradient is not None, f"{view}(relax): no gradient reaches {name}"
        assert torch.isfinite(gradient).all(), f"{view}(relax): gradient of {name} not finite"
        assert (gradient[0] != 0).any(), f"{view}(relax): gradient of {name} is zero"
        assert (gradient[1] == 0).all(), f"{view}(relax): one group's {name} moves another's"
    gradients = torch.autograd.grad(scores(alpha, beta).sum(), list(logits.values()))
    # Every random direction shows one wrong entry, and thousands of entries cost no more.
    stream = generator(seed)
    for _ in range(_DIRECTIONS):
        moves = [
            torch.randn(field.shape, generator=stream, dtype=torch.float64)
            for field in (alpha, beta)
        ]
        with torch.no_grad():
            ahead, behind = (
                scores(alpha + step * moves[0], beta + step * moves[1]).sum()
                for step in (_STEP, -_STEP)
            )
        pairs = zip(gradients, moves, strict=False)
        slope = torch.stack([(gradient * move).sum() for gradient, move in pairs]).sum()
        assert torch.isclose((ahead - behind) / (2 * _STEP), slope, rtol=1e-5, atol=1e-5), (
            f"{view}(relax): gradients disagree with finite differences"
        )


def check_mask(space: SearchSpace, codes: Tensor, seed: int) -> None:
    """Assert that the mask is smooth in relaxed architectures, where discrete masks differ."""
    if not space.num_vertices:
        return
    mask = space.graph(space.encode(codes)).mask
    if bool((mask == mask[0]).all()):
        return
    alpha, beta = (field.requires_grad_() for field in logits_of(space, COUNT, seed))
    relaxed = space.relax(Logits(alpha, beta), 0.7, generator(seed), "logistic")
    soft = space.graph(relaxed).mask
    assert soft.requires_grad, "graph: the mask is not a function of the relaxed architecture"
    gradients = torch.autograd.grad(soft.sum(), (alpha, beta), allow_unused=True)
    assert any(gradient is not None and bool((gradient != 0).any()) for gradient in gradients), (
        "graph: the mask jumps; it must be smooth in the relaxed architecture"
    )
