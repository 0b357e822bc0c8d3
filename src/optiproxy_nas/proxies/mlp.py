"""MLP proxy: the operations and edges stretched into one vector (appendix A.4, Table 1)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from optiproxy_nas.parameters import ProxySettings
from optiproxy_nas.proxies.base import ACTIVATIONS, EnsembleLinear
from optiproxy_nas.spaces.base import Encoding, SearchSpace


class MLP(nn.Module):
    """An ensemble of E multilayer perceptrons on [s_o, s_t] ∈ R^(N·M + edges).

    Hidden weights start as N(0, 2 / a), where a is the number of inputs that are not zero: of a
    one-hot encoding that is one a node, not M. Members so begin as clearly different functions,
    and where the archive says nothing they go on to differ.
    """

    def __init__(
        self, space: SearchSpace, settings: ProxySettings, generator: torch.Generator
    ) -> None:
        super().__init__()
        inputs = space.num_nodes * len(space.operations) + space.num_edges
        self.members = settings.members
        self.activation = ACTIVATIONS[settings.activation]
        widths = [inputs] + [settings.hidden] * settings.layers
        self.hidden = nn.ModuleList(
            EnsembleLinear(settings.members, a, b, generator) for a, b in pairwise(widths)
        )
        self.head = EnsembleLinear(settings.members, widths[-1], 1, generator)
        active = [space.num_nodes + space.num_edges, *widths[1:]]
        for layer, count in zip([*self.hidden, self.head], active, strict=True):
            gain = 1.0 if layer is self.head else 2.0
            nn.init.normal_(layer.weight, std=math.sqrt(gain / count), generator=generator)
            nn.init.normal_(layer.bias, std=0.1, generator=generator)

    def forward(self, encoding: Encoding) -> Tensor:
        """Predictions [E, n]."""
        flat = torch.cat([encoding.operations.flatten(1), encoding.edges], dim=1)
        x = flat.expand(self.members, *flat.shape)  # [E, n, inputs]
        for layer in self.hidden:
            x = self.activation(layer(x))
        return self.head(x).squeeze(-1)  # type: ignore[no-any-return]
