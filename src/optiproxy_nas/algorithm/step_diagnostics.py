"""Numbers on one step, for logs and reports."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.alarms import RECENT, raised_alarms
from optiproxy_nas.algorithm.collapse import group_numbers, stagnation
from optiproxy_nas.algorithm.listing import may_list
from optiproxy_nas.algorithm.prior import shares_of
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.arrays import Floats, Mask, Tensors
from optiproxy_nas.spaces.base import SearchSpace

MEASURABLE = 5  # fewer pairs than this say nothing of a rank correlation


def diagnose(
    space: SearchSpace,
    evaluations: pd.DataFrame,
    archive: pd.DataFrame,
    candidates: Tensors,
    trace: Tensors,
    fit: Tensors,
    logits: Tensors,
    parameters: SearchParameters,
    bound: dict[str, Any] | None = None,
    *,
    step: int,
) -> dict[str, Any]:
    """Return numbers on one step: rank correlation on the new batch, entropy, rejected draws ...

    Args:
        space: the search space.
        evaluations: the step's complete trials, with the predictions made before them.
        archive: D after the step.
        candidates: of :func:`steps.sample_candidates`.
        trace: of :func:`steps.search_logits`.
        fit: loss curve of :func:`steps.fit_proxy`, and the trust in earlier runs.
        logits: of :func:`steps.search_logits`.
        parameters: of the search.
        bound: of :func:`regret_left.bound_regret`, where the search may end by it.
        step: search step, 1..S.
    """
    objective = parameters.objective
    batch_tau, batch_rho = _agreement(evaluations, objective.order.judged(evaluations))
    # A small batch says little, so also over the last queries, each predicted before it was made.
    proposed = objective.order.judged(archive) & (archive["step"].to_numpy() > 0)
    recent_tau, recent_rho = _agreement(archive, proposed, RECENT)
    groups: dict[str, float | None] = {}  # of a list, candidates are all, whatever the groups are
    if not may_list(space, parameters.selection.listed):
        found = group_numbers(logits, space.allowed)
        groups = {name: _number(found[name]) for name in ("spread", "distance", "agreement")}
    numbers: dict[str, Any] = {
        "step": step,
        "queries": len(archive),
        "spent": int(objective.price.costs(archive).sum()),
        "best": _number(archive["best"].iloc[-1]),
        "kendall_tau": batch_tau,
        "spearman": batch_rho,
        "recent_kendall_tau": recent_tau,
        "recent_spearman": recent_rho,
        "fit_loss": float(fit["loss"][-1]),
        "entropy": float(trace["entropy"][-1].mean()),
        "temperature": float(trace["temperature"][-1]),
        "candidates": len(candidates["codes"]),
        "duplicates_rejected": int(candidates["duplicates"]),
        "twins_rejected": int(candidates["twins"]),
        "invalid_rejected": int(candidates["rejected"]),
        "draws": int(candidates["draws"]),
        "stagnation": stagnation(archive["best"].tolist()),
        **groups,
        **objective.diagnose(evaluations, archive),
        **({} if bound is None else {"regret_left": bound["regret_left"]}),
        **_trust(fit),
    }
    alarms = raised_alarms(numbers, int(proposed.sum()), parameters.groups, parameters.alarms)
    return {**numbers, **alarms}


def _trust(fit: Tensors) -> dict[str, float]:
    """Return how much earlier runs count together, and the trust in each; nothing without any."""
    if "trust" not in fit:
        return {}
    trust = fit["trust"]
    each = {f"prior_trust_{run}": float(value) for run, value in enumerate(trust, 1)}
    return {"prior_trust": float(shares_of(trust.unsqueeze(1)).sum()), **each}


def _number(value: float) -> float | None:
    """Return a number for JSON, which has no NaN."""
    return None if math.isnan(value) else float(value)


def _agreement(
    table: pd.DataFrame, counted: Mask, last: int = 0
) -> tuple[float | None, float | None]:
    """Return τ-b and ρ of prediction and value, of the ``last`` rows that count; 0: of all."""
    rows = np.flatnonzero(counted)[-last:]
    return rank_correlations(
        *(table[name].to_numpy(dtype=np.float64)[rows] for name in ("predicted", "value"))
    )


def rank_correlations(first: Floats, second: Floats) -> tuple[float | None, float | None]:
    """Return Kendall's τ-b and Spearman's ρ of n pairs, [n] both; None where undefined.

    Pairs with NaN are left out; fewer than ``MEASURABLE`` have no correlation. Numbers are those of
    ``scipy.stats``, to the last bit, in a tenth of the time for the few pairs of a step.
    """
    pairs = np.stack([first, second])
    pairs = pairs[:, ~np.isnan(pairs).any(axis=0)]
    if pairs.shape[1] < MEASURABLE:
        return None, None
    left, right = pairs[:, :, np.newaxis], pairs[:, np.newaxis]
    order = (left > right).astype(np.float64) - (left < right)  # [2, n, n]; a difference overflows
    untied = (order * order).sum(axis=(1, 2)) / 2
    if not untied.all():
        return None, None
    tau = (order[0] * order[1]).sum() / 2 / np.sqrt(untied[0]) / np.sqrt(untied[1])
    ranks = (order.sum(axis=2) + pairs.shape[1] + 1) / 2  # from 1, ties share their mean
    return float(np.clip(tau, -1, 1)), float(np.corrcoef(ranks)[0, 1])
