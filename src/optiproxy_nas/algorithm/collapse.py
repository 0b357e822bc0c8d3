"""Mode collapse: the K groups of (α, β) offer nothing new any more, and nothing new is found.

In the language of the groups' distributions p_k (softmax(α_k) at each node, σ(β_k) at each edge):

    H(mean_k p_k)  =  mean_k H(p_k)  +  Jensen-Shannon divergence of the p_k
       spread      =      within     +       between

each averaged over the choices and divided by the logarithm of their options, so in [0, 1]. The
spread is that of the pool that candidates are drawn from: 1 any architecture is as likely as
another, 0 all K groups hold the same single one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from optiproxy_nas.core.parameters import StrictModel
from optiproxy_nas.spaces.relaxation import masked, operation_probabilities


class CollapseSettings(StrictModel):
    """When the mode-collapse alarm fires."""

    patience: int = Field(20, ge=1, description="queries without a new best before it may fire")
    spread: float = Field(0.1, ge=0, le=1, description="alarm where the spread is below this")
    distance: float = Field(0.05, ge=0, le=1, description="alarm where the groups are closer")


def group_numbers(logits: Mapping[str, Tensor], allowed: Tensor) -> dict[str, float]:
    """Return how different the K groups are, and how decided.

    Args:
        logits: alpha [K, N, M] and beta [K, E].
        allowed: bool [N, M], the options of each node; those with one are left out.

    Returns:
        ``spread``, ``within``, ``between``: see the module. ``distance``: mean total variation
        distance of two groups over pairs and choices, 0 (equal) to 1 (disjoint); NaN for one
        group. ``modes``: distinct most probable architectures, 1..K. ``agreement``: the largest
        share of groups that have the same one. ``collapse``: 1 - spread.
    """
    alpha, beta = logits["alpha"].double(), logits["beta"].double()
    edges = torch.sigmoid(beta)
    open_nodes = allowed.sum(-1) > 1
    nodes = operation_probabilities(alpha, allowed)[:, open_nodes]
    choices = [nodes, torch.stack([edges, 1 - edges], -1)]  # [K, choices, M]
    options = [allowed.sum(-1)[open_nodes].double(), torch.tensor(2.0, dtype=torch.float64)]
    pairs = [(p, count) for p, count in zip(choices, options, strict=True) if p.shape[1]]
    choices = [p for p, _ in pairs]
    within = _mean([_entropy(p, count) for p, count in pairs])
    spread = _mean([_entropy(p.mean(0), count) for p, count in pairs])
    groups = len(alpha)
    distance = math.nan
    if groups > 1 and choices:
        first, second = torch.triu_indices(groups, groups, 1)
        distance = _mean([0.5 * (p[first] - p[second]).abs().sum(-1) for p in choices])
    architectures = torch.cat([masked(alpha, allowed).argmax(-1), (beta > 0).long()], dim=1)
    _, counts = torch.unique(architectures, dim=0, return_counts=True)
    return {
        "spread": spread,
        "within": within,
        "between": spread - within,
        "distance": distance,
        "modes": len(counts),
        "agreement": float(counts.max()) / groups,
        "collapse": 1 - spread,
    }


def stagnation(best: Sequence[float]) -> int:
    """Return the queries since the best value last rose: 0 where the last query was the best.

    Args:
        best: best value so far, by query; NaN while nothing was found that may be the answer.
            Until then every query counts: none of them brought a best.
    """
    if math.isnan(best[-1]):
        return len(best)
    return len(best) - 1 - list(best).index(best[-1])


def collapse_reasons(row: Mapping[Any, Any], groups: int, settings: CollapseSettings) -> str:
    """Return why the alarm fires in a step, "" where it does not: see :func:`collapse_alarms`."""
    if row["stagnation"] < settings.patience:
        return ""
    causes = []
    if groups > 1 and row["agreement"] >= 1:
        causes.append(f"all {groups} groups hold the same architecture")
    if groups > 1 and row["distance"] < settings.distance:
        causes.append(f"the groups are closer than {settings.distance:g}")
    if row["spread"] < settings.spread:
        causes.append(f"the spread is below {settings.spread:g}")
    return "; ".join(causes)


def _entropy(p: Tensor, options: Tensor) -> Tensor:
    """Return the entropy of the last axis over the logarithm of its options, in [0, 1]."""
    nats: Tensor = torch.special.entr(p).sum(-1)
    return nats / options.log()


def _mean(tensors: Sequence[Tensor]) -> float:
    """Return the mean over the last axis (choices) of all, then over the others; 0 of none."""
    if not tensors:
        return 0.0
    return float(torch.cat(list(tensors), dim=-1).mean())
