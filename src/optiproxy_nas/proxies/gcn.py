"""GCN proxies of appendix A.4: graph convolutions, mean pooling, MLP head.

Three layers, for an activation φ (``proxy.activation``):

- ``gcn`` (Eq. 3): ``LN(Linear(concat[φ(Â V W⁺), φ(Âᵀ V W⁻)]))``, GELU in the paper;
- ``gcn_averaged`` (Eq. 2 of the appendix): ``½ φ(Â V W⁺) + ½ φ(Âᵀ V W⁻)``, ReLU in the paper;
- ``gcn_one_way`` (Eq. 1 of the appendix): ``φ(Â V W)``, ReLU in the paper.

As in Wen et al. (2020), whom the appendix follows, Â is the adjacency with self-loops, each row
divided by its sum, and likewise for the reversed graph; without self-loops a vertex would not see
its own operation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.proxies.base import EnsembleLinear, GraphEnsemble


def normalise(adjacency: Tensor) -> Tensor:
    """Add self-loops and divide each row by its sum: [n, V, V] -> [n, V, V]."""
    with_loops = adjacency + torch.eye(adjacency.shape[-1]).to(adjacency)
    return with_loops / with_loops.sum(-1, keepdim=True)


class GCNLayer(nn.Module):
    """One propagation V_l -> V_{l+1} (Eq. 3) for E members: [E, n, V, in] -> [E, n, V, out]."""

    def __init__(
        self,
        members: int,
        inputs: int,
        outputs: int,
        activation: Callable[[Tensor], Tensor],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.forwards = EnsembleLinear(members, inputs, outputs, generator, bias=False)
        self.backwards = EnsembleLinear(members, inputs, outputs, generator, bias=False)
        self.merge = EnsembleLinear(members, 2 * outputs, outputs, generator)
        self.scale = nn.Parameter(torch.ones(members, 1, outputs))
        self.shift = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, vertices: Tensor, along: Tensor, against: Tensor) -> Tensor:
        """Return vertices [E, n, V, out]; ``along``, ``against``: normalised Â [n or 1, V, V]."""
        members, count, size, _ = vertices.shape
        directions = [
            self.activation(layer((matrix @ vertices).reshape(members, count * size, -1)))
            for layer, matrix in ((self.forwards, along), (self.backwards, against))
        ]
        merged = self.merge(torch.cat(directions, dim=-1))  # [E, n V, out]
        normed = nn.functional.layer_norm(merged, merged.shape[-1:])
        return (normed * self.scale + self.shift).reshape(members, count, size, -1)


class AveragedLayer(nn.Module):
    """One propagation along all given matrices, averaged (appendix, Eq. 1 and 2).

    Vertices [E, n, V, in] -> [E, n, V, out].
    """

    def __init__(
        self,
        members: int,
        inputs: int,
        outputs: int,
        directions: int,
        activation: Callable[[Tensor], Tensor],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.maps = nn.ModuleList(
            EnsembleLinear(members, inputs, outputs, generator, bias=False)
            for _ in range(directions)
        )

    def forward(self, vertices: Tensor, *matrices: Tensor) -> Tensor:
        """Return vertices [E, n, V, out]; ``matrices``: a normalised Â [n or 1, V, V] each."""
        members, count, size, _ = vertices.shape
        propagated = [
            self.activation(layer((matrix @ vertices).reshape(members, count * size, -1)))
            for layer, matrix in zip(self.maps, matrices, strict=True)
        ]
        return torch.stack(propagated).mean(0).reshape(members, count, size, -1)


class GCN(GraphEnsemble):
    """An ensemble of E graph convolutional proxies."""

    def build_layer(
        self, inputs: int, settings: ProxySettings, generator: torch.Generator
    ) -> tuple[nn.Module, int]:
        """Return a graph convolution, and its width."""
        width = settings.hidden
        return GCNLayer(self.members, inputs, width, self.activation, generator), width

    def matrices(self, adjacency: Tensor) -> tuple[Tensor, ...]:
        """Return Â of the graphs and of the reversed ones: [n or 1, V, V] each."""
        return normalise(adjacency), normalise(adjacency.transpose(-1, -2))


class AveragedGCN(GraphEnsemble):
    """An ensemble of E proxies that average both directions (appendix, Eq. 2)."""

    directions = 2

    def build_layer(
        self, inputs: int, settings: ProxySettings, generator: torch.Generator
    ) -> tuple[nn.Module, int]:
        """Return a graph convolution, and its width."""
        width, directions = settings.hidden, self.directions
        layer = AveragedLayer(self.members, inputs, width, directions, self.activation, generator)
        return layer, width

    def matrices(self, adjacency: Tensor) -> tuple[Tensor, ...]:
        """Return Â of the graphs and of the reversed ones: [n or 1, V, V] each."""
        both = normalise(adjacency), normalise(adjacency.transpose(-1, -2))
        return both[: self.directions]


class OneWayGCN(AveragedGCN):
    """An ensemble of E proxies in which a vertex sees itself and its successors (Eq. 1)."""

    directions = 1
