"""Best value so far, regret and run lengths of all methods, one panel a dataset (Fig. A3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from optiproxy_nas.evidence.measures import Measured
from optiproxy_nas.evidence.table import name_of
from optiproxy_nas.reporting.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    empty_figure,
    new_figure,
    tidy,
    whole_ticks,
)
from optiproxy_nas.statistics import run_length, standard_error

Array = NDArray[np.float64]
Style = dict[str, Any]
Curves = Mapping[str, dict[str, Measured]]  # dataset -> method -> its searches

# Told apart also without colour: the first two solid and heavy, the others by their dashes.
PALETTE = (BLUE, ORANGE, FAINT, GREEN, "#8c4fa3", "#b8332e", "#7a5c3e", "#1c9aa8")
DASHES = ("-", "-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
FLOOR = 1e-3  # percentage points of regret: what the tables print as the last decimal


def methods_of(curves: Curves) -> list[str]:
    """All methods, in the order of the panels."""
    return list(dict.fromkeys(label for panel in curves.values() for label in panel))


def value_range(panel: Mapping[str, Measured]) -> tuple[float, float]:
    """What to show of a value axis: from the worst mean after 10 queries to above the optimum.

    The first cells of a random sample are often at chance accuracy and would squash the rest.
    """
    optimum = next(iter(panel.values())).optimum
    low = min(float(m.curves[:, min(9, m.budget - 1)].mean()) for m in panel.values())
    margin = max(optimum - low, FLOOR) * 0.04
    return low, optimum + margin


def best_so_far(curves: Curves) -> Figure:
    """Mean over seeds with its standard error: above the value, below the regret (log scale)."""
    if not curves:
        return empty_figure("Best so far", "no searches")
    figure = new_figure(4.4 * len(curves), 7.4)
    grid = figure.subplots(2, len(curves), squeeze=False, sharex="col")
    styles = _styles(curves)
    for column, (dataset, panel) in enumerate(curves.items()):
        above, below = grid[0, column], grid[1, column]
        optimum = next(iter(panel.values())).optimum
        for label, measured in panel.items():
            mean, error = measured.curves.mean(axis=0), standard_error(measured.curves)
            _band(above, (mean - error, mean, mean + error), styles[label])
            regret = np.maximum(optimum - mean, FLOOR)
            _band(below, (np.maximum(regret - error, FLOOR), regret, regret + error), styles[label])
        above.axhline(optimum, color=INK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        above.set_ylim(*value_range(panel))
        below.set_yscale("log")
        below.set_ylim(bottom=FLOOR)
        first = column == 0
        tidy(above, name_of(dataset), "", "best validation accuracy (%)" if first else "")
        tidy(below, "", "queries", "regret (percentage points)" if first else "")
        _queries(above, panel)
        _queries(below, panel)
    _legend(figure, grid[0], styles)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.08)
    return figure


def run_lengths(curves: Curves) -> Figure:
    """Share of seeds that had queried the optimum, against queries (Hoos & Stützle 1998)."""
    if not curves:
        return empty_figure("Queries to the optimum", "no searches")
    figure = new_figure(4.4 * len(curves), 4.4)
    grid = figure.subplots(1, len(curves), squeeze=False, sharey=True)
    styles = _styles(curves)
    for column, (dataset, panel) in enumerate(curves.items()):
        axes = grid[0, column]
        for label, measured in panel.items():
            x, share = run_length(measured.to_optimum, measured.budget)
            axes.step(x, share, where="post", **styles[label])
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        ylabel = "seeds that reached the optimum" if column == 0 else ""
        tidy(axes, name_of(dataset), "queries", ylabel)
        _queries(axes, panel)
    _legend(figure, grid[0], styles)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.08)
    return figure


def _styles(curves: Curves) -> dict[str, Style]:
    return {
        label: {
            "color": PALETTE[index % len(PALETTE)],
            "linestyle": DASHES[index % len(DASHES)],
            "linewidth": 2.2 if index < 2 else 1.4,
            "zorder": 20 - index,
            "label": label,
        }
        for index, label in enumerate(methods_of(curves))
    }


def _band(axes: Axes, parts: tuple[Array, Array, Array], style: Style) -> None:
    """A line (the middle part) in its band, against queries."""
    low, mean, high = parts
    query = np.arange(1, len(mean) + 1)
    axes.plot(query, mean, **style)
    axes.fill_between(query, low, high, color=style["color"], alpha=0.15, linewidth=0)


def _queries(axes: Axes, panel: Mapping[str, Measured]) -> None:
    axes.set_xlim(0, max(m.budget for m in panel.values()) + 1)
    axes.xaxis.set_major_locator(whole_ticks(7))
    axes.grid(color=FAINT, alpha=0.2, linewidth=0.6)


def _legend(figure: Figure, panels: Iterable[Axes], styles: Mapping[str, Style]) -> None:
    """One legend for all panels: a method may be missing from the first."""
    handles: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles=[handles[label] for label in styles],
        loc="outside lower center",
        ncols=4,
        fontsize=9,
        frameon=False,
        handlelength=3.2,
    )
