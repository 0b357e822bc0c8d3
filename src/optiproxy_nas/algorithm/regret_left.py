"""How much a search may still improve: the probability that more than ε of regret is left.

A Gaussian process is fitted on the archive, on the features that the default proxy sees. Its
samples say how likely one of the other architectures beats the incumbent by more than ε. That share
alone is overconfident while a search is stuck, and too cautious once it is done: a model of what an
optimistic search chose knows little of elsewhere. So it is recalibrated (Platt 1999) together with
the number of queries since the best was within ε of what it is: each takes 5 % off the odds. The
constants were fitted on searches of seeds 1000 and up (docs/decisions/stopping.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.algorithm.gaussian_posterior import Process
from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.random_streams import isolated, numpy_generator, torch_generator
from optiproxy_nas.core.run_settings import RegretSettings
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.objectives.trial_order import fitness_of
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.encodings import graph_features

ROWS = 300  # of the archive, its best, which the process is fitted on
RANDOM, PARENTS, ROUNDS = 1000, 10, 2  # of the pool
RIVALS, SAMPLES = 200, 1000  # architectures that are sampled together, and how often
# log-odds(regret > ε) = BIAS + SHARE · log-odds(share) + WAIT · queries without a gain
BIAS, SHARE, WAIT = -0.7, 0.1, -0.052


@isolated()
def regret_left(
    space: SearchSpace,
    archive: pd.DataFrame,
    objective: Objective,
    epsilon: float,
    seed: int,
    given: int = 0,
) -> float:
    """Return the probability in [0, 1] that an architecture beats the incumbent by more than ε.

    Args:
        space: the search space.
        archive: D, of trials of one fidelity.
        objective: of the search.
        epsilon: ε > 0, in the unit of the value.
        seed: of the search; it and the number of trials decide the samples.
        given: so many rows of D, the first, were made before the search: they are no queries.

    Returns:
        1 where nothing is eligible so far.
    """
    if not objective.order.eligible(archive).any():
        return 1.0
    gains = posterior_gains(space, archive, objective, epsilon, seed)
    wait = queries_without_gain(archive, objective, epsilon)
    return recalibrated(float((gains > epsilon).mean()), min(wait, len(archive) - given))


def bound_regret(
    space: SearchSpace,
    archive: pd.DataFrame,
    parameters: SearchParameters,
    previous: dict[str, Any] | None = None,
    *,
    given: int = 0,
) -> dict[str, Any]:
    """Return {"regret_left": a probability, "stopped": whether the search is to end now}.

    Args:
        space: the search space.
        archive: D after a step.
        parameters: of a search with ``stop_regret``.
        previous: what this gave before; once it is to end, it stays so.
        given: as of :func:`regret_left`.
    """
    settings = parameters.stop_regret
    assert settings is not None
    if previous is not None and previous["stopped"]:
        return previous
    left = regret_left(
        space, archive, parameters.objective, settings.epsilon, parameters.seed, given
    )
    return {"regret_left": left, "stopped": left <= 1 - settings.confidence}


def regret_facts(
    archive: pd.DataFrame, failed: pd.DataFrame, parameters: RunParameters
) -> dict[str, Any]:
    """Return for a summary how likely regret is left, and whether that ended it; else nothing."""
    settings = parameters.stop_regret if isinstance(parameters, SearchParameters) else None
    if settings is None:
        return {}
    space, objective = get_space(parameters.space), parameters.objective
    left = regret_left(space, archive, objective, settings.epsilon, parameters.seed)
    ended = left <= 1 - settings.confidence
    ended &= len(archive) + len(failed) < parameters.search_budget
    return {"regret_left": left, **({"stopped": stop_reason(left, settings)} if ended else {})}


def stop_reason(left: float, settings: RegretSettings) -> str:
    """Return in words that a search ends with a probability of more regret."""
    return f"a regret above {settings.epsilon:g} is only {left:.1%} likely (stop_regret)"


def recalibrated(share: float, wait: int) -> float:
    """Return the probability for a share of samples and a number of queries without a gain."""
    bounded = min(max(share, 0.5 / SAMPLES), 1 - 0.5 / SAMPLES)
    odds = BIAS + SHARE * math.log(bounded / (1 - bounded)) + WAIT * wait
    return 1 / (1 + math.exp(-odds))


def queries_without_gain(archive: pd.DataFrame, objective: Objective, epsilon: float) -> int:
    """Return how many trials came after the first that is within ε of the incumbent."""
    eligible, goodness = objective.order.eligible(archive), objective.order.goodness(archive)
    goodness = np.where(eligible, goodness, -np.inf)
    return len(archive) - 1 - int(np.argmax(goodness >= goodness.max() - epsilon))


def posterior_gains(
    space: SearchSpace, archive: pd.DataFrame, objective: Objective, epsilon: float, seed: int
) -> Floats:
    """Return by how much the best of each sample beats the incumbent, in its unit: [SAMPLES].

    Arguments as of :func:`regret_left`; architectures are chosen that may beat it by ``epsilon``.
    Where all values are equal nothing can be said, and the gains are infinite.
    """
    values, seen = fitness_of(objective.order.keys(archive)), codes_of(space, archive)
    rows = np.sort(np.argsort(-values, kind="stable")[:ROWS])
    values, codes = values[rows], seen[torch.from_numpy(rows)]
    if np.ptp(values) == 0:
        return np.full(SAMPLES, np.inf)
    best = float(values.max())
    scale = best - float(np.median(values)) or float(np.ptp(values))
    unit = _typical_distance(space)

    def features(rows: Tensor) -> Floats:
        found: Floats = graph_features(space, space.encode(rows)).double().numpy() / unit
        return found

    process, limit = Process.fit(features(codes), log_gap(values, best, scale)), epsilon / scale
    parents = codes[torch.from_numpy(np.argsort(-values, kind="stable")[:PARENTS].copy())]
    draws = torch_generator(seed, len(archive), "regret-pool")
    pool = _pool(space, seen, parents, draws, lambda c: process.exceedance(features(c), limit))
    if not len(pool):
        return np.zeros(SAMPLES)
    inputs = features(pool)
    rivals = np.argsort(-process.exceedance(inputs, limit), kind="stable")[:RIVALS]
    samples = numpy_generator(seed, len(archive), "regret-samples")
    return scale * process.maxima(inputs[rivals], SAMPLES, samples)


def log_gap(values: Floats, best: float, scale: float) -> Floats:
    """Return targets [n] of values [n]: 0 at ``best``, linear above it, logarithmic below it."""
    gap = (best - values) / scale
    targets: Floats = np.where(gap > 0, -np.log1p(np.maximum(gap, 0)), -gap)
    return targets


def _pool(
    space: SearchSpace,
    archived: Tensor,
    parents: Tensor,
    draws: torch.Generator,
    score: Callable[[Tensor], Floats],
) -> Tensor:
    """Return architectures outside the archive that might be better: [m, L].

    Random ones, neighbours of ``parents``, the best of the archive, and ``ROUNDS`` times those of
    the ``PARENTS`` that score best by then.
    """
    seen = set(space.identify(archived))
    pool = archived[:0]
    fresh = torch.cat([space.random(RANDOM, draws), space.neighbours(parents)])
    for remaining in range(ROUNDS, -1, -1):
        kept = []
        for row, identity in enumerate(space.identify(fresh)):
            if identity not in seen:
                seen.add(identity)
                kept.append(row)
        pool = torch.cat([pool, fresh[kept]])
        if not remaining or not len(pool):
            break
        top = torch.from_numpy(np.argsort(-score(pool), kind="stable")[:PARENTS].copy())
        fresh = space.neighbours(pool[top])
    return pool


def _typical_distance(space: SearchSpace) -> float:
    """Return the root mean squared distance of two random architectures' features."""
    drawn = space.random(256, torch.Generator().manual_seed(0))
    features = graph_features(space, space.encode(drawn)).double()
    return math.sqrt(2 * float(features.var(0, correction=0).sum())) or 1.0
