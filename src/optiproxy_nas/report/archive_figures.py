"""Figures of the archive: best so far, predicted against queried values, diagnostics by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.arrays import Mask, as_array
from optiproxy_nas.core.numbers import decimals, fixed, metric_label
from optiproxy_nas.report import ranges, style
from optiproxy_nas.report.cell import cell_remarks, draw_cell
from optiproxy_nas.report.run_data import RunData
from optiproxy_nas.report.style import ReportFigure

MOST_BOUNDS = 4  # named in a legend


def best_so_far(run: RunData, infeasible: Mask | None = None, bounds: Sequence[str] = ()) -> Figure:
    """Draw the best value so far against queries, over the queried values themselves.

    Args:
        run: the run.
        infeasible: the rows that cannot be the answer [n]; they are crosses.
        bounds: what the others keep, for the legend.
    """
    valued, optimum = np.isfinite(as_array(run.archive["value"])), run.optimum
    rows = run.archive[valued]
    if rows.empty:
        return style.empty_figure("Best so far", "no queries yet")
    outside = np.zeros(len(rows), dtype=bool) if infeasible is None else infeasible[valued]
    query, value = as_array(rows["order"]) + 1, as_array(rows["value"])
    step = as_array(rows["step"])
    # What cannot be the answer must not decide how low the range goes; it may be better.
    inside = ~outside if not outside.all() else outside
    low, high = ranges.top_range(value[inside], step[inside], optimum, run.sign)
    end, beyond, pointer = ranges.worse_end((low, high), run.sign)
    least, most = ranges.top_range(value, step, optimum, run.sign)
    low, high = with_confirmed((low, most) if run.sign > 0 else (least, high), run)

    figure = style.new_figure(8.0, 4.8)
    axes = figure.subplots()
    norm = Normalize(1, max(float(step.max()), 2))
    inks = style.sequence_colours()(norm(step))
    inks[step == 0] = to_rgba(style.FAINT)
    below = run.sign * value < run.sign * end
    for mask, height, marker, text in (
        (~below & ~outside & (step == 0), value, "o", "initial random sample"),
        (~below & ~outside & (step > 0), value, "o", "queried in the search"),
        (~below & outside, value, "x", f"infeasible ({outside.sum()} in all)"),
        # Failed cells sit at chance accuracy: drawn on the border, or they would squash the rest.
        (below, np.full_like(value, end), pointer, f"{beyond} the range ({below.sum()})"),
    ):
        width = 1.1 if marker == "x" else 0
        look = {"c": inks[mask], "s": 20, "alpha": 0.6, "linewidths": width, "label": text}
        style.marks(axes, mask, query, height, marker=marker, **look)
    curve = _curve_label(bounds, bool(outside.all()))
    axes.step(
        query, as_array(rows["best"]), where="post", color=style.INK, linewidth=1.8, label=curve
    )
    winner = run.incumbent
    found = None if winner is None else value[winner]
    digits = decimals(run.target, (found, optimum))
    if optimum is not None:
        kind = "feasible optimum" if bounds else "optimum"
        style.level(axes, optimum, f"{kind} of the table: {fixed(optimum, digits)}", zorder=1)
    if run.confirmed is not None:
        at = float(run.archive["order"].iloc[run.confirmed[0]]) + 1
        star_confirmed(axes, run, at, f"query {at:.0f}")
    elif winner is not None:
        text = f"best found: {fixed(value[winner], digits)} (query {query[winner]:.0f})"
        style.star(axes, query[winner], value[winner], label=text, clip_on=False)
    axes.set_ylim(low, high)
    axes.set_xlim(0, query.max() + max(1.0, 0.02 * query.max()))
    axes.xaxis.set_major_locator(style.whole_ticks(9))
    failed = run.summary.get("failed_trials")
    queries = f"queries ({failed} more failed)" if failed else "queries"
    style.tidy(axes, "Best so far", queries, run.value_label)
    if step.max() > 1:
        ticks = style.whole_ticks(8)
        style.colour_bar(figure, axes, norm, "search step", ticks=ticks)
    style.legend_below(figure)
    return figure


def with_confirmed(limits: tuple[float, float], run: RunData) -> tuple[float, float]:
    """Return limits of an axis of values that show the confirmed answer, too, if there is one."""
    if run.confirmed is None:
        return limits
    (low, high), (row, mean) = limits, run.confirmed
    shown = (mean, float(run.archive["value"].iloc[row]))
    margin = 0.05 * (high - low)
    return min(low, min(shown) - margin), max(high, max(shown) + margin)


def star_confirmed(axes: Axes, run: RunData, at: float, place: str) -> None:
    """Mark the confirmed answer by its mean, joined to what its training in the search gave.

    Args:
        axes: of values, against what ``at`` counts.
        run: with a confirmed answer.
        at: where its training is.
        place: the same for the legend.
    """
    assert run.confirmed is not None
    row, mean = run.confirmed
    single = float(run.archive["value"].iloc[row])
    digits = decimals(run.target, (mean, single, run.optimum))
    text = f"answer: {fixed(mean, digits)}, confirmed\n(single: {fixed(single, digits)}, {place})"
    axes.plot([at, at], [single, mean], color=style.ORANGE, linewidth=1.4, zorder=4)
    style.star(axes, at, mean, label=text, clip_on=False)


def _curve_label(bounds: Sequence[str], nothing_feasible: bool) -> str:
    if not bounds:
        return "best so far"
    start = "nothing feasible so far:" if nothing_feasible else "best feasible so far:"
    # More bounds than these would push the figure aside; the page lists all.
    shown, more = bounds[:MOST_BOUNDS], len(bounds) - MOST_BOUNDS
    return "\n".join([start, *shown, *([f"and {more} more"] if more > 0 else [])])


def best_cell(run: RunData) -> Figure:
    """Draw the answer of the run as a graph."""
    architecture = str(run.summary.get("best_architecture") or "")
    if not architecture:
        return style.empty_figure("Best architecture", "nothing found yet")
    return draw_cell(run.space, architecture, node_labels=run.space.node_labels)


def predicted_against_true(
    archive: pd.DataFrame, metric: str = VALIDATION_ACCURACY, caution: str = ""
) -> Figure:
    """Draw each prediction before its query against the value, coloured by order (Fig. A2).

    The initial sample has no prediction and is left out. Kendall's tau is over all points
    shown, so it mixes proxies of different steps.

    Args:
        archive: columns order, value, predicted and predicted_sd.
        metric: name of the metric that was searched for; ``caution`` is the benchmark's.
    """
    title = "Predicted against queried"
    predicted, true = as_array(archive["predicted"]), as_array(archive["value"])
    keep = np.isfinite(predicted) & np.isfinite(true)
    if not keep.any():
        return style.empty_figure(title, "no query had a prediction before it")
    predicted, true = predicted[keep], true[keep]
    query = as_array(archive["order"])[keep] + 1
    spread = np.nan_to_num(as_array(archive["predicted_sd"])[keep])
    low, high = ranges.shared_range(np.concatenate([predicted, true]))
    x, y = np.clip(true, low, high), np.clip(predicted, low, high)

    figure = style.new_figure(6.4, 5.4)
    axes = figure.subplots()
    style.diagonal(axes, low, high)
    axes.vlines(x, y - spread, y + spread, color=style.FAINT, alpha=0.35, linewidth=0.8, zorder=2)
    norm, colours = style.order_norm(query), style.sequence_colours()
    look = {"c": query, "cmap": colours, "norm": norm, "s": 26, "alpha": 0.85, "zorder": 3}
    style.marks(axes, np.ones(len(x), dtype=bool), x, y, **look)
    label = metric_label(metric, caution)
    style.tidy(axes, title, f"queried {label}", f"predicted {label}")
    outside = int(((x != true) | (y != predicted)).sum())
    style.remark(axes, style.correlation_text(predicted, true, style.KENDALL), outside)
    if len(true) > 1:
        style.colour_bar(figure, axes, norm, "query", ticks=style.whole_ticks(8))
    return figure


def step_diagnostics(run: RunData) -> Figure:
    """Draw the rank correlation of the proxy on recent queries, and the candidates turned away.

    The diagnostics have columns step, recent_kendall_tau, recent_spearman (NaN where not measured),
    duplicates_rejected and twins_rejected (counts).
    """
    diagnostics = run.diagnostics
    if diagnostics.empty:
        return style.empty_figure("Step diagnostics", "no steps yet")
    step = as_array(diagnostics["step"])
    figure = style.new_figure(8.0, 5.0)
    ranks, counts = figure.subplots(2, 1, sharex=True)
    ranks.axhline(0, color=style.FAINT, linewidth=1.0)
    for column, label, colour, marker in (
        ("recent_kendall_tau", "Kendall τ", style.BLUE, "o"),
        ("recent_spearman", "Spearman ρ", style.ORANGE, "s"),
    ):
        values = as_array(diagnostics[column])
        if np.isfinite(values).any():
            ranks.plot(step, values, color=colour, marker=marker, markersize=4, label=label)
    ranks.set_ylim(-1.05, 1.05)
    title = "Proxy against the values of the last 20 queries, predicted before each"
    style.tidy(ranks, title, "", "rank correlation")
    if len(ranks.lines) > 1:
        style.legend(ranks, "lower right", ncols=2)
    else:
        style.note(ranks, "not measured")

    bottom = np.zeros_like(step)
    for column, label, colour in (
        ("duplicates_rejected", "already queried", style.BLUE),
        ("twins_rejected", "same network as a queried one", style.ORANGE),
    ):
        values = np.nan_to_num(as_array(diagnostics[column]))
        counts.bar(step, values, bottom=bottom, width=0.7, color=colour, label=label)
        bottom = bottom + values
    style.tidy(counts, "Candidates turned away", "step", "candidates")
    counts.set_ylim(0, max(float(bottom.max()) * 1.25, 1.0))  # head room for the legend
    counts.yaxis.set_major_locator(style.whole_ticks(5))
    style.step_axis(counts, step)
    if bottom.any():
        style.legend(counts, "upper left", ncols=2)
    else:
        style.note(counts, "none")
    return figure


BEST_SO_FAR: ReportFigure[RunData] = ReportFigure(
    "best_so_far",
    "Best so far",
    "Each mark is one query, as the legend says; the line is the best value up to there that can "
    "be the answer: the earlier it gets good, the less of the budget was wasted.",
    best_so_far,
    lambda run: (
        "The best were trained again: the star is the answer at the mean of its confirmations, and "
        "a stroke joins it to the single value that it had in the search."
        if run.confirmed
        else ""
    ),
)
BEST_CELL: ReportFigure[RunData] = ReportFigure(
    "best_cell",
    "Best architecture",
    "The answer of the run: filled boxes are operations, white ones inputs and outputs, and arrows "
    "lead from left to right.",
    best_cell,
    lambda run: cell_remarks(run.space, str(run.summary.get("best_architecture") or "")),
)
PREDICTED: ReportFigure[RunData] = ReportFigure(
    "predicted_against_true",
    "Predicted against queried",
    "What the proxy expected before each query against the value that it then had: points along "
    "the dashed line were predicted well, above it the proxy was too hopeful, and bars are one "
    "standard deviation of its members, or of its posterior, to each side. The initial sample has "
    "no prediction.",
    lambda run: predicted_against_true(run.archive, run.target, run.caution),
)
DIAGNOSTICS: ReportFigure[RunData] = ReportFigure(
    "step_diagnostics",
    "Step diagnostics",
    "Above: how well the proxy ranked the last 20 queries, each before it was made (1 perfect, 0 "
    "chance, among ever better ones); five are the fewest that are ranked. Below: candidates "
    "turned away because they, or others that compute the same, had been queried.",
    step_diagnostics,
)
