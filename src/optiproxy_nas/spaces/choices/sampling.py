"""Draw architectures that keep the constraint: uniformly, and from the logits of groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from optiproxy_nas.core.errors import ParameterError, SamplingError
from optiproxy_nas.spaces.base import Candidates
from optiproxy_nas.spaces.choices.constraint import Predicate, Verdicts
from optiproxy_nas.spaces.choices.counting import Counts
from optiproxy_nas.spaces.rejection import draw_valid

_LISTED = 10_000  # architectures: up to so many are all checked, in about 0.1 s
_PROBES = 16
# Uniform draws end when there are more than this many, and this many for each valid one wanted.
_LEAST_DRAWS, _DRAWS_EACH = 20_000, 2_000
_BLOCK = 10_000


class Sampler:
    """Draws from the valid architectures of a space.

    Args:
        counts: all architectures, valid or not.
        predicate: the constraint; None: all are valid.
        architectures: codes [n, N] -> what the predicate takes.

    Attributes:
        most: how many architectures there are without the constraint.
        size: how many are valid; None where a constraint would have to check too many.

    Raises:
        ParameterError: fewer than two architectures are valid, or the predicate cannot be used.
    """

    def __init__(
        self,
        counts: Counts,
        predicate: Predicate | None,
        architectures: Callable[[Tensor], list[dict[str, Any]]],
    ) -> None:
        self._counts = counts
        self._verdicts = None if predicate is None else Verdicts(predicate, architectures)
        self._listed: Tensor | None = None  # the valid codes [size, N] of a small space
        self.most = counts.size
        self.size: int | None = counts.size
        if predicate is not None:
            if counts.size > _LISTED:
                self.size = None
                self.valid(self._uniform(_PROBES, torch.Generator().manual_seed(0)))
            else:
                codes = counts.all_codes()
                self._listed = codes[self.valid(codes)]
                self.size = len(self._listed)
        if self.size is not None and self.size < 2:
            left = "none" if self.size == 0 else "one"
            reason = f"The constraint leaves {left} of {self.most:,} architectures"
            raise ParameterError(
                (reason if predicate is not None else "The space has one architecture")
                + ": there is nothing to search. Give a choice two options at least, or loosen the "
                "constraint.",
                size=self.size,
                architectures=self.most,
            )

    def valid(self, codes: Tensor) -> Tensor:
        """Return which of codes [n, N] keep the constraint: bool [n]."""
        if self._verdicts is None:
            return torch.ones(len(codes), dtype=torch.bool)
        return self._verdicts.of(codes)

    def random(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw valid architectures uniformly: codes [count, N].

        Raises:
            SamplingError: too few are valid, with their share.
        """
        if self._verdicts is None:
            return self._uniform(count, generator)
        if self._listed is not None:
            return self._listed[torch.randint(len(self._listed), (count,), generator=generator)]
        found = [self._uniform(0, generator)]
        accepted = drawn = 0
        while accepted < count:
            if drawn >= max(_LEAST_DRAWS, _DRAWS_EACH * count):
                raise SamplingError(
                    f"Of {drawn:,} random architectures the constraint accepts {accepted}, a share "
                    f"of {accepted / drawn:.2g}; {count} are wanted. Declare the choices such that "
                    "more combinations are valid, by conditions or narrower options, or loosen the "
                    "constraint.",
                    found=accepted,
                    wanted=count,
                    draws=drawn,
                    share=accepted / drawn,
                )
            expected = (count - accepted) * (drawn + 1) / (accepted + 1)
            codes = self._uniform(min(_BLOCK, math.ceil(1.1 * expected)), generator)
            valid = codes[self.valid(codes)]
            found.append(valid)
            accepted, drawn = accepted + len(valid), drawn + len(codes)
        return torch.cat(found)[:count]

    def sample(
        self, share: Tensor, count: int, generator: torch.Generator, exploration: float
    ) -> Candidates:
        """Draw ``count`` valid architectures a group.

        Invalid draws are discarded; those before a group's last architecture are counted as
        rejected. A group that yields too few in six rounds explores more in each of six further
        ones. Then its architectures are repeated; one without any has a random one.

        Args:
            share: softmax of the logits [K, N, M], float64.
            count: architectures a group.
            generator: draws them.
            exploration: ε in [0, 1], see ``Counts.draw``.

        Raises:
            SamplingError: a group has none, and ``random`` finds none.
        """
        groups, choices = share.shape[:2]
        group = torch.arange(groups).repeat_interleave(count)
        if self._verdicts is None:
            codes = self._drawn(share, count, generator, exploration)
            return Candidates(codes.reshape(-1, choices), group)

        def draw(open_groups: Tensor, draws: int, explored: float) -> Tensor:
            return self._drawn(share[open_groups], draws, generator, explored)

        shape = groups, count, choices
        codes, found, rejected = draw_valid(draw, self.valid, shape, exploration)
        empty = (found == 0).nonzero()[:, 0]
        if len(empty) and count:
            codes[empty, 0] = self.random(len(empty), generator)
        place = torch.arange(count) % found.clamp(min=1).unsqueeze(1)  # [K, count]
        codes = codes[torch.arange(groups).unsqueeze(1), place]
        return Candidates(codes.reshape(-1, choices), group, rejected)

    def _uniform(self, count: int, generator: torch.Generator) -> Tensor:
        uniform = self._numbers(1, count, generator)
        return self._counts.draw(uniform)[0]

    def _drawn(
        self, share: Tensor, count: int, generator: torch.Generator, exploration: float
    ) -> Tensor:
        uniform = self._numbers(len(share), count, generator)
        return self._counts.draw(uniform, share, exploration)

    def _numbers(self, groups: int, count: int, generator: torch.Generator) -> Tensor:
        shape = (groups, self._counts.choices, count)
        return torch.rand(shape, generator=generator, dtype=torch.float64)
