"""A Gaussian process for searches under bounds on metrics (ours)."""

from __future__ import annotations

from torch import Tensor

from optiproxy_nas.proxies.gaussian_process import GaussianProcessProxy
from optiproxy_nas.spaces.base import Encoding, SearchSpace
from optiproxy_nas.spaces.encodings import connected_counts


class MeasuringGaussianProcess(GaussianProcessProxy):
    """A process for values under bounds on metrics.

    It also sees the counts of operations on a path from input to output: of architectures under a
    tight bound most are cut off in part, and what is left tells their value. The spread of the
    heads after the first, which stand for metrics, is that of a measurement: with the noise. A
    measurement decides whether a bound is kept, and no later one is better.
    """

    @classmethod
    def feature_blocks(cls, space: SearchSpace, encoding: Encoding) -> list[Tensor]:
        """Return the features of n architectures in blocks, each with a length of its own."""
        counts = connected_counts(space, encoding)
        return super().feature_blocks(space, encoding) + ([counts] if counts.shape[1] else [])

    def _predictions(self, mean: Tensor, deviation: Tensor) -> Tensor:
        _, spread, unit = self._posterior().scale.squeeze(-1).T  # [H] each
        noise = (spread * unit).square() * self.hyper[:, -1].exp()
        noise[0] = 0
        return super()._predictions(mean, (deviation.square() + noise.unsqueeze(-1)).sqrt())
