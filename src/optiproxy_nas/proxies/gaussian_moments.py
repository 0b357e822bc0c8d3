"""Mean and deviation of a fitted Gaussian process, with their gradient in the features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg.blas import dtrmm
from torch import Tensor
from torch.autograd.function import once_differentiable

from optiproxy_nas.core.arrays import Floats

CONSTANT = 1.0  # prior variance of the mean, in units of the kernel's


class Posterior(NamedTuple):
    """What predictions are computed of; H heads share nothing."""

    counts: Tensor  # [n, D] float32, features of the archive, as they are
    weights: Tensor  # [H, 1, D] float64: squared distances of weighted counts are 5 r²
    inputs: Tensor  # [H, n, D], the same, weighted
    inverse: Tensor  # [H, n, n], of the Cholesky factor of the covariance
    fitted: Tensor  # [H, n], inverse @ targets
    scale: Tensor  # [H, 3, 1], centre, spread, and deviation of the kernel


def squared_distances(left: Tensor, right: Tensor) -> Tensor:
    """Return squared distances [..., n, m] of rows [..., n, d] and [..., m, d]."""
    norms = left.square().sum(-1).unsqueeze(-1) + right.square().sum(-1).unsqueeze(-2)
    return (norms - 2 * left @ right.transpose(-1, -2)).clamp_min(0)


def matern(squares: Tensor) -> Tensor:
    """Return the Matérn-5/2 kernel of 5 r², and that of the constant: k + 1."""
    root = squares.sqrt()
    return (1 + root + root.square() / 3) * (-root).exp() + CONSTANT


def looked_up(kernel: Floats, columns: Sequence[NDArray[np.int32]]) -> Floats:
    """Return entries [m] of the kernel for each of n columns [m]: [n, m]."""
    found = np.empty((len(columns), len(columns[0])))
    for row, column in zip(found, columns, strict=True):
        np.take(kernel, column, out=row, mode="clip")  # not "raise", which buffers
    return found


def moments_of(kernel: Floats, inverse: Floats, fitted: Floats) -> Floats:
    """Return the moments [2, m] of covariances [n, m], which are overwritten."""
    # The product of a triangular matrix takes half the time. BLAS counts in columns: all are T.
    cross = dtrmm(1.0, inverse.T, kernel.T, side=1, lower=0, overwrite_b=1).T
    return np.stack([fitted @ cross, np.einsum("ij,ij->j", cross, cross)])


def scaled_moments(mean: Tensor, explained: Tensor, posterior: Posterior) -> tuple[Tensor, Tensor]:
    """Return mean and deviation in units of the targets, [H, m] both."""
    centre, spread, deviation = posterior.scale.unbind(1)  # [H, 1] each
    variance = (1 + CONSTANT - explained).clamp_min(1e-9)
    return centre + spread * mean, spread * deviation * variance.sqrt()


class AddedMean(Protocol):
    """A function of the features that is added to the mean of a process."""

    def forward(self, features: Tensor) -> tuple[Tensor, Any]:
        """Return its values [H, m] at features [m, D], and what their gradient is computed of."""

    def backward(self, kept: Any, by_mean: Tensor) -> Tensor:
        """Return the gradient in the features [m, D] from that in the values [H, m]."""


class Moments(torch.autograd.Function):
    """Mean and deviation, [H, m] both, of features [m, D], with their gradient by hand.

    A search asks for it in every epoch; by way of each of these small operations it takes twice
    the time. So does what earlier runs add to the mean.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, posterior: Posterior, added: AddedMean | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the moments."""
        points = features * posterior.weights  # [H, m, D]
        root = squared_distances(posterior.inputs, points).sqrt_()  # u = √5 r: [H, n, m]
        decay = (-root).exp_()
        cross = posterior.inverse @ ((1 + root + root.square() / 3) * decay + CONSTANT)
        mean = (posterior.fitted.unsqueeze(1) @ cross).squeeze(1)
        mean, deviation = scaled_moments(mean, cross.square().sum(1), posterior)
        ctx.posterior, ctx.added = posterior, added
        ctx.save_for_backward(points, root, decay, cross, deviation)
        if added is not None:
            values, ctx.kept = added.forward(features)
            mean = mean + values
        return mean, deviation

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_mean: Tensor, by_deviation: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient in the features, [m, D]."""
        by_added = None if ctx.added is None else ctx.added.backward(ctx.kept, by_mean)
        points, root, decay, cross, deviation = ctx.saved_tensors
        _, weights, inputs, inverse, fitted, scale = ctx.posterior
        _, spread, largest = scale.unbind(1)
        # Of cross c: d mean = s a' dc, and d deviation = -(s d)² c' dc / deviation
        by_mean = spread * by_mean
        by_deviation = (spread * largest).square() / deviation * by_deviation
        by_cross = fitted.unsqueeze(-1) * by_mean.unsqueeze(1) - cross * by_deviation.unsqueeze(1)
        # dk / du² = -(1 + u) exp(-u) / 6
        slope = (inverse.mT @ by_cross) * (1 + root) * decay / -6  # [H, n, m]
        by_points = 2 * (points * slope.sum(1).unsqueeze(-1) - slope.mT @ inputs)
        by_features = (by_points * weights).sum(0)
        return by_features if by_added is None else by_features + by_added, None, None
