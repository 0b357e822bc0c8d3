"""Figures of curves: a panel a bound (Table 3), and values against training epochs (Fig. 4)."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from evidence.epochs import EpochCurves
from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.numbers import metric_label, regret_label
from optiproxy_nas.report.curves import Curve, Line, draw_legend, draw_steps
from optiproxy_nas.report.statistics import standard_error
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


def feasible_mean(curves: Floats) -> tuple[Floats, Floats]:
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
        _draw_bound(grid[divmod(index, COLUMNS)], panel)
        row, column = divmod(index, COLUMNS)
        lowest = index + COLUMNS >= len(panels)
        value = (
            textwrap.fill(f"best feasible {metric_label(panel.metric)}", 24) if column == 0 else ""
        )
        tidy(grid[row, column], panel.title, "queries" if lowest else "", value)
    for axes in grid.flat:
        axes.set_visible(axes.has_data())
    draw_legend(figure)
    return figure


def _draw_bound(axes: Axes, panel: BoundPanel) -> None:
    means = []
    for order, curve in enumerate(panel.curves):
        mean, error = feasible_mean(curve.values)
        x = np.arange(1.0, len(mean) + 1)
        name = f"{curve.label} ({len(curve.values)})"
        line = Line(x, mean, (mean - error, mean + error))
        draw_steps(axes, line, name, line_style(order), order)
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


def _limits(panel: BoundPanel, means: list[Floats]) -> tuple[float, float]:
    """From the lowest mean after a quarter of the queries, or the paper's, to the optimum.

    What lies before is far below under a tight bound, and would squash the rest.
    """
    quarters = [float(mean[len(mean) // 4]) for mean in means]
    low = [value for value in quarters if math.isfinite(value)]
    low += [point.value for point in panel.paper]
    high = panel.optimum if math.isfinite(panel.optimum) else max([*low, 1.0])
    span = max(high - min([*low, high]), 0.05)
    return high - 1.1 * span, high + 0.1 * span


FLOOR = 1e-3  # of regret: what the tables print as the last decimal
TICKS = (200, 500, 1000, 2000, 5000, 10000, 20000)


class PaperEpochs(NamedTuple):
    """Epochs that the paper needs to the panel's level, by a row of its own."""

    series: int  # place of the row of ours that it is like
    label: str
    epochs: float


class EpochPanel(NamedTuple):
    """Searches on one dataset, by row, and the mean that the paper's figures are about."""

    title: str
    curves: Mapping[str, EpochCurves]
    level: float
    paper: tuple[PaperEpochs, ...] = ()
    metric: str = VALIDATION_ACCURACY


def against_epochs(panels: Sequence[EpochPanel]) -> Figure:
    """Values above, distances to the optimum below, both with the standard error."""
    panels = [panel for panel in panels if panel.curves]
    if not panels:
        return empty_figure("Best fully trained value", "no searches")
    figure = new_figure(4.6 * len(panels), 7.4)
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.06)
    grid = figure.subplots(2, len(panels), squeeze=False, sharex="col")
    for column, panel in enumerate(panels):
        value = f"best fully trained\n{metric_label(panel.metric)}" if column == 0 else ""
        regret = regret_label(panel.metric) if column == 0 else ""
        _draw_epochs(grid[0, column], panel, regret=False)
        _draw_epochs(grid[1, column], panel, regret=True)
        tidy(grid[0, column], panel.title, "", value)
        tidy(grid[1, column], "", "total training epochs", regret)
    draw_legend(figure)
    return figure


def _draw_epochs(axes: Axes, panel: EpochPanel, regret: bool) -> None:
    optimum = next(iter(panel.curves.values())).optimum
    for order, (row, curves) in enumerate(panel.curves.items()):
        mean, error = curves.mean, standard_error(curves.curves)
        x = curves.epochs
        if regret:
            mean = np.maximum(optimum - mean, FLOOR)
            error = np.minimum(error, mean - FLOOR)  # the axis is logarithmic
        name = f"{row} ({len(curves.curves)})"
        line = Line(x, mean, (mean - error, mean + error))
        draw_steps(axes, line, name, line_style(order), order)
    level = optimum - panel.level if regret else panel.level
    text = "mean that the paper's epochs are for"
    if level > 0:
        axes.axhline(level, color=FAINT, linewidth=1.2, linestyle="--", label=text)
    for point in panel.paper:
        axes.scatter(
            [point.epochs],
            [max(level, FLOOR)],
            marker="D",
            s=42,
            facecolors="white",
            edgecolors=line_style(point.series).colour,
            linewidths=1.6,
            zorder=30,
            clip_on=False,
            label=f"quoted: {point.label}",
        )
    if not regret:
        axes.axhline(optimum, color=INK, linewidth=0.9, linestyle=(0, (1, 2)), label="optimum")
    _scale(axes, panel, optimum, regret)


def _scale(axes: Axes, panel: EpochPanel, optimum: float, regret: bool) -> None:
    """Epochs on a logarithmic axis: what is cheap and what is not are two magnitudes apart."""
    axes.set_xscale("log")
    longest = max(curves.budget for curves in panel.curves.values())
    longest = max([longest, *(point.epochs for point in panel.paper)])
    axes.set_xlim(200, 1.05 * longest)
    axes.set_xticks([tick for tick in TICKS if tick <= 1.05 * longest])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", labelrotation=35)
    begin = [
        float(known[min(len(known) - 1, len(known) // 20)])
        for curves in panel.curves.values()
        if len(known := curves.mean[np.isfinite(curves.mean)])
    ]
    low = min([*begin, panel.level])
    if regret:
        axes.set_yscale("log")
        axes.set_ylim(FLOOR, 1.5 * max(optimum - low, 0.05))
    else:
        span = max(optimum - low, 0.05)
        axes.set_ylim(low - 0.05 * span, optimum + 0.08 * span)
    axes.grid(color=FAINT, alpha=0.2, linewidth=0.6)
