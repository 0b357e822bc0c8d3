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

WIDTH = 20  # candidates that climb side by side


def climb(
    space: SearchSpace,
    pool: Pool,
    score: Callable[[Tensor], Tensor],
    known_codes: Tensor,
    rounds: int,
    *,
    skip_twins: bool = False,
) -> Pool:
    """``pool``, and all one-change neighbours that a beam of its ``WIDTH`` best met on its way up.

    A round looks at the neighbours of the beam and keeps the ``WIDTH`` best of what is neither in
    the archive nor seen before; it ends when no neighbour gets in.

    Args:
        space: the search space.
        pool: candidates outside the archive, [q].
        score: codes [n, L] -> what is to be maximised [n].
        known_codes: of the archive, [n, L].
        rounds: at most so many changes from a drawn candidate; 0 leaves the pool as it is.
        skip_twins: whether one architecture a computed function is enough.

    Returns:
        The pool, the neighbours behind the drawn candidates; their group is -1.
    """
    if not rounds:
        return pool
    name = space.canonical if skip_twins else space.identify
    seen = {*name(known_codes), *name(pool.codes)}
    codes, scores = pool.codes, score(pool.codes)
    newcomers = torch.arange(len(codes))
    for _ in range(rounds):
        best = torch.argsort(scores, descending=True, stable=True)[:WIDTH]
        risen = best[torch.isin(best, newcomers)]
        if not len(risen):
            break
        neighbours = space.neighbours(codes[risen])
        fresh = {key: row for row, key in enumerate(name(neighbours)) if key not in seen}
        if not fresh:
            break
        seen.update(fresh)
        met = neighbours[list(fresh.values())]
        codes, scores = torch.cat([codes, met]), torch.cat([scores, score(met)])
        newcomers = torch.arange(len(codes) - len(met), len(codes))
    groups = torch.full((len(codes) - len(pool.codes),), -1)
    return pool._replace(codes=codes, group=torch.cat([pool.group, groups]))
