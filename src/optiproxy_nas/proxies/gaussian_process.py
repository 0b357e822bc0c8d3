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
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from torch import Tensor, nn

from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.proxies.base import FeatureProxy
from optiproxy_nas.proxies.gaussian_moments import (
    CONSTANT,
    AddedMean,
    Moments,
    Posterior,
    looked_up,
    matern,
    moments_of,
    scaled_moments,
    squared_distances,
)
from optiproxy_nas.proxies.listed_distances import ListedDistances
from optiproxy_nas.spaces.base import Encoding, SearchSpace
from optiproxy_nas.spaces.encodings import graph_features

LENGTH, LENGTH_SD = 1.5, 0.7  # prior of length scales: median, and deviation of the logarithm
NOISE, NOISE_SD = 0.02, 1.5  # of the noise's variance, in units of the kernel's
SHAPE = 1.5  # of the inverse gamma prior of the kernel's variance; its rate is the same
JITTER = 1e-6
LIMITS = (-3.0, 4.0), (math.log(1e-4), 0.5)  # of the logarithms: lengths, noise
ITERATIONS, FEWER, FEW_ROWS = 30, 5, 100  # of L-BFGS, at most; of more rows than these
LARGEST = 300  # rows that it is fitted on: a step takes a fifth of a second then
_STATE = ("codes", "targets", "hyper")


class LinearMean(NamedTuple):
    """The mean of a process with H heads on n architectures."""

    weights: Tensor  # [H, 1, D], of features
    inputs: Tensor  # [H, n, D], weighted features
    solved: Tensor  # [H, n]
    centre: Tensor  # [H, 1]


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
        self.norms, self.blocks, self._owner = _blocks(type(self), space)
        spots = torch.arange(max(2, settings.members), dtype=torch.float64)
        self._spots = ((spots - spots.mean()) / spots.std()).view(-1, 1, 1)  # [E, 1, 1]
        median, _ = self.length_prior(space, len(self.blocks))
        prior = torch.tensor([math.log(median)] * len(self.blocks) + [math.log(NOISE)])
        # One value of 0, until it is fitted.
        self.take(
            _typical_codes(space)[:1],
            torch.zeros(heads, 1, dtype=torch.float64),
            prior.double().expand(heads, -1).clone(),
        )

    def features(self, encoding: Encoding) -> Tensor:
        """Return the features, which count things in discrete architectures: [n, D] float64."""
        return self._counts(encoding).double()

    @classmethod
    def feature_blocks(cls, space: SearchSpace, encoding: Encoding) -> list[Tensor]:
        """Return the features of n architectures in blocks, each with a length of its own."""
        features = graph_features(space, encoding)
        width = space.features(encoding).shape[1]
        count = space.num_features if space.num_vertices else 0
        return list(torch.split(features, [width, count, count * count] if count else [width], 1))

    @classmethod
    def length_prior(cls, space: SearchSpace, blocks: int) -> tuple[float, float]:
        """Return the median of the length scales of blocks, and the deviation of its logarithm."""
        return LENGTH, LENGTH_SD

    def _counts(self, encoding: Encoding) -> Tensor:
        return torch.cat(self.feature_blocks(self.space, encoding), 1)

    def predict(self, features: Tensor, added: AddedMean | None = None) -> Tensor:
        """Return predictions [E, H, n] from features [n, D]; ``added``: to their mean."""
        moments = Moments.apply(features, self._posterior(), added)  # type: ignore[no-untyped-call]
        return self._predictions(*moments)

    def prepare(self, encoding: Encoding) -> Any:
        """Return the features of n architectures; where they count things, their distances too."""
        counts = self._counts(encoding)
        is_integer = bool((counts == counts.round()).all())
        distances = ListedDistances(self._split(counts)) if is_integer else None
        return distances, super().prepare(encoding)

    def predict_prepared(self, prepared: Any) -> Tensor:
        """Return predictions [E, H, n]: covariances are looked up where few distances occur."""
        distances, blocks = prepared
        posterior = self._posterior()
        found = None if distances is None else distances.of(self._split(posterior.counts))
        if found is None:
            return super().predict_prepared(blocks)
        squares, columns = found
        norms = torch.stack([block[0] for block in torch.split(self.norms, self.blocks)])
        scales = (norms * math.sqrt(5) * (-self.hyper[:, :-1]).exp()) ** 2  # [H, B]
        kernels = matern(torch.from_numpy(squares).double() @ scales.T).T.contiguous()  # [H, C]
        moments = [
            moments_of(looked_up(kernel, columns), inverse.numpy(), fitted.numpy())
            for kernel, inverse, fitted in zip(
                kernels.numpy(), posterior.inverse, posterior.fitted, strict=True
            )
        ]
        mean, explained = torch.from_numpy(np.stack(moments, axis=1))
        return self._predictions(*scaled_moments(mean, explained, posterior))

    def _predictions(self, mean: Tensor, deviation: Tensor) -> Tensor:
        return (mean + self._spots * deviation).float()

    def _split(self, counts: Tensor) -> list[NDArray[np.float32]]:
        return [block.numpy() for block in torch.split(counts, self.blocks, 1)]

    @torch.no_grad()
    def sample_functions(
        self, encoding: Encoding, draws: int, generator: torch.Generator
    ) -> Tensor:
        """Return joint draws of the posterior of n architectures, without noise: [draws, H, n]."""
        posterior = self._posterior()
        points = self.features(encoding) * posterior.weights  # [H, n, D]
        cross = posterior.inverse @ matern(squared_distances(posterior.inputs, points))
        mean = (posterior.fitted.unsqueeze(1) @ cross).squeeze(1)
        mean, _ = scaled_moments(mean, torch.zeros_like(mean), posterior)
        _, spread, deviation = posterior.scale.unbind(1)  # [H, 1] each
        covariance = matern(squared_distances(points, points)) - cross.mT @ cross
        jitter = 1e-6 * torch.eye(points.shape[1], dtype=torch.float64)
        factor = torch.linalg.cholesky(covariance + jitter)  # [H, n, n]
        normal = torch.randn(draws, *mean.shape, generator=generator, dtype=torch.float64)
        half: Tensor = (factor @ normal.unsqueeze(-1)).squeeze(-1)
        return mean + spread * deviation * half

    def block_matrix(self) -> Tensor:
        """Return the blocks of the features: [D, B], 1 where a feature is of a block."""
        return nn.functional.one_hot(self._owner, len(self.blocks)).double()

    def linear_mean(self) -> LinearMean:
        """Return the posterior mean as centre + Σ_i a_i (k(x, x_i) + 1), for each head."""
        posterior = self._posterior()
        solved = (posterior.fitted.unsqueeze(1) @ posterior.inverse).squeeze(1)  # [H, n]
        centre, spread, _ = posterior.scale.unbind(1)  # [H, 1] each
        return LinearMean(posterior.weights, posterior.inputs, spread * solved, centre)

    def fit(self, codes: Tensor, targets: Tensor) -> Tensor:
        """Fit it to targets [H, n], NaN where not observed, from the hyper-parameters it has.

        Returns:
            What was minimised: the negative log posterior a row, mean over the heads, at the start
            and in the end: [2].
        """
        rows = fitted_rows(targets, LARGEST)
        codes, targets = codes[rows], targets[:, rows].double()
        features = self.features(self._encode(codes))
        hyper, losses = [], []
        for start, values in zip(self.hyper, targets, strict=True):
            seen = ~torch.isnan(values)
            found, loss = self._maximise(features[seen], values[seen], start)
            hyper.append(found)
            losses.append(loss)
        self.take(codes, targets, torch.stack(hyper))
        return torch.tensor(losses).mean(0)

    def _maximise(
        self, features: Tensor, values: Tensor, start: Tensor
    ) -> tuple[Tensor, tuple[float, float]]:
        """Return a head's hyper-parameters [B + 1], and what they minimise before and after."""
        if len(values) < 2:
            return start, (0.0, 0.0)
        blocks = torch.split(features * self.norms, self.blocks, 1)
        posterior = NegativeLogPosterior(
            torch.stack([squared_distances(block, block) for block in blocks]).numpy(),
            _standard(values)[0].numpy(),
            self.length_prior(self.space, len(self.blocks)),
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

    def _encode(self, codes: Tensor) -> Encoding:
        return self.space.encode(codes)

    def _posterior(self) -> Posterior:
        """Return the posterior of the state, which is computed once."""
        if self._computed is not None:
            return self._computed
        counts = self._counts(self._encode(self.codes))
        weights = (math.sqrt(5) * (-self.hyper[:, self._owner]).exp() * self.norms).unsqueeze(1)
        inputs, noise = counts.double() * weights, self.hyper[:, -1:].exp() + JITTER  # [H, 1]
        unseen = torch.isnan(self.targets)
        scaled, centre, spread = zip(*map(_standard, self.targets), strict=True)
        values = torch.stack(scaled).where(~unseen, 0.0)
        noise = torch.where(unseen, 1e9, noise)  # a row that tells nothing
        kernel = matern(squared_distances(inputs, inputs)) + torch.diag_embed(noise)
        inverse = torch.linalg.solve_triangular(
            torch.linalg.cholesky(kernel), torch.eye(len(counts), dtype=torch.float64), upper=False
        )
        fitted = (inverse @ values.unsqueeze(-1)).squeeze(-1)
        counted = (~unseen).sum(1)
        rate = SHAPE + fitted.square().sum(1) / 2
        deviation = (rate / (SHAPE + counted / 2 - 1).clamp_min(0.5)).sqrt()
        scale = torch.stack([torch.stack(centre), torch.stack(spread), deviation], 1).unsqueeze(-1)
        self._computed = Posterior(counts, weights, inputs, inverse, fitted, scale)
        return self._computed

    def take(self, *state: Tensor) -> None:
        """Take a state: codes, targets and hyper-parameters."""
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
        length_prior: median of the lengths, and deviation of their logarithm.
    """

    def __init__(
        self,
        squares: Floats,
        values: Floats,
        length_prior: tuple[float, float] = (LENGTH, LENGTH_SD),
    ) -> None:
        self._squares, self._values = squares, values
        lengths, (median, deviation) = len(squares), length_prior
        self._middle = np.array([math.log(median)] * lengths + [math.log(NOISE)])
        self._spread = np.array([deviation] * lengths + [NOISE_SD])

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
def _blocks(
    kind: type[GaussianProcessProxy], space: SearchSpace
) -> tuple[Tensor, list[int], Tensor]:
    """Return factors of the features [D], the widths of their blocks, and whose each is [D]."""
    blocks = kind.feature_blocks(space, space.encode(_typical_codes(space)))
    widths = [block.shape[1] for block in blocks]
    distances = [2 * block.double().var(0, correction=0).sum() for block in blocks]
    norms = [
        distance.clamp_min(1e-12).rsqrt().expand(width)
        for distance, width in zip(distances, widths, strict=True)
    ]
    owner = torch.arange(len(widths)).repeat_interleave(torch.tensor(widths))
    return torch.cat(norms), widths, owner


def fitted_rows(targets: Tensor, most: int) -> Tensor:
    """Return the rows of targets [H, n] that are fitted on: all, or ``most`` of them, in order."""
    count = targets.shape[1]
    if count <= most:
        return torch.arange(count)
    order = torch.nan_to_num(targets[0], nan=-math.inf).argsort(descending=True, stable=True)
    best = order[: most // 2]
    others = order[most // 2 :].sort().values[-(most - len(best)) :]
    return torch.cat([best, others]).sort().values


def _standard(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return values [n] in deviations from their mean, the mean and the deviation, without NaN."""
    seen = values[~torch.isnan(values)]
    if len(seen) < 2 or bool((seen == seen[0]).all()):
        centre = seen.mean() if len(seen) else torch.zeros((), dtype=torch.float64)
        return values - centre, centre.double(), torch.ones((), dtype=torch.float64)
    centre, spread = seen.mean(), seen.std(correction=0)
    return (values - centre) / spread, centre, spread
