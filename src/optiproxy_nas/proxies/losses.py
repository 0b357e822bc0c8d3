"""The fitting loss ℒ = ℒ_mse + λ ℒ_rank (Eq. 4 and 5 of appendix A.4)."""

from __future__ import annotations

import torch
from torch import Tensor


def pairwise_ranking_loss(
    predictions: Tensor, targets: Tensor, margin: float, reduction: str = "sum"
) -> Tensor:
    """Hinge over all pairs with y_i > y_j: max(0, m - (f̂_i - f̂_j)), Eq. 5, vectorised.

    Args:
        predictions: [E, n].
        targets: [n] or [E, n]; ties form no pair.
        margin: m, in the units of the targets.
        reduction: ``"sum"`` as Eq. 5 is printed, or ``"mean"`` over the pairs, which keeps λ
            comparable between batch sizes.

    Returns:
        One value a member: [E].
    """
    gap = predictions.unsqueeze(-1) - predictions.unsqueeze(-2)  # [E, n, n], f̂_i - f̂_j
    ordered = targets.unsqueeze(-1) > targets.unsqueeze(-2)  # y_i > y_j
    hinge = torch.relu(margin - gap) * ordered
    total = hinge.sum((-1, -2))
    if reduction == "mean":
        return total / ordered.sum((-1, -2)).clamp(min=1)
    return total


def fitting_loss(
    predictions: Tensor,
    targets: Tensor,
    coefficient: float,
    margin: float,
    reduction: str = "sum",
    weights: Tensor | None = None,
) -> Tensor:
    """ℒ = ℒ_mse + λ ℒ_rank, one value a member: [E, n], [n] -> [E].

    ``weights`` [E, n], of mean about 1, weigh the squared errors (Bayesian bootstrap).
    """
    squared = (predictions - targets).square()
    mse = (squared if weights is None else weights * squared).mean(-1)
    if coefficient == 0:
        return mse
    return mse + coefficient * pairwise_ranking_loss(predictions, targets, margin, reduction)
