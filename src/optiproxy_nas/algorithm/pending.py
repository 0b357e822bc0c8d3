"""Pending trials (``selection.pending``) and failed ones (``fit.failed``) in the score.

A search on several workers proposes while trials are running. They are never proposed again, and
are charged; what else they do to the next proposals, the setting says:

- ``exclude``: nothing.
- ``thompson``: each proposal follows the predictions of one member of the ensemble. The members
  are draws from what the proxy holds possible (a Bayesian bootstrap), so that workers disperse
  where it is unsure (Kandasamy, Krishnamurthy, Schneider & Poczos 2018, Parallelised Bayesian
  optimisation via Thompson sampling).
- ``believer``: the proxy is fitted on D and on the pending trials, each with the mean that the
  proxy of the step before predicts, so that the members agree about them (Ginsbourger, Le Riche &
  Carraro 2010, Kriging is well-suited to parallelize optimization).

A believed trial has no value: it is no row of D, so that neither the incumbent nor the scale of
the targets follows from it. Where nothing is pending all three are the serial search.

A failed trial is never proposed again. It may be fitted on as if it had reached a low quantile of
the archive's targets, so that the search leaves what fails for a reason. So is a value far below
all others, such as the -1e9 of a training that diverged: it says that, and not how bad it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.random_streams import torch_generator
from optiproxy_nas.objectives.base import Score
from optiproxy_nas.proxies import fit as fitting
from optiproxy_nas.proxies.targets import are_broken
from optiproxy_nas.spaces.base import SearchSpace


def believed_targets(
    space: SearchSpace,
    pending: pd.DataFrame | None,
    parameters: SearchParameters,
    previous: Tensors | None,
) -> tuple[Tensor, Tensor] | None:
    """Return the codes [p, L] of pending trials, and the targets [H, p] that are believed of them.

    A trial has those heads that its answer will have; the others are NaN.

    Args:
        space: the search space.
        pending: trials that were proposed and have no answer.
        parameters: of the search.
        previous: weights of the step before, by which they are predicted.

    Returns:
        None where nothing is believed: another policy, nothing pending, or no proxy yet.
    """
    if parameters.selection.pending != "believer" or previous is None or pending is None:
        return None
    if pending.empty:
        return None
    task, codes = parameters.objective.task, codes_of(space, pending)
    proxy = fitting.load_proxy(space, parameters.proxy, previous, task.heads)
    mean = fitting.predict(proxy, space.encode(codes)).mean(0)  # [H, p]
    given = torch.from_numpy(task.heads_of(pending))
    return codes, torch.where(given, mean, torch.nan)


def archive_targets(archive: pd.DataFrame, parameters: SearchParameters) -> Tensor:
    """Return the targets [H, n] of the archive, those of broken values as of failed trials.

    Of the first head alone: with rungs, the heads of the others compare ranks.
    """
    objective, quantile = parameters.objective, parameters.fit.failed
    targets = objective.task.targets(archive, parameters.fit.targets)
    if quantile is None:
        return targets
    broken = torch.from_numpy(are_broken(objective.order.goodness(archive)))
    broken &= ~torch.isnan(targets[0])
    if broken.any():
        targets[0, broken] = torch.nanquantile(targets[0, ~broken], quantile)
    return targets


def failed_targets(
    space: SearchSpace,
    failed: pd.DataFrame | None,
    parameters: SearchParameters,
    targets: Tensor,
) -> tuple[Tensor, Tensor] | None:
    """Return the codes [f, L] of failed trials, and the targets [H, f] that are believed of them.

    Of the value it is the quantile ``fit.failed`` of the archive's; other heads are NaN. A trial
    that failed above the lowest rung says nothing: its value on the lowest is in the archive.

    Args:
        space: the search space.
        failed: trials that failed.
        parameters: of the search.
        targets: of the archive [H, n], NaN where not observed.

    Returns:
        None where nothing is believed.
    """
    quantile = parameters.fit.failed
    if quantile is None or failed is None or failed.empty:
        return None
    failed = failed[parameters.objective.task.heads_of(failed)[0]]
    if failed.empty:
        return None
    believed = torch.full((len(targets), len(failed)), torch.nan)
    believed[0] = torch.nanquantile(targets[0], quantile)
    return codes_of(space, failed), believed


def followed_members(
    pending: pd.DataFrame | None, parameters: SearchParameters, step: int, picks: int
) -> list[int] | None:
    """Return the member of the ensemble that each of a step's ``picks`` follows.

    They follow from (seed, step); all members come once before one comes again.

    Returns:
        None where all follow the whole ensemble: another policy, nothing pending, or no proxy in
        use.
    """
    selection, members = parameters.selection, parameters.proxy.members
    if selection.pending != "thompson" or pending is None or pending.empty:
        return None
    if not selection.use_proxy:
        return None
    generator = torch_generator(parameters.seed, step, "pending-member")
    rounds = [torch.randperm(members, generator=generator) for _ in range(-(-picks // members))]
    followed: list[int] = torch.cat(rounds)[:picks].tolist()
    return followed


def follow_in_turn(score: Score, members: Sequence[int]) -> Score:
    """Return the score by which architecture i of n is that of member ``members[i % len]``."""

    def followed(predictions: Tensor) -> Tensor:
        count = predictions.shape[-1]
        turns = torch.tensor(members)[torch.arange(count) % len(members)]
        return score(predictions[turns, :, torch.arange(count)].T.unsqueeze(0))

    return followed


def followed_scores(score: Score, members: Sequence[int] | None) -> list[Score]:
    """Return the scores that a step's picks follow, each once: the ensemble's, or the members'."""
    if members is None:
        return [score]
    return [follow_in_turn(score, [member]) for member in dict.fromkeys(members)]


def select_in_turn(
    score: Score, predictions: Tensor, members: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Return the candidate that each member scores best, and its score: [b] both.

    Each takes the best (ties: the first) that no member before it took.

    Args:
        score: predictions [1, H, q] -> [q].
        predictions: of the candidates [E, H, q].
        members: of the ensemble, b <= q.
    """
    rows: list[int] = []
    values: list[Tensor] = []
    for member in members:
        scores = score(predictions[member : member + 1])
        left = scores.index_fill(0, torch.tensor(rows, dtype=torch.int64), -torch.inf)
        rows.append(int(torch.argsort(left, descending=True, stable=True)[0]))
        values.append(scores[rows[-1]])
    return torch.tensor(rows, dtype=torch.int64), torch.stack(values)
