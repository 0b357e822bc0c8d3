"""Sampling Q candidate architectures outside the archive (Algorithm 1, line 13)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import make_batch
from optiproxy_nas.core.errors import SamplingError
from optiproxy_nas.core.parameters import SelectionSettings
from optiproxy_nas.spaces.base import Candidates, Logits, SearchSpace

BLOCK = 64  # random architectures drawn at a time


class Pool(NamedTuple):
    """Distinct candidates that the archive does not hold."""

    codes: Tensor  # [q, L]
    group: Tensor  # [q]
    duplicates: int  # draws rejected: in the archive, or drawn twice
    twins: int  # draws rejected: compute the same function as one of the archive, or one drawn
    draws: int  # rounds of sampling that it took
    rejected: int = 0  # draws that were no valid architecture (``Candidates.rejected``)

    def batch(self, space: SearchSpace, rows: Tensor, step: int, **columns: Any) -> pd.DataFrame:
        """Candidates ``rows`` [b] as a table to be queried; ``columns`` as of ``make_batch``."""
        return make_batch(space, self.codes[rows], step, group=self.group[rows].numpy(), **columns)


def sample_random(space: SearchSpace, count: int, generator: torch.Generator) -> Tensor:
    """``count`` distinct random architectures: the initial sample (Algorithm 2, line 4).

    Drawn ``BLOCK`` at a time, as the baselines draw theirs (``methods.memory``): in a seed all
    methods begin with the same architectures.

    Raises:
        SamplingError: the space does not yield that many in a bounded number of draws.
    """
    found: dict[Hashable, Tensor] = {}
    for _ in range(100):
        codes = space.random(BLOCK, generator)
        for identity, code in zip(space.identify(codes), codes, strict=True):
            found.setdefault(identity, code)
        if len(found) >= count:
            return torch.stack(list(found.values())[:count])
    raise SamplingError(
        f"Only {len(found)} of {count} distinct architectures found in 100 rounds of random "
        f"draws from space {space.name!r}. Lower initial_samples.",
        found=len(found),
        wanted=count,
    )


def draw_candidates(
    space: SearchSpace,
    logits: Logits,
    archive_codes: Tensor,
    ranks: Tensor,
    batch: int,
    settings: SelectionSettings,
    generator: torch.Generator,
) -> Pool:
    """Draw Q/K architectures a group, add local moves, drop what the archive holds.

    Where fewer than ``batch`` new ones remain, the groups are drawn from again, with the
    exploration share ε raised half the way to 1 each time, at most ``max_draws`` times; in the
    second half of them twins are taken too.

    Args:
        space: the search space.
        logits: (α*, β*) of K groups.
        archive_codes: [n, L].
        ranks: [n], how good each is, higher is better; only to find the best for local moves.
        batch: B, the least number of candidates that will do.
        settings: Q, ε, local moves, twins.
        generator: draws the architectures.

    Raises:
        SamplingError: fewer than ``batch`` new architectures after ``max_draws`` draws.
    """
    known = set(space.identify(archive_codes))
    functions = set(space.canonical(archive_codes)) if settings.skip_twins else set()
    groups = logits.alpha.shape[0]
    per_group = -(-settings.samples // groups)
    moves = _local_moves(space, archive_codes, ranks, settings.local_moves)
    codes: list[Tensor] = []
    group: list[Tensor] = []
    duplicates = twins = rejected = 0
    exploration = settings.exploration
    for draw in range(1, settings.max_draws + 1):
        drawn = space.sample(logits, per_group, generator, exploration)
        rejected += drawn.rejected
        if draw == 1:
            drawn = Candidates(
                torch.cat([drawn.codes, moves.codes]), torch.cat([drawn.group, moves.group])
            )
        identities = space.identify(drawn.codes)
        same = space.canonical(drawn.codes) if settings.skip_twins else identities
        kept = []
        for row, (identity, function) in enumerate(zip(identities, same, strict=True)):
            if identity in known:
                duplicates += 1
            elif function in functions and draw <= settings.max_draws // 2:
                twins += 1
            else:
                kept.append(row)
                known.add(identity)
                if settings.skip_twins:
                    functions.add(function)
        codes.append(drawn.codes[kept])
        group.append(drawn.group[kept])
        if sum(map(len, codes)) >= batch:
            return Pool(torch.cat(codes), torch.cat(group), duplicates, twins, draw, rejected)
        exploration = (1 + exploration) / 2
    raise SamplingError(
        f"{settings.max_draws} draws of {per_group * groups} architectures gave only "
        f"{sum(map(len, codes))} outside the archive of {len(archive_codes)}; {batch} are needed. "
        "Raise selection.samples or selection.max_draws, turn selection.skip_twins off, or lower "
        "the budget.",
        found=sum(map(len, codes)),
        wanted=batch,
        draws=settings.max_draws,
    )


def _local_moves(space: SearchSpace, codes: Tensor, ranks: Tensor, count: int) -> Candidates:
    """One-change neighbours of the ``count`` best architectures of the archive."""
    best = torch.argsort(ranks, descending=True, stable=True)[:count]
    neighbours = space.neighbours(codes[best]) if count else codes[:0]
    return Candidates(neighbours, torch.full((len(neighbours),), -1))
