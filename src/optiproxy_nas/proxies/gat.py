"""GAT proxy: graph attention (Veličković et al. 2018), mean pooling, MLP head (A.4, Table 1)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.proxies.base import EnsembleLinear, GraphEnsemble, weighted_softmax


class GATLayer(nn.Module):
    """One layer of two heads for E members, [E, n, V, in] -> [E, n, V, 2 h].

    One head attends to predecessors, the other to successors, both to the vertex itself: the
    two-directional propagation of Eq. 3 with learned weights in place of Â.
    """

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
        # W and the bias. Attention weights sum to 1, so the bias can be added before attention.
        self.project = EnsembleLinear(members, inputs, 2 * outputs, generator)
        bound = 1 / math.sqrt(outputs)
        # The two halves of the attention vector a, for the attending and the attended vertex.
        self.a = nn.Parameter(
            torch.empty(members, 2, 2, outputs).uniform_(-bound, bound, generator=generator)
        )

    def forward(self, vertices: Tensor, neighbours: Tensor) -> Tensor:
        """Return vertices [E, n, V, 2 h].

        ``neighbours`` [n or 1, 2, V, V] are Aᵀ and A with self-loops.
        """
        members, count, size, _ = vertices.shape
        flat = vertices.reshape(members, count * size, -1)
        heads = self.project(flat).view(members, count, size, 2, -1).transpose(2, 3)  # W h + b
        # aᵀ(W h) = (aᵀ W) h: a product with four columns instead of one with all features.
        weight = self.project.weight.view(members, flat.shape[-1], 2, -1)  # [E, in, 2 heads, h]
        halves = torch.einsum("eiho,eaho->eiah", weight, self.a).flatten(2)  # [E, in, 4]
        terms = torch.bmm(flat, halves).clamp(-20, 20).view(members, count, size, 2, 2)
        attending, attended = terms.permute(3, 0, 1, 4, 2)  # each [E, n, 2, V]
        scores = nn.functional.leaky_relu(attending.unsqueeze(-1) + attended.unsqueeze(-2), 0.2)
        mixed = weighted_softmax(scores, neighbours) @ heads  # [E, n, 2, V, h]
        return self.activation(mixed.transpose(2, 3).flatten(3))


class GAT(GraphEnsemble):
    """An ensemble of E graph attention proxies; ``hidden`` features a layer, half a head."""

    def build_layer(
        self, inputs: int, settings: ProxySettings, generator: torch.Generator
    ) -> tuple[nn.Module, int]:
        """Return an attention layer of two heads, and its width."""
        head = -(-settings.hidden // 2)
        return GATLayer(self.members, inputs, head, self.activation, generator), 2 * head

    def matrices(self, adjacency: Tensor) -> tuple[Tensor, ...]:
        """Return Aᵀ and A with self-loops: [n or 1, 2, V, V]."""
        loops = torch.eye(adjacency.shape[-1]).to(adjacency)
        return (torch.stack([adjacency.transpose(-1, -2), adjacency], dim=1) + loops,)
