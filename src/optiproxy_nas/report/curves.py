"""Curves of several searches: best value so far, its regret, and the share of seeds at the target.

A figure is a grid: a column a panel (one benchmark table), a row a view. The same views are drawn
as pictures here, and with their values on a page in :mod:`optiproxy_nas.report.curve_values`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.numbers import decimals, metric_label, regret_label
from optiproxy_nas.report import style
from optiproxy_nas.report.statistics import queries_to, run_length, standard_error

MAX_COLUMNS = 3


@dataclass(frozen=True)
class Curve:
    """Best value so far of the searches of one method, [seeds, queries].

    A value is NaN while a search had no answer. A search that never had one is not drawn; a mean
    begins where all others have one, so that it is of the same searches throughout.
    """

    label: str
    values: Floats

    @property
    def answered(self) -> tuple[int, Floats]:
        """First query, from 0, with a value in all that ever have one; their values from there."""
        values = self.values[~np.isnan(self.values[:, -1])]
        start = int(np.isnan(values).sum(axis=1).max(initial=0))
        return start, values[:, start:]


@dataclass(frozen=True)
class CurvePanel:
    """Curves that were measured on one table.

    Attributes:
        title: of the panel.
        curves: one a method.
        target: the optimum of the table, or the best value known, as ``target_name`` says.
        unit: of the axis of queries.
        metric: name of the metric that was searched for.
        caution: the benchmark's; values of a surrogate are labelled as such.
        sign: -1 where lower values are better, else 1.
    """

    title: str
    curves: tuple[Curve, ...]
    target: float
    target_name: str = "optimum"
    unit: str = "queries"
    metric: str = VALIDATION_ACCURACY
    caution: str = ""
    sign: float = 1.0

    @property
    def budget(self) -> int:
        """The longest curve, in the unit."""
        return max(len(curve.values.T) for curve in self.curves)

    @property
    def digits(self) -> int:
        """Decimals of means: one more than a single value needs."""
        return decimals(self.metric, [self.target]) + 1

    @property
    def least_regret(self) -> float:
        """Where the logarithmic axis of regrets ends: the last decimal."""
        return 10.0**-self.digits


class Line(NamedTuple):
    """Line of a curve: steps against queries, in a band where there is one."""

    x: Floats
    y: Floats
    band: tuple[Floats, Floats] | None = None


@dataclass(frozen=True)
class View:
    """Quantity that is drawn of the curves of a panel.

    Attributes:
        label: of the axis; ``{target}`` stands for the panel's ``target_name``, ``{metric}`` and
            ``{regret}`` for its metric and differences of that, with their units.
        line: of a curve in its panel.
        limits: of the axis.
        log: whether the axis is logarithmic.
        target: whether the target is drawn.
    """

    label: str
    line: Callable[[Curve, CurvePanel], Line]
    limits: Callable[[CurvePanel], tuple[float, float]]
    log: bool = False
    target: bool = False


class Entry(NamedTuple):
    """Entry of a method in the legend: its name with the number of seeds, and its line."""

    name: str
    look: style.LineStyle


def mean_line(curve: Curve, panel: CurvePanel) -> Line:
    """Return the mean over seeds, in a band of one standard error to each side."""
    x, mean, error = _mean(curve)
    return Line(x, mean, (mean - error, mean + error))


def regret_line(curve: Curve, panel: CurvePanel) -> Line:
    """Return the distance of ``mean_line`` to the target, at least ``least_regret``."""
    x, mean, error = _mean(curve)
    regret = np.maximum(panel.sign * (panel.target - mean), panel.least_regret)
    return Line(x, regret, (np.maximum(regret - error, panel.least_regret), regret + error))


def _mean(curve: Curve) -> tuple[Floats, Floats, Floats]:
    """Return queries from the first that counts, mean and standard error; empty if none counts."""
    start, values = curve.answered
    if not len(values):
        return np.empty(0), np.empty(0), np.empty(0)
    x = np.arange(start + 1.0, start + values.shape[1] + 1)
    return x, values.mean(axis=0), standard_error(values)


def reached_line(curve: Curve, panel: CurvePanel) -> Line:
    """Return the percent of seeds at the target by each query (Hoos & Stützle 1998)."""
    x, share = run_length(queries_to(curve.values, panel.target, panel.sign), curve.values.shape[1])
    return Line(x, 100 * share)


def value_range(panel: CurvePanel) -> tuple[float, float]:
    """Return limits of a value axis: from the worst mean after a tenth of the queries (at most 10).

    The first cells of a random sample are often at chance accuracy and would squash the rest.
    """
    means = [mean for curve in panel.curves if len(mean := _mean(curve)[1])]
    if not means:
        return (0.0, 1.0) if math.isnan(panel.target) else (panel.target - 1, panel.target + 0.1)
    sign, early = panel.sign, [min(math.ceil(len(mean) / 10), 10, len(mean)) - 1 for mean in means]
    worst = min(sign * float(mean[row]) for mean, row in zip(means, early, strict=True))
    best = sign * panel.target
    span = max(best - worst, 5e-4 * abs(best))
    ends = sign * (worst - 0.1 * span), sign * (best + 0.08 * span)
    return min(ends), max(ends)


def regret_range(panel: CurvePanel) -> tuple[float, float]:
    """Return limits of a regret axis: from the last decimal to above the worst."""
    least = panel.least_regret
    lines = [regret_line(curve, panel).y for curve in panel.curves]
    worst = max(float(line.max(initial=least)) for line in lines)
    return least, 1.5 * max(worst, 10 * least)


BEST = View("best {metric}", mean_line, value_range, target=True)
REGRET = View("{regret}", regret_line, regret_range, log=True)
REACHED = View("seeds at the {target} (%)", reached_line, lambda _: (-2.0, 102.0))


def best_so_far(panels: Sequence[CurvePanel], regret: bool = False) -> Figure:
    """Draw the mean best value so far with its standard error, and the regret below if asked."""
    return draw(panels, [BEST, REGRET] if regret else [BEST])


def run_lengths(panels: Sequence[CurvePanel]) -> Figure:
    """Draw the share of seeds that had found the target by each query."""
    return draw(panels, [REACHED])


def draw(panels: Sequence[CurvePanel], views: Sequence[View]) -> Figure:
    """Draw the views of each panel below each other, panels side by side."""
    if not panels:
        return style.empty_figure("Best so far", "no searches")
    columns = min(len(panels), MAX_COLUMNS)
    rows = math.ceil(len(panels) / columns) * len(views)
    figure = style.new_figure(8.0 if columns == 1 else 4.5 * columns, 0.8 + 3.5 * rows)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.08)
    grid = figure.subplots(rows, columns, squeeze=False)
    legend = entries(panels)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        for below, view in enumerate(views):
            axes = grid[row * len(views) + below, column]
            _draw_view(axes, panel, view, legend)
            label = axis_label(view, panels, index, columns)
            last = below == len(views) - 1
            style.tidy(axes, "" if below else panel.title, panel.unit if last else "", label)
            axes.tick_params(labelbottom=last)
    for axes in grid.flat:
        axes.set_visible(axes.has_data())
    draw_legend(figure, {panel.target_name for panel in panels})
    return figure


def entries(panels: Sequence[CurvePanel]) -> dict[str, Entry]:
    """Return label -> entry in the legend, the same for all panels, in their order."""
    seeds: dict[str, dict[int, None]] = {}
    for panel in panels:
        for curve in panel.curves:
            seeds.setdefault(curve.label, {})[len(curve.values)] = None
    return {
        label: Entry(f"{label} ({' / '.join(map(str, counts))})", style.line_style(index))
        for index, (label, counts) in enumerate(seeds.items())
    }


def axis_label(view: View, panels: Sequence[CurvePanel], index: int, columns: int) -> str:
    """Return the label of a value axis; empty where the panel to the left has the same."""
    label, left = (_label(view, panels[i]) for i in (index, index - 1))
    return "" if index % columns and label == left else label


def _label(view: View, panel: CurvePanel) -> str:
    metric, regret = metric_label(panel.metric, panel.caution), regret_label(panel.metric)
    return view.label.format(target=panel.target_name, metric=metric, regret=regret)


def draw_steps(axes: Axes, line: Line, name: str, look: style.LineStyle, order: int) -> None:
    """Draw a line in its band, dashes above whole lines, so that equal ones all show."""
    if line.band is not None:
        band: dict[str, Any] = {"color": look.colour, "alpha": 0.15, "linewidth": 0}
        axes.fill_between(line.x, *line.band, step="post", **band)
    level = 20 + style.DASHES.index(look.dashes) - 0.01 * order  # of one style, the first on top
    axes.step(line.x, line.y, where="post", label=name, zorder=level, **look.drawn)


def _draw_view(axes: Axes, panel: CurvePanel, view: View, legend: dict[str, Entry]) -> None:
    for order, curve in enumerate(panel.curves):
        name, look = legend[curve.label]
        line = view.line(curve, panel)
        draw_steps(axes, line, name, look, order)
    if view.target and not math.isnan(panel.target):
        dots = (0, (1, 2))
        axes.axhline(
            panel.target, color=style.INK, linewidth=0.9, linestyle=dots, label=panel.target_name
        )
    if view.log:
        axes.set_yscale("log")
    axes.set_ylim(*view.limits(panel))
    axes.set_xlim(0, panel.budget + 1)
    axes.xaxis.set_major_locator(style.whole_ticks(6))
    axes.grid(color=style.FAINT, alpha=0.2, linewidth=0.6)


def draw_legend(figure: Figure, targets: Collection[str] = ()) -> None:
    """Draw one legend below all panels, as a method may be missing from the first; targets last."""
    longest = max(map(len, style.legend_handles(figure.axes)), default=0)
    columns = max(1, int(13 * figure.get_figwidth()) // (longest + 8))
    style.legend_below(figure, targets, ncols=columns, labelcolor=style.INK, handlelength=3.2)
