"""How probable each searched edge is, by the logits β, for figures."""

from __future__ import annotations

import torch
from torch import Tensor

from optiproxy_nas.report.style import Floats, as_array
from optiproxy_nas.spaces.base import Logits, SearchSpace

DRAWS = 2000  # over all groups: a standard error of about 0.01
COLD = 1e-3  # a temperature at which a relaxed draw is as good as discrete


def edge_probabilities(space: SearchSpace, alpha: Tensor, beta: Tensor) -> Floats:
    """The share of draws that take each entry of β, averaged over the groups: [E].

    It is σ(β) where edges are independent, and a softmax where they compete. Only the space knows
    which, so its own draws (Eq. 9, 10) are counted, before any that is invalid is turned away.
    The generator is fixed: equal logits give equal shares.

    Args:
        space: whose logits they are.
        alpha: [K, N, M].
        beta: [K, E].
    """
    repeats = -(-DRAWS // len(beta))
    many = Logits(alpha.repeat(repeats, 1, 1), beta.repeat(repeats, 1))
    with torch.no_grad():
        drawn = space.relax(many, COLD, torch.Generator().manual_seed(0), "logistic")
    shares: Floats = as_array(drawn.edges).mean(axis=0)
    return shares
