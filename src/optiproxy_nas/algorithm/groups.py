"""K groups of (α, β), initialised by Latin hypercube sampling (section 2.4, Table 6)."""

from __future__ import annotations

import torch
from scipy.stats import qmc

from optiproxy_nas.core.parameters import GradientSettings
from optiproxy_nas.core.random_streams import numpy_generator
from optiproxy_nas.spaces.base import Logits, SearchSpace


def initial_logits(space: SearchSpace, settings: GradientSettings, seed: int, step: int) -> Logits:
    """Fresh (α, β) of K groups.

    α [K, N, M] is uniform in [lhs_lower, lhs_lower + lhs_range], stratified over the groups. β
    [K, E] is stratified in ±lhs_range / 2: log-odds around 0, so that each edge starts at a
    probability of about one half.
    """
    choices = space.num_nodes * len(space.operations)
    sampler = qmc.LatinHypercube(
        d=choices + space.num_edges, rng=numpy_generator(seed, step, "initial-logits")
    )
    unit = torch.from_numpy(sampler.random(settings.groups)).float()  # [K, N·M + E] in [0, 1)
    alpha = settings.lhs_lower + settings.lhs_range * unit[:, :choices]
    beta = settings.lhs_range * (unit[:, choices:] - 0.5)
    return Logits(alpha.reshape(settings.groups, space.num_nodes, -1), beta)
