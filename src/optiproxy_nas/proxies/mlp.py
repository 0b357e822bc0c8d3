"""MLP proxy: the operations and edges stretched into one vector (appendix A.4, Table 1)."""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.proxies.base import ACTIVATIONS, EnsembleLinear, FeatureProxy
from optiproxy_nas.spaces.base import Encoding, SearchSpace
from optiproxy_nas.spaces.encodings import path_indicators, path_lengths


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


class GraphMLP(MLP):
    """An ensemble of E multilayer perceptrons on [s_o, s_t, 1ᵀV, VᵀAV]."""

    def features(self, encoding: Encoding) -> Tensor:
        """Encoding, operation counts [n, F] and pair counts [n, F·F]: [n, inputs]."""
        graph = self.space.graph(encoding)
        vertices = graph.features  # [n, V, F], 0 where masked
        counts = vertices.sum(-2)
        pairs = vertices.transpose(-1, -2) @ (graph.adjacency @ vertices)  # [n, F, F]
        return torch.cat([super().features(encoding), counts, pairs.flatten(1)], dim=1)


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


class PathMLP(MLP):
    """An ensemble of E multilayer perceptrons on the path encoding [n, P].

    Raises:
        ParameterError: the space has too many label sequences for it.
    """

    longest: ClassVar[int | None] = None  # operations of a path at most

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Operations of the paths that are encoded; a property of the space alone."""
        return path_lengths(self.space, self.longest)

    def features(self, encoding: Encoding) -> Tensor:
        """Indicators of the label sequences [n, P]."""
        return path_indicators(self.space.graph(encoding), self.lengths)


class TruncatedPathMLP(PathMLP):
    """The same on paths of two operations at most: BANANAS's 30 of 155 on NAS-Bench-201.

    What is on longer paths only, as edge 1→2 of NAS-Bench-201, this proxy cannot see.
    """

    longest = 2
