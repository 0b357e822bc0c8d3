"""The gap between proxy and reality over the steps, as a figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.numbers import difference_unit
from optiproxy_nas.report.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    as_array,
    empty_figure,
    new_figure,
    tidy,
    whole_ticks,
)

TITLE = "Proxy against reality, by step"


def gap_figure(
    gap: pd.DataFrame, window: int, top: float, probe: int, metric: str = VALIDATION_ACCURACY
) -> Figure:
    """Rank correlation, what the proxy's favourite costs, and optimism, over the queries.

    Args:
        gap: of :func:`optiproxy_nas.report.diagnose.gap.gap_table`.
        window: queries that "next" means.
        top: share of the probe that "best" means.
        probe: cells of the probe.
        metric: what the values are of.
    """
    if gap.empty:
        return empty_figure(TITLE, "no search steps")
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


def _optimism(axes: Axes, query: np.ndarray, optimism: np.ndarray, points: str) -> None:
    """Each batch as a stem, clipped to where most lie, and their running median."""
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
