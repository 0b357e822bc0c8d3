"""Figures of a search under constraints.

Beside the common columns the archive has, of each bounded metric, the metric itself and
``predicted_<metric>``; then ``violation`` (0: feasible) and ``feasibility`` (the probability
of it before the query, NaN where there is none).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optiproxy_nas.core.arrays import as_array
from optiproxy_nas.core.numbers import metric_name, unit
from optiproxy_nas.objectives.constraints import Constraint
from optiproxy_nas.report import archive_figures, style
from optiproxy_nas.report.metric_figures import metric_predictions, pareto_fronts
from optiproxy_nas.report.run_data import RunData
from optiproxy_nas.report.style import ReportFigure

COLUMNS = frozenset({"violation", "feasibility"})  # of the archive, that these figures need
LIKELY = 0.5  # a cell is predicted feasible from this probability on


def best_feasible(run: RunData) -> Figure:
    """Draw the best feasible value so far, infeasible queries as crosses."""
    infeasible = run.archive["violation"].to_numpy() > 0
    return archive_figures.best_so_far(run, infeasible, [_bound_text(b) for b in run.bounds])


def _bound_text(bound: Constraint) -> str:
    """Return ``EdgeGPU latency < 4 ms``."""
    _, limit = str(bound).split(maxsplit=1)
    return f"{metric_name(bound.metric)} {limit} {unit(bound.metric)}".rstrip()


def violations(run: RunData) -> Figure:
    """Draw the share of infeasible queries by step with its alarm, and feasibility as predicted."""
    archive = run.archive
    if archive.empty:
        return style.empty_figure("Constraint violations", "no queries yet")
    by_step = archive.assign(
        broken=100.0 * (archive["violation"] > 0),
        likely=100.0 * (archive["feasibility"] >= LIKELY).where(archive["feasibility"].notna()),
    ).groupby("step")
    broken, likely = by_step["broken"].mean(), by_step["likely"].mean()
    figure = style.new_figure(8.0, 5.6)
    above, below = figure.subplots(2, 1, sharex=True)

    step = as_array(broken.index)
    for mask, colour, text in (
        (step == 0, style.FAINT, "initial random sample"),
        (step > 0, style.BLUE, "one step"),
    ):
        if mask.any():
            above.bar(step[mask], as_array(broken)[mask], width=0.7, color=colour, label=text)
    _moving_share(above, run.diagnostics)
    style.tidy(above, "Infeasible queries", "", "share of queries (%)")
    style.legend_beside(above)

    # From here on the initial sample has no prediction.
    for values, colour, marker, dashes, text in (
        (100.0 - broken[broken.index > 0], style.BLUE, "o", "-", "were feasible"),
        (likely.dropna(), style.ORANGE, "s", "--", "predicted feasible"),
    ):
        if len(values):
            x, y = as_array(values.index), as_array(values)
            look = {"color": colour, "marker": marker, "markersize": 4, "linestyle": dashes}
            below.plot(x, y, label=text, **look)
    style.tidy(
        below, "Feasible queries, predicted before and found", "step", "share of queries (%)"
    )
    if below.lines:
        style.legend_beside(below)
    else:
        style.note(below, "no query had a prediction before it")
    for axes in (above, below):
        axes.set_ylim(0, 105)
    style.step_axis(below, step)
    return figure


def _moving_share(axes: Axes, diagnostics: pd.DataFrame) -> None:
    """Draw the share over the last 20 queries, and where it raised the alarm."""
    if "recent_violation_rate" not in diagnostics:
        return
    step = as_array(diagnostics["step"])
    share = 100 * as_array(diagnostics["recent_violation_rate"])
    axes.plot(step, share, color=style.INK, linewidth=1.8, marker=".", label="last 20 queries")
    if "violation_alarm" in diagnostics:
        alarm = np.nan_to_num(as_array(diagnostics["violation_alarm"])) > 0
        label = f"alarm ({int(alarm.sum())} steps)"
        look = {"edgecolors": "white", "linewidths": 0.8, "zorder": 5}
        style.marks(
            axes, alarm, step, share, marker="X", s=80, color=style.RED, label=label, **look
        )


def weights(run: RunData) -> Figure:
    """Draw what the value and each constraint weighed in the score, by step."""
    diagnostics = run.diagnostics
    names = [name for name in diagnostics.columns if str(name).startswith("weight_")]
    values = {name: as_array(diagnostics[name]) for name in names}
    values = {name: weight for name, weight in values.items() if np.isfinite(weight).any()}
    if not values:
        return style.empty_figure("Weights of the score", "no step had weights")
    step = as_array(diagnostics["step"])
    figure = style.new_figure(8.0, 3.8)
    axes = figure.subplots()
    # Equal lines would hide each other: wide ones first, so that each shows.
    for index, (name, weight) in enumerate(values.items()):
        label, marker = metric_name(name.removeprefix("weight_")), "o" if len(step) == 1 else ""
        axes.plot(step, weight, marker=marker, label=label, **style.line_style(index).drawn)
    top = max(float(np.nanmax(weight)) for weight in values.values())
    axes.set_ylim(0, 1.08 * top if top > 0 else 1.0)
    axes.xaxis.set_major_locator(style.whole_ticks(9))
    style.tidy(axes, "Weights of the score", "step", "weight")
    style.legend_below(figure)
    return figure


FIGURES: tuple[ReportFigure[RunData], ...] = (
    replace(archive_figures.BEST_SO_FAR, draw=best_feasible),
    ReportFigure(
        "pareto_front",
        "Pareto front of the archive",
        "Everything queried: nothing has both a better value and a better metric than what is "
        "on the line, so it is the price of a tighter bound. The hypervolume is what all that is "
        "within the bounds dominates, over all metrics at once; it can be compared between runs "
        "with the same bounds.",
        pareto_fronts,
    ),
    ReportFigure(
        "violations",
        "Constraint violations",
        "Above: how many queries broke a bound; some have to, to find the border of what is "
        "feasible, but an alarm means that the search is lost outside. Below: were the two lines "
        "far apart, the proxy would not know where the border is.",
        violations,
    ),
    ReportFigure(
        "weights",
        "Weights of the score",
        "What the search maximised in each step: the value and each constraint times its weight. "
        "The weights are learnt from the queries of the steps before: one that is high is of a "
        "bound that many of them broke.",
        weights,
    ),
    ReportFigure(
        "predicted_metrics",
        "Predicted against real metrics",
        "What the proxy expected of each bounded metric before the query against what the query "
        "told: the green lines are the bound, and points between them, upper left and lower "
        "right, were taken for feasible or infeasible and were not.",
        metric_predictions,
    ),
)
