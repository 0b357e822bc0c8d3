"""Select the queries of a step by the proxy (Algorithm 2, line 8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import codes_of, make_batch
from optiproxy_nas.algorithm.candidates import Pool
from optiproxy_nas.algorithm.pending import followed_members, select_in_turn
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.algorithm.twins import with_twins
from optiproxy_nas.core.arrays import Integers
from optiproxy_nas.core.parameters import SelectionSettings
from optiproxy_nas.spaces.base import SearchSpace

Predict = Callable[[Tensor], Tensor]  # codes [n, L] -> predictions [E, H, n]


def select_queries(
    space: SearchSpace,
    pool: Pool,
    predict: Predict,
    archive: pd.DataFrame,
    parameters: SearchParameters,
    allowance: int,
    step: int,
    generator: torch.Generator,
    unavailable: pd.DataFrame | None = None,
    given: int = 0,
    pending: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the queries of a step: the objective's promotions, then the best candidates.

    Args:
        space: the search space.
        pool: candidates outside the archive.
        predict: of the fitted proxy.
        archive: D.
        parameters: of the search; their objective gives promotions, scores and costs.
        allowance: what the step may spend.
        step: its number.
        generator: draws where ``use_proxy`` is off.
        unavailable: pending and failed trials; their architectures are not promoted.
        given: so many rows of D, the first, were trained before the search. It has nothing that
            their promotion could go on from, which is charged as training from nothing.
        pending: those of ``unavailable`` that are. With ``selection.pending = thompson`` the
            promotions, and each new architecture, follow a member of the ensemble.
    """
    price, task = parameters.objective.price, parameters.objective.task
    targets, selection = parameters.fit.targets, parameters.selection
    codes = codes_of(space, archive)
    excluded = [] if unavailable is None else unavailable["architecture"].tolist()
    members = followed_members(pending, parameters, step, 1 + allowance // price.cheapest)

    def predict_rows(rows: Integers) -> Tensor:
        predictions = predict(codes[torch.from_numpy(rows)])
        return predictions if members is None else predictions[members[0] : members[0] + 1]

    promoted = task.promotions(archive, predict_rows, targets, allowance, excluded)
    batches: list[pd.DataFrame] = []
    left = allowance
    if len(promoted):
        raised = codes[torch.from_numpy(promoted)]
        columns: dict[str, Any] = task.raised(predict(raised), promoted, archive, targets)
        columns |= price.promotion_columns(archive.iloc[promoted])
        if (is_given := promoted < given).any():
            for name, whole in price.fidelity_columns(columns["epochs"]).items():
                columns[name] = np.where(is_given, whole, columns[name])
        batch = make_batch(space, raised, step, **columns)
        if is_given.any():  # they were chosen as if each went on
            spent = price.costs(batch).cumsum()
            batch = batch[spent <= max(allowance, spent[0])]
        batches.append(batch)
        left -= int(price.costs(batches[0]).sum())
    count = max(0, min(left // price.cheapest, len(pool.codes)))
    if count:
        pool, predictions = with_twins(space, pool, predict, archive, parameters, unavailable)
        score = task.score(archive, selection)
        if members is None:
            scores = score(predictions)
            best = select_best(scores, count, selection, generator)
            scores = scores[best]
        else:
            first = min(len(promoted), 1)
            best, scores = select_in_turn(score, predictions, members[first : first + count])
        columns = task.revealed(predictions[..., best], archive, targets)
        columns |= price.initial_columns(len(best))
        columns["score"] = scores.double().numpy()
        batches.append(pool.batch(space, best, step, **columns))
    if not batches:  # the space is used up
        return make_batch(space, codes[:0], step, **price.initial_columns(0))
    return batches[0] if len(batches) == 1 else pd.concat(batches, ignore_index=True)


def select_best(
    score: Tensor, count: int, settings: SelectionSettings, generator: torch.Generator
) -> Tensor:
    """Return the rows of the ``count`` highest scores, best first (ties: first drawn): [count].

    With ``use_proxy`` off, ``count`` random rows instead: the ablation of section 3.4.

    Args:
        score: of the candidates [q].
        count: B.
        settings: ``use_proxy``, whether the score decides.
        generator: draws where it does not.
    """
    order = score if settings.use_proxy else torch.rand(len(score), generator=generator)
    return torch.argsort(order, descending=True, stable=True)[:count]
