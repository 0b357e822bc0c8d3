"""Best feasible value against queries: a small panel a bound, the paper's figures as points."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from evidence.drawing import draw_line, legend_below
from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.numbers import metric_label
from optiproxy_nas.report.curves import Curve
from optiproxy_nas.report.style import (
    FAINT,
    INK,
    RED,
    empty_figure,
    line_style,
    new_figure,
    tidy,
    whole_ticks,
)

Array = NDArray[np.float64]

COLUMNS = 3
SHOWN_FROM = 0.5  # share of the seeds that must have something feasible


class PaperPoint(NamedTuple):
    """A quoted mean."""

    queries: int
    value: float


class BoundPanel(NamedTuple):
    """Searches under one bound; values of curves are NaN while nothing feasible is known."""

    title: str
    curves: tuple[Curve, ...]
    optimum: float
    paper: tuple[PaperPoint, ...] = ()
    metric: str = VALIDATION_ACCURACY


def feasible_mean(curves: Array) -> tuple[Array, Array]:
    """Mean over the seeds that have something, and its standard error: [queries] each.

    NaN while fewer than ``SHOWN_FROM`` of the seeds have: a mean of a few lucky ones misleads.
    """
    known = np.isfinite(curves)
    count = known.sum(axis=0)
    mean, error = np.full(curves.shape[1], np.nan), np.full(curves.shape[1], np.nan)
    shown = count >= max(1, SHOWN_FROM * len(curves))
    mean[shown] = np.nanmean(curves[:, shown], axis=0)
    spread = np.nansum((curves[:, shown] - mean[shown]) ** 2, axis=0)
    number = count[shown]
    error[shown] = np.sqrt(spread / np.maximum(number - 1, 1) / number)
    return mean, error


def by_bound(panels: Sequence[BoundPanel]) -> Figure:
    """The panels, ``COLUMNS`` a row."""
    if not panels:
        return empty_figure("Best feasible so far", "no searches")
    rows = math.ceil(len(panels) / COLUMNS)
    figure = new_figure(4.3 * COLUMNS, 0.9 + 2.7 * rows)
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06)
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for index, panel in enumerate(panels):
        _draw(grid[divmod(index, COLUMNS)], panel)
        row, column = divmod(index, COLUMNS)
        lowest = index + COLUMNS >= len(panels)
        value = (
            textwrap.fill(f"best feasible {metric_label(panel.metric)}", 24) if column == 0 else ""
        )
        tidy(grid[row, column], panel.title, "queries" if lowest else "", value)
    for axes in grid.flat:
        axes.set_visible(axes.has_data())
    legend_below(figure)
    return figure


def _draw(axes: Axes, panel: BoundPanel) -> None:
    means = []
    for order, curve in enumerate(panel.curves):
        mean, error = feasible_mean(curve.values)
        x = np.arange(1.0, len(mean) + 1)
        name = f"{curve.label} ({len(curve.values)})"
        draw_line(axes, x, mean, error, name, line_style(order), order)
        means.append(mean)
    if math.isfinite(panel.optimum):
        axes.axhline(
            panel.optimum, color=INK, linewidth=0.9, linestyle=(0, (1, 2)), label="optimum"
        )
    if panel.paper:
        axes.scatter(
            [point.queries for point in panel.paper],
            [point.value for point in panel.paper],
            marker="D",
            s=34,
            facecolors="white",
            edgecolors=RED,
            linewidths=1.4,
            zorder=30,
            clip_on=False,
            label="the paper's mean (quoted)",
        )
    longest = max(len(mean) for mean in means)
    axes.set_ylim(*_limits(panel, means))
    axes.set_xlim(0, longest + 1)
    axes.xaxis.set_major_locator(whole_ticks(5))
    axes.grid(color=FAINT, alpha=0.2, linewidth=0.6)


def _limits(panel: BoundPanel, means: list[Array]) -> tuple[float, float]:
    """From somewhat below the lowest mean at the end, or the paper's, to the optimum.

    What lies before is far below under a tight bound, and would squash the rest.
    """
    shown = [mean[np.isfinite(mean)] for mean in means]
    low = [float(values[-1]) for values in shown if len(values)]
    low += [point.value for point in panel.paper]
    high = panel.optimum if math.isfinite(panel.optimum) else max([*low, 1.0])
    span = max(high - min([*low, high]), 0.05)
    return high - 1.4 * span, high + 0.1 * span
