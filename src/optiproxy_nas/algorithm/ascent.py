"""Climb from the drawn candidates to higher scores of the frozen proxy, one change at a time.

Gradient search maximises the proxy over relaxed architectures; those drawn from (α*, β*) need not
be a maximum over the discrete ones. Where few architectures are worth a query, as under a tight
bound, the best of the draws scores far below the best of the space. Local search on the score, as
on an acquisition function (``optimize_acqf_discrete_local_search`` of BoTorch), closes the gap. It
spends no query. (Ours, not the paper's.)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from optiproxy_nas.algorithm.candidates import Pool
from optiproxy_nas.spaces.base import SearchSpace

WIDTH = 20  # of the beam, at least


def climb(
    space: SearchSpace,
    pool: Pool,
    score: Callable[[Tensor], Tensor],
    archive_codes: Tensor,
    rounds: int,
    *,
    width: int = WIDTH,
    skip_twins: bool = False,
) -> Pool:
    """Append to ``pool`` the best architectures that a beam of its ``width`` best climbs to.

    A round scores the one-change neighbours of the beam and keeps the ``width`` best of both. The
    climb ends when no neighbour enters the beam. Architectures of the archive never do. At most
    ``rounds · width · (neighbours of an architecture)`` are scored.

    Args:
        space: the search space.
        pool: candidates outside the archive, [q].
        score: codes [n, L] -> the score to be maximised [n].
        archive_codes: [n, L].
        rounds: the most changes from a drawn candidate; 0 leaves the pool as it is.
        width: size of the beam, at least the number of architectures to be selected.
        skip_twins: whether to keep only one architecture of each computed function.

    Returns:
        The pool, then the beam's newcomers, best first; their group is -1.
    """
    if not rounds:
        return pool
    identities = space.canonical if skip_twins else space.identify
    seen = {*identities(archive_codes), *identities(pool.codes)}
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
