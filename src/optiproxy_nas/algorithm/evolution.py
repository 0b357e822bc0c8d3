"""Evolution on the frozen proxy, in the place of gradient search (section 5 of the paper)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from optiproxy_nas.algorithm.gradient import Trace
from optiproxy_nas.core.parameters import EvolutionSettings
from optiproxy_nas.spaces.base import Logits, SearchSpace
from optiproxy_nas.spaces.relaxation import entropy

LEAST_SHARE = 1e-3  # of an operation in the logits, so that each can still be drawn


class Evolved(NamedTuple):
    """The outcome of one step's evolution."""

    population: Tensor  # codes [p, L], best first
    logits: Logits  # of one group: α [1, N, M], logarithms of the operations' shares; β 0
    trace: Trace  # a generation takes the place of an epoch, the population that of a group
    edges: Tensor  # [E], the share of the population that has each edge variable


def evolve(
    space: SearchSpace,
    score: Callable[[Tensor], Tensor],
    parents: Tensor,
    settings: EvolutionSettings,
    generator: torch.Generator,
) -> Evolved:
    """Maximise the score over discrete architectures by mutation and truncation.

    The first population is the best of ``parents`` and of as many random architectures. In each
    generation tournaments choose parents, ``population`` of their one-change neighbours are drawn
    at random, and the best of both survive, each architecture once.

    Args:
        space: the search space.
        score: codes [n, L] -> what is maximised [n].
        parents: codes [n, L] to begin with, such as those of the archive.
        settings: of the evolution.
        generator: draws architectures, tournaments and mutations.
    """
    size = settings.population
    first = torch.cat([parents, space.random(size, generator)])
    first = _distinct(space, first, set())
    population, scores = _best(first, score(first), size)
    means, shares = [], []
    for _ in range(settings.generations):
        drawn = torch.randint(len(scores), (size, settings.tournament), generator=generator)
        winners = torch.unique(drawn.amin(1))  # the population is sorted: the least row is the best
        neighbours = space.neighbours(population[winners])
        order = torch.randperm(len(neighbours), generator=generator)[:size]
        children = _distinct(space, neighbours[order], set(space.identify(population)))
        if len(children):
            both = torch.cat([scores, score(children)])
            population, scores = _best(torch.cat([population, children]), both, size)
        means.append(scores.mean())
        shares.append(space.encode(population).operations.mean(0))
    share = torch.stack(shares).unsqueeze(1)  # [generations, 1, N, M]
    alpha = share.clamp(min=LEAST_SHARE).log()
    trace = Trace(
        temperature=torch.zeros(len(means)),  # discrete architectures: the limit of τ -> 0
        score=torch.stack(means).unsqueeze(1),
        entropy=entropy(alpha.flatten(0, 1), space.allowed).unsqueeze(1),
        probability=share.squeeze(1),
    )
    edges = space.encode(population).edges.mean(0)
    return Evolved(population, Logits(alpha[-1], torch.zeros(1, space.num_edges)), trace, edges)


def _distinct(space: SearchSpace, codes: Tensor, seen: set[object]) -> Tensor:
    """Return those of codes [n, L] that are not in ``seen``, each once."""
    rows = {key: row for row, key in enumerate(space.identify(codes)) if key not in seen}
    return codes[list(rows.values())]


def _best(codes: Tensor, scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the ``count`` best codes [n, L] and scores [n], best first."""
    best = torch.argsort(scores, descending=True, stable=True)[:count]
    return codes[best], scores[best]
