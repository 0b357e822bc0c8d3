"""Figures of searches by several workers: regret against time and queries, and speed-up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from evidence.worker_measures import Measured
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.numbers import regret_label
from optiproxy_nas.report.curves import Line, draw_legend, draw_steps
from optiproxy_nas.report.statistics import standard_error
from optiproxy_nas.report.style import FAINT, INK, line_style, new_figure, tidy, whole_ticks

TIMES = 400  # points of an axis of time
EARLY = 20  # an axis of regrets begins with those after this part of a line
LEAST = 1e-3  # and ends with this part of them


class Panel(NamedTuple):
    """Searches of one task, by the label of their line."""

    title: str
    metric: str
    lines: Mapping[str, Measured]


def by_time_and_queries(panels: Sequence[Panel]) -> Figure:
    """Draw the mean regret of each task: against hours above, against queries below."""
    figure = new_figure(4.2 * len(panels), 7.2)
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06)
    grid = figure.subplots(2, len(panels), squeeze=False)
    for column, panel in enumerate(panels):
        views = (
            ("log", "hours (virtual clock)", _against_time),
            ("linear", "queries answered", _against_queries),
        )
        for axes, (scale, label, line_of) in zip(grid[:, column], views, strict=True):
            lines = [line_of(measured) for measured in panel.lines.values()]
            for order, (name, line) in enumerate(zip(panel.lines, lines, strict=True)):
                draw_steps(axes, line, name, line_style(order), order)
            axes.set_xscale(scale)
            if scale == "log":
                _label_logarithms(axes.xaxis)
            _scale_regret(axes, lines)
            title = panel.title if scale == "log" else ""
            tidy(axes, title, label, f"mean {regret_label(panel.metric)}")
        grid[1, column].xaxis.set_major_locator(whole_ticks(6))
    draw_legend(figure)
    return figure


def _against_time(measured: Measured) -> Line:
    """Return the mean regret from when all searches have an answer to when all are over."""
    answered = np.isfinite(measured.regret).argmax(axis=1)
    begin = float(measured.at[np.arange(len(measured.at)), answered].max())
    seconds = np.geomspace(begin, float(measured.seconds.max()), TIMES)
    return _mean_line(seconds / 3600, measured.at_seconds(seconds))


def _against_queries(measured: Measured) -> Line:
    """Return the mean regret after each query from which all searches have an answer."""
    begin = int(np.isfinite(measured.regret).argmax(axis=1).max())
    x = np.arange(begin + 1.0, measured.regret.shape[1] + 1)
    return _mean_line(x, measured.regret[:, begin:])


def _mean_line(x: Floats, regrets: Floats) -> Line:
    """Return the mean over seeds, in a band of one standard error to each side."""
    mean, error = regrets.mean(axis=0), standard_error(regrets)
    return Line(x, mean, (mean - error, mean + error))


def _scale_regret(axes: Axes, lines: Sequence[Line]) -> None:
    """Let the axis of regrets be logarithmic, and leave out the first answers, far above."""
    early = max(float(line.y[min(len(line.y) - 1, len(line.y) // EARLY)]) for line in lines)
    least = min(float(line.y[line.y > 0].min(initial=early)) for line in lines)
    axes.set_yscale("log")
    _label_logarithms(axes.yaxis)
    axes.set_ylim(max(0.7 * least, LEAST * early), 1.3 * early)
    axes.grid(color=FAINT, alpha=0.2, linewidth=0.6)


def _label_logarithms(axis: Axis) -> None:
    """Label 1, 2, 5, 10, ... of a logarithmic axis, as numbers; of a long one, powers of ten."""
    low, high = axis.get_view_interval()
    subs = (1.0, 2.0, 5.0) if high < 1000 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


class SpeedPanel(NamedTuple):
    """How many times sooner than serial each number of workers is, by the label of a line."""

    title: str
    lines: Mapping[str, Mapping[int, float]]


def speed_ups(panels: Sequence[SpeedPanel]) -> Figure:
    """Draw speed-ups against workers, and the straight line of as many times as workers."""
    figure = new_figure(3.6 * len(panels), 4.2)
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06)
    grid = figure.subplots(1, len(panels), squeeze=False)
    for axes, panel in zip(grid[0], panels, strict=True):
        most = 1
        for order, (label, speeds) in enumerate(panel.lines.items()):
            shown = {w: s for w, s in speeds.items() if math.isfinite(s) and s > 0}
            most = max([most, *speeds])
            drawn = line_style(order).drawn
            axes.plot(list(shown), list(shown.values()), marker="o", ms=3.5, label=label, **drawn)
        dots = (0, (1, 2))
        axes.plot([1, most], [1, most], color=INK, lw=0.9, ls=dots, label="as many as workers")
        ticks = [2**power for power in range(int(math.log2(most)) + 1)]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks([])
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator(ticks))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        axes.grid(color=FAINT, alpha=0.2, linewidth=0.6)
        tidy(axes, panel.title, "workers", "times faster" if panel is panels[0] else "")
    draw_legend(figure)
    return figure
