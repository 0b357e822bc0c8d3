"""A Gaussian process for searches under bounds on metrics (ours)."""

from __future__ import annotations

import math

from torch import Tensor

from optiproxy_nas.proxies.gaussian_process import LENGTH, GaussianProcessProxy
from optiproxy_nas.spaces.base import Encoding, SearchSpace
from optiproxy_nas.spaces.choices import Space
from optiproxy_nas.spaces.encodings import connected_counts

KIND_SD = 1.2  # deviation of the logarithm of a kind's length: few of a space's choices decide


class MeasuringGaussianProcess(GaussianProcessProxy):
    """A process for values under bounds on metrics.

    It also sees the counts of operations on a path from input to output: of architectures under a
    tight bound most are cut off in part, and what is left tells their value. Of a declared space
    each kind of choices has a length of its own, and so has the sum over choices that are repeated,
    as those of layers are: metrics are mostly sums over layers. The spread of the
    heads after the first, which stand for metrics, is that of a measurement: with the noise. A
    measurement decides whether a bound is kept, and no later one is better.
    """

    @classmethod
    def feature_blocks(cls, space: SearchSpace, encoding: Encoding) -> list[Tensor]:
        """Return the features of n architectures in blocks, each with a length of its own."""
        if isinstance(space, Space):
            return space.features_by_kind(encoding)
        counts = connected_counts(space, encoding)
        return super().feature_blocks(space, encoding) + ([counts] if counts.shape[1] else [])

    @classmethod
    def length_prior(cls, space: SearchSpace, blocks: int) -> tuple[float, float]:
        """Return the median of the length scales of blocks, and the deviation of its logarithm.

        However many kinds of choices a declared space has, random architectures are equally far
        from each other.
        """
        if isinstance(space, Space):
            return LENGTH * math.sqrt(blocks), KIND_SD
        return super().length_prior(space, blocks)

    def _predictions(self, mean: Tensor, deviation: Tensor) -> Tensor:
        _, spread, unit = self._posterior().scale.squeeze(-1).T  # [H] each
        noise = (spread * unit).square() * self.hyper[:, -1].exp()
        noise[0] = 0
        return super()._predictions(mean, (deviation.square() + noise.unsqueeze(-1)).sqrt())
