"""Sample from (α, β): discrete (Eq. 5, 6) and relaxed (Eq. 9, 10); temperature and entropy.

Noise comes from the caller's generator, never from a global one. Gumbel(0, 1) noise is
-log(-log u) and Logistic(0, 1) noise is log u - log(1 - u), u ~ Uniform(0, 1).
"""

from __future__ import annotations

import torch
from torch import Tensor

from optiproxy_nas.core.errors import unknown_name
from optiproxy_nas.spaces.base import Logits


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    # Clamped away from 0 and 1, where both noises are infinite.
    return torch.rand(shape, generator=generator).clamp_(1e-7, 1 - 1e-7)


def gumbel_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw i.i.d. Gumbel(0, 1) noise of the given shape."""
    return -torch.log(-torch.log(_uniform(shape, generator)))


def logistic_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw i.i.d. Logistic(0, 1) noise of the given shape (the difference of two Gumbels)."""
    return torch.logit(_uniform(shape, generator))


def masked(alpha: Tensor, allowed: Tensor | None) -> Tensor:
    """Return logits α [..., N, M], at -∞ where ``allowed`` [N, M] (``SearchSpace``) is False."""
    return alpha if allowed is None else alpha.masked_fill(~allowed, -torch.inf)


def gumbel_softmax(
    alpha: Tensor, temperature: float, generator: torch.Generator, allowed: Tensor | None = None
) -> Tensor:
    """Draw relaxed operations ŝ_o (Eq. 9): softmax((α + g) / τ) over the last axis.

    Args:
        alpha: logits [..., M].
        temperature: τ > 0. As τ -> 0 the limit is one-hot, j with probability softmax(α)_j.
        generator: draws the noise g.
        allowed: bool [N, M], the operations to draw from; None: all of them.

    Returns:
        [..., M] in [0, 1], rows sum to 1.
    """
    noise = gumbel_noise(tuple(alpha.shape), generator).to(alpha)
    return torch.softmax((masked(alpha, allowed) + noise) / temperature, dim=-1)


def binary_concrete(
    beta: Tensor, temperature: float, generator: torch.Generator, noise: str = "logistic"
) -> Tensor:
    """Draw relaxed edges ŝ_t (Eq. 10): σ((β + g) / τ), elementwise.

    Args:
        beta: log-odds, any shape.
        temperature: τ > 0.
        generator: draws the noise g.
        noise: ``"logistic"`` (Maddison et al. 2017), whose limit as τ -> 0 is
            Bernoulli(σ(β)), as appendix A.5 intends; ``"gumbel"``, Eq. 10 as printed, whose
            limit is Bernoulli(1 - exp(-exp(β))) instead.

    Returns:
        The shape of ``beta``, in [0, 1].

    Raises:
        UnknownNameError: any other noise.
    """
    draws = {"logistic": logistic_noise, "gumbel": gumbel_noise}
    if noise not in draws:
        raise unknown_name("noise", noise, draws)
    return torch.sigmoid((beta + draws[noise](tuple(beta.shape), generator).to(beta)) / temperature)


def sample_operations(
    alpha: Tensor,
    count: int,
    generator: torch.Generator,
    exploration: float = 0.0,
    allowed: Tensor | None = None,
) -> Tensor:
    """Draw discrete operations 𝒜_o ~ Cat((1 - ε) softmax(α) + ε / M) (Eq. 5 at ε = 0).

    M counts the allowed operations of the position.

    Args:
        alpha: logits [K, N, M].
        count: draws per group.
        generator: draws the operations.
        exploration: ε in [0, 1].
        allowed: bool [N, M], the operations to draw from; None: all of them.

    Returns:
        Operation indices [K, count, N], int64.
    """
    groups, nodes, choices = alpha.shape
    probability = operation_probabilities(alpha, allowed) * (1 - exploration)
    if allowed is None:
        probability = probability + exploration / choices
    else:
        probability = probability + allowed * (exploration / allowed.double().sum(-1, True))
    noise = gumbel_noise((groups, count, nodes, choices), generator).to(alpha)
    return (probability.log().unsqueeze(1) + noise).argmax(dim=-1)


def noisy_logits(
    logits: Logits,
    count: int,
    weight: float,
    generator: torch.Generator,
    allowed: Tensor | None = None,
) -> Logits:
    """Return logits of ``count`` draws a group, each with noise of its own in α's weights.

    An operation of a draw is ~ Cat ∝ softmax(α) + w·U with U ~ Uniform(0, 1), i.i.d. over the draws
    and the operations of a position, as the paper's published code draws with w = 0.3. Over many
    draws this is close to mixing in a uniform share ε = w M / (2 + w M), which grows with the
    number of allowed operations M (0.43 of five at w = 0.3); ``exploration`` is that share itself,
    whatever M is, and mixes the edges too. β is repeated as it is.

    Args:
        logits: α [K, N, M] and β [K, E].
        count: draws per group.
        weight: w >= 0.
        generator: draws U.
        allowed: bool [N, M], the operations to draw from; None: all of them.

    Returns:
        α [K count, N, M], group by group, 0 where an operation is not allowed; β [K count, E].
    """
    alpha, beta = (field.repeat_interleave(count, dim=0) for field in logits)
    noise = _uniform(tuple(alpha.shape), generator).to(alpha)
    noisy = (operation_probabilities(alpha, allowed) + weight * noise).log()
    return Logits(noisy if allowed is None else noisy.masked_fill(~allowed, 0.0), beta)


def sample_edges(
    beta: Tensor, count: int, generator: torch.Generator, exploration: float = 0.0
) -> Tensor:
    """Draw discrete edges 𝒜_t ~ Bernoulli((1 - ε) σ(β) + ε / 2) (Eq. 6 at ε = 0).

    Args:
        beta: log-odds [K, E].
        count: draws per group.
        generator: draws the edges.
        exploration: ε in [0, 1].

    Returns:
        0/1 edges [K, count, E], int64.
    """
    probability = torch.sigmoid(beta) * (1 - exploration) + exploration / 2
    uniform = torch.rand((beta.shape[0], count, beta.shape[1]), generator=generator)
    return (uniform.to(beta) < probability.unsqueeze(1)).long()


def temperature_at(epoch: int, epochs: int, base: float, minimum: float) -> float:
    """Return τ of an epoch, linear from ``base`` (first epoch) to ``minimum`` (last), Table 6."""
    progress = epoch / (epochs - 1) if epochs > 1 else 1.0
    return base + (minimum - base) * progress


def operation_probabilities(alpha: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Return softmax(α) over the allowed operations: [..., N, M], 0 for the others."""
    return torch.softmax(masked(alpha, allowed), dim=-1)


def entropy(alpha: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Return the mean entropy of softmax(α) over a group's nodes, in nats: [K, N, M] -> [K].

    ``largest_entropy`` for a uniform group; near 0 where the group has collapsed to one
    architecture.
    """
    nats: Tensor = torch.special.entr(operation_probabilities(alpha, allowed)).sum(-1)
    return nats.mean(-1)


def largest_entropy(allowed: Tensor) -> float:
    """Return the entropy of a uniform group, in nats: the mean of log M over the N nodes."""
    return float(allowed.sum(-1).double().log().mean())
