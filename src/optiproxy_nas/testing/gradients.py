"""Whether a search can climb: gradients of the relaxed graph in the logits."""

from __future__ import annotations

import torch
from torch import Tensor

from optiproxy_nas.spaces.base import Logits, SearchSpace
from optiproxy_nas.testing.streams import COUNT, generator, logits_of

_DIRECTIONS = 16
_STEP = 1e-5  # of a finite difference, along a direction with entries of about 1


def check_gradients(space: SearchSpace, seed: int) -> None:
    """Assert that the gradients reach (α, β), keep to their group and are the right ones."""
    alpha, beta = (part.double().requires_grad_() for part in logits_of(space, 2, seed))
    vertices, features = space.num_vertices, space.num_features
    weights = [
        torch.randn(vertices, width, generator=generator(seed), dtype=torch.float64)
        for width in (features, vertices, 1)
    ]

    def scores(alpha: Tensor, beta: Tensor) -> Tensor:
        graph = space.graph(space.relax(Logits(alpha, beta), 0.7, generator(seed), "logistic"))
        parts = zip(
            (graph.features, graph.adjacency, graph.mask.unsqueeze(-1)), weights, strict=True
        )
        return torch.stack([(part * weight).sum((-1, -2)) for part, weight in parts]).sum(0)

    logits = {"alpha": alpha, "beta": beta} if space.num_edges else {"alpha": alpha}
    for name, part in logits.items():
        (gradient,) = torch.autograd.grad(scores(alpha, beta)[0], part, allow_unused=True)
        assert gradient is not None, f"graph(relax): no gradient reaches {name}"
        assert torch.isfinite(gradient).all(), f"graph(relax): gradient of {name} not finite"
        assert (gradient[0] != 0).any(), f"graph(relax): gradient of {name} is zero"
        assert (gradient[1] == 0).all(), f"graph(relax): one group's {name} moves another's graph"
    gradients = torch.autograd.grad(scores(alpha, beta).sum(), list(logits.values()))
    # Along random directions: one wrong entry shows in each, and thousands of entries cost no more.
    stream = generator(seed)
    for _ in range(_DIRECTIONS):
        moves = [
            torch.randn(part.shape, generator=stream, dtype=torch.float64) for part in (alpha, beta)
        ]
        with torch.no_grad():
            ahead, behind = (
                scores(alpha + step * moves[0], beta + step * moves[1]).sum()
                for step in (_STEP, -_STEP)
            )
        pairs = zip(gradients, moves, strict=False)
        slope = torch.stack([(gradient * move).sum() for gradient, move in pairs]).sum()
        assert torch.isclose((ahead - behind) / (2 * _STEP), slope, rtol=1e-5, atol=1e-5), (
            "graph(relax): gradients disagree with finite differences"
        )


def check_mask(space: SearchSpace, codes: Tensor, seed: int) -> None:
    """Where architectures differ in their padding, a relaxed one fades into it, without a jump."""
    mask = space.graph(space.encode(codes)).mask
    if bool((mask == mask[0]).all()):
        return
    alpha, beta = (part.requires_grad_() for part in logits_of(space, COUNT, seed))
    relaxed = space.relax(Logits(alpha, beta), 0.7, generator(seed), "logistic")
    soft = space.graph(relaxed).mask
    assert soft.requires_grad, "graph: the mask is not a function of the relaxed architecture"
    gradients = torch.autograd.grad(soft.sum(), (alpha, beta), allow_unused=True)
    assert any(part is not None and bool((part != 0).any()) for part in gradients), (
        "graph: the mask jumps; it must be smooth in the relaxed architecture"
    )
