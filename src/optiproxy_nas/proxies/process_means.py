"""Posterior means of several Gaussian processes side by side, in float32 (ours).

They guide every epoch of a gradient search, so that they take few operations and their gradient is
computed by hand, and score lists of thousands of architectures. Arrays of NumPy, of which small
operations take a third of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import block_diag
from torch import Tensor
from torch.autograd.function import once_differentiable

from optiproxy_nas.proxies.gaussian_moments import CONSTANT
from optiproxy_nas.proxies.gaussian_process import GaussianProcessProxy

Numbers = NDArray[np.float32]


class ProcessMeans(NamedTuple):
    """M means c_m + Σ_i a_mi k_i(x), of covariances with the rows i of all archives.

    Within a block b of features the weight is one, so that squared distances 5 r² to a row are
    linear in the features f, the sums q_b of their squares, and 1: one product gives them all.
    """

    rows: Numbers  # [R, D + B + 1], factors of [f, q, 1]
    solved: Numbers  # [M, R], a
    centre: Numbers  # [M, 1]
    blocks: Numbers  # [D, B], 1 where a feature is of a block

    def weighted(self, weights: Numbers) -> ProcessMeans:
        """Return the sums of these means with weights [S, M], without the rows of weight 0."""
        solved = weights @ self.solved
        used = solved.any(0)
        rows, solved = (self.rows, solved) if used.all() else (self.rows[used], solved[:, used])
        return ProcessMeans(rows, solved, weights @ self.centre, self.blocks)

    def of(self, features: Tensor) -> Tensor:
        """Return the means of n architectures [M, n] of features [n, D], differentiable."""
        found: Tensor = _Means.apply(features, self)  # type: ignore[no-untyped-call]
        return found

    def forward(self, features: Tensor) -> tuple[Tensor, tuple[Numbers, Numbers]]:
        """Return the means [M, n] of features [n, D], and what their gradient is computed of."""
        values = features.detach().numpy().astype(np.float32)
        kernel, slope = self.covariances(values)
        return torch.from_numpy(self.centre + self.solved @ kernel.T), (values, slope)

    def backward(self, kept: tuple[Numbers, Numbers], by_mean: Tensor) -> Tensor:
        """Return the gradient in the features [n, D] from that in the means [M, n]."""
        values, kernel_slope = kept
        width = values.shape[1]
        slope = (by_mean.numpy().T.astype(np.float32) / -6) @ self.solved  # [n, R]
        slope *= kernel_slope
        found = slope @ self.rows
        by_squares = found[:, width:-1] @ self.blocks.T
        return torch.from_numpy(found[:, :width] + 2 * values * by_squares)

    def covariances(self, features: Numbers) -> tuple[Numbers, Numbers]:
        """Return k with the rows of the archives, and -6 times its derivative by 5 r²: [n, R]."""
        count, width = features.shape
        factors = np.empty((count, self.rows.shape[1]), np.float32)
        factors[:, :width] = features
        np.matmul(np.square(features), self.blocks, out=factors[:, width:-1])
        factors[:, -1] = 1
        root = factors @ self.rows.T  # of above 0, where it has a gradient
        np.sqrt(np.maximum(root, 1e-9, out=root), out=root)  # u = √5 r
        decay = np.exp(-root)
        slope = (1 + root) * decay  # dk / du² = -(1 + u) exp(-u) / 6
        np.square(root, out=root)
        root *= decay
        root /= 3
        root += slope
        return root, slope


def process_means(processes: Sequence[GaussianProcessProxy]) -> ProcessMeans:
    """Return the means of J fitted processes of one kind with H heads: M = J H, heads inside."""
    rows: list[Tensor] = []
    solved: list[Tensor] = []
    centre: list[Tensor] = []
    blocks = processes[0].block_matrix()  # [D, B]
    first = blocks.argmax(0)  # a feature of each block
    for mean in (process.linear_mean() for process in processes):
        weights = mean.weights  # [H, 1, D]
        factors = weights[..., first].square().expand(-1, mean.inputs.shape[1], -1)  # [H, n, B]
        norms = mean.inputs.square().sum(-1, keepdim=True)
        rows += torch.cat([-2 * mean.inputs * weights, factors, norms], -1).unbind()
        solved += mean.solved.unbind()
        centre.append(mean.centre + CONSTANT * mean.solved.sum(-1, keepdim=True))
    arrays = torch.cat(rows), torch.from_numpy(block_diag(*solved)), torch.cat(centre), blocks
    return ProcessMeans(*(it.float().numpy() for it in arrays))


class _Means(torch.autograd.Function):
    """Means [M, n] of features [n, D], with their gradient by hand."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, means: ProcessMeans) -> Tensor:
        """Return the means."""
        found, ctx.kept = means.forward(features)
        ctx.means = means
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_mean: Tensor) -> tuple[Tensor, None]:
        """Return the gradient in the features, [n, D]."""
        return ctx.means.backward(ctx.kept, by_mean), None
