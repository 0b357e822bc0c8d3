"""The contract of a proxy f̂, and the layers that proxies share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from optiproxy_nas.spaces.base import Encoding

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


class EnsembleLinear(nn.Module):
    """E independent affine maps in one batched product: [E, n, in] -> [E, n, out].

    Weights and biases start uniform in ±1/sqrt(in), as in ``torch.nn.Linear``.
    """

    def __init__(
        self,
        members: int,
        inputs: int,
        outputs: int,
        generator: torch.Generator,
        bias: bool = True,
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
