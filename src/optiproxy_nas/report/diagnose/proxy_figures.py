"""Figures of the proxies: predicted against queried step by step (Figure A2), and the gap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.numbers import difference_unit, metric_label
from optiproxy_nas.report.diagnose.proxy_gap import Judged
from optiproxy_nas.report.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    as_array,
    empty_figure,
    new_figure,
    sequence_colours,
    tidy,
    whole_ticks,
)

BY_STEP = "Predicted against queried, by step"
GAP = "Proxy against reality, by step"


def spread_over(steps: list[int], count: int) -> list[int]:
    """Return at most ``count`` of the steps, evenly spread, with the first and the last."""
    picks = np.unique(np.linspace(0, len(steps) - 1, min(count, len(steps))).round().astype(int))
    return [steps[pick] for pick in picks]


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
    chosen = spread_over(sorted(table["step"].unique()), panels)
    if not chosen:
        return empty_figure(BY_STEP, "no search steps")
    shown = {}
    for step in chosen:
        rows = table[table["step"] == step]
        unseen = rows[~rows["known"]].head(window)
        shown[step] = (rows[rows["known"]], unseen)
    columns = min(3, len(chosen))
    lines = math.ceil(len(chosen) / columns)
    figure = new_figure(1.4 + 2.7 * columns, 1.3 + 2.65 * lines)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    # The range of what was not seen yet: what the proxy was fitted on lies on the line anyway.
    new = [unseen if len(unseen) else known for known, unseen in shown.values()]
    values = np.concatenate([as_array(part[c]) for part in new for c in ("predicted", "value")])
    low, high = np.quantile(values, [0.03, 1.0])
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    norm = Normalize(1, max(2.0, float(table["query"].max())))
    taus = {row["step"]: row for row in gap.to_dict("records")}
    for axes, step in zip(grid.flat, chosen, strict=False):
        known, unseen = shown[step]
        known = known[known[["predicted", "value"]].min(axis=1) >= low]
        axes.plot([low, high], [low, high], color=FAINT, linewidth=0.9, linestyle="--", zorder=1)
        for part, size, edge, width, order in (
            (known, 13, "none", 0.0, 2),
            (unseen, 30, INK, 0.8, 3),
        ):
            axes.scatter(
                np.clip(part["value"], low, high),
                np.clip(part["predicted"], low, high),
                c=part["query"],
                cmap=sequence_colours(),
                norm=norm,
                s=size,
                alpha=0.9 if order == 3 else 0.55,
                edgecolors=edge,
                linewidths=width,
                clip_on=False,
                zorder=order,
            )
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_aspect("equal", adjustable="box")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(labelsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        # Above the panel: inside, it would hide points of one step or another.
        axes.set_title(_heading(step, taus[step]), loc="left", fontsize=8.5, color=INK)
    for axes in list(grid.flat)[len(chosen) :]:
        axes.set_axis_off()
    figure.suptitle(BY_STEP, fontsize=11, color=INK, x=0.01, ha="left")
    grid[-1, columns // 2].set_xlabel(f"queried {metric}", fontsize=10)
    grid[lines // 2, 0].set_ylabel(f"predicted {metric}", fontsize=10)
    bar = figure.colorbar(
        ScalarMappable(norm, sequence_colours()), ax=grid, pad=0.02, shrink=0.8, aspect=35
    )
    bar.set_label("query", fontsize=10)
    bar.ax.tick_params(labelsize=9)
    handles = [
        axes.scatter(
            [], [], s=13, color=FAINT, alpha=0.8, label="known: the proxy was fitted on it"
        ),
        axes.scatter(
            [],
            [],
            s=30,
            color=FAINT,
            edgecolors=INK,
            linewidths=0.8,
            label=f"not seen yet: the next {window} queries",
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
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
        probe: cells of the probe.
        metric: what the values are of.
    """
    if gap.empty:
        return empty_figure(GAP, "no search steps")
    figure = new_figure(8.0, 8.8)
    ranks, regret, optimism = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2, 2.2]}
    )
    query, points = as_array(gap["fitted_on"]), difference_unit(metric)
    best = f"best {top:.0%} of the probe"
    ranks.axhline(0, color=FAINT, linewidth=1.0)
    for column, label, colour, style in (
        ("probe_kendall_tau", f"probe: {probe} random cells never queried", BLUE, "-"),
        ("probe_top_kendall_tau", f"the {best}", GREEN, "-"),
        ("next_kendall_tau", f"the next {window} queries", ORANGE, "-"),
    ):
        ranks.plot(query, as_array(gap[column]), style, color=colour, linewidth=1.8, label=label)
    recall = as_array(gap["probe_top_recall"])
    label = f"share of the {best} found among its favourites"
    ranks.plot(query, recall, ":", color=GREEN, linewidth=1.6, label=label)
    values = np.concatenate([as_array(gap[c]) for c in gap if str(c).endswith("kendall_tau")])
    ranks.set_ylim(min(-0.25, float(np.nanmin(values, initial=0.0)) - 0.05), 1.02)
    tidy(ranks, "How well the proxy ranks what it was not fitted on", "", "Kendall τ, share")
    ranks.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.04), ncols=2, fontsize=9, frameon=False
    )

    cost = as_array(gap["probe_regret"])
    regret.step(query, cost, where="post", color=BLUE, linewidth=1.8)
    regret.fill_between(query, cost, step="post", color=BLUE, alpha=0.12, linewidth=0)
    regret.set_ylim(0, max(float(cost.max()) * 1.15, 0.1))
    tidy(
        regret,
        "What the proxy's favourite of the probe costs",
        "",
        f"{points} below its best".lstrip(),
    )

    _optimism(optimism, query, as_array(gap["optimism"]), points)
    optimism.set_xlim(0, query.max() * 1.02 + 1)
    optimism.xaxis.set_major_locator(whole_ticks(9))
    return figure


def _optimism(axes: Axes, query: Floats, optimism: Floats, points: str) -> None:
    """Draw each batch as a stem, clipped to where most lie, and their running median."""
    reach = max(float(np.quantile(np.abs(optimism), 0.9)) * 1.4, 0.1)
    shown = np.clip(optimism, -reach, reach)
    for mask, colour, label in (
        (optimism >= 0, ORANGE, "too hopeful"),
        (optimism < 0, BLUE, "better than predicted"),
    ):
        if mask.any():
            axes.vlines(query[mask], 0, shown[mask], color=colour, alpha=0.45, linewidth=1.2)
            axes.scatter(query[mask], shown[mask], s=16, color=colour, linewidths=0, label=label)
    outside = np.abs(optimism) > reach
    for x, y, value in zip(query[outside], shown[outside], optimism[outside], strict=True):
        axes.annotate(
            f"{value:+.1f}",
            (x, y),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=8,
            color=FAINT,
            va="center",
        )
    middle = pd.Series(optimism).rolling(10, min_periods=3).median().to_numpy()
    axes.plot(
        query, np.clip(middle, -reach, reach), color=INK, linewidth=1.8, label="median of 10 steps"
    )
    axes.axhline(0, color=FAINT, linewidth=1.0, zorder=1)
    low, high = min(0.0, float(shown.min())), max(0.0, float(shown.max()))
    axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    tidy(
        axes,
        "Optimism: predicted minus queried of the selected batch",
        "queries the proxy knew",
        points,
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3, fontsize=9, frameon=False)
