"""Sample Q candidates outside the archive (Algorithm 1, line 13), and climb on from them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import make_batch
from optiproxy_nas.core.errors import SamplingError
from optiproxy_nas.core.parameters import SelectionSettings
from optiproxy_nas.spaces.base import Candidates, Logits, SearchSpace
from optiproxy_nas.spaces.relaxation import noisy_logits

BLOCK = 64  # random architectures drawn at a time
BEAM = 20  # architectures that climb side by side, at most
NEIGHBOURS = 1000  # of a beam, about, that are scored in a round


class Pool(NamedTuple):
    """Distinct candidates that the archive does not hold."""

    codes: Tensor  # [q, L] int64
    group: Tensor  # [q] int64, the (α, β) group; -1: of none
    duplicates: int  # draws rejected: in the archive, or drawn twice
    twins: int  # draws rejected: the computed function is in the archive, or drawn already
    draws: int  # rounds of sampling
    rejected: int = 0  # draws that were no valid architecture (``Candidates.rejected``)

    def batch(self, space: SearchSpace, rows: Tensor, step: int, **columns: Any) -> pd.DataFrame:
        """Return candidates ``rows`` [b] as a batch; ``columns`` as in ``make_batch``."""
        return make_batch(space, self.codes[rows], step, group=self.group[rows].numpy(), **columns)


def sample_random(space: SearchSpace, count: int, generator: torch.Generator) -> Tensor:
    """Draw ``count`` distinct random architectures, the initial sample (Algorithm 2, line 4).

    They are drawn ``BLOCK`` at a time, as the baselines draw theirs (``methods.memory``), so with
    one seed all methods begin with the same architectures.

    Returns:
        Codes [count, L].

    Raises:
        SamplingError: the space does not yield that many in a bounded number of draws.
    """
    distinct: dict[Hashable, Tensor] = {}
    for _ in range(100):
        codes = space.random(BLOCK, generator)
        for identity, code in zip(space.identify(codes), codes, strict=True):
            distinct.setdefault(identity, code)
        if len(distinct) >= count:
            return torch.stack(list(distinct.values())[:count])
    raise SamplingError(
        f"Only {len(distinct)} of {count} distinct architectures found in 100 rounds of random "
        f"draws from space {space.name!r}. Lower initial_samples.",
        found=len(distinct),
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
    unavailable_codes: Tensor | None = None,
    population: Tensor | None = None,
) -> Pool:
    """Draw Q/K architectures a group, add others, drop those that the archive holds.

    The others: the one-change neighbours of its ``local_moves`` best, and ``uniform`` random ones.
    Where fewer than ``batch`` new ones remain, the groups are drawn from again, at most
    ``max_draws`` times, each time with the exploration share ε half way nearer to 1. In the second
    half of these draws twins are accepted too.

    Args:
        space: the search space.
        logits: (α*, β*) of K groups.
        archive_codes: [n, L].
        ranks: [n], higher is better; selects the architectures for local moves.
        batch: B, the least number of candidates.
        settings: Q, ε, noise of the weights, local moves, twins.
        generator: draws the architectures.
        unavailable_codes: [u, L] of pending and failed trials, left out too. Their twins are not.
        population: codes [p, L] that take the place of the first draw (evolution).

    Raises:
        SamplingError: fewer than ``batch`` new architectures after ``max_draws`` draws.
    """
    seen = set(space.identify(archive_codes))
    if unavailable_codes is not None:
        seen.update(space.identify(unavailable_codes))
    functions = set(space.canonical(archive_codes)) if settings.skip_twins else set()
    groups = logits.alpha.shape[0]
    per_group = -(-settings.samples // groups)
    best = torch.argsort(ranks, descending=True, stable=True)[: settings.local_moves]
    added = space.neighbours(archive_codes[best]) if len(best) else archive_codes[:0]
    if settings.uniform:
        added = torch.cat([added, space.random(settings.uniform, generator)])
    codes: list[Tensor] = []
    group: list[Tensor] = []
    duplicates = twins = rejected = 0
    exploration = settings.exploration
    for draw in range(1, settings.max_draws + 1):
        if draw == 1 and population is not None:
            drawn = Candidates(population, torch.full((len(population),), -1))
        else:
            drawn = _sample(space, logits, per_group, generator, exploration, settings.weight_noise)
        rejected += drawn.rejected
        if draw == 1:
            groups_of_added = drawn.group.new_full((len(added),), -1)
            drawn = Candidates(
                torch.cat([drawn.codes, added]), torch.cat([drawn.group, groups_of_added])
            )
        identities = space.identify(drawn.codes)
        drawn_functions = space.canonical(drawn.codes) if settings.skip_twins else identities
        kept = []
        for row, (identity, function) in enumerate(zip(identities, drawn_functions, strict=True)):
            if identity in seen:
                duplicates += 1
            elif function in functions and draw <= settings.max_draws // 2:
                twins += 1
            else:
                kept.append(row)
                seen.add(identity)
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


def _sample(
    space: SearchSpace,
    logits: Logits,
    count: int,
    generator: torch.Generator,
    exploration: float,
    weight_noise: float,
) -> Candidates:
    """Draw ``count`` architectures a group; with noise, each from weights of its own."""
    if not weight_noise:
        return space.sample(logits, count, generator, exploration)
    noisy = noisy_logits(logits, count, weight_noise, generator, space.allowed)
    drawn = space.sample(noisy, 1, generator, exploration)
    return drawn._replace(group=drawn.group.div(count, rounding_mode="floor"))


def beam_width(space: SearchSpace, codes: Tensor, least: int) -> int:
    """Return how many climb side by side, so that about ``NEIGHBOURS`` are scored in a round.

    Args:
        space: the search space.
        codes: of candidates [q, L], the first of which says how many neighbours each has.
        least: the number of architectures to be selected.
    """
    each = len(space.neighbours(codes[:1]))
    return max(least, min(BEAM, NEIGHBOURS // max(1, each)))


def climb(
    space: SearchSpace,
    pool: Pool,
    score: Callable[[Tensor], Tensor],
    archive_codes: Tensor,
    rounds: int,
    *,
    width: int = BEAM,
    skip_twins: bool = False,
    unavailable_codes: Tensor | None = None,
) -> Pool:
    """Append to ``pool`` the best architectures that a beam of its ``width`` best climbs to.

    A round scores the one-change neighbours of the beam and keeps the ``width`` best of both. The
    climb ends when no neighbour enters the beam. Architectures of the archive never do. At most
    ``rounds · width · (neighbours of an architecture)`` are scored.

    Gradient search maximises the proxy over relaxed architectures; those drawn from (α*, β*) need
    not be a maximum over the discrete ones. Where few architectures are worth a query, as under a
    tight bound, the best of the draws scores far below the best of the space. Local search on the
    score, as on an acquisition function (``optimize_acqf_discrete_local_search`` of BoTorch),
    closes the gap without a query. (Ours, not the paper's.)

    Args:
        space: the search space.
        pool: candidates outside the archive, [q].
        score: codes [n, L] -> the score to be maximised [n].
        archive_codes: [n, L].
        rounds: the most changes from a drawn candidate; 0 leaves the pool as it is.
        width: size of the beam, at least the number of architectures to be selected.
        skip_twins: whether to keep only one architecture of each computed function.
        unavailable_codes: [u, L] of pending and failed trials, which never enter either; with
            ``skip_twins``, nor do their twins.

    Returns:
        The pool, then the beam's newcomers, best first; their group is -1.
    """
    if not rounds:
        return pool
    identities = space.canonical if skip_twins else space.identify
    seen = {*identities(archive_codes), *identities(pool.codes)}
    if unavailable_codes is not None:
        seen.update(identities(unavailable_codes))
    beam, scores = pool.codes, score(pool.codes)
    # [width]: in the pool; neighbours not scored yet.
    drawn = fresh = torch.ones(len(beam), dtype=torch.bool)
    for _ in range(rounds):
        best = torch.argsort(scores, descending=True, stable=True)[:width]
        beam, scores, drawn, fresh = beam[best], scores[best], drawn[best], fresh[best]
        if not fresh.any():
            break
        neighbours = space.neighbours(beam[fresh])
        new = {key: row for row, key in enumerate(identities(neighbours)) if key not in seen}
        if not new:
            break
        seen.update(new)
        added = neighbours[list(new.values())]
        beam, scores = torch.cat([beam, added]), torch.cat([scores, score(added)])
        fresh = torch.cat([torch.zeros_like(fresh), torch.ones(len(added), dtype=torch.bool)])
        drawn = torch.cat([drawn, torch.zeros(len(added), dtype=torch.bool)])
    best = torch.argsort(scores, descending=True, stable=True)[:width]
    climbed = beam[best][~drawn[best]]
    groups = torch.full((len(climbed),), -1)
    return pool._replace(
        codes=torch.cat([pool.codes, climbed]), group=torch.cat([pool.group, groups])
    )
