"""Figures of one run from its archive and its diagnostics; those of the traces, and the
best so far, are next door.

``archive`` has one row per query in order (order, step, value, predicted, predicted_sd, best,
...); values are of the benchmark's target. ``diagnostics`` has one row per step.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.stats import kendalltau

from optiproxy_nas.report.best import METRIC, best_so_far
from optiproxy_nas.report.ranges import shared_range
from optiproxy_nas.report.style import (
    BLUE,
    FAINT,
    ORANGE,
    as_array,
    colour_bar,
    empty_figure,
    new_figure,
    note,
    remark,
    sequence_colours,
    tidy,
    whole_ticks,
)
from optiproxy_nas.report.traces import entropy_trace, logits_heatmap

__all__ = [
    "best_so_far",
    "entropy_trace",
    "logits_heatmap",
    "predicted_against_true",
    "step_diagnostics",
]


def predicted_against_true(archive: pd.DataFrame, metric: str = METRIC) -> Figure:
    """The proxy's prediction before each query against the value that it told, by order (Fig. A2).

    The initial sample has no prediction and is left out. Kendall's tau is over all points
    shown, so it mixes proxies of different steps. ``metric``: label of both axes.
    """
    title = "Predicted against queried"
    predicted, true = as_array(archive["predicted"]), as_array(archive["value"])
    keep = np.isfinite(predicted) & np.isfinite(true)
    if not keep.any():
        return empty_figure(title, "no query had a prediction before it")
    predicted, true = predicted[keep], true[keep]
    query = as_array(archive["order"])[keep] + 1
    spread = np.nan_to_num(as_array(archive["predicted_sd"])[keep])
    low, high = shared_range(np.concatenate([predicted, true]))
    x, y = np.clip(true, low, high), np.clip(predicted, low, high)

    figure = new_figure(6.4, 5.4)
    axes = figure.subplots()
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1.0, linestyle="--", zorder=1)
    axes.vlines(x, y - spread, y + spread, color=FAINT, alpha=0.35, linewidth=0.8, zorder=2)
    norm = Normalize(float(query.min()), max(float(query.max()), float(query.min()) + 1))
    axes.scatter(
        x,
        y,
        c=query,
        cmap=sequence_colours(),
        norm=norm,
        s=26,
        alpha=0.85,
        linewidths=0,
        clip_on=False,
        zorder=3,
    )
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal", adjustable="box")
    tidy(axes, title, f"queried {metric}", f"predicted {metric}")
    varied = len(true) > 1 and np.ptp(true) > 0 and np.ptp(predicted) > 0
    tau = f"{float(kendalltau(predicted, true).statistic):.2f}" if varied else "not defined"
    outside = int(((x != true) | (y != predicted)).sum())
    text = f"Kendall τ {tau}, n = {len(true)}"
    if outside:
        text += f"\n{outside} outside the range, drawn at its border"
    remark(axes, text)
    if len(true) > 1:
        colour_bar(figure, axes, norm, "query")
    return figure


def step_diagnostics(diagnostics: pd.DataFrame) -> Figure:
    """Rank correlation of the proxy on recent queries, and the candidates turned away.

    Args:
        diagnostics: columns step, recent_kendall_tau, recent_spearman (NaN where not measured),
            duplicates_rejected, twins_rejected (counts).
    """
    if diagnostics.empty:
        return empty_figure("Step diagnostics", "no steps yet")
    step = as_array(diagnostics["step"])
    figure = new_figure(8.0, 5.0)
    ranks, counts = figure.subplots(2, 1, sharex=True)
    measured = False
    ranks.axhline(0, color=FAINT, linewidth=1.0)
    for column, label, colour, marker in (
        ("recent_kendall_tau", "Kendall τ", BLUE, "o"),
        ("recent_spearman", "Spearman ρ", ORANGE, "s"),
    ):
        values = as_array(diagnostics[column])
        if np.isfinite(values).any():
            measured = True
            ranks.plot(step, values, color=colour, marker=marker, markersize=4, label=label)
    ranks.set_ylim(-1.05, 1.05)
    tidy(
        ranks,
        "Proxy against the values of the last 20 queries, predicted before each",
        "",
        "rank correlation",
    )
    if measured:
        ranks.legend(loc="lower right", ncols=2, fontsize=9, frameon=False)
    else:
        note(ranks, "not measured")

    bottom = np.zeros_like(step)
    for column, label, colour in (
        ("duplicates_rejected", "already queried", BLUE),
        ("twins_rejected", "same network as a queried one", ORANGE),
    ):
        values = np.nan_to_num(as_array(diagnostics[column]))
        counts.bar(step, values, bottom=bottom, width=0.7, color=colour, label=label)
        bottom = bottom + values
    tidy(counts, "Candidates turned away", "step", "candidates")
    counts.set_ylim(0, max(float(bottom.max()) * 1.25, 1.0))  # head room for the legend
    counts.yaxis.set_major_locator(whole_ticks(5))
    counts.xaxis.set_major_locator(whole_ticks(9))
    counts.set_xlim(step.min() - 0.6, step.max() + 0.6)
    if bottom.any():
        counts.legend(loc="upper left", ncols=2, fontsize=9, frameon=False)
    else:
        note(counts, "none")
    return figure
