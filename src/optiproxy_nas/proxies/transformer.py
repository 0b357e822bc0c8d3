"""Transformer proxy (Vaswani et al. 2017): self-attention among the searched vertices."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.proxies.base import Ensemble, EnsembleLinear, weighted_softmax
from optiproxy_nas.spaces.base import Encoding
from optiproxy_nas.spaces.encodings import searched_vertices, vertex_tokens


class EncoderLayer(nn.Module):
    """Self-attention, then a map of each token, both added to their input: [E, n, T, d].

    The inputs are normalised, not the sums (Xiong et al. 2020), so no warm-up is needed.
    """

    def __init__(
        self,
        members: int,
        width: int,
        hidden: int,
        heads: int,
        activation: Callable[[Tensor], Tensor],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.activation = activation
        self.attend = EnsembleLinear(members, width, 3 * width, generator)  # Q, K, V
        self.merge = EnsembleLinear(members, width, width, generator)
        self.inner = EnsembleLinear(members, width, hidden, generator)
        self.outer = EnsembleLinear(members, hidden, width, generator)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return tokens [E, n, T, d]; nothing attends to padding, where ``mask`` [n, T] is 0."""
        members, count, steps, width = tokens.shape
        flat = tokens.reshape(members, count * steps, width)
        split = self.attend(normalise(flat)).view(members, count, steps, 3, self.heads, -1)
        queries, keys, values = split.permute(3, 0, 1, 4, 2, 5)  # [E, n, H, T, d/H] each
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(width / self.heads)
        mixed = weighted_softmax(scores.clamp(-40, 40), mask[:, None, None]) @ values
        flat = flat + self.merge(mixed.transpose(2, 3).reshape(members, count * steps, width))
        mapped: Tensor = flat + self.outer(self.activation(self.inner(normalise(flat))))
        return mapped.view(members, count, steps, width)


def normalise(x: Tensor) -> Tensor:
    """Normalise the last axis, without an affine map: the layer that follows has one."""
    return nn.functional.layer_norm(x, x.shape[-1:])


class Transformer(Ensemble):
    """An ensemble of E encoders over the searched vertices, each a label with its incoming edges.

    ``hidden`` is the width of the inner layers; the tokens have half of it, in two heads. The last
    of the ``layers`` is the dense one after pooling.
    """

    def build_trunk(self, settings: ProxySettings, generator: torch.Generator) -> int:
        """Make the embedding, the encoder layers and the dense one."""
        self.vertices = searched_vertices(self.space)
        members, hidden = settings.members, settings.hidden
        width = 2 * -(-hidden // 4)
        token = self.space.num_features + self.space.num_vertices
        self.embed = EnsembleLinear(members, token, width, generator)
        self.position = nn.Parameter(torch.empty(members, 1, len(self.vertices), width))
        nn.init.normal_(self.position, std=0.5, generator=generator)
        self.layers = nn.ModuleList(
            EncoderLayer(members, width, hidden, 2, self.activation, generator)
            for _ in range(max(1, settings.layers - 1))
        )
        self.hidden = EnsembleLinear(members, width, hidden, generator)
        return hidden

    def trunk(self, encoding: Encoding) -> Tensor:
        """Return what the heads see of n encodings: [E, n, hidden]."""
        graph = self.space.graph(encoding)
        mask = graph.mask[:, self.vertices]
        tokens = vertex_tokens(graph)[:, self.vertices].flatten(0, 1)  # [n T, F + V]
        embedded = self.embed(tokens.expand(self.members, *tokens.shape))
        states = embedded.view(self.members, *mask.shape, -1) + self.position
        for layer in self.layers:
            states = layer(states, mask)
        present = mask.unsqueeze(-1)
        pooled = normalise((states * present).sum(-2) / present.sum(-2))  # [E, n, d]
        return self.activation(self.hidden(pooled))
