"""Posterior means of several Gaussian processes side by side, in float32 (ours).

They guide every epoch of a gradient search, so their gradient is computed by hand, and score lists
of thousands of architectures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from optiproxy_nas.proxies.gaussian_moments import CONSTANT
from optiproxy_nas.proxies.gaussian_process import GaussianProcessProxy

CACHED = 2**16  # covariances that are computed at a time: they stay in the processor's cache


class Linear(NamedTuple):
    """Means centre + Σ_i a_i (k(x, x_i) + 1) of J processes with H heads.

    Rows of shorter archives are filled up by a_i = 0.
    """

    weights: Tensor  # [J, H, 1, D], of features
    twice: Tensor  # [J, H, n, D], two times the weighted features of the archives
    norms: Tensor  # [J, H, n, 1], squares of the weighted features
    solved: Tensor  # [J, H, 1, n], a
    centre: Tensor  # [J, H, 1]

    def only(self, used: Tensor) -> Linear:
        """Return those of the processes of some numbers [u]."""
        return self if len(used) == len(self.centre) else Linear(*(it[used] for it in self))

    def of(self, features: Tensor) -> Tensor:
        """Return the means of n architectures [J, H, n] of features [n, D], differentiable."""
        features = features.float()
        if features.requires_grad:
            found: Tensor = _Means.apply(features, self)  # type: ignore[no-untyped-call]
            return found
        kernel = self.squared_distances(features * self.weights)
        for part in torch.split(kernel.view(-1), CACHED):
            torch.add(_matern(part)[2], CONSTANT, out=part)
        return self.weighted(kernel)

    def squared_distances(self, points: Tensor) -> Tensor:
        """Return 5 r² of weighted features [J, H, m, D] and the rows of the archives: [J, H, n, m].

        They are above 0, where their root has a gradient.
        """
        squares = self.norms + points.square().sum(-1).unsqueeze(-2)
        return squares.sub_(self.twice @ points.mT).clamp_min_(0).add_(1e-9)

    def weighted(self, kernel: Tensor) -> Tensor:
        """Return the means [J, H, m] of covariances [J, H, n, m]."""
        return self.centre + (self.solved @ kernel).squeeze(2)


def linear_means(processes: Sequence[GaussianProcessProxy]) -> Linear:
    """Return the means of fitted processes of one kind."""
    means = [process.linear_mean() for process in processes]
    longest = max(mean.inputs.shape[1] for mean in means)
    inputs = torch.stack([_filled(mean.inputs, longest) for mean in means]).float()
    solved = torch.stack([_filled(mean.solved.unsqueeze(-1), longest) for mean in means])
    return Linear(
        torch.stack([mean.weights for mean in means]).float(),
        2 * inputs,
        inputs.square().sum(-1, keepdim=True),
        solved.mT.float().contiguous(),
        torch.stack([mean.centre for mean in means]).float(),
    )


class _Means(torch.autograd.Function):
    """Means [J, H, m] of features [m, D] float32, with their gradient by hand."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, means: Linear) -> Tensor:
        """Return the means."""
        points = features * means.weights
        root, decay, kernel = _matern(means.squared_distances(points))
        ctx.means = means
        ctx.save_for_backward(points, root, decay)
        return means.weighted(kernel.add_(CONSTANT))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_mean: Tensor) -> tuple[Tensor, None]:
        """Return the gradient in the features, [m, D]."""
        points, root, decay = ctx.saved_tensors
        means = ctx.means
        # dk / du² = -(1 + u) exp(-u) / 6
        slope = (1 + root).mul_(decay).mul_(means.solved.mT * (by_mean.unsqueeze(2) / -6))
        by_points = 2 * points * slope.sum(2).unsqueeze(-1) - slope.mT @ means.twice
        return (by_points * means.weights).sum((0, 1)), None


def _matern(squares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return u = √5 r, exp(-u) and the Matérn-5/2 kernel of 5 r², which is overwritten by u."""
    root = squares.sqrt_()
    decay = (-root).exp_()
    return root, decay, (1 + root).add_(root.square().div_(3)).mul_(decay)


def _filled(rows: Tensor, count: int) -> Tensor:
    """Return rows [H, n, D] with zeros behind them: [H, count, D]."""
    return nn.functional.pad(rows, (0, 0, 0, count - rows.shape[1]))
