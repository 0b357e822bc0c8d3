"""Mode collapse: the K groups of (α, β) no longer offer anything new, and nothing new is found.

In the language of the groups' distributions p_k (softmax(α_k) at each node, σ(β_k) at each edge):

    H(mean_k p_k)  =  mean_k H(p_k)  +  Jensen-Shannon divergence of the p_k
       spread      =      within     +       between

each averaged over the choices and divided by the logarithm of their options, so in [0, 1]. The
spread is that of the pool that candidates are drawn from: 1 any architecture is as likely as
another, 0 all K groups hold the same single one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.report.diagnose.settings import CollapseSettings


class Alarm(NamedTuple):
    """A stretch of steps in which the alarm fired."""

    first_step: int
    last_step: int
    first_query: int  # queries made when it fired first
    why: str  # one sentence

    def text(self) -> str:
        """For a person."""
        steps = f"step {self.first_step}"
        if self.last_step > self.first_step:
            steps = f"steps {self.first_step} to {self.last_step}"
        return f"mode collapse in {steps} (from query {self.first_query} on): {self.why}"


def group_numbers(logits: Mapping[str, Tensor]) -> dict[str, float]:
    """How different the K groups are, and how decided.

    Args:
        logits: alpha [K, N, M] and beta [K, E].

    Returns:
        ``spread``, ``within``, ``between``: see the module. ``distance``: mean total variation
        distance of two groups over pairs and choices, 0 (equal) to 1 (disjoint); NaN for one
        group. ``modes``: distinct most probable architectures, 1..K. ``agreement``: the largest
        share of groups that have the same one. ``collapse``: 1 - spread.
    """
    alpha, beta = logits["alpha"].double(), logits["beta"].double()
    edges = torch.sigmoid(beta)
    choices = [torch.softmax(alpha, -1), torch.stack([edges, 1 - edges], -1)]  # [K, choices, M]
    choices = [p for p in choices if p.shape[1] and p.shape[2] > 1]
    within = _mean([_entropy(p) for p in choices])
    spread = _mean([_entropy(p.mean(0)) for p in choices])
    groups = len(alpha)
    distance = math.nan
    if groups > 1 and choices:
        first, second = torch.triu_indices(groups, groups, 1)
        distance = _mean([0.5 * (p[first] - p[second]).abs().sum(-1) for p in choices])
    architectures = torch.cat([alpha.argmax(-1), (beta > 0).long()], dim=1)
    _, counts = torch.unique(architectures, dim=0, return_counts=True)
    return {
        "spread": spread,
        "within": within,
        "between": spread - within,
        "distance": distance,
        "modes": len(counts),
        "agreement": float(counts.max()) / groups,
        "collapse": 1 - spread,
    }


def stagnation(best: Sequence[float]) -> int:
    """Queries since the best value last rose: 0 where the last query was the best.

    Args:
        best: best value so far, by query; NaN while nothing was found that may be the answer.
            Until then every query counts: none of them brought a best.
    """
    if math.isnan(best[-1]):
        return len(best)
    return len(best) - 1 - list(best).index(best[-1])


def collapse_alarms(
    numbers: pd.DataFrame, groups: int, settings: CollapseSettings
) -> tuple[list[Alarm], list[str]]:
    """Where the mode-collapse alarm fires, and why.

    It fires in a step after which at least ``patience`` queries brought no new best, if

    * all groups' most probable architectures are the same one (K > 1), or
    * the groups are copies: their mean distance is below ``distance`` (K > 1), or
    * the spread is below ``spread``.

    A search that has found the optimum stagnates too: the alarm says that further queries find
    nothing new, not that the search has failed.

    Args:
        numbers: one row a step: step, queries (after it), stagnation, and what
            :func:`group_numbers` gives.
        groups: K.
        settings: the thresholds.

    Returns:
        Stretches of consecutive steps in which it fires, and the reasons of every step ("" where
        it does not).
    """
    reasons = [_reasons(row, groups, settings) for row in numbers.to_dict("records")]
    alarms = []
    rows = zip(numbers.to_dict("records"), reasons, strict=True)
    for why, stretch in groupby(rows, key=lambda pair: bool(pair[1])):
        if not why:
            continue
        fired = list(stretch)
        first, last = fired[0][0], fired[-1][0]
        said = dict.fromkeys(reason for _, text in fired for reason in text.split("; "))
        alarms.append(
            Alarm(
                int(first["step"]),
                int(last["step"]),
                int(first["queries"]),
                f"{'; '.join(said)}; no new best for {int(last['stagnation'])} queries at its end.",
            )
        )
    return alarms, reasons


def _reasons(row: Mapping[Any, Any], groups: int, settings: CollapseSettings) -> str:
    if row["stagnation"] < settings.patience:
        return ""
    said = []
    if groups > 1 and row["agreement"] >= 1:
        said.append(f"all {groups} groups hold the same architecture")
    if groups > 1 and row["distance"] < settings.distance:
        said.append(f"the groups are closer than {settings.distance:g}")
    if row["spread"] < settings.spread:
        said.append(f"the spread is below {settings.spread:g}")
    return "; ".join(said)


def _entropy(p: Tensor) -> Tensor:
    """Entropy of the last axis over the logarithm of its length, in [0, 1]."""
    nats: Tensor = torch.special.entr(p).sum(-1)
    return nats / math.log(p.shape[-1])


def _mean(parts: Sequence[Tensor]) -> float:
    """Mean over the last axis (choices) of all parts, then over the others; 0 of nothing."""
    if not parts:
        return 0.0
    return float(torch.cat(list(parts), dim=-1).mean())
