"""Figures of a constrained search with one panel a bounded metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.numbers import metric_label, metric_name, unit
from optiproxy_nas.objectives.constraints import Constraint, metrics_of, parse_constraint
from optiproxy_nas.objectives.pareto import pareto_front
from optiproxy_nas.report import captions
from optiproxy_nas.report.panels import Mask, legend, panels, scale, scatter
from optiproxy_nas.report.ranges import top_range
from optiproxy_nas.report.style import (
    FAINT,
    GREEN,
    INK,
    ORANGE,
    as_array,
    empty_figure,
    note,
    tidy,
)
from optiproxy_nas.report.summary import known


def bounds_of(summary: Mapping[str, Any]) -> tuple[Constraint, ...]:
    """The constraints of a run's summary, with their bounds unrounded."""
    return tuple(
        parse_constraint(str(fact["constraint"]))._replace(bound=float(fact["bound"]))
        for fact in summary.get("constraints") or ()
    )


def metric_predictions(archive: pd.DataFrame, bounds: Sequence[Constraint]) -> Figure:
    """Each bounded metric as predicted before the query against what it turned out to be.

    Rank correlation and mean relative error are over all queries that had a prediction and can
    run, and so mix proxies of different steps. Cells that cannot run, and values far outside, are
    on the border.
    """
    title, metrics = captions.METRICS, metrics_of(bounds)
    if not metrics or archive.empty:
        return empty_figure(title, "no constrained metric was queried")
    figure, places = panels(len(metrics), 3.6)
    feasible = archive["violation"].to_numpy() == 0
    for axes, metric in zip(places, metrics, strict=True):
        _predictions(axes, archive, metric, [b for b in bounds if b.metric == metric], feasible)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK)
    legend(figure, places)
    return figure


def _predictions(
    axes: Axes,
    archive: pd.DataFrame,
    metric: str,
    bounds: Sequence[Constraint],
    feasible: Mask,
) -> None:
    real, predicted = as_array(archive[metric]), as_array(archive[f"predicted_{metric}"])
    asked = ~np.isnan(predicted) & ~np.isnan(real)
    tidy(axes, "", f"real {metric_label(metric)}", f"predicted {metric_label(metric)}")
    if not asked.any():
        note(axes, "no query had a prediction before it")
        return
    real, predicted, feasible = real[asked], predicted[asked], feasible[asked]
    limits = [bound.bound for bound in bounds]
    low, high = scale(axes, np.concatenate([real, predicted]), limits, both=True)
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1.0, linestyle="--", zorder=1)
    for bound in bounds:
        axes.axvline(bound.bound, color=GREEN, linewidth=1.2, zorder=1, label="bound")
        axes.axhline(bound.bound, color=GREEN, linewidth=1.2, zorder=1)
    runs = np.isfinite(real)
    scatter(axes, np.clip(real, low, high), np.clip(predicted, low, high), feasible, runs)
    axes.set_aspect("equal", adjustable="box")

    numbers = runs & np.isfinite(predicted)
    text = f"n = {int(numbers.sum())}"
    if numbers.sum() > 1 and np.ptp(real[numbers]) > 0 and np.ptp(predicted[numbers]) > 0:
        rho = float(spearmanr(predicted[numbers], real[numbers]).statistic)
        text = f"Spearman ρ {rho:.2f}, {text}"
    errors = np.abs(predicted - real)[numbers & (real != 0)] / np.abs(real[numbers & (real != 0)])
    if len(errors):
        text += f"\nmean relative error {100 * errors.mean():.3g} %"
    outside = int(
        (runs & ((real < low) | (real > high) | (predicted < low) | (predicted > high))).sum()
    )
    if outside:
        text += f"\n{outside} outside, at the border"
    axes.set_title(text, loc="left", fontsize=9)


def pareto_fronts(
    archive: pd.DataFrame,
    bounds: Sequence[Constraint],
    volume: float | None = None,
    target: str = VALIDATION_ACCURACY,
    name: str = "",
) -> Figure:
    """The value against each bounded metric, and the front of all queried cells in that plane.

    Args:
        archive: see ``constrained``.
        bounds: the constraints.
        volume: the hypervolume over all metrics at once (``pareto.reference_of``).
        target: the metric that was maximised.
        name: the label of its axis, where it is not that of ``target``.
    """
    metrics = metrics_of(bounds)
    if not metrics or archive.empty:
        return empty_figure(captions.FRONT, "no constrained metric was queried")
    figure, places = panels(len(metrics), 3.7)
    feasible = archive["violation"].to_numpy() == 0
    chosen = int(np.lexsort((-as_array(archive["value"]), as_array(archive["violation"])))[0])
    for axes, metric in zip(places, metrics, strict=True):
        own = [bound for bound in bounds if bound.metric == metric]
        _front(axes, archive, metric, own, feasible, chosen)
        tidy(axes, "", metric_label(metric), name or metric_label(target))
    title = captions.FRONT
    if known(volume):
        zero = f"0 {unit(target)}".rstrip()
        title += f"\nhypervolume {volume:.4g} (cells within all bounds, above {zero} "
        title += "accuracy)" if unit(target) == "%" else f"{metric_name(target)})"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK)
    legend(figure, places)
    return figure


def _front(
    axes: Axes,
    archive: pd.DataFrame,
    metric: str,
    bounds: Sequence[Constraint],
    feasible: Mask,
    chosen: int,
) -> None:
    real, value = as_array(archive[metric]), as_array(archive["value"])
    more = all(bound.operator.startswith(">") for bound in bounds)
    front = pareto_front(np.stack([value, real], 1), (True, more))
    start, end = scale(axes, real, [bound.bound for bound in bounds])
    low, high = top_range(value, as_array(archive["step"]), None)
    # The front counts, however low it begins, but for cells that learnt nothing.
    low = min(low, float(np.quantile(value[front], 0.25))) if front.any() else low
    axes.set_ylim(low, high)
    for bound in bounds:
        axes.axvline(bound.bound, color=GREEN, linewidth=1.2, zorder=1, label="bound")
    runs = np.isfinite(real)
    shown = value >= low
    x = np.clip(real, start, end)
    scatter(axes, x[shown], value[shown], feasible[shown], runs[shown])
    if not shown.all():
        axes.scatter(
            x[~shown],
            np.full_like(x[~shown], low),
            marker="v",
            color=FAINT,
            s=18,
            alpha=0.6,
            linewidths=0,
            clip_on=False,
            label="below the range",
        )
    order = np.lexsort((value[front], real[front]))
    axes.step(
        real[front][order],
        value[front][order],
        where="pre" if more else "post",
        color=INK,
        linewidth=1.6,
        zorder=3,
        label="Pareto front",
    )
    axes.scatter(
        np.clip(real[chosen], start, end),
        max(value[chosen], low),
        marker="*",
        s=190,
        color=ORANGE,
        edgecolors="white",
        linewidths=0.8,
        zorder=5,
        clip_on=False,
        label="chosen cell" if feasible.any() else "least violating cell",
    )
