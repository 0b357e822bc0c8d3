"""The figures of a comparison as pictures, for print and for a page without scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optiproxy_nas.comparison.groups import Panel
from optiproxy_nas.reporting.figures import METRIC
from optiproxy_nas.reporting.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    Floats,
    new_figure,
    tidy,
    whole_ticks,
)
from optiproxy_nas.statistics import queries_to, run_length, standard_error

COLOURS = (BLUE, ORANGE, GREEN, "#7b4fa3", "#b0344d", "#3b9bb3", "#a9892f", "#5b6770")
# (matplotlib, plotly); the next style after each round of colours
DASHES = (("-", "solid"), ("--", "dash"), (":", "dot"), ("-.", "dashdot"))
MAX_COLUMNS = 3


def colour_of(index: int) -> str:
    """The colour of the group at ``index`` of its panel."""
    return COLOURS[index % len(COLOURS)]


def dash_of(index: int) -> tuple[str, str]:
    """Its line style, for matplotlib and for plotly."""
    return DASHES[index // len(COLOURS) % len(DASHES)]


def best_so_far(panels: Sequence[Panel]) -> Figure:
    """Mean best value so far of each group, ± one standard error: an axes a panel."""
    figure, every = _axes(panels)
    for panel, axes in zip(panels, every, strict=True):
        for index, group in enumerate(panel.groups):
            curves = group.curves(group.budget)
            mean, error = curves.mean(axis=0), standard_error(curves)
            x, colour = np.arange(1, curves.shape[1] + 1), colour_of(index)
            axes.fill_between(
                x, mean - error, mean + error, color=colour, alpha=0.16, linewidth=0, step="post"
            )
            axes.step(
                x,
                mean,
                where="post",
                color=colour,
                linestyle=dash_of(index)[0],
                linewidth=1.7,
                label=f"{group.label} ({len(group.runs)})",
            )
        target, is_optimum = panel.target
        label = "optimum" if is_optimum else "best known"
        axes.axhline(target, color=FAINT, linestyle="--", linewidth=1.0, label=label, zorder=1)
        axes.set_ylim(*value_range(panel))
        axes.set_xlim(0, panel.full_budget + 1)
        axes.xaxis.set_major_locator(whole_ticks(6))
        tidy(axes, panel.title, "queries", METRIC)
    _legend(figure, every)
    return figure


def run_lengths(panels: Sequence[Panel]) -> Figure:
    """Share of seeds that had found the target by each query (Hoos & Stützle 1998)."""
    figure, every = _axes(panels)
    for panel, axes in zip(panels, every, strict=True):
        target, is_optimum = panel.target
        for index, group in enumerate(panel.groups):
            x, share = run_length(queries_to(group.curves(group.budget), target), group.budget)
            axes.step(
                x,
                100 * share,
                where="post",
                color=colour_of(index),
                linestyle=dash_of(index)[0],
                linewidth=1.7,
                label=f"{group.label} ({len(group.runs)})",
                clip_on=False,
            )
        axes.set_ylim(0, 100)
        axes.set_xlim(0, panel.full_budget + 1)
        axes.xaxis.set_major_locator(whole_ticks(6))
        what = "optimum" if is_optimum else "best known value"
        tidy(axes, panel.title, "queries", f"seeds at the {what} (%)", pad=9)
    _legend(figure, every)
    return figure


def value_range(panel: Panel) -> tuple[float, float]:
    """Limits of best-so-far curves: the first tenth of the queries may leave at the bottom."""
    target, _ = panel.target
    starts = []
    for group in panel.groups:
        mean = group.curves(group.budget).mean(axis=0)
        starts.append(float(mean[min(len(mean) - 1, math.ceil(len(mean) / 10))]))
    span = max(target - min(starts), 0.05)
    return min(starts) - 0.1 * span, target + 0.08 * span


def _axes(panels: Sequence[Panel]) -> tuple[Figure, list[Axes]]:
    columns = min(len(panels), MAX_COLUMNS)
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(8.0 if columns == 1 else 4.6 * columns, 0.6 + 3.8 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    return figure, list(grid.flat[: len(panels)])


def _legend(figure: Figure, every: Sequence[Axes]) -> None:
    """One legend below, where all panels have the same groups; else one in each."""
    found = [axes.get_legend_handles_labels() for axes in every]
    if all(labels == found[0][1] for _, labels in found):
        handles, labels = found[0]
        longest = max(map(len, labels))
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=max(1, min(len(labels), 110 // (longest + 6))),
            fontsize=9,
            frameon=False,
            labelcolor=INK,
        )
        return
    for axes in every:
        axes.legend(fontsize=8, frameon=False, labelcolor=INK)


def as_lists(values: Floats, digits: int = 4) -> list[float]:
    """Numbers rounded for a page: a hundredth of a percentage point is what is read."""
    return [round(float(value), digits) for value in values]
