"""MLP proxy that also sees what is connected to what: the statistics 1ᵀV and VᵀAV of the graph.

An MLP on the one-hot vector must learn anew for each position that, say, a convolution after a
convolution is good, and is confidently wrong about positions it has seen little of. The counts of
operations 1ᵀV and of operation pairs along edges VᵀAV are the same wherever in the cell they
occur. Both are polynomials in (s_o, s_t): exact for a discrete architecture, smooth for a relaxed
one, and defined for every search space through ``SearchSpace.graph``. (Ours, not the paper's.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from optiproxy_nas.proxies.mlp import MLP
from optiproxy_nas.spaces.base import Encoding


class GraphMLP(MLP):
    """An ensemble of E multilayer perceptrons on [s_o, s_t, 1ᵀV, VᵀAV]."""

    def features(self, encoding: Encoding) -> Tensor:
        """Encoding, operation counts [n, F] and pair counts [n, F·F]: [n, inputs]."""
        graph = self.space.graph(encoding)
        vertices = graph.features  # [n, V, F], 0 where masked
        counts = vertices.sum(-2)
        pairs = vertices.transpose(-1, -2) @ (graph.adjacency @ vertices)  # [n, F, F]
        return torch.cat([super().features(encoding), counts, pairs.flatten(1)], dim=1)
