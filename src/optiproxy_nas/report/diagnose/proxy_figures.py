"""Figures of the proxies: predicted against queried step by step (Figure A2), and the gap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.arrays import Floats, as_array
from optiproxy_nas.core.numbers import difference_unit, metric_label
from optiproxy_nas.report import style
from optiproxy_nas.report.diagnose.proxy_gap import Judged

BY_STEP = "Predicted against queried, by step"
GAP = "Proxy against reality, by step"


def predictions_by_step(
    judged: Judged,
    gap: pd.DataFrame,
    window: int,
    panels: int,
    metric: str = metric_label(VALIDATION_ACCURACY),
) -> Figure:
    """Draw each chosen step's proxy on what it was fitted on and on what came next.

    Args:
        judged: of :func:`optiproxy_nas.report.diagnose.proxy_gap.judge`.
        gap: of :func:`optiproxy_nas.report.diagnose.proxy_gap.gap_table`, for the correlations.
        window: next queries shown.
        panels: steps shown.
        metric: label of both axes.
    """
    table = judged.archive
    steps = sorted(table["step"].unique())
    if not steps:
        return style.empty_figure(BY_STEP, "no search steps")
    chosen = [steps[index] for index in style.evenly(len(steps), panels)]
    shown = {}
    for step in chosen:
        rows = table[table["step"] == step]
        shown[step] = rows[rows["known"]], rows[~rows["known"]].head(window)
    columns = min(3, len(chosen))
    lines = math.ceil(len(chosen) / columns)
    figure = style.new_figure(1.4 + 2.7 * columns, 1.3 + 2.65 * lines)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    # The range of what was not seen yet: what the proxy was fitted on lies on the line anyway.
    new = pd.concat([unseen if len(unseen) else fitted for fitted, unseen in shown.values()])
    values = as_array(new[["predicted", "value"]])
    low, high = np.quantile(values, [0.03, 1.0])
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    norm = Normalize(1, max(2.0, float(table["query"].max())))
    colours = {"cmap": style.sequence_colours(), "norm": norm}
    taus = {row["step"]: row for row in gap.to_dict("records")}
    for axes, step in zip(grid.flat, chosen, strict=False):
        fitted, unseen = shown[step]
        fitted = fitted[fitted[["predicted", "value"]].min(axis=1) >= low]
        style.diagonal(axes, low, high)
        for rows, look in (
            (fitted, {"s": 13, "alpha": 0.55, "linewidths": 0.0, "zorder": 2}),
            (
                unseen,
                {"s": 30, "alpha": 0.9, "linewidths": 0.8, "zorder": 3, "edgecolors": style.INK},
            ),
        ):
            x, y = np.clip(rows["value"], low, high), np.clip(rows["predicted"], low, high)
            axes.scatter(x, y, c=rows["query"], clip_on=False, **colours, **look)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(labelsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        # Above the panel: inside, it would hide points of one step or another.
        axes.set_title(_heading(step, taus[step]), loc="left", fontsize=8.5, color=style.INK)
    for axes in list(grid.flat)[len(chosen) :]:
        axes.set_axis_off()
    figure.suptitle(BY_STEP, fontsize=11, color=style.INK, x=0.01, ha="left")
    grid[-1, columns // 2].set_xlabel(f"queried {metric}", fontsize=10)
    grid[lines // 2, 0].set_ylabel(f"predicted {metric}", fontsize=10)
    style.colour_bar(figure, grid, norm, "query", shrink=0.8, aspect=35)
    for label, look in (
        ("known: the proxy was fitted on it", {"s": 13, "alpha": 0.8}),
        (
            f"not seen yet: the next {window} queries",
            {"s": 30, "edgecolors": style.INK, "linewidths": 0.8},
        ),
    ):
        axes.scatter([], [], color=style.FAINT, label=label, **look)
    style.legend_below(figure, ncols=2)
    return figure


def _heading(step: int, row: Mapping[Any, Any]) -> str:
    taus = [
        f"{name} {row[column]:.2f}"
        for name, column in (("known", "known_kendall_tau"), ("next", "next_kendall_tau"))
        if math.isfinite(row[column])
    ]
    return f"step {step}" + (f"   τ {', '.join(taus)}" if taus else "")


def gap_figure(
    gap: pd.DataFrame, window: int, top: float, probe: int, metric: str = VALIDATION_ACCURACY
) -> Figure:
    """Draw rank correlation, what the proxy's favourite costs, and optimism, over the queries.

    Args:
        gap: of :func:`optiproxy_nas.report.diagnose.proxy_gap.gap_table`.
        window: queries that "next" means.
        top: share of the probe that "best" means.
        probe: cells of the probe; 0: there is none.
        metric: what the values are of.
    """
    if gap.empty:
        return style.empty_figure(GAP, "no search steps")
    figure = style.new_figure(8.0, 8.8)
    ranks, regret, optimism = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2, 2.2])
    query, points = as_array(gap["fitted_on"]), difference_unit(metric)
    best = f"best {top:.0%} of the probe"
    ranks.axhline(0, color=style.FAINT, linewidth=1.0)
    for column, label, colour, dots, width in (
        ("probe_kendall_tau", f"probe: {probe} random cells never queried", style.BLUE, "-", 1.8),
        ("probe_top_kendall_tau", f"the {best}", style.GREEN, "-", 1.8),
        ("next_kendall_tau", f"the next {window} queries", style.ORANGE, "-", 1.8),
        (
            "probe_top_recall",
            f"share of the {best} found among its favourites",
            style.GREEN,
            ":",
            1.6,
        ),
    ):
        if probe or not column.startswith("probe"):
            values = as_array(gap[column])
            ranks.plot(query, values, dots, color=colour, linewidth=width, label=label)
    values = np.concatenate([as_array(gap[c]) for c in gap if str(c).endswith("kendall_tau")])
    ranks.set_ylim(min(-0.25, float(np.nanmin(values, initial=0.0)) - 0.05), 1.02)
    style.tidy(ranks, "How well the proxy ranks what it was not fitted on", "", "Kendall τ, share")
    style.legend_under(ranks, 0.04, 2)

    if probe:
        cost = as_array(gap["probe_regret"])
        regret.step(query, cost, where="post", color=style.BLUE, linewidth=1.8)
        regret.fill_between(query, cost, step="post", color=style.BLUE, alpha=0.12, linewidth=0)
        regret.set_ylim(0, max(float(cost.max()) * 1.15, 0.1))
    else:
        style.note(regret, "others than the queried ones were not trained")
    label = f"{points} below its best".lstrip()
    style.tidy(regret, "What the proxy's favourite of the probe costs", "", label)

    _optimism(optimism, query, as_array(gap["optimism"]), points)
    optimism.set_xlim(0, query.max() * 1.02 + 1)
    optimism.xaxis.set_major_locator(style.whole_ticks(9))
    return figure


def _optimism(axes: Axes, query: Floats, optimism: Floats, points: str) -> None:
    """Draw each batch as a stem, clipped to where most lie, and their running median."""
    reach = max(float(np.quantile(np.abs(optimism), 0.9)) * 1.4, 0.1)
    shown = np.clip(optimism, -reach, reach)
    for mask, colour, label in (
        (optimism >= 0, style.ORANGE, "too hopeful"),
        (optimism < 0, style.BLUE, "better than predicted"),
    ):
        if mask.any():
            axes.vlines(query[mask], 0, shown[mask], color=colour, alpha=0.45, linewidth=1.2)
            axes.scatter(query[mask], shown[mask], s=16, color=colour, linewidths=0, label=label)
    outside = np.abs(optimism) > reach
    beside: dict[str, Any] = {
        "xytext": (4, 0),
        "textcoords": "offset points",
        "va": "center",
        "fontsize": 8,
    }
    for x, y, value in zip(query[outside], shown[outside], optimism[outside], strict=True):
        axes.annotate(f"{value:+.1f}", (x, y), color=style.FAINT, **beside)
    middle = pd.Series(optimism).rolling(10, min_periods=3).median().clip(-reach, reach)
    axes.plot(query, middle, color=style.INK, linewidth=1.8, label="median of 10 steps")
    axes.axhline(0, color=style.FAINT, linewidth=1.0, zorder=1)
    low, high = min(0.0, float(shown.min())), max(0.0, float(shown.max()))
    axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    title = "Optimism: predicted minus queried of the selected batch"
    style.tidy(axes, title, "queries the proxy knew", points)
    style.legend_under(axes, 0.22, 3)
