"""Figures with one panel a bounded metric: its predictions, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from optiproxy_nas.core.arrays import Floats, Mask, as_array
from optiproxy_nas.core.numbers import metric_label, metric_name, significant, unit
from optiproxy_nas.objectives.constraints import metrics_of
from optiproxy_nas.objectives.pareto import pareto_front
from optiproxy_nas.report import ranges, style
from optiproxy_nas.report.run_data import RunData, present

COLUMNS = 3  # panels side by side
DECADE = 10.0  # a logarithmic axis from this ratio on


def metric_predictions(run: RunData) -> Figure:
    """Draw each bounded metric as predicted before the query against what it turned out to be.

    Rank correlation and mean relative error are over all queries that had a prediction and can
    run, and so mix proxies of different steps. Cells that cannot run, and values far outside, are
    on the border.
    """
    title, metrics = "Predicted against real metrics", metrics_of(run.bounds)
    if not metrics or run.archive.empty:
        return style.empty_figure(title, "no constrained metric was queried")
    figure, panels = _panels(len(metrics), 3.6)
    for axes, metric in zip(panels, metrics, strict=True):
        _predictions(axes, run, metric)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=style.INK)
    style.legend_below(figure)
    return figure


def _predictions(axes: Axes, run: RunData, metric: str) -> None:
    archive, limits = run.archive, _limits(run, metric)
    real, predicted = as_array(archive[metric]), as_array(archive[f"predicted_{metric}"])
    both = ~np.isnan(predicted) & ~np.isnan(real)
    style.tidy(axes, "", f"real {metric_label(metric)}", f"predicted {metric_label(metric)}")
    if not both.any():
        style.note(axes, "no query had a prediction before it")
        return
    real, predicted = real[both], predicted[both]
    low, high = _scale(axes, np.concatenate([real, predicted]), limits, both_axes=True)
    style.diagonal(axes, low, high)
    for limit in limits:
        axes.axvline(limit, color=style.GREEN, linewidth=1.2, zorder=1, label="bound")
        axes.axhline(limit, color=style.GREEN, linewidth=1.2, zorder=1)
    runs, feasible = np.isfinite(real), archive["violation"].to_numpy()[both] == 0
    _scatter(axes, np.clip(real, low, high), np.clip(predicted, low, high), feasible, runs)

    finite = runs & np.isfinite(predicted)
    text = style.correlation_text(predicted[finite], real[finite])
    divisible = finite & (real != 0)
    errors = np.abs(predicted - real)[divisible] / np.abs(real[divisible])
    if len(errors):
        text += f"\nmean relative error {significant(100 * errors.mean())} %"
    outside = runs & ((real < low) | (real > high) | (predicted < low) | (predicted > high))
    if outside.any():
        text += f"\n{outside.sum()} outside, at the border"
    axes.set_title(text, loc="left", fontsize=9)


def pareto_fronts(run: RunData) -> Figure:
    """Draw the value against each bounded metric, with the front of all queried cells."""
    title, metrics = "Pareto front of the archive", metrics_of(run.bounds)
    if not metrics or run.archive.empty:
        return style.empty_figure(title, "no constrained metric was queried")
    figure, panels = _panels(len(metrics), 3.7)
    for axes, metric in zip(panels, metrics, strict=True):
        _front(axes, run, metric)
        style.tidy(axes, "", metric_label(metric), run.value_label)
    volume = run.summary.get("hypervolume")
    if present(volume):
        percent = unit(run.target) == "%"
        zero = "0 % accuracy" if percent else f"0 {unit(run.target)} {metric_name(run.target)}"
        title += f"\nhypervolume {significant(float(volume), 4)} (within all bounds, above "
        title += f"{' '.join(zero.split())})"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=style.INK)
    style.legend_below(figure)
    return figure


def _front(axes: Axes, run: RunData, metric: str) -> None:
    archive, limits = run.archive, _limits(run, metric)
    real, value = as_array(archive[metric]), as_array(archive["value"])
    violation = as_array(archive["violation"])
    more = all(b.operator.startswith(">") for b in run.bounds if b.metric == metric)
    front = pareto_front(np.stack([value, real], 1), (run.sign > 0, more))
    start, end = _scale(axes, real, limits)
    sign = run.sign
    low, high = ranges.top_range(value, as_array(archive["step"]), None, sign)
    if front.any():  # it counts, however bad its values begin, but for cells that learnt nothing
        worst = sign * float(np.quantile(sign * value[front], 0.25))
        low, high = (min(low, worst), high) if sign > 0 else (low, max(high, worst))
    worst_shown, beyond, pointer = ranges.worse_end((low, high), sign)
    axes.set_ylim(low, high)
    for limit in limits:
        axes.axvline(limit, color=style.GREEN, linewidth=1.2, zorder=1, label="bound")
    runs, shown, feasible = np.isfinite(real), sign * value >= sign * worst_shown, violation == 0
    x = np.clip(real, start, end)
    _scatter(axes, x[shown], value[shown], feasible[shown], runs[shown])
    look = {"marker": pointer, "color": style.FAINT, "s": 18, "alpha": 0.6}
    style.marks(axes, ~shown, x, np.full_like(x, worst_shown), label=f"{beyond} the range", **look)
    order = np.lexsort((sign * value[front], real[front]))
    axes.step(
        real[front][order],
        value[front][order],
        where="pre" if more else "post",
        color=style.INK,
        linewidth=1.6,
        zorder=3,
        label="Pareto front",
    )
    best = int(np.lexsort((-sign * value, violation))[0])
    chosen = best if run.confirmed is None else run.confirmed[0]
    label = "the answer" if feasible.any() else "least violating"
    height = value[chosen] if shown[chosen] else worst_shown
    style.star(axes, x[chosen], height, label=label, clip_on=False)


def _limits(run: RunData, metric: str) -> list[float]:
    return [bound.bound for bound in run.bounds if bound.metric == metric]


def _panels(count: int, side: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` panels of ``side`` inches, wrapped."""
    columns = min(count, COLUMNS)
    rows = math.ceil(count / columns)
    width = max(columns * (side + 0.7), 6.4)
    figure = style.new_figure(width, 0.9 + rows * side)
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in places[count:]:
        axes.set_visible(False)
    return figure, places[:count]


def _scale(
    axes: Axes, values: Floats, limits: Sequence[float], both_axes: bool = False
) -> tuple[float, float]:
    """Set x (and y) to a range with ``limits`` and without far outliers, and return it.

    It is logarithmic where it is wide.
    """
    values = np.concatenate([values[np.isfinite(values)], limits])
    log = bool(values.min() > 0 and values.max() / values.min() > DECADE)
    if log:
        values = np.log10(values)
    low, high = ranges.shared_range(values)
    # A bound may be far from all that was found, and that has to be seen.
    pad, ends = 0.03 * (high - low), values[len(values) - len(limits) :]
    low, high = min(low, float(ends.min()) - pad), max(high, float(ends.max()) + pad)
    if log:
        low, high = 10**low, 10**high
    axes.set_xlim(low, high)
    if both_axes:
        axes.set_ylim(low, high)
    if log:
        axes.set_xscale("log")
        _log_ticks(axes.xaxis, low, high)
        if both_axes:
            axes.set_yscale("log")
            _log_ticks(axes.yaxis, low, high)
    return low, high


def _log_ticks(axis: Axis, low: float, high: float) -> None:
    """Set plain numbers at 1, 2 and 5 of each decade, or at each decade where there are many."""
    few = high / low < DECADE**3
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _scatter(axes: Axes, x: Floats, y: Floats, feasible: Mask, runs: Mask) -> None:
    """Draw feasible and infeasible cells in different colours and marks."""
    for mask, marker, colour, text in (
        (feasible, "o", style.BLUE, "feasible"),
        (~feasible & runs, "x", style.ORANGE, "infeasible"),
        (~runs, ">", style.FAINT, "cannot run"),
    ):
        look = {"s": 22, "alpha": 0.75, "linewidths": 1.1 if marker == "x" else 0, "zorder": 2}
        style.marks(axes, mask, x, y, marker=marker, color=colour, label=text, **look)
