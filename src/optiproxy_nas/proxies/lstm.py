"""LSTM proxy: the graph serialised vertex by vertex (appendix A.4, Table 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.proxies.base import Ensemble, EnsembleLinear
from optiproxy_nas.spaces.base import Encoding
from optiproxy_nas.spaces.encodings import searched_vertices, vertex_tokens


class LSTMLayer(nn.Module):
    """E independent LSTM layers (Hochreiter & Schmidhuber 1997): [E, n, T, in] -> [E, n, h].

    Gates in the order of ``torch.nn.LSTM``: input, forget, cell, output.
    """

    def __init__(self, members: int, inputs: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.inputs = EnsembleLinear(members, inputs, 4 * hidden, generator)
        self.recurrent = EnsembleLinear(members, hidden, 4 * hidden, generator, bias=False)
        # Remember at first (Jozefowicz et al. 2015).
        self.inputs.get_parameter("bias").data[..., hidden : 2 * hidden] += 1

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the last state [E, n, h]; where ``mask`` [n, T] is 0 the state does not change."""
        members, count, steps, width = tokens.shape
        driven = self.inputs(tokens.reshape(members, count * steps, width))
        padded = bool((mask != 1).any())
        state: Tensor = driven.new_zeros(members, count, self.recurrent.weight.shape[1])
        cell = state
        for step, gates in enumerate(driven.view(members, count, steps, -1).unbind(2)):
            previous = state, cell
            enter, forget, new, leave = (gates + self.recurrent(state)).chunk(4, dim=-1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            state = leave.sigmoid() * cell.tanh()
            if padded:
                keep = mask[:, step, None]  # [n, 1]
                state, cell = (
                    torch.lerp(old, fresh, keep)
                    for old, fresh in zip(previous, (state, cell), strict=True)
                )
        return state


class LSTM(Ensemble):
    """An ensemble of E LSTMs over the searched vertices, each a label with its incoming edges.

    The first of the ``layers`` is recurrent; the others are dense layers on its last state.
    """

    def build_trunk(self, settings: ProxySettings, generator: torch.Generator) -> int:
        """Make the recurrent layer and the dense ones."""
        self.vertices = searched_vertices(self.space)
        members, hidden = settings.members, settings.hidden
        token = self.space.num_features + self.space.num_vertices
        self.recurrent = LSTMLayer(members, token, hidden, generator)
        self.dense = nn.ModuleList(
            EnsembleLinear(members, hidden, hidden, generator) for _ in range(settings.layers - 1)
        )
        return hidden

    def trunk(self, encoding: Encoding) -> Tensor:
        """Return what the heads see of n encodings: [E, n, hidden]."""
        graph = self.space.graph(encoding)
        mask = graph.mask[:, self.vertices]
        tokens = vertex_tokens(graph)[:, self.vertices]  # [n, T, F + V]
        x: Tensor = self.recurrent(tokens.expand(self.members, *tokens.shape), mask)  # [E, n, h]
        for layer in self.dense:
            x = self.activation(layer(x))
        return x
