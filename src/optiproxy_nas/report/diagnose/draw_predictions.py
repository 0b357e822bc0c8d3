"""Predicted against queried, step by step (Figure A2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.numbers import metric_label
from optiproxy_nas.report.diagnose.gap import Judged
from optiproxy_nas.report.style import (
    FAINT,
    INK,
    as_array,
    empty_figure,
    new_figure,
    sequence_colours,
)

TITLE = "Predicted against queried, by step"


def spread_over(steps: list[int], count: int) -> list[int]:
    """At most ``count`` of the steps, evenly spread, the first and the last among them."""
    picks = np.unique(np.linspace(0, len(steps) - 1, min(count, len(steps))).round().astype(int))
    return [steps[pick] for pick in picks]


def predictions_by_step(
    judged: Judged,
    gap: pd.DataFrame,
    window: int,
    panels: int,
    metric: str = metric_label(VALIDATION_ACCURACY),
) -> Figure:
    """Small multiples: each is one step's proxy on what it was fitted on and on what came next.

    Args:
        judged: of :func:`optiproxy_nas.report.diagnose.gap.judge`.
        gap: of :func:`optiproxy_nas.report.diagnose.gap.gap_table`, for the correlations.
        window: next queries shown.
        panels: steps shown.
        metric: label of both axes.
    """
    table = judged.archive
    chosen = spread_over(sorted(table["step"].unique()), panels)
    if not chosen:
        return empty_figure(TITLE, "no search steps")
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
    figure.suptitle(TITLE, fontsize=11, color=INK, x=0.01, ha="left")
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
    said = [
        f"{name} {row[column]:.2f}"
        for name, column in (("known", "known_kendall_tau"), ("next", "next_kendall_tau"))
        if math.isfinite(row[column])
    ]
    return f"step {step}" + (f"   τ {', '.join(said)}" if said else "")
