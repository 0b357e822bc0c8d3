"""A Gaussian process as the proxy: exact, and differentiable in the relaxed encoding (ours).

It sees what :class:`~optiproxy_nas.proxies.mlp.GraphMLP` does. It learns from the archive how much
each kind of feature counts, and how noisy the values are, of which an ensemble has no notion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from torch import Tensor

from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.proxies.base import FeatureProxy
from optiproxy_nas.spaces.base import Encoding, SearchSpace
from optiproxy_nas.spaces.encodings import graph_features

LENGTH, LENGTH_SD = 1.5, 0.7  # prior of length scales: median, and deviation of the logarithm
NOISE, NOISE_SD = 0.02, 1.5  # of the noise's variance, in units of the kernel's
SHAPE = 1.5  # of the inverse gamma prior of the kernel's variance; its rate is the same
CONSTANT = 1.0  # prior variance of the mean, in units of the kernel's
JITTER = 1e-6
LIMITS = (-3.0, 4.0), (math.log(1e-4), 0.5)  # of the logarithms: lengths, noise
ITERATIONS, FEWER, FEW_ROWS = 30, 5, 100  # of L-BFGS, at most; of more rows than these
LARGEST = 300  # rows that it is fitted on: a step takes a fifth of a second then
_STATE = ("codes", "targets", "hyper")


class Posterior(NamedTuple):
    """What the predictions of a process are computed of; H heads share nothing."""

    inputs: Tensor  # [n, D] float64, features of the archive
    inverse: Tensor  # [H, n, n], of the Cholesky factor of the covariance
    fitted: Tensor  # [H, n], inverse @ targets
    scale: Tensor  # [H, 3], centre, spread, and deviation of the kernel


class GaussianProcessProxy(FeatureProxy):
    """f̂ = m + z_e s of a Gaussian process with mean m and deviation s, z_e of mean 0 and sd 1.

    So the mean and the deviation over the E "members" are those of the posterior. Covariance of
    architectures x and x': σ² (k(r) + 1 + noise [x = x']), with the Matérn-5/2 kernel k and
    r² = Σ_b ‖x_b - x'_b‖² / (d_b l_b)², over blocks b of the features: the encoding, the counts of
    operations, and of pairs; d_b is the distance of random architectures. σ² ~ InvGamma(3/2, 3/2)
    is integrated out; l_b and the noise maximise the posterior with weak log-normal priors (MAP).
    Heads share nothing.

    Of an archive above ``LARGEST`` rows it sees the best half and, of the others, the last ones.
    ``hidden``, ``layers`` and ``activation`` mean nothing to it. Its state is what it was fitted
    on and its hyper-parameters, so that memory grows with the archive, not with its square.
    """

    codes: Tensor  # [n, L], of the archive
    targets: Tensor  # [H, n] float64, NaN where not observed
    hyper: Tensor  # [H, B + 1], logarithms of lengths and noise
    _computed: Posterior | None

    def __init__(
        self,
        space: SearchSpace,
        settings: ProxySettings,
        generator: torch.Generator,
        heads: int = 1,
    ) -> None:
        super().__init__()
        self.space = space
        self._norms, self.blocks = _blocks(space)
        self._owner = torch.arange(len(self.blocks)).repeat_interleave(torch.tensor(self.blocks))
        spots = torch.arange(max(2, settings.members), dtype=torch.float64)
        self._spots = ((spots - spots.mean()) / spots.std()).view(-1, 1, 1)  # [E, 1, 1]
        prior = torch.tensor([math.log(LENGTH)] * len(self.blocks) + [math.log(NOISE)])
        # One value of 0, until it is fitted.
        self._set(
            _typical_codes(space)[:1],
            torch.zeros(heads, 1, dtype=torch.float64),
            prior.double().expand(heads, -1).clone(),
        )

    def features(self, encoding: Encoding) -> Tensor:
        """Return the features, a random pair at distance 1 in each block: [n, D] float64."""
        return graph_features(self.space, encoding).double() * self._norms

    def predict(self, features: Tensor) -> Tensor:
        """Return predictions [E, H, n] from features [n, D]."""
        inputs, inverse, fitted, scale = self._posterior()
        cross = inverse @ self._covariance(inputs, features)  # [H, n', n]
        centre, spread, deviation = scale.unsqueeze(-1).unbind(1)  # [H, 1] each
        mean = centre + spread * (fitted.unsqueeze(1) @ cross).squeeze(1)
        variance = (1 + CONSTANT - cross.square().sum(1)).clamp_min(1e-9)
        half = spread * deviation * variance.sqrt()  # [H, n]
        return (mean + self._spots * half).float()

    @torch.no_grad()
    def sample_functions(
        self, encoding: Encoding, draws: int, generator: torch.Generator
    ) -> Tensor:
        """Return joint draws of the posterior of n architectures, without noise: [draws, H, n]."""
        features = self.features(encoding)
        inputs, inverse, fitted, scale = self._posterior()
        cross = inverse @ self._covariance(inputs, features)  # [H, n', n]
        centre, spread, deviation = scale.unsqueeze(-1).unbind(1)  # [H, 1] each
        mean = centre + spread * (fitted.unsqueeze(1) @ cross).squeeze(1)
        covariance = self._covariance(features, features) - cross.transpose(-1, -2) @ cross
        jitter = 1e-6 * torch.eye(len(features), dtype=torch.float64)
        factor = torch.linalg.cholesky(covariance + jitter)  # [H, n, n]
        normal = torch.randn(draws, *mean.shape, generator=generator, dtype=torch.float64)
        half: Tensor = (factor @ normal.unsqueeze(-1)).squeeze(-1)
        return mean + spread * deviation * half

    def fit(self, codes: Tensor, targets: Tensor) -> Tensor:
        """Fit it to targets [H, n], NaN where not observed, from the hyper-parameters it has.

        Returns:
            What was minimised: the negative log posterior a row, mean over the heads, at the start
            and in the end: [2].
        """
        rows = _rows(targets)
        codes, targets = codes[rows], targets[:, rows].double()
        features = self._features_of(codes)
        hyper, losses = [], []
        for start, values in zip(self.hyper, targets, strict=True):
            seen = ~torch.isnan(values)
            found, loss = self._maximise(features[seen], values[seen], start)
            hyper.append(found)
            losses.append(loss)
        self._set(codes, targets, torch.stack(hyper))
        return torch.tensor(losses).mean(0)

    def _features_of(self, codes: Tensor) -> Tensor:
        return self.features(self.space.encode(codes))

    def _maximise(
        self, features: Tensor, values: Tensor, start: Tensor
    ) -> tuple[Tensor, tuple[float, float]]:
        """Return a head's hyper-parameters [B + 1], and what they minimise before and after."""
        if len(values) < 2:
            return start, (0.0, 0.0)
        posterior = NegativeLogPosterior(
            torch.stack([_squares(x, x) for x in torch.split(features, self.blocks, 1)]).numpy(),
            _standard(values)[0].numpy(),
        )
        lengths, noise = LIMITS
        found: Any = minimize(
            posterior,
            start.numpy(),
            jac=True,
            method="L-BFGS-B",
            bounds=[lengths] * len(self.blocks) + [noise],
            # Of many rows, one more changes little, and the next fit goes on from here.
            options={"maxiter": ITERATIONS if len(values) <= FEW_ROWS else FEWER},
        )
        return torch.from_numpy(np.asarray(found.x)), (posterior(start.numpy())[0], found.fun)

    def _posterior(self) -> Posterior:
        """Return the posterior of the state, which is computed once."""
        if self._computed is not None:
            return self._computed
        inputs, noise = self._features_of(self.codes), self.hyper[:, -1:].exp() + JITTER  # [H, 1]
        unseen = torch.isnan(self.targets)
        scaled, centre, spread = zip(*map(_standard, self.targets), strict=True)
        values = torch.stack(scaled).where(~unseen, 0.0)
        noise = torch.where(unseen, 1e9, noise)  # a row that tells nothing
        kernel = self._covariance(inputs, inputs) + torch.diag_embed(noise)
        inverse = torch.linalg.solve_triangular(
            torch.linalg.cholesky(kernel), torch.eye(len(inputs), dtype=torch.float64), upper=False
        )
        fitted = (inverse @ values.unsqueeze(-1)).squeeze(-1)
        counts = (~unseen).sum(1)
        rate = SHAPE + fitted.square().sum(1) / 2
        deviation = (rate / (SHAPE + counts / 2 - 1).clamp_min(0.5)).sqrt()
        scale = torch.stack([torch.stack(centre), torch.stack(spread), deviation], 1)
        self._computed = Posterior(inputs, inverse, fitted, scale)
        return self._computed

    def _covariance(self, left: Tensor, right: Tensor) -> Tensor:
        """Return k + 1 of rows [n, D] and [m, D] for each head: [H, n, m]."""
        weights = (-self.hyper[:, self._owner]).exp().unsqueeze(1)  # [H, 1, D]
        return _matern(_squares(left * weights, right * weights)) + CONSTANT

    def _set(self, *state: Tensor) -> None:
        for name, value in zip(_STATE, state, strict=True):
            self.register_buffer(name, value)
        self._computed = None

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *arguments: Any, **named: Any
    ) -> None:
        """Take the tensors whatever their shapes, which grow with the archive."""
        for name in _STATE:
            if isinstance(value := state_dict.get(prefix + name), Tensor):
                setattr(self, name, value.clone())
        self._computed = None
        super()._load_from_state_dict(state_dict, prefix, *arguments, **named)


class NegativeLogPosterior:
    """Of hyper-parameters, a row of the archive: what a fit minimises.

    Args:
        squares: squared distances in each block of features [B, n, n].
        values: standardised targets [n].
    """

    def __init__(self, squares: Floats, values: Floats) -> None:
        self._squares, self._values = squares, values
        lengths = len(squares)
        self._middle = np.array([math.log(LENGTH)] * lengths + [math.log(NOISE)])
        self._spread = np.array([LENGTH_SD] * lengths + [NOISE_SD])

    def __call__(self, hyper: Floats) -> tuple[float, Floats]:
        """Return it and its gradient [B + 1] at ``hyper``, logarithms of lengths and noise."""
        count = len(self._values)
        weights, noise = np.exp(-2 * hyper[:-1]), math.exp(hyper[-1])
        root = np.sqrt(5 * np.tensordot(weights, self._squares, 1))
        decay = np.exp(-root)
        kernel = (1 + root + root * root / 3) * decay + CONSTANT
        kernel[np.diag_indices(count)] += noise + JITTER
        factor = np.linalg.cholesky(kernel)
        inverse = solve_triangular(factor, np.eye(count), lower=True, check_finite=False)
        fitted = inverse @ self._values
        rate, shape = SHAPE + fitted @ fitted / 2, SHAPE + count / 2
        prior = (hyper - self._middle) / self._spread
        loss = np.log(np.diag(factor)).sum() + shape * math.log(rate) + prior @ prior / 2
        # d loss = ½ tr(K⁻¹ dK) - shape / rate · ½ aᵀ dK a with a = K⁻¹ y
        solved = inverse.T @ fitted
        outer = (inverse.T @ inverse - shape / rate * np.outer(solved, solved)) / 2
        slope = outer * (5 / 3 * (1 + root) * decay)  # dk / dr² = -5/6 (1 + u) exp(-u), u = √5 r
        lengths = weights * np.tensordot(self._squares, slope, 2)
        gradient = np.append(lengths, noise * np.trace(outer)) + prior / self._spread
        return float(loss) / count, gradient / count


@lru_cache(maxsize=4)
def _typical_codes(space: SearchSpace) -> Tensor:
    return space.random(256, torch.Generator().manual_seed(0))


@lru_cache(maxsize=4)
def _blocks(space: SearchSpace) -> tuple[Tensor, list[int]]:
    """Return factors of the features [D], and the widths of their blocks."""
    typical = space.encode(_typical_codes(space))
    features = graph_features(space, typical).double()
    width = space.features(typical).shape[1]
    count = space.num_features if space.num_vertices else 0
    widths = [width, count, count * count] if count else [width]
    norms = [
        (2 * block.var(0, correction=0).sum()).clamp_min(1e-12).rsqrt().expand(block.shape[1])
        for block in torch.split(features, widths, dim=1)
    ]
    return torch.cat(norms), widths


def _rows(targets: Tensor) -> Tensor:
    """Return the rows that are fitted on: all, or ``LARGEST`` of them, in order."""
    count = targets.shape[1]
    if count <= LARGEST:
        return torch.arange(count)
    order = torch.nan_to_num(targets[0], nan=-math.inf).argsort(descending=True, stable=True)
    best = order[: LARGEST // 2]
    others = order[LARGEST // 2 :].sort().values[-(LARGEST - len(best)) :]
    return torch.cat([best, others]).sort().values


def _standard(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return values [n] in deviations from their mean, the mean and the deviation, without NaN."""
    seen = values[~torch.isnan(values)]
    if len(seen) < 2 or bool((seen == seen[0]).all()):
        centre = seen.mean() if len(seen) else torch.zeros((), dtype=torch.float64)
        return values - centre, centre.double(), torch.ones((), dtype=torch.float64)
    centre, spread = seen.mean(), seen.std(correction=0)
    return (values - centre) / spread, centre, spread


def _squares(left: Tensor, right: Tensor) -> Tensor:
    """Return squared distances [..., n, m] of rows [..., n, d] and [..., m, d]."""
    norms = left.square().sum(-1).unsqueeze(-1) + right.square().sum(-1).unsqueeze(-2)
    return (norms - 2 * left @ right.transpose(-1, -2)).clamp_min(0)


def _matern(squares: Tensor) -> Tensor:
    """Return the Matérn-5/2 kernel of squared distances."""
    root = (5 * squares + 1e-12).sqrt()
    return (1 + root + root.square() / 3) * (-root).exp()
