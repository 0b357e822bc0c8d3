"""Algorithm 1: gradient search over K groups of (α, β) through the frozen proxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from optiproxy_nas.core.adam import AdamW
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import ProxyError
from optiproxy_nas.core.parameters import GradientSettings
from optiproxy_nas.core.random_streams import numpy_generator
from optiproxy_nas.spaces.base import Logits, SearchSpace
from optiproxy_nas.spaces.relaxation import entropy, operation_probabilities, temperature_at


class Trace(NamedTuple):
    """The course of one step over its search epochs, for the report."""

    temperature: Tensor  # [epochs], τ
    score: Tensor  # [epochs, K], ψ of each group's relaxed sample
    entropy: Tensor  # [epochs, K], of α, nats
    probability: Tensor  # [epochs, N, M], softmax(α) averaged over the groups


def initial_logits(space: SearchSpace, settings: GradientSettings, seed: int, step: int) -> Logits:
    """Draw fresh (α, β) of K groups by Latin hypercube sampling (section 2.4, Table 6).

    Args:
        space: the search space.
        settings: K and the bounds.
        seed: run seed.
        step: search step, 1..S.

    Returns:
        α [K, N, M], uniform in [lhs_lower, lhs_lower + lhs_range] and stratified over the groups,
        0 where an operation is not allowed;
        β [K, E], stratified in ±lhs_range / 2 where no ``lhs_beta_*`` says otherwise: log-odds
        around 0, so that each edge starts at a probability of about one half.
    """
    allowed = space.allowed.flatten()
    choices = int(allowed.sum())
    unit = torch.from_numpy(
        latin_hypercube(
            settings.groups,
            choices + space.num_edges,
            numpy_generator(seed, step, "initial-logits").spawn(1)[0],
        )
    ).float()  # [K, choices + E]
    alpha = torch.zeros(settings.groups, len(allowed))
    alpha[:, allowed] = settings.lhs_lower + settings.lhs_range * unit[:, :choices]
    width = settings.lhs_beta_range or settings.lhs_range
    lower = settings.lhs_beta_lower
    unit = unit[:, choices:]
    beta = width * (unit - 0.5) if lower is None else lower + width * unit
    return Logits(alpha.reshape(settings.groups, space.num_nodes, -1), beta)


def latin_hypercube(count: int, width: int, draws: np.random.Generator) -> Floats:
    """Return points [count, width] in [0, 1), in each column one in each of ``count`` strata.

    They are those of ``scipy.stats.qmc.LatinHypercube``, whose import takes longer than a search.
    """
    inside = draws.uniform(size=(count, width))
    strata = np.tile(np.arange(1, count + 1), (width, 1))
    for column in strata:
        draws.shuffle(column)
    return (strata.T - inside) / count


def optimise_logits(
    space: SearchSpace,
    proxy: nn.Module,
    logits: Logits,
    settings: GradientSettings,
    score: Callable[[Tensor], Tensor],
    generator: torch.Generator,
) -> tuple[Logits, Trace]:
    """Maximise ψ = f̂(ŝ(α, β), θ*) by AdamW on α and β in turn, τ decaying.

    So do η1 and η2 where ``lr_gamma`` < 1: in epoch e, 0-based, they are multiplied by
    lr_gamma^⌊e / lr_step⌋, whosever turn the epochs before were.

    The K groups are one batch: their losses add up, and no group's sample enters another's term,
    so each follows its own gradient (Eq. 8). α is updated for ``o_epochs``, then β for
    ``t_epochs``; a space with a fixed adjacency has no β, and α is updated in every epoch.

    Args:
        space: the search space.
        proxy: the fitted proxy, its weights frozen.
        logits: (α, β) to start from; not changed.
        settings: of Algorithm 1.
        score: predictions [E, H, K] -> ψ [K].
        generator: draws the noise of Eq. 9 and 10.

    Returns:
        (α*, β*) of the K groups, and the trace of the epochs.

    Raises:
        ProxyError: ψ or its gradient is not finite.
    """
    alpha = logits.alpha.clone().requires_grad_()
    beta = logits.beta.clone().requires_grad_()
    searched = Logits(alpha, beta)
    rates = settings.lr_alpha, settings.lr_beta
    optimizers = [
        AdamW([parameter], rate, settings.weight_decay, maximize=True)
        for parameter, rate in zip(searched, rates, strict=True)
    ]
    temperatures, scores, snapshots = [], [], []
    for epoch in range(settings.epochs):
        temperature = temperature_at(
            epoch, settings.epochs, settings.base_temperature, settings.min_temperature
        )
        relaxed = space.relax(searched, temperature, generator, settings.noise)  # ŝ, line 6
        psi = score(proxy(relaxed))  # [K], line 7
        turn = _turn(epoch, settings, space.num_edges)
        optimizers[turn].lr = rates[turn] * settings.lr_gamma ** (epoch // settings.lr_step)
        optimizers[turn].step(torch.autograd.grad(psi.sum(), searched[turn]))  # lines 9 and 10
        temperatures.append(temperature)
        scores.append(psi.detach())
        snapshots.append(alpha.detach().clone())
    curve = torch.stack(scores)  # [epochs, K]
    if not all(bool(torch.isfinite(tensor).all()) for tensor in (curve, alpha, beta)):
        raise ProxyError(
            "The proxy's output or its gradient is not finite (NaN or infinite) on a relaxed "
            "architecture; no query was spent. Lower fit.lr, or check the proxy.",
            finite_epochs=int(torch.isfinite(curve).all(-1).sum()),
        )
    history = torch.stack(snapshots)  # [epochs, K, N, M]
    trace = Trace(
        temperature=torch.tensor(temperatures),
        score=curve,
        entropy=entropy(history.flatten(0, 1), space.allowed).reshape(curve.shape),
        probability=operation_probabilities(history, space.allowed).mean(1),
    )
    return Logits(alpha.detach(), beta.detach()), trace


def _turn(epoch: int, settings: GradientSettings, num_edges: int) -> int:
    """Return 0 in an epoch that updates α, 1 in one that updates β (Algorithm 1, line 10)."""
    if num_edges == 0:
        return 0
    return int(epoch % (settings.o_epochs + settings.t_epochs) >= settings.o_epochs)
