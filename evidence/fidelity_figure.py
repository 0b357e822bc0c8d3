"""Fig. 4: best fully trained value against total training epochs, and its regret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from evidence.drawing import draw_line, legend_below
from evidence.epochs import EpochCurves
from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.numbers import metric_label, regret_label
from optiproxy_nas.report.statistics import standard_error
from optiproxy_nas.report.style import FAINT, INK, empty_figure, line_style, new_figure, tidy

Array = NDArray[np.float64]

FLOOR = 1e-3  # of regret: what the tables print as the last decimal
TICKS = (200, 500, 1000, 2000, 5000, 10000, 20000)


class PaperPoint(NamedTuple):
    """Epochs that the paper needs to the panel's level, by a row of its own."""

    series: int  # place of the row of ours that it is like
    label: str
    epochs: float


class EpochPanel(NamedTuple):
    """Searches on one dataset, by row, and the mean that the paper's figures are about."""

    title: str
    curves: Mapping[str, EpochCurves]
    level: float
    paper: tuple[PaperPoint, ...] = ()
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
        _draw(grid[0, column], panel, regret=False)
        _draw(grid[1, column], panel, regret=True)
        tidy(grid[0, column], panel.title, "", value)
        tidy(grid[1, column], "", "total training epochs", regret)
    legend_below(figure)
    return figure


def _draw(axes: Axes, panel: EpochPanel, regret: bool) -> None:
    optimum = next(iter(panel.curves.values())).optimum
    for order, (row, curves) in enumerate(panel.curves.items()):
        mean, error = curves.mean, standard_error(curves.curves)
        x = curves.epochs
        if regret:
            mean = np.maximum(optimum - mean, FLOOR)
            error = np.minimum(error, mean - FLOOR)  # the axis is logarithmic
        name = f"{row} ({len(curves.curves)})"
        draw_line(axes, x, mean, error, name, line_style(order), order)
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
