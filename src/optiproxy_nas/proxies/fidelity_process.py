"""A Gaussian process for searches with rungs: one process for the values at all of them (ours).

The autoregressive model of Kennedy & O'Hagan (2000), "Predicting the output from a complex computer
code when fast approximations are available", whose factors between rungs are 1, since the objective
puts the targets of all rungs on one scale.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import numpy as np
import torch
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from torch import Tensor

from optiproxy_nas.core.arrays import Floats, Integers
from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.proxies.gaussian_moments import (
    CONSTANT,
    Posterior,
    matern,
    squared_distances,
)
from optiproxy_nas.proxies.gaussian_process import (
    FEW_ROWS,
    FEWER,
    ITERATIONS,
    JITTER,
    LARGEST,
    LENGTH,
    LENGTH_SD,
    LIMITS,
    NOISE,
    NOISE_SD,
    SHAPE,
    GaussianProcessProxy,
    fitted_rows,
    standardised,
)
from optiproxy_nas.spaces.base import SearchSpace

SHARE, SHARE_SD = 0.1, 1.0  # prior of a correction's variance in units of the kernel's, as NOISE
SHARE_LIMITS = (math.log(1e-3), 1.5)


class FidelityGaussianProcess(GaussianProcessProxy):
    """One process over architectures x and rungs s = 0..H-1: f(x, s) = g_0(x) + ... + g_s(x).

    Covariance of (x, s) and (x', s'): σ² ((k(r) + 1) (1 + Σ_{h=1}^{min(s, s')} v_h) + noise_s [same
    trial]). k, r and σ² are those of :class:`GaussianProcessProxy`; the corrections g_h, h >= 1,
    share its lengths, and have variances v_h. So a full training also tells what short ones are
    worth, and, by way of the lengths, a short one what to train fully. Lengths, v_h and noise_s
    maximise the posterior with weak log-normal priors (MAP).

    Head 0 is the value at the lowest rung, head h the correction g_h: predictions of the first
    s + 1 heads add up to those at rung s, with the deviation of that sum.
    """

    def __init__(
        self,
        space: SearchSpace,
        settings: ProxySettings,
        generator: torch.Generator,
        heads: int = 1,
    ) -> None:
        super().__init__(space, settings, generator, heads)
        # [H, B + 2], of a rung: lengths, which all have in common, noise, and v, of the lowest 1.
        shares = torch.tensor([0.0] + [math.log(SHARE)] * (heads - 1), dtype=torch.float64)
        self._set(self.codes, self.targets, torch.cat([self.hyper, shares.unsqueeze(-1)], 1))

    def fit(self, codes: Tensor, targets: Tensor) -> Tensor:
        """Fit it to targets [H, n], one a row, from the hyper-parameters it has.

        Args:
            codes: architectures [n, L].
            targets: head 0 is a value, the others are differences to the rung below, for which the
                same architecture has a row. NaN: not observed.

        Returns:
            As of :class:`GaussianProcessProxy`.
        """
        values = self._values(codes, targets)
        reached = values.nan_to_num(0).sum(0).where(~values.isnan().all(0), torch.nan)
        rows = fitted_rows(reached.unsqueeze(0), LARGEST)
        rows = rows[~reached[rows].isnan()]
        codes, values, reached = codes[rows], values[:, rows], reached[rows]
        rungs = (~values.isnan()).int().argmax(0).numpy()
        hyper, losses = self.hyper, (0.0, 0.0)
        if len(rows) > 1:
            features = self.features(self._encode(codes)) * self.norms
            posterior = NegativeLogPosterior(
                torch.stack(
                    [squared_distances(it, it) for it in torch.split(features, self.blocks, 1)]
                ).numpy(),
                standardised(reached)[0].numpy(),
                rungs,
                len(values),
            )
            found: Any = minimize(
                posterior,
                start := self._flat(),
                jac=True,
                method="L-BFGS-B",
                bounds=posterior.limits,
                options={"maxiter": ITERATIONS if len(rows) <= FEW_ROWS else FEWER},
            )
            hyper, losses = self._by_rung(found.x), (posterior(start)[0], found.fun)
        self._set(codes, values, hyper)
        return torch.tensor(losses)

    def _values(self, codes: Tensor, targets: Tensor) -> Tensor:
        """Return what targets [H, n] add up to at the rung of each row, NaN elsewhere: [H, n]."""
        values = torch.full(targets.shape, torch.nan, dtype=torch.float64)
        below: dict[Hashable, float] = {}
        keys = [tuple(code) for code in codes.tolist()]
        for head, differences in enumerate(targets.tolist()):
            reached: dict[Hashable, float] = {}
            for row, (key, difference) in enumerate(zip(keys, differences, strict=True)):
                if not math.isnan(difference) and (head == 0 or key in below):
                    values[head, row] = reached[key] = difference + below.get(key, 0.0)
            below = reached
        return values

    def _flat(self) -> Floats:
        """Return the hyper-parameters as the fit has them: lengths, noise [H], v [H - 1]."""
        blocks = len(self.blocks)
        parts = self.hyper[0, :blocks], self.hyper[:, blocks], self.hyper[1:, blocks + 1]
        flat: Floats = torch.cat(parts).numpy()
        return flat

    def _by_rung(self, flat: Floats) -> Tensor:
        heads, blocks = len(self.targets), len(self.blocks)
        lengths, noise, shares = np.split(flat, [blocks, blocks + heads])
        rows = np.column_stack([np.tile(lengths, (heads, 1)), noise, np.append(0.0, shares)])
        return torch.from_numpy(rows)

    def _posterior(self) -> Posterior:
        """Return the posterior of the state: of each head h, of the value at rung h."""
        if self._computed is not None:
            return self._computed
        counts = self._counts(self._encode(self.codes))
        weights = (math.sqrt(5) * (-self.hyper[:1, self._owner]).exp() * self.norms).unsqueeze(1)
        inputs = counts.double() * weights  # [1, n, D]
        seen = ~self.targets.isnan()
        rungs = seen.int().argmax(0)
        variances = self.hyper[:, -1].exp().cumsum(0)  # [H]
        common = variances[torch.minimum(torch.arange(len(seen)).unsqueeze(1), rungs)]  # [H, n]
        noise = self.hyper[rungs, len(self.blocks)].exp() + JITTER
        kernel = matern(squared_distances(inputs, inputs))[0] * common[rungs] + torch.diag(noise)
        inverse = torch.linalg.solve_triangular(
            torch.linalg.cholesky(kernel), torch.eye(len(counts), dtype=torch.float64), upper=False
        )
        values, centre, spread = standardised(self.targets.nan_to_num(0).sum(0))
        fitted = inverse @ values
        rate = SHAPE + fitted.square().sum() / 2
        deviation = (rate / max(SHAPE + len(values) / 2 - 1, 0.5)).sqrt()
        # In units of the rung's variance, so that what is computed of them is that of one rung.
        root = variances.sqrt().unsqueeze(-1)  # [H, 1]
        heads = torch.ones_like(root)
        self._computed = Posterior(
            counts,
            weights.expand(len(seen), -1, -1),
            inputs.expand(len(seen), -1, -1),
            inverse * (common / root).unsqueeze(1),
            root * fitted,
            torch.stack([centre * heads, spread * heads, deviation * root], 1),
        )
        return self._computed

    def _predictions(self, mean: Tensor, deviation: Tensor) -> Tensor:
        return _differences(super()._predictions(mean, deviation))

    def sample_functions(self, encoding: Any, draws: int, generator: torch.Generator) -> Tensor:
        """Return draws [draws, H, n] whose sums up to a rung are joint draws of n architectures."""
        return _differences(super().sample_functions(encoding, draws, generator))


def _differences(values: Tensor) -> Tensor:
    """Return values at rungs [..., H, n] as the first and the differences to the one below."""
    return torch.cat([values[..., :1, :], values[..., 1:, :] - values[..., :-1, :]], -2)


class NegativeLogPosterior:
    """Of hyper-parameters (lengths, noise [H], v [H - 1]), a row: what a fit minimises.

    Args:
        squares: squared distances in each block of features [B, n, n].
        values: standardised values [n].
        rungs: of the rows [n], 0..H-1.
        heads: H.
    """

    def __init__(self, squares: Floats, values: Floats, rungs: Integers, heads: int) -> None:
        blocks = len(squares)
        self._squares, self._values, self._rungs = squares, values, rungs
        self._middle = np.log([LENGTH] * blocks + [NOISE] * heads + [SHARE] * (heads - 1))
        self._spread = np.array(
            [LENGTH_SD] * blocks + [NOISE_SD] * heads + [SHARE_SD] * (heads - 1)
        )
        self._ends = [blocks, blocks + heads]
        lengths, noise = LIMITS
        self.limits = [lengths] * blocks + [noise] * heads + [SHARE_LIMITS] * (heads - 1)
        lower = np.minimum(rungs[:, np.newaxis], rungs)
        self._above = [lower >= rung for rung in range(1, heads)]  # [n, n] each

    def __call__(self, hyper: Floats) -> tuple[float, Floats]:
        """Return it and its gradient at the logarithms of hyper-parameters."""
        count = len(self._values)
        lengths, noise, shares = np.split(hyper, self._ends)
        weights, noise, shares = np.exp(-2 * lengths), np.exp(noise), np.exp(shares)
        root = np.sqrt(5 * np.tensordot(weights, self._squares, 1))
        decay = np.exp(-root)
        common = 1.0 + sum(
            (share * above for share, above in zip(shares, self._above, strict=True)),
            start=np.zeros_like(root),
        )
        single = (1 + root + root * root / 3) * decay + CONSTANT
        kernel = single * common
        kernel[np.diag_indices(count)] += noise[self._rungs] + JITTER
        factor = np.linalg.cholesky(kernel)
        inverse = solve_triangular(factor, np.eye(count), lower=True, check_finite=False)
        fitted = inverse @ self._values
        rate, shape = SHAPE + fitted @ fitted / 2, SHAPE + count / 2
        prior = (hyper - self._middle) / self._spread
        loss = np.log(np.diag(factor)).sum() + shape * math.log(rate) + prior @ prior / 2
        # As of one rung: d loss = Σ outer dK
        solved = inverse.T @ fitted
        outer = (inverse.T @ inverse - shape / rate * np.outer(solved, solved)) / 2
        slope = outer * common * (5 / 3 * (1 + root) * decay)
        by_noise = np.bincount(self._rungs, np.diag(outer), len(noise))
        weighted = outer * single
        gradient = np.concatenate(
            [
                weights * np.tensordot(self._squares, slope, 2),
                noise * by_noise,
                shares * np.array([weighted[above].sum() for above in self._above]),
            ]
        )
        return float(loss) / count, (gradient + prior / self._spread) / count
