"""Algorithm 1: gradient search over (α, β) through the frozen proxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from optiproxy_nas.core.errors import ProxyError
from optiproxy_nas.core.parameters import GradientSettings
from optiproxy_nas.spaces.base import Logits, SearchSpace
from optiproxy_nas.spaces.relaxation import entropy, temperature_at


class Trace(NamedTuple):
    """What happened over the search epochs of one step, for the report."""

    temperature: Tensor  # [epochs]
    score: Tensor  # [epochs, K], ψ of each group's relaxed sample
    entropy: Tensor  # [epochs, K], of α, nats
    probability: Tensor  # [epochs, N, M], softmax(α) averaged over the groups


def optimise_logits(
    space: SearchSpace,
    proxy: nn.Module,
    logits: Logits,
    settings: GradientSettings,
    objective: Callable[[Tensor], Tensor],
    generator: torch.Generator,
) -> tuple[Logits, Trace]:
    """Maximise ψ = f̂(ŝ(α, β), θ*) by AdamW on α and β in turn, τ decaying.

    The K groups are one batch: their losses add up, and no group's sample enters another's term,
    so each follows its own gradient (Eq. 8). α is updated for ``o_epochs``, then β for
    ``t_epochs``; a space with a fixed adjacency has no β, and α is updated in every epoch.

    Args:
        space: the search space.
        proxy: the fitted proxy, its weights frozen.
        logits: (α, β) to start from; not changed.
        settings: of Algorithm 1.
        objective: predictions [E, H, K] -> the score [K] that is maximised.
        generator: draws the noise of Eq. 9 and 10.

    Raises:
        ProxyError: ψ or its gradient is not finite.
    """
    alpha = logits.alpha.clone().requires_grad_()
    beta = logits.beta.clone().requires_grad_()
    both = Logits(alpha, beta)
    optimizers = [
        torch.optim.AdamW(
            [parameter], lr=lr, weight_decay=settings.weight_decay, maximize=True, fused=True
        )
        for parameter, lr in ((alpha, settings.lr_alpha), (beta, settings.lr_beta))
    ]
    temperatures, scores, snapshots = [], [], []
    for epoch in range(settings.epochs):
        temperature = temperature_at(
            epoch, settings.epochs, settings.base_temperature, settings.min_temperature
        )
        relaxed = space.relax(both, temperature, generator, settings.noise)  # ŝ, line 6
        score = objective(proxy(relaxed))  # [K], line 7
        turn = _turn(epoch, settings, space.num_edges)
        parameter = both[turn]
        (parameter.grad,) = torch.autograd.grad(score.sum(), parameter)  # line 9
        optimizers[turn].step()  # line 10
        temperatures.append(temperature)
        scores.append(score.detach())
        snapshots.append(alpha.detach().clone())
    psi = torch.stack(scores)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in (psi, alpha, beta)):
        raise ProxyError(
            "The proxy's output or its gradient is not finite (NaN or infinite) on a relaxed "
            "architecture; no query was spent. Lower fit.lr, or check the proxy.",
            finite_epochs=int(torch.isfinite(psi).all(-1).sum()),
        )
    history = torch.stack(snapshots)  # [epochs, K, N, M]
    trace = Trace(
        temperature=torch.tensor(temperatures),
        score=psi,
        entropy=entropy(history.flatten(0, 1)).reshape(psi.shape),
        probability=torch.softmax(history, dim=-1).mean(1),
    )
    return Logits(alpha.detach(), beta.detach()), trace


def _turn(epoch: int, settings: GradientSettings, num_edges: int) -> int:
    """0 where it is α's turn, 1 where it is β's (Algorithm 1, line 10)."""
    if num_edges == 0:
        return 0
    return int(epoch % (settings.o_epochs + settings.t_epochs) >= settings.o_epochs)
