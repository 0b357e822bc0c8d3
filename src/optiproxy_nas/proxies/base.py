"""The contract of a proxy f̂, and the layers that proxies share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.spaces.base import Encoding, SearchSpace
from optiproxy_nas.spaces.graph_space import require_graph

BLOCK = 1024  # architectures predicted at a time: what is computed stays in the processor's cache
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": nn.functional.gelu,
    "relu": torch.relu,
    "silu": nn.functional.silu,
    "tanh": torch.tanh,
}


@runtime_checkable
class Proxy(Protocol):
    """A differentiable proxy f̂_θ: any ``torch.nn.Module`` with this forward.

    A plug-in is a module class built as ``Class(space, settings, generator, heads)``, where
    ``settings`` is a ``core.parameters.ProxySettings``, ``heads`` the number of values to predict
    (the objective's), and every random initial weight comes from ``generator``. It must be
    differentiable in both fields of the encoding. ``optiproxy_nas.testing.check_proxy`` checks it.
    """

    def __call__(self, encoding: Encoding) -> Tensor:
        """Return predictions [E, H, n] of E members' H heads, in units of the targets."""
        ...


@runtime_checkable
class FitsItself(Protocol):
    """A proxy that is fitted by a way of its own, not by AdamW."""

    def fit(self, codes: Tensor, targets: Tensor) -> Tensor:
        """Fit it to codes [n, L] with targets [H, n], NaN: not observed; return the loss curve.

        It starts from the weights that it has, those of the step before where these are kept.
        """
        ...


@runtime_checkable
class SamplesFunctions(Protocol):
    """A proxy with a posterior over functions, of which joint draws can be made."""

    def sample_functions(
        self, encoding: Encoding, draws: int, generator: torch.Generator
    ) -> Tensor:
        """Return joint draws of the predictions of n architectures: [draws, H, n]."""
        ...


class FeatureProxy(nn.Module, ABC):
    """A proxy on features without weights, which a fit computes only once."""

    @abstractmethod
    def features(self, encoding: Encoding) -> Tensor:
        """Return features [n, ...] of n encodings, differentiable in both fields."""

    @abstractmethod
    def predict(self, features: Tensor) -> Tensor:
        """Return predictions [E, H, n] from features [n, ...]."""

    def forward(self, encoding: Encoding) -> Tensor:
        """Return predictions [E, H, n]."""
        return self.predict(self.features(encoding))

    def prepare(self, encoding: Encoding) -> Any:
        """Return what :meth:`predict_prepared` needs of n architectures; it holds no weights."""
        return torch.split(self.features(encoding), BLOCK)

    def predict_prepared(self, prepared: Any) -> Tensor:
        """Return predictions [E, H, n] of architectures that are predicted in every step."""
        return torch.cat([self.predict(block) for block in prepared], dim=-1)


class EnsembleLinear(nn.Module):
    """E independent affine maps in one batched product: [E, n, in] -> [E, n, out].

    Weights and biases start uniform in ±1/sqrt(in), as in ``torch.nn.Linear``.
    """

    def __init__(
        self, members: int, inputs: int, outputs: int, generator: torch.Generator, bias: bool = True
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        weight = torch.empty(members, inputs, outputs).uniform_(-bound, bound, generator=generator)
        self.weight = nn.Parameter(weight)
        self.bias = (
            nn.Parameter(
                torch.empty(members, 1, outputs).uniform_(-bound, bound, generator=generator)
            )
            if bias
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply member e's map to x[e]."""
        if self.bias is None:
            return torch.bmm(x, self.weight)
        return torch.baddbmm(self.bias, x, self.weight)


class Ensemble(nn.Module, ABC):
    """Base of our proxies: E trunks, each with one affine head a predicted value.

    A subclass builds its trunk in ``build_trunk`` and computes it in ``trunk``.
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
        width = self.build_trunk(settings, generator)
        self.head = EnsembleLinear(settings.members, width, heads, generator)

    @abstractmethod
    def build_trunk(self, settings: ProxySettings, generator: torch.Generator) -> int:
        """Make the layers below the heads, and return the width h of what they give."""

    @abstractmethod
    def trunk(self, encoding: Encoding) -> Tensor:
        """Return what the heads see of n encodings: [E, n, h]."""

    def forward(self, encoding: Encoding) -> Tensor:
        """Return predictions [E, H, n]."""
        predictions: Tensor = self.head(self.trunk(encoding))  # [E, n, H]
        return predictions.transpose(-1, -2)


class GraphEnsemble(Ensemble):
    """Layers that propagate the features of vertices, mean pooling, and a dense layer (A.4)."""

    @abstractmethod
    def build_layer(
        self, inputs: int, settings: ProxySettings, generator: torch.Generator
    ) -> tuple[nn.Module, int]:
        """Return a layer (vertices [E, n, V, in], matrices) -> [E, n, V, out], and its width."""

    @abstractmethod
    def matrices(self, adjacency: Tensor) -> tuple[Tensor, ...]:
        """Return what every layer needs of the adjacency [n or 1, V, V]."""

    def build_trunk(self, settings: ProxySettings, generator: torch.Generator) -> int:
        """Make the layers and the dense one."""
        require_graph(self.space)
        self.layers, width = nn.ModuleList(), self.space.num_features
        for _ in range(settings.layers):
            layer, width = self.build_layer(width, settings, generator)
            self.layers.append(layer)
        self.hidden = EnsembleLinear(settings.members, width, settings.hidden, generator)
        return settings.hidden

    def trunk(self, encoding: Encoding) -> Tensor:
        """Return what the heads see of n encodings: [E, n, hidden]."""
        graph = self.space.graph(encoding)
        adjacency = graph.adjacency
        if adjacency.stride(0) == 0:  # one matrix for all graphs
            adjacency = adjacency[:1]
        matrices = self.matrices(adjacency)
        vertices = graph.features.expand(self.members, *graph.features.shape)  # [E, n, V, F]
        for layer in self.layers:
            vertices = layer(vertices, *matrices)
        mask = graph.mask.unsqueeze(-1)  # [n, V, 1]: padding has no part in the mean
        pooled = (vertices * mask).sum(-2) / mask.sum(-2)  # [E, n, h]
        return self.activation(self.hidden(pooled))


def weighted_softmax(scores: Tensor, weights: Tensor) -> Tensor:
    """Return A e^s / Σ A e^s over the last axis, in [0, 1].

    Where A is 0 or 1 this is the softmax over the entries that A selects; it is differentiable in A
    also at 0. (``torch.softmax`` is slow on axes as short as these.)

    Args:
        scores: s [..., m] within ±40.
        weights: A [..., m] in [0, 1]. At least one weight of a row must be 1, so that no sum is 0
            or overflows.
    """
    terms = weights * scores.exp()
    return terms / terms.sum(-1, keepdim=True)
