"""What earlier runs do to a search: they choose a part of its initial sample, and guide its proxy.

How much each counts follows from how well it ranks what this search has queried.

An earlier run has seen none of the queries of this search, so its ranking of them is out of sample.
What is queried follows from the runs themselves, once they are trusted; therefore a part of the
initial sample is random, on which a useless or a misleading run shows as such. Where runs mislead,
the rest of the initial sample of a search without them follows.
"""

from __future__ import annotations

import numpy as np
import scipy
import torch
from torch import Tensor

from optiproxy_nas.algorithm.candidates import NEIGHBOURS, Pool, beam_width, climb
from optiproxy_nas.algorithm.listing import list_architectures, listed_means, may_list
from optiproxy_nas.core.arrays import Floats, Tensors
from optiproxy_nas.core.parameters import SelectionSettings
from optiproxy_nas.proxies.prior_mean import WEIGHTS, PriorMeans, prior_means
from optiproxy_nas.spaces.base import SearchSpace

BELIEF = 0.8  # rank correlation that is believed of a run before any query,
SCORE_BELIEF = 0.5  # of a score without a training,
PSEUDO = 5.0  # and the number of queries that the belief counts for
SAMPLE = 0.3  # size of the initial sample in that of a search without earlier runs,
FIRST = 2 / 3  # and the share of it that they choose
DOUBT = 0.5  # weight of all runs together below which they mislead


def trust_of(means: Tensor, targets: Tensor, beliefs: Tensor) -> Tensor:
    """Return the trust t [J, H] in [0, 1] in J earlier runs after n queries.

    t = max(0, (c b + n ρ) / (c + n)), with Spearman's ρ of m_j and the targets, the belief b and
    its pseudo-counts c. A rank correlation is 0 where one of both is constant.

    Args:
        means: m_j of the queried architectures [J, H, n].
        targets: of the queried architectures [H, n]; NaN: not observed.
        beliefs: b [J].
    """
    found, trust = means.double().numpy(), np.empty(means.shape[:2])
    for head, values in enumerate(targets.double().numpy()):
        seen = ~np.isnan(values)
        count = seen.sum()
        rho = _spearman(found[:, head, seen], values[seen])
        trust[:, head] = (PSEUDO * beliefs.numpy() + count * rho) / (PSEUDO + count)
    return torch.from_numpy(trust.clip(0, 1))


def shares_of(trust: Tensor) -> Tensor:
    """Return weights w_j = t_j² / Σ_k t_k [J, H] of trust t.

    One run counts as much as it is trusted; ten that agree count as much together.
    """
    return trust.square() / trust.sum(0).clamp_min(1e-9)


def beliefs_of(means: PriorMeans) -> Tensor:
    """Return the rank correlation [J] that is believed of each before any query."""
    return torch.where(means.scores, SCORE_BELIEF, BELIEF)


def weigh_prior(
    space: SearchSpace,
    prior: Tensors,
    codes: Tensor,
    targets: Tensor,
    queried: int | None = None,
) -> tuple[Tensors, Tensor, Tensor]:
    """Return what earlier runs add to the weights θ*, trust [J], and what is left of the targets.

    Args:
        space: the search space.
        prior: tensors of ``fit_prior``.
        codes: the archive's architectures [n, L].
        targets: of each head [H, n]; NaN: not observed.
        queried: how many rows, the first, were queried; of the others the targets are believed,
            and trust does not follow from them. None: all.
    """
    means = prior_means(space, prior)
    with torch.no_grad():
        found = means.of(space.encode(codes))  # [J, H, n]
    trust = trust_of(found[..., :queried], targets[:, :queried], beliefs_of(means))
    weights = shares_of(trust).float()
    left = targets - torch.einsum("jh,jhn->hn", weights, found)
    return {**means.state, WEIGHTS: weights}, trust[:, 0], left


def misleads(weights: Tensors) -> bool:
    """Return whether earlier runs are among the weights θ*, and are trusted less than ``DOUBT``."""
    return WEIGHTS in weights and float(weights[WEIGHTS][:, 0].sum()) < DOUBT


def choose_by_prior(
    space: SearchSpace,
    prior: Tensors,
    count: int,
    settings: SelectionSettings,
    generator: torch.Generator,
    excluded: Tensor | None = None,
) -> Tensor:
    """Return the architectures that earlier runs rank best, best first: [count, L].

    They are the best of a space that may be listed; of others, those to which random architectures
    and the best of each run climb.

    Args:
        space: the search space.
        prior: tensors of ``fit_prior``.
        count: how many are wanted.
        settings: rounds of the climb; with ``skip_twins``, twins are one.
        generator: draws the random architectures.
        excluded: codes [x, L] that are passed over.
    """
    means = prior_means(space, prior)
    weights = shares_of(beliefs_of(means).unsqueeze(1)).float()  # [J, 1]

    @torch.no_grad()
    def score(codes: Tensor) -> Tensor:
        return (weights * means.of(space.encode(codes))[:, 0]).sum(0)

    if may_list(space, settings.listed):
        codes = list_architectures(space, settings.skip_twins).codes
        scores = (weights * listed_means(space, means, settings.skip_twins)[:, 0]).sum(0)
    else:
        drawn = torch.cat([means.best_codes(), space.random(NEIGHBOURS, generator)])
        codes = _distinct(space, drawn)
        codes = climb(
            space,
            Pool(codes, torch.full((len(codes),), -1), 0, 0, 0),
            score,
            codes[:0],
            max(1, settings.ascent_rounds),
            width=beam_width(space, codes, count),
            skip_twins=settings.skip_twins,
        ).codes
        scores = score(codes)
    codes = codes[torch.argsort(scores, descending=True, stable=True)[:NEIGHBOURS]]
    identities = space.canonical if settings.skip_twins else space.identify
    first = {identity: row for row, identity in reversed(list(enumerate(identities(codes))))}
    for identity in () if excluded is None else identities(excluded):
        first.pop(identity, None)
    return codes[sorted(first.values())[:count]]


def _distinct(space: SearchSpace, codes: Tensor) -> Tensor:
    first = {identity: row for row, identity in reversed(list(enumerate(space.identify(codes))))}
    return codes[sorted(first.values())]


def _spearman(means: Floats, values: Floats) -> Floats:
    """Return the rank correlation of each of means [J, n] with values [n]; 0 where undefined."""
    if len(values) < 2:
        return np.zeros(len(means))
    ranks = scipy.stats.rankdata(np.vstack([means, values]), axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    scale = np.sqrt((ranks[:-1] ** 2).sum(1) * (ranks[-1] ** 2).sum())
    found: Floats = (ranks[:-1] * ranks[-1]).sum(1) / np.where(scale > 0, scale, 1.0)
    return found
