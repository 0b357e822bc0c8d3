"""The best value so far against queries, over all values found.

``archive`` has one row per query in order; values are of the benchmark's target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.numbers import metric_label
from optiproxy_nas.report.ranges import top_range
from optiproxy_nas.report.style import (
    FAINT,
    GREEN,
    INK,
    ORANGE,
    as_array,
    colour_bar,
    empty_figure,
    new_figure,
    sequence_colours,
    tidy,
    whole_ticks,
)

METRIC = metric_label(VALIDATION_ACCURACY)  # of most benchmarks
MOST_BOUNDS = 4  # named in a legend


def best_so_far(
    archive: pd.DataFrame,
    optimum: float | None = None,
    metric: str = METRIC,
    infeasible: NDArray[np.bool_] | None = None,
    feasible_if: Sequence[str] = (),
) -> Figure:
    """Best value so far against queries, over the queried values themselves.

    Args:
        archive: see the module; columns order, step, value, best (NaN while there is none).
        optimum: the best value of the whole table, same units, where it is known.
        metric: label of the value axis.
        infeasible: the rows that cannot be the answer [n]; they are crosses.
        feasible_if: the bounds that the others keep, for the legend.
    """
    known = np.isfinite(as_array(archive["value"]))
    rows = archive[known]
    if rows.empty:
        return empty_figure("Best so far", "no queries yet")
    outside = np.zeros(len(rows), dtype=bool) if infeasible is None else infeasible[known]
    query, value = as_array(rows["order"]) + 1, as_array(rows["value"])
    best, step = as_array(rows["best"]), as_array(rows["step"])
    if optimum is not None and not math.isfinite(optimum):
        optimum = None
    # What cannot be the answer must not decide how low the range goes; it may be better.
    inside = ~outside if not outside.all() else outside
    low, _ = top_range(value[inside], step[inside], optimum)
    _, high = top_range(value, step, optimum)

    figure = new_figure(8.0, 4.8)
    axes = figure.subplots()
    norm, colours = Normalize(1, max(float(step.max()), 2)), sequence_colours()
    inks = colours(norm(step))
    inks[step == 0] = to_rgba(FAINT)
    below = value < low
    layers = (
        (~below & ~outside & (step == 0), value, "o", "initial random sample"),
        (~below & ~outside & (step > 0), value, "o", "queried in the search"),
        (~below & outside, value, "x", f"infeasible ({outside.sum()} in all)"),
        # Failed cells sit at chance accuracy: drawn on the border, or they would squash the rest.
        (below, np.full_like(value, low), "v", f"below the range ({below.sum()})"),
    )
    for mask, height, marker, text in layers:
        if mask.any():
            axes.scatter(
                query[mask],
                height[mask],
                c=inks[mask],
                s=20,
                alpha=0.6,
                linewidths=1.1 if marker == "x" else 0,
                marker=marker,
                clip_on=False,
                label=text,
            )
    axes.step(
        query,
        best,
        where="post",
        color=INK,
        linewidth=1.8,
        label=_curve_label(feasible_if, bool(outside.all())),
    )
    if optimum is not None:
        text = f"optimum of the table: {optimum:.2f}"
        axes.axhline(optimum, color=GREEN, linestyle="--", linewidth=1.2, zorder=1, label=text)
    if not outside.all():
        winner = int(np.where(outside, -np.inf, value).argmax())
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
        colour_bar(figure, axes, norm, "search step")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def _curve_label(feasible_if: Sequence[str], none: bool) -> str:
    if not feasible_if:
        return "best so far"
    start = "nothing feasible so far:" if none else "best feasible so far:"
    # More bounds than these would push the figure aside; the page lists all.
    shown, more = feasible_if[:MOST_BOUNDS], len(feasible_if) - MOST_BOUNDS
    return "\n".join([start, *shown, *([f"and {more} more"] if more > 0 else [])])
