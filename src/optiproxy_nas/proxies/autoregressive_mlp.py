"""MLP proxy of two fidelities: the cheap value, and a correction from it that few cells can teach.

The autoregressive model of Kennedy & O'Hagan (2000), final = cheap + correction, with an MLP for
the cheap value, of which the archive holds many. For the correction it holds ten or twenty, among
cells that are all good, so it is no more than a linear map of what an architecture is made of
(operation counts 1ᵀV) and of the cheap value itself, which lets it say that the best cheap values
are too good to be true. (Ours, not the paper's.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.proxies.base import EnsembleLinear
from optiproxy_nas.proxies.graph_mlp import GraphMLP
from optiproxy_nas.spaces.base import SearchSpace


class AutoregressiveMLP(GraphMLP):
    """Head 0: :class:`GraphMLP`; each further head: linear in the counts and in head 0.

    Corrections start at zero, so without anything to learn from they stay there. Their gradient
    does not reach the trunk: ten noisy differences must not bend what a hundred values taught.
    """

    def __init__(
        self,
        space: SearchSpace,
        settings: ProxySettings,
        generator: torch.Generator,
        heads: int = 1,
    ) -> None:
        super().__init__(space, settings, generator, heads=1)
        encoding = space.num_nodes * len(space.operations) + space.num_edges
        self._counts = slice(encoding, encoding + space.num_features)
        self._scale = 1 / space.num_nodes
        self.correction = EnsembleLinear(
            settings.members, space.num_features + 1, heads - 1, generator
        )
        for parameter in self.correction.parameters():
            nn.init.zeros_(parameter)

    def predict(self, features: Tensor) -> Tensor:
        """Predictions [E, H, n]."""
        cheap = super().predict(features)  # [E, 1, n]
        counts = self._scale * features[:, self._counts].expand(self.members, -1, -1)  # [E, n, F]
        known = torch.cat([counts, cheap.detach().transpose(1, 2)], dim=-1)
        return torch.cat([cheap, self.correction(known).transpose(1, 2)], dim=1)
