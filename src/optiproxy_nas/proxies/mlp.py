"""MLP proxies: one network, and what it sees of an architecture (appendix A.4, Table 1).

* :class:`MLP`: the operations and edges, flattened (the paper's).
* :class:`GraphMLP`: also which operations there are, and which feed which (ours).
* :class:`AutoregressiveMLP`: the same for the values at several rungs (ours).
* :class:`PathMLP`, :class:`TruncatedPathMLP`: the paths from input to output (White et al. 2020).
"""

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
from optiproxy_nas.spaces.encodings import graph_features, path_indicators, path_lengths


@lru_cache(maxsize=4)
def _typical(space: SearchSpace) -> Encoding:
    """Return a fixed sample of 64 encodings, whose norm scales the first weights."""
    return space.encode(space.random(64, torch.Generator().manual_seed(0)))


class MLP(FeatureProxy):
    """An ensemble of E multilayer perceptrons on ``features``: here the space's, [n, D].

    In the paper's spaces they are [s_o, s_t] ∈ R^(N·M + edges).

    Weights of a layer start as N(0, g / a), a the mean squared norm of its input (of a one-hot
    encoding one a node, not M) and g = 2, or 1 for the head. So members begin as clearly different
    functions, and keep differing where the archive has no values.
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
        sample = self.features(_typical(space))
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
        """Return the input of the first layer: [n, inputs]."""
        return self.space.features(encoding)

    def predict(self, features: Tensor) -> Tensor:
        """Return predictions [E, H, n] from features [n, inputs]."""
        x = features.expand(self.members, *features.shape)  # [E, n, inputs]
        for layer in self.hidden:
            x = self.activation(layer(x))
        predictions: Tensor = self.head(x)  # [E, n, H]
        return predictions.transpose(-1, -2)


class GraphMLP(MLP):
    """An ensemble of E multilayer perceptrons on [s_o, s_t, 1ᵀV, VᵀAV].

    An MLP on the one-hot vector must learn anew for each position that, say, a convolution after a
    convolution is good, and is confidently wrong about positions with few values. The counts of
    operations 1ᵀV and of operation pairs along edges VᵀAV are the same wherever in the cell they
    occur. Both are polynomials in (s_o, s_t): exact for a discrete architecture, smooth for a
    relaxed one, and defined for every search space through ``SearchSpace.graph``. Of a space
    without a graph it sees what :class:`MLP` does.
    """

    def features(self, encoding: Encoding) -> Tensor:
        """Return the space's features, counts of operations [n, F] and of pairs [n, F·F]."""
        return graph_features(self.space, encoding)


class AutoregressiveMLP(GraphMLP):
    """Head 0: :class:`GraphMLP`; each further head: linear in the counts 1ᵀV and in head 0.

    This is the autoregressive model of Kennedy & O'Hagan (2000), final = cheap + correction. The
    archive holds many cheap values, but only ten or twenty final ones, all of good cells. So the
    correction is no more than a linear map of the operation counts and of the cheap value itself,
    by which it can learn that the best cheap values overestimate.

    Corrections start at zero and stay there without data. Their gradient does not reach the trunk:
    ten noisy differences must not distort what a hundred values have taught.

    In a space without a graph, the space's features take the place of the counts.
    """

    def __init__(
        self,
        space: SearchSpace,
        settings: ProxySettings,
        generator: torch.Generator,
        heads: int = 1,
    ) -> None:
        super().__init__(space, settings, generator, heads=1)
        width = space.features(_typical(space)).shape[1]
        counted = slice(width, width + space.num_features) if space.num_vertices else slice(width)
        self._counts = counted
        self._scale = 1 / space.num_nodes
        inputs = space.num_features if space.num_vertices else width
        self.correction = EnsembleLinear(settings.members, inputs + 1, heads - 1, generator)
        for parameter in self.correction.parameters():
            nn.init.zeros_(parameter)

    def predict(self, features: Tensor) -> Tensor:
        """Return predictions [E, H, n] from features [n, inputs]."""
        cheap = super().predict(features)  # [E, 1, n]
        counts = self._scale * features[:, self._counts].expand(self.members, -1, -1)  # [E, n, F]
        inputs = torch.cat([counts, cheap.detach().transpose(1, 2)], dim=-1)
        return torch.cat([cheap, self.correction(inputs).transpose(1, 2)], dim=1)


class PathMLP(MLP):
    """An ensemble of E multilayer perceptrons on the path encoding [n, P] (White et al. 2020).

    Raises:
        ParameterError: the space has too many label sequences for it.
    """

    longest: ClassVar[int | None] = None  # the most operations of a path

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Return how many operations the encoded paths have; a property of the space alone."""
        return path_lengths(self.space, self.longest)

    def features(self, encoding: Encoding) -> Tensor:
        """Return the indicators of the label sequences [n, P]."""
        return path_indicators(self.space.graph(encoding), self.lengths)


class TruncatedPathMLP(PathMLP):
    """:class:`PathMLP` on paths of at most two operations: BANANAS's 30 of 155 on NAS-Bench-201.

    It cannot see what is on longer paths only, such as edge 1→2 of NAS-Bench-201.
    """

    longest = 2
