"""Climbing from the drawn candidates to higher scores of the frozen proxy, one change at a time.

Gradient search maximises the proxy over relaxed cells; what is then drawn from (α*, β*) need not
be a maximum over the discrete ones. Where few cells are worth a query, as under a tight bound, the
best of the draws is far below the best cell the proxy knows of. Local search on the score, as on
an acquisition function (``optimize_acqf_discrete_local_search`` of BoTorch), closes the gap. It
spends no query. (Ours, not the paper's.)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from optiproxy_nas.algorithm.candidates import Pool
from optiproxy_nas.spaces.base import SearchSpace

WIDTH = 20  # architectures that climb side by side, at least


def climb(
    space: SearchSpace,
    pool: Pool,
    score: Callable[[Tensor], Tensor],
    known_codes: Tensor,
    rounds: int,
    *,
    width: int = WIDTH,
    skip_twins: bool = False,
) -> Pool:
    """``pool``, and behind it the best that a beam of its ``width`` best came to.

    A round looks at the one-change neighbours of the beam and keeps the ``width`` best of both; it
    ends when no neighbour gets in. What is in the archive is never kept. Cost: at most
    ``rounds · width · (neighbours of an architecture)`` scores; memory: a round's.

    Args:
        space: the search space.
        pool: candidates outside the archive, [q].
        score: codes [n, L] -> what is to be maximised [n].
        known_codes: of the archive, [n, L].
        rounds: at most so many changes from a drawn candidate; 0 leaves the pool as it is.
        width: architectures that climb side by side; no fewer than are to be selected.
        skip_twins: whether one architecture a computed function is enough.

    Returns:
        The pool and the beam's newcomers, best first; their group is -1.
    """
    if not rounds:
        return pool
    name = space.canonical if skip_twins else space.identify
    seen = {*name(known_codes), *name(pool.codes)}
    beam, scores = pool.codes, score(pool.codes)
    drawn = fresh = torch.ones(len(beam), dtype=torch.bool)  # [width]; whether not yet looked at
    for _ in range(rounds):
        best = torch.argsort(scores, descending=True, stable=True)[:width]
        beam, scores, drawn, fresh = beam[best], scores[best], drawn[best], fresh[best]
        if not fresh.any():
            break
        neighbours = space.neighbours(beam[fresh])
        new = {key: row for row, key in enumerate(name(neighbours)) if key not in seen}
        if not new:
            break
        seen.update(new)
        met = neighbours[list(new.values())]
        beam, scores = torch.cat([beam, met]), torch.cat([scores, score(met)])
        fresh = torch.cat([torch.zeros_like(fresh), torch.ones(len(met), dtype=torch.bool)])
        drawn = torch.cat([drawn, torch.zeros(len(met), dtype=torch.bool)])
    best = torch.argsort(scores, descending=True, stable=True)[:width]
    climbed = beam[best][~drawn[best]]
    groups = torch.full((len(climbed),), -1)
    return pool._replace(
        codes=torch.cat([pool.codes, climbed]), group=torch.cat([pool.group, groups])
    )
