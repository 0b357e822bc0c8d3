"""MLP proxy: the operations and edges stretched into one vector (appendix A.4, Table 1)."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.proxies.base import ACTIVATIONS, EnsembleLinear, FeatureProxy
from optiproxy_nas.spaces.base import Encoding, SearchSpace


@lru_cache(maxsize=4)
def _typical(space: SearchSpace) -> Encoding:
    """A fixed sample of 64, for its dimensions and the norm that scales the first weights."""
    return space.encode(space.random(64, torch.Generator().manual_seed(0)))


class MLP(FeatureProxy):
    """An ensemble of E multilayer perceptrons on ``features``: here [s_o, s_t] ∈ R^(N·M + edges).

    Weights of a layer start as N(0, g / a), a the mean squared norm of its input (of a one-hot
    encoding one a node, not M) and g = 2, or 1 for the head. Members so begin as clearly different
    functions, and where the archive says nothing they go on to differ.
    """

    def __init__(
        self,
        space: SearchSpace,
        settings: ProxySettings,
        generator: torch.Generator,
        heads: int = 1,
    ) -> None:
        super().__init__()
        self.space = space
        self.members = settings.members
        self.activation = ACTIVATIONS[settings.activation]
        sample = self.features(_typical(space))  # type: ignore[arg-type]  # by its identity
        widths = [sample.shape[1]] + [settings.hidden] * settings.layers
        self.hidden = nn.ModuleList(
            EnsembleLinear(settings.members, a, b, generator) for a, b in pairwise(widths)
        )
        self.head = EnsembleLinear(settings.members, widths[-1], heads, generator)
        norms = [float(sample.square().sum(-1).mean()), *widths[1:]]
        for layer, norm in zip([*self.hidden, self.head], norms, strict=True):
            gain = 1.0 if layer is self.head else 2.0
            nn.init.normal_(layer.weight, std=math.sqrt(gain / norm), generator=generator)
            nn.init.normal_(layer.bias, std=0.1, generator=generator)

    def features(self, encoding: Encoding) -> Tensor:
        """What the first layer sees: [n, inputs]."""
        return torch.cat([encoding.operations.flatten(1), encoding.edges], dim=1)

    def predict(self, features: Tensor) -> Tensor:
        """Predictions [E, H, n]."""
        x = features.expand(self.members, *features.shape)  # [E, n, inputs]
        for layer in self.hidden:
            x = self.activation(layer(x))
        return self.head(x).transpose(-1, -2)  # type: ignore[no-any-return]
