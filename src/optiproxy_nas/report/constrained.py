"""Figures of a search under constraints; those by metric are in ``constrained_metrics``.

Beside the common columns the archive has, of each bounded metric, the metric itself and
``predicted_<metric>``; then ``violation`` (0: feasible) and ``feasibility`` (the probability
of it before the query, NaN where there is none).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optiproxy_nas.core.numbers import metric_name, unit
from optiproxy_nas.objectives.constraints import Constraint
from optiproxy_nas.report import captions
from optiproxy_nas.report.best import best_so_far
from optiproxy_nas.report.constrained_metrics import (
    bounds_of,
    metric_predictions,
    pareto_fronts,
)
from optiproxy_nas.report.style import (
    BLUE,
    FAINT,
    INK,
    ORANGE,
    RED,
    as_array,
    empty_figure,
    line_style,
    new_figure,
    note,
    tidy,
    whole_ticks,
)
from optiproxy_nas.report.summary import known, target_label, target_of

# Beside the best so far, which takes the place of the one without constraints.
FIGURES = {
    captions.VIOLATIONS: "violations",
    captions.WEIGHTS: "weights",
    captions.METRICS: "predicted_metrics",
    captions.FRONT: "pareto_front",
}
LIKELY = 0.5  # a cell is predicted feasible from this probability on


def figures(
    archive: pd.DataFrame, diagnostics: pd.DataFrame, summary: Mapping[str, Any]
) -> dict[str, Figure]:
    """Title -> figure, in reading order.

    Args:
        archive: see the module; one row per query.
        diagnostics: one row per step: recent_violation_rate, violation_alarm, weight_*.
        summary: the run's facts; ``constraints``, ``optimum`` and ``hypervolume`` are used.
    """
    optimum = float(summary["optimum"]) if known(summary.get("optimum")) else None
    bounds, target = bounds_of(summary), target_of(summary)
    infeasible = archive["violation"].to_numpy() > 0
    return {
        captions.BEST_SO_FAR: best_so_far(
            archive, optimum, target_label(summary), infeasible, list(map(_bound_text, bounds))
        ),
        captions.VIOLATIONS: violations(archive, diagnostics),
        captions.WEIGHTS: weights(diagnostics),
        captions.METRICS: metric_predictions(archive, bounds),
        captions.FRONT: pareto_fronts(
            archive, bounds, summary.get("hypervolume"), target, target_label(summary)
        ),
    }


def _bound_text(bound: Constraint) -> str:
    """``EdgeGPU latency < 4 ms``."""
    _, limit = str(bound).split(maxsplit=1)
    return f"{metric_name(bound.metric)} {limit} {unit(bound.metric)}".rstrip()


def violations(archive: pd.DataFrame, diagnostics: pd.DataFrame) -> Figure:
    """Share of infeasible queries by step with its alarm; and feasibility as it was predicted."""
    if archive.empty:
        return empty_figure(captions.VIOLATIONS, "no queries yet")
    by_step = archive.assign(
        broken=100.0 * (archive["violation"] > 0),
        likely=100.0 * (archive["feasibility"] >= LIKELY).where(archive["feasibility"].notna()),
    ).groupby("step")
    broken, likely = by_step["broken"].mean(), by_step["likely"].mean()
    figure = new_figure(8.0, 5.6)
    above, below = figure.subplots(2, 1, sharex=True)

    step = as_array(broken.index)
    for mask, colour, text in (
        (step == 0, FAINT, "initial random sample"),
        (step > 0, BLUE, "one step"),
    ):
        if mask.any():
            above.bar(step[mask], as_array(broken)[mask], width=0.7, color=colour, label=text)
    _moving_share(above, diagnostics)
    tidy(above, "Infeasible queries", "", "share of queries (%)")
    above.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False)

    # From here on the initial sample has no prediction.
    for values, colour, marker, dashes, text in (
        (100.0 - broken[broken.index > 0], BLUE, "o", "-", "were feasible"),
        (likely.dropna(), ORANGE, "s", "--", "predicted feasible"),
    ):
        if len(values):
            below.plot(
                as_array(values.index),
                as_array(values),
                color=colour,
                marker=marker,
                markersize=4,
                linestyle=dashes,
                label=text,
            )
    tidy(below, "Feasible queries, predicted before and found", "step", "share of queries (%)")
    if below.lines:
        below.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False)
    else:
        note(below, "no query had a prediction before it")
    for axes in (above, below):
        axes.set_ylim(0, 105)
    below.xaxis.set_major_locator(whole_ticks(9))
    below.set_xlim(step.min() - 0.6, step.max() + 0.6)
    return figure


def _moving_share(axes: Axes, diagnostics: pd.DataFrame) -> None:
    """The share over the last 20 queries, and where it raised the alarm."""
    if "recent_violation_rate" not in diagnostics:
        return
    step, share = (
        as_array(diagnostics["step"]),
        100 * as_array(diagnostics["recent_violation_rate"]),
    )
    axes.plot(step, share, color=INK, linewidth=1.8, marker=".", label="last 20 queries")
    if "violation_alarm" in diagnostics:
        alarm = np.nan_to_num(as_array(diagnostics["violation_alarm"])) > 0
        if alarm.any():
            axes.scatter(
                step[alarm],
                share[alarm],
                marker="X",
                s=80,
                color=RED,
                edgecolors="white",
                linewidths=0.8,
                zorder=5,
                clip_on=False,
                label=f"alarm ({int(alarm.sum())} steps)",
            )


def weights(diagnostics: pd.DataFrame) -> Figure:
    """What the value and each constraint weighed in the score, by step."""
    names = [name for name in diagnostics.columns if str(name).startswith("weight_")]
    values = {name: as_array(diagnostics[name]) for name in names}
    values = {name: weight for name, weight in values.items() if np.isfinite(weight).any()}
    if not values:
        return empty_figure(captions.WEIGHTS, "no step had weights")
    step = as_array(diagnostics["step"])
    figure = new_figure(8.0, 3.8)
    axes = figure.subplots()
    # Equal lines would hide each other: wide ones first, so that each shows.
    for index, (name, weight) in enumerate(values.items()):
        style = line_style(index)
        axes.plot(
            step,
            weight,
            color=style.colour,
            linewidth=style.width,
            dashes=style.dashes or (None, None),
            marker="o" if len(step) == 1 else "",
            label=metric_name(name.removeprefix("weight_")),
        )
    top = max(float(np.nanmax(weight)) for weight in values.values())
    axes.set_ylim(0, 1.08 * top if top > 0 else 1.0)
    axes.xaxis.set_major_locator(whole_ticks(9))
    tidy(axes, captions.WEIGHTS, "step", "weight")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure
