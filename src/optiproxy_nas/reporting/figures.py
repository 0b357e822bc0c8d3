"""Figures of one run from its archive and its diagnostics; those of the traces are next door.

``archive`` has one row per query in order (order, step, value, predicted, predicted_sd, best,
...); values are validation accuracies in %. ``diagnostics`` has one row per step.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from scipy.stats import kendalltau

from optiproxy_nas.reporting.ranges import shared_range, top_range
from optiproxy_nas.reporting.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    as_array,
    empty_figure,
    new_figure,
    note,
    sequence_colours,
    tidy,
    whole_ticks,
)
from optiproxy_nas.reporting.traces import entropy_trace, logits_heatmap

__all__ = [
    "best_so_far",
    "entropy_trace",
    "logits_heatmap",
    "predicted_against_true",
    "step_diagnostics",
]

METRIC = "validation accuracy (%)"


def best_so_far(
    archive: pd.DataFrame, optimum: float | None = None, metric: str = METRIC
) -> Figure:
    """Best value so far against queries, over the queried values themselves.

    Args:
        archive: see the module; columns order, step, value, best.
        optimum: the best value of the whole table, same units, where it is known.
        metric: label of the value axis.
    """
    rows = archive[np.isfinite(as_array(archive["value"]))]
    if rows.empty:
        return empty_figure("Best so far", "no queries yet")
    query, value = as_array(rows["order"]) + 1, as_array(rows["value"])
    best, step = as_array(rows["best"]), as_array(rows["step"])
    if optimum is not None and not math.isfinite(optimum):
        optimum = None
    low, high = top_range(value, step, optimum)

    figure = new_figure(8.0, 4.8)
    axes = figure.subplots()
    norm, colours = Normalize(1, max(float(step.max()), 2)), sequence_colours()
    inks = colours(norm(step))
    inks[step == 0] = to_rgba(FAINT)
    below = value < low
    layers = (
        (~below & (step == 0), value, "o", "initial random sample"),
        (~below & (step > 0), value, "o", "queried in the search"),
        # Failed cells sit at chance accuracy: drawn on the border, or they would squash the rest.
        (below, np.full_like(value, low), "v", f"below the range ({below.sum()})"),
    )
    for mask, height, marker, label in layers:
        if mask.any():
            axes.scatter(
                query[mask],
                height[mask],
                c=inks[mask],
                s=20,
                alpha=0.6,
                linewidths=0,
                marker=marker,
                clip_on=False,
                label=label,
            )
    axes.step(query, best, where="post", color=INK, linewidth=1.8, label="best so far")
    if optimum is not None:
        label = f"optimum of the table: {optimum:.2f}"
        axes.axhline(optimum, color=GREEN, linestyle="--", linewidth=1.2, zorder=1, label=label)
    winner = int(value.argmax())
    axes.scatter(
        query[winner],
        value[winner],
        marker="*",
        s=190,
        color=ORANGE,
        edgecolors="white",
        linewidths=0.8,
        zorder=5,
        label=f"best found: {value[winner]:.2f} (query {query[winner]:.0f})",
    )
    axes.set_ylim(low, high)
    axes.set_xlim(0, query.max() + max(1.0, 0.02 * query.max()))
    axes.xaxis.set_major_locator(whole_ticks(9))
    tidy(axes, "Best so far", "queries", metric)
    if step.max() > 1:
        _colour_bar(figure, axes, norm, "search step")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def predicted_against_true(archive: pd.DataFrame, metric: str = METRIC) -> Figure:
    """The proxy's prediction before each query against the value found, by order (Fig. A2).

    The initial sample has no prediction and is left out. Kendall's tau is over all points
    shown, so it mixes proxies of different steps.
    """
    title = "Predicted against true"
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
    tidy(axes, title, f"true {metric}", f"predicted {metric}")
    varied = len(true) > 1 and np.ptp(true) > 0 and np.ptp(predicted) > 0
    tau = f"{float(kendalltau(predicted, true).statistic):.2f}" if varied else "not defined"
    outside = int(((x != true) | (y != predicted)).sum())
    text = f"Kendall τ {tau}, n = {len(true)}"
    if outside:
        text += f"\n{outside} outside the range, drawn at its border"
    axes.text(
        0.03,
        0.97,
        text,
        transform=axes.transAxes,
        ha="left",
        va="top",
        fontsize=9,
        zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 3},
    )
    if len(true) > 1:
        _colour_bar(figure, axes, norm, "query")
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
        "Proxy against truth on the last 20 queries, predicted before each",
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


def _colour_bar(figure: Figure, axes: Axes, norm: Normalize, label: str) -> None:
    ticks = whole_ticks(8)
    bar = figure.colorbar(
        ScalarMappable(norm, sequence_colours()), ax=axes, pad=0.02, ticks=ticks, shrink=0.9
    )
    bar.set_label(label, fontsize=10)
    bar.ax.tick_params(labelsize=9)
