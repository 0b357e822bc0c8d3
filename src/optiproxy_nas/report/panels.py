"""Panels of one metric each: their places, scales and marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from optiproxy_nas.report.ranges import shared_range
from optiproxy_nas.report.style import BLUE, FAINT, ORANGE, Floats, new_figure

Mask = NDArray[np.bool_]

COLUMNS = 3  # panels side by side
DECADE = 10.0  # a logarithmic axis from this ratio on


def panels(count: int, side: float) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels of ``side`` inches, wrapped."""
    columns = min(count, COLUMNS)
    rows = math.ceil(count / columns)
    width = max(columns * (side + 0.7), 6.4)
    figure = new_figure(width, 0.9 + rows * side)
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in places[count:]:
        axes.set_visible(False)
    return figure, places[:count]


def scale(
    axes: Axes, values: Floats, limits: Sequence[float], both: bool = False
) -> tuple[float, float]:
    """Range of x (and y) with ``limits`` and without far outliers; logarithmic where it is wide."""
    values = np.concatenate([values[np.isfinite(values)], limits])
    log = bool(values.min() > 0 and values.max() / values.min() > DECADE)
    if log:
        values = np.log10(values)
    low, high = shared_range(values)
    # A bound may be far from all that was found, and that has to be seen.
    pad, ends = 0.03 * (high - low), values[len(values) - len(limits) :]
    low, high = min(low, float(ends.min()) - pad), max(high, float(ends.max()) + pad)
    if log:
        low, high = 10**low, 10**high
    axes.set_xlim(low, high)
    if both:
        axes.set_ylim(low, high)
    if log:
        axes.set_xscale("log")
        _log_ticks(axes.xaxis, low, high)
        if both:
            axes.set_yscale("log")
            _log_ticks(axes.yaxis, low, high)
    return low, high


def _log_ticks(axis: Axis, low: float, high: float) -> None:
    """Plain numbers at 1, 2 and 5 of each decade, or at each decade where there are many."""
    few = high / low < DECADE**3
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def scatter(axes: Axes, x: Floats, y: Floats, feasible: Mask, runs: Mask) -> None:
    """Feasible and infeasible cells, told apart by colour and by mark."""
    for mask, marker, colour, text in (
        (feasible, "o", BLUE, "feasible"),
        (~feasible & runs, "x", ORANGE, "infeasible"),
        (~runs, ">", FAINT, "cannot run"),
    ):
        if mask.any():
            axes.scatter(
                x[mask],
                y[mask],
                marker=marker,
                color=colour,
                s=22,
                alpha=0.75,
                linewidths=1.1 if marker == "x" else 0,
                clip_on=False,
                zorder=2,
                label=text,
            )


def legend(figure: Figure, places: Sequence[Axes]) -> None:
    """One legend for all panels, each mark once."""
    entries: dict[str, Any] = {}
    for axes in places:
        handles, texts = axes.get_legend_handles_labels()
        entries |= dict(zip(texts, handles, strict=True))
    if entries:
        figure.legend(
            list(entries.values()),
            list(entries),
            loc="outside lower center",
            ncols=3,
            fontsize=9,
            frameon=False,
        )
