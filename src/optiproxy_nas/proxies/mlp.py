"""MLP proxy: the operations and edges stretched into one vector (appendix A.4, Table 1)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from optiproxy_nas.parameters import ProxySettings
from optiproxy_nas.proxies.base import EnsembleLinear
from optiproxy_nas.spaces.base import Encoding, SearchSpace


class MLP(nn.Module):
    """An ensemble of E multilayer perceptrons on [s_o, s_t] ∈ R^(N·M + E_edges)."""

    def __init__(
        self, space: SearchSpace, settings: ProxySettings, generator: torch.Generator
    ) -> None:
        super().__init__()
        inputs = space.num_nodes * len(space.operations) + space.num_edges
        self.members = settings.members
        widths = [inputs] + [settings.hidden] * settings.layers
        self.hidden = nn.ModuleList(
            EnsembleLinear(settings.members, a, b, generator) for a, b in pairwise(widths)
        )
        self.head = EnsembleLinear(settings.members, widths[-1], 1, generator)

    def forward(self, encoding: Encoding) -> Tensor:
        """Predictions [E, n]."""
        flat = torch.cat([encoding.operations.flatten(1), encoding.edges], dim=1)
        x = flat.expand(self.members, *flat.shape)  # [E, n, inputs]
        for layer in self.hidden:
            x = nn.functional.silu(layer(x))
        return self.head(x).squeeze(-1)  # type: ignore[no-any-return]
