"""Numbers on one step, for logs and reports."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import scipy

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.arrays import Tensors

RECENT = 20  # queries over which the proxy's recent rank correlation is measured


def diagnose(
    evaluations: pd.DataFrame,
    archive: pd.DataFrame,
    candidates: Tensors,
    trace: Tensors,
    fit: Tensors,
    parameters: SearchParameters,
    bound: dict[str, Any] | None = None,
    *,
    step: int,
) -> dict[str, Any]:
    """Return numbers on one step: rank correlation on the new batch, entropy, rejected draws ...

    Args:
        evaluations: the step's complete trials, with the predictions made before them.
        archive: D after the step.
        candidates: of :func:`steps.sample_candidates`.
        trace: of :func:`steps.search_logits`.
        fit: loss curve of :func:`steps.fit_proxy`.
        parameters: of the search.
        bound: of :func:`regret_left.bound_regret`, where the search may end by it.
        step: search step, 1..S.
    """
    objective = parameters.objective
    batch_tau, batch_rho = _rank_correlation(evaluations[objective.order.judged(evaluations)])
    # A small batch says little, so also over the last queries, each predicted before it was made.
    recent = archive[(archive["step"] > 0) & objective.order.judged(archive)].tail(RECENT)
    recent_tau, recent_rho = _rank_correlation(recent)
    return {
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
        **objective.diagnose(evaluations, archive),
        **({} if bound is None else {"regret_left": bound["regret_left"]}),
    }


def _number(value: float) -> float | None:
    """Return a number for JSON, which has no NaN."""
    return None if math.isnan(value) else float(value)


def _rank_correlation(table: pd.DataFrame) -> tuple[float | None, float | None]:
    """Return Kendall's τ-b and Spearman's ρ of prediction and value; None where undefined."""
    pairs = table[["predicted", "value"]].to_numpy(dtype=np.float64)
    pairs = pairs[~np.isnan(pairs).any(1)]
    if len(pairs) < 2 or (pairs == pairs[0]).all(0).any():
        return None, None
    predicted, value = pairs.T
    tau = scipy.stats.kendalltau(predicted, value).statistic
    rho = np.corrcoef(*map(scipy.stats.rankdata, (predicted, value)))[0, 1]
    return float(tau), float(rho)
