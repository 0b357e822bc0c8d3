"""The fitting loss ℒ = ℒ_mse + λ ℒ_rank (Eq. 4 and 5 of appendix A.4)."""

from __future__ import annotations

import torch
from torch import Tensor


def pairwise_ranking_loss(
    predictions: Tensor, targets: Tensor, margin: float, reduction: str = "sum"
) -> Tensor:
    """Return the hinge over all pairs with y_i > y_j: max(0, m - (f̂_i - f̂_j)), Eq. 5.

    Args:
        predictions: [..., n].
        targets: [..., n]; ties form no pair, nor does NaN with anything.
        margin: m, in the units of the targets.
        reduction: ``"sum"`` as Eq. 5 is printed, or ``"mean"`` over the pairs, which keeps λ
            comparable between batch sizes.

    Returns:
        [...], one value >= 0 for each set of n.
    """
    gap = predictions.unsqueeze(-1) - predictions.unsqueeze(-2)  # [..., n, n], f̂_i - f̂_j
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
    """Return ℒ = ℒ_mse + λ ℒ_rank summed over the heads, one value a member: [E].

    Args:
        predictions: [E, H, n].
        targets: [H, n]; NaN: not observed, and in no term.
        coefficient: λ >= 0.
        margin: m, in the units of the targets.
        reduction: of the ranking loss.
        weights: [E, n], of mean about 1, weigh the squared errors (Bayesian bootstrap).
    """
    observed = ~torch.isnan(targets)
    squared = (predictions - torch.nan_to_num(targets)).square()
    if weights is not None:
        squared = weights.unsqueeze(1) * squared
    if bool(observed.all()):
        mse = squared.mean(-1)  # [E, H]
    else:
        total = torch.where(observed, squared, 0.0).sum(-1)
        mse = total / observed.sum(-1).clamp(min=1)
    if coefficient != 0:
        mse = mse + coefficient * pairwise_ranking_loss(predictions, targets, margin, reduction)
    return mse.sum(-1)
