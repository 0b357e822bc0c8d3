"""A Gaussian process whose hyper-parameters are integrated out on a grid, and its samples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from optiproxy_nas.core.arrays import Floats

LENGTHS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)  # of the kernel, in distances of random architectures
NOISES = (0.003, 0.01, 0.03, 0.1, 0.3)  # variances of what no feature explains
MEAN = 1.0  # prior variance of the constant, like NOISES in units of the kernel's variance


class Hyper(NamedTuple):
    """The posterior of a Gaussian process for one length scale and noise."""

    length: float
    noise: float
    weight: float  # posterior probability of this pair on the grid
    inverse: Floats  # [n, n], of the Cholesky factor of the archive's covariance
    fitted: Floats  # [n], inverse @ targets
    shape: float  # of the inverse gamma distribution of the kernel's variance
    rate: float


class Process(NamedTuple):
    """A Gaussian process whose hyper-parameters are integrated out on a grid.

    Covariance s² (Matérn-5/2(‖x - x'‖ / l) + MEAN + noise · [x = x']) with s² ~ InvGamma(3/2, 3/2).
    """

    inputs: Floats  # [n, D]
    centre: float  # of the targets
    spread: float
    grid: list[Hyper]

    @classmethod
    def fit(cls, inputs: Floats, targets: Floats) -> Process:
        """Return the posterior given inputs [n, D] and targets [n], which are not all equal."""
        count, squares = len(inputs), _squares(inputs, inputs)
        centre, spread = float(targets.mean()), float(targets.std())
        scaled = (targets - centre) / spread
        grid, evidence = [], []
        for length in LENGTHS:
            covariance = _matern(squares, length) + MEAN
            for noise in NOISES:
                factor = np.linalg.cholesky(covariance + noise * np.eye(count))
                inverse = np.linalg.inv(factor)
                fitted = inverse @ scaled
                shape, rate = (3 + count) / 2, (3 + float(fitted @ fitted)) / 2
                evidence.append(-np.log(np.diag(factor)).sum() - shape * np.log(rate))
                grid.append(Hyper(length, noise, 0.0, inverse, fitted, shape, rate))
        weights = np.exp(np.array(evidence) - max(evidence))
        weights /= weights.sum()
        kept = [hyper._replace(weight=float(w)) for hyper, w in zip(grid, weights, strict=True)]
        return cls(inputs, centre, spread, kept)

    def exceedance(self, inputs: Floats, limit: float) -> Floats:
        """Return (mean - limit) / deviation at inputs [m, D], by the likeliest hyper-parameters."""
        hyper = max(self.grid, key=lambda each: each.weight)
        cross = hyper.inverse @ self._covariance(hyper, self.inputs, inputs)
        variance = np.maximum(1 + MEAN - (cross * cross).sum(0), 0) + hyper.noise
        deviation = self.spread * np.sqrt(variance * hyper.rate / (hyper.shape - 1))
        found: Floats = (self.centre + self.spread * (cross.T @ hyper.fitted) - limit) / deviation
        return found

    def maxima(self, inputs: Floats, samples: int, generator: np.random.Generator) -> Floats:
        """Return the highest value at inputs [m, D] of each sample of the posterior: [samples]."""
        counts = generator.multinomial(samples, [hyper.weight for hyper in self.grid])
        found = []
        for hyper, count in zip(self.grid, counts.tolist(), strict=True):
            if not count:
                continue
            cross = hyper.inverse @ self._covariance(hyper, self.inputs, inputs)
            covariance = self._covariance(hyper, inputs, inputs) - cross.T @ cross
            covariance[np.diag_indices(len(inputs))] += hyper.noise + 1e-6
            scale = np.sqrt(hyper.rate / generator.gamma(hyper.shape, size=count))
            noise = np.linalg.cholesky(covariance) @ generator.normal(size=(len(inputs), count))
            drawn = (cross.T @ hyper.fitted)[:, None] + scale * noise
            found.append(self.centre + self.spread * drawn.max(0))
        return np.concatenate(found)

    @staticmethod
    def _covariance(hyper: Hyper, left: Floats, right: Floats) -> Floats:
        return _matern(_squares(left, right), hyper.length) + MEAN


def _squares(left: Floats, right: Floats) -> Floats:
    """Return squared distances [n, m] of rows [n, D] and [m, D]."""
    norms = (left * left).sum(1)[:, None] + (right * right).sum(1)
    squares: Floats = np.maximum(norms - 2 * left @ right.T, 0)
    return squares


def _matern(squares: Floats, length: float) -> Floats:
    """Return the Matérn-5/2 kernel of squared distances."""
    ratio = np.sqrt(5 * squares) / length
    kernel: Floats = (1 + ratio + ratio * ratio / 3) * np.exp(-ratio)
    return kernel
