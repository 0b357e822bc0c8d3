"""Mode collapse: the K groups of (α, β) offer nothing new any more, and nothing new is found.

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

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from pydantic import Field
from torch import Tensor

from optiproxy_nas.core.arrays import as_array
from optiproxy_nas.core.parameters import StrictModel
from optiproxy_nas.report import style
from optiproxy_nas.report.logit_figures import entropy_scale, step_blocks
from optiproxy_nas.spaces.relaxation import masked, operation_probabilities

TITLE = "Entropy of α over the search, and mode collapse"
ALARM = "#b3261e"


class CollapseSettings(StrictModel):
    """When the mode-collapse alarm fires."""

    patience: int = Field(20, ge=1, description="queries without a new best before it may fire")
    spread: float = Field(0.1, ge=0, le=1, description="alarm where the spread is below this")
    distance: float = Field(0.05, ge=0, le=1, description="alarm where the groups are closer")


class Alarm(NamedTuple):
    """A stretch of steps in which the alarm fired."""

    first_step: int
    last_step: int
    first_query: int  # queries made when it fired first
    why: str  # one sentence

    def text(self) -> str:
        """Return the alarm as a sentence."""
        steps = f"step {self.first_step}"
        if self.last_step > self.first_step:
            steps = f"steps {self.first_step} to {self.last_step}"
        return f"mode collapse in {steps} (from query {self.first_query} on): {self.why}"


def group_numbers(logits: Mapping[str, Tensor], allowed: Tensor) -> dict[str, float]:
    """Return how different the K groups are, and how decided.

    Args:
        logits: alpha [K, N, M] and beta [K, E].
        allowed: bool [N, M], the options of each node; those with one are left out.

    Returns:
        ``spread``, ``within``, ``between``: see the module. ``distance``: mean total variation
        distance of two groups over pairs and choices, 0 (equal) to 1 (disjoint); NaN for one
        group. ``modes``: distinct most probable architectures, 1..K. ``agreement``: the largest
        share of groups that have the same one. ``collapse``: 1 - spread.
    """
    alpha, beta = logits["alpha"].double(), logits["beta"].double()
    edges = torch.sigmoid(beta)
    open_nodes = allowed.sum(-1) > 1
    nodes = operation_probabilities(alpha, allowed)[:, open_nodes]
    choices = [nodes, torch.stack([edges, 1 - edges], -1)]  # [K, choices, M]
    options = [allowed.sum(-1)[open_nodes].double(), torch.tensor(2.0, dtype=torch.float64)]
    pairs = [(p, count) for p, count in zip(choices, options, strict=True) if p.shape[1]]
    choices = [p for p, _ in pairs]
    within = _mean([_entropy(p, count) for p, count in pairs])
    spread = _mean([_entropy(p.mean(0), count) for p, count in pairs])
    groups = len(alpha)
    distance = math.nan
    if groups > 1 and choices:
        first, second = torch.triu_indices(groups, groups, 1)
        distance = _mean([0.5 * (p[first] - p[second]).abs().sum(-1) for p in choices])
    architectures = torch.cat([masked(alpha, allowed).argmax(-1), (beta > 0).long()], dim=1)
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
    """Return the queries since the best value last rose: 0 where the last query was the best.

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
    """Find where the mode-collapse alarm fires, and why.

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
        causes = dict.fromkeys(reason for _, text in fired for reason in text.split("; "))
        alarms.append(
            Alarm(
                int(first["step"]),
                int(last["step"]),
                int(first["queries"]),
                f"{'; '.join(causes)}; no new best for {int(last['stagnation'])} queries at its "
                "end.",
            )
        )
    return alarms, reasons


def _reasons(row: Mapping[Any, Any], groups: int, settings: CollapseSettings) -> str:
    if row["stagnation"] < settings.patience:
        return ""
    causes = []
    if groups > 1 and row["agreement"] >= 1:
        causes.append(f"all {groups} groups hold the same architecture")
    if groups > 1 and row["distance"] < settings.distance:
        causes.append(f"the groups are closer than {settings.distance:g}")
    if row["spread"] < settings.spread:
        causes.append(f"the spread is below {settings.spread:g}")
    return "; ".join(causes)


def _entropy(p: Tensor, options: Tensor) -> Tensor:
    """Return the entropy of the last axis over the logarithm of its options, in [0, 1]."""
    nats: Tensor = torch.special.entr(p).sum(-1)
    return nats / options.log()


def _mean(tensors: Sequence[Tensor]) -> float:
    """Return the mean over the last axis (choices) of all, then over the others; 0 of none."""
    if not tensors:
        return 0.0
    return float(torch.cat(list(tensors), dim=-1).mean())


def collapse_figure(
    traces: Mapping[int, Mapping[str, Any]],
    numbers: pd.DataFrame,
    alarms: Sequence[Alarm],
    settings: CollapseSettings,
    allowed: Tensor,
) -> Figure:
    """Draw the entropy over the epochs of all steps, and the groups at the end of each step.

    Args:
        traces: step -> entropy [epochs, K] and more.
        numbers: one row a step, of :func:`group_numbers`.
        alarms: stretches of steps to shade.
        settings: the thresholds, drawn as lines.
        allowed: bool [N, M], the options of each node.
    """
    blocks = step_blocks(traces, "entropy")
    if not blocks or numbers.empty:
        return style.empty_figure(TITLE, "no search epochs were recorded")
    figure = style.new_figure(8.6, 7.2)
    epochs, groups = figure.subplots(2, 1, height_ratios=[3, 2.6], sharex=True)
    # One unit of the axis is one step, so that both panels share it.
    for step, block in blocks.items():
        x = step - 0.5 + (np.arange(len(block)) + 0.5) / len(block)
        low, middle, high = np.quantile(block, [0.0, 0.5, 1.0], axis=1)
        band = {"color": style.BLUE, "alpha": 0.2, "linewidth": 0, "label": "all groups"}
        epochs.fill_between(x, low, high, **band)
        epochs.plot(x, middle, color=style.INK, linewidth=1.4, label="median group")
    entropy_scale(epochs, allowed)
    style.tidy(epochs, TITLE, "", "entropy (nats)")

    steps = as_array(numbers["step"])
    for column, label, colour in (
        ("spread", "spread of the pool", style.INK),
        ("within", "part within the groups", style.BLUE),
        ("agreement", "largest share of groups with the same best choice", style.ORANGE),
    ):
        groups.plot(steps, as_array(numbers[column]), color=colour, linewidth=1.6, label=label)
    label = f"alarm where the spread is below {settings.spread:g}"
    groups.axhline(settings.spread, color=style.INK, linestyle=":", linewidth=1.0, label=label)
    groups.set_ylim(0, 1.03)
    style.tidy(groups, "The groups at the end of each step", "search step", "0 to 1")
    groups.xaxis.set_major_locator(style.whole_ticks(9))
    groups.set_xlim(0.5, steps.max() + 0.5)
    shade = {"color": ALARM, "alpha": 0.13, "linewidth": 0, "zorder": 0}
    for alarm in alarms:
        begin, end = alarm.first_step - 0.5, alarm.last_step + 0.5
        epochs.axvspan(begin, end, **shade)
        groups.axvspan(begin, end, label="alarm", **shade)
    since = as_array(numbers["stagnation"]) >= settings.patience
    if since.any():
        waiting = np.where(since, 0.985, np.nan)
        label = f"no new best for {settings.patience} queries"
        groups.plot(steps, waiting, color=ALARM, linewidth=3, label=label, solid_capstyle="butt")
    style.legend_under(epochs, 0.05, 3)
    style.legend_under(groups, 0.2, 2)
    return figure
