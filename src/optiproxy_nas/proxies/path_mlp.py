"""MLP proxies on the path encoding (White et al. 2020; BANANAS, White et al. 2021)."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from torch import Tensor

from optiproxy_nas.proxies.mlp import MLP
from optiproxy_nas.spaces.base import Encoding
from optiproxy_nas.spaces.encodings import path_indicators, path_lengths


class PathMLP(MLP):
    """An ensemble of E multilayer perceptrons on the path encoding [n, P].

    Raises:
        ParameterError: the space has too many label sequences for it.
    """

    longest: ClassVar[int | None] = None  # operations of a path at most

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Operations of the paths that are encoded; a property of the space alone."""
        return path_lengths(self.space, self.longest)

    def features(self, encoding: Encoding) -> Tensor:
        """Indicators of the label sequences [n, P]."""
        return path_indicators(self.space.graph(encoding), self.lengths)


class TruncatedPathMLP(PathMLP):
    """The same on paths of two operations at most: BANANAS's 30 of 155 on NAS-Bench-201.

    What is on longer paths only, as edge 1→2 of NAS-Bench-201, this proxy cannot see.
    """

    longest = 2
