"""Pictures of the landscape: from above, the region of the search, in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mpl_toolkits.mplot3d.proj3d import proj_transform

from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.report import style
from optiproxy_nas.report.diagnose.landscape import COMPONENTS, Landscape, Region

RED = "#c0271c"
PANEL = 4.2  # inches of a panel of the region, about
NUMBER = 0.19  # inches between the middles of numbered points


def axis_labels(landscape: Landscape) -> tuple[str, str]:
    """Return what the two axes are, with their share of the variance."""
    names = ("axis 1: towards the best tenth", "axis 2: what the best tenth differs in")
    if landscape.axes.kind == COMPONENTS:
        names = ("principal component 1", "principal component 2")
    first, second = (
        f"{name} ({share:.1%} of the variance)"
        for name, share in zip(names, landscape.axes.variance, strict=True)
    )
    return first, second


def value_range(landscape: Landscape) -> tuple[float, float]:
    """Return the range of the colours of the whole: the best 85 % of the cells."""
    return float(np.quantile(landscape.values, 0.15)), float(landscape.values.max())


def overview(landscape: Landscape, region: Region, initial: int) -> Figure:
    """Draw every cell, the search's queries on top, and the region that is zoomed into."""
    figure = style.new_figure(8.0, 6.2)
    axes = figure.subplots()
    norm = Normalize(*value_range(landscape))
    _cells(axes, landscape.places, landscape.values, norm, 5)
    queried = landscape.places[landscape.queries]
    for rows, colour, label in (
        (queried[:initial], style.INK, "initial random sample"),
        (queried[initial:], RED, "queried in the search"),
    ):
        look: dict[str, Any] = {"s": 18, "edgecolors": "white", "linewidths": 0.5, "zorder": 4}
        axes.scatter(*rows.T, color=colour, label=label, **look)
    _star(axes, landscape, landscape.places[landscape.optimum], 220)
    (left, right), (bottom, top) = region.x, region.y
    frame: dict[str, Any] = {"edgecolor": style.INK, "linewidth": 1.2, "linestyle": (0, (4, 3))}
    corner, size = (left, bottom), (right - left, top - bottom)
    label = "region of the search"
    axes.add_patch(Rectangle(corner, *size, fill=False, zorder=3, label=label, **frame))
    if landscape.drawn:
        title = f"{landscape.drawn:,} random cells, and the {len(landscape.queries):,} queried"
    elif not landscape.total:
        title = f"The {len(landscape.queries):,} trials of the run"
    else:
        share = len(landscape.queries) / len(landscape.values)
        title = f"All {len(landscape.values):,} cells, and the {share:.1%} of them queried"
    style.tidy(axes, title, *axis_labels(landscape))
    style.colour_bar(figure, axes, norm, landscape.label, extend="min")
    style.legend_below(figure, ncols=2)
    return figure


def zoom(landscape: Landscape, region: Region, every: int) -> Figure:
    """Draw the region of the search from above and from the side, with its own colours."""
    figure = style.new_figure(11.0, 5.6)
    above, side = figure.subplots(1, 2, width_ratios=[1, 1.05])
    norm = Normalize(*region.value)
    inside = region.holds(landscape.places)
    places, values = landscape.places[inside], landscape.values[inside]
    _cells(above, places, values, norm, 14)
    shown = values >= region.value[0]
    heights = np.column_stack([places[shown, 0], values[shown]])
    _cells(side, heights, values[shown], norm, 14)
    points = landscape.trajectory
    good = points[region.holds(points[["x", "y"]].to_numpy(np.float64))]
    _path(above, good, "y", (region.x, region.y))
    _path(side, good[good["value"] >= region.value[0]], "value", (region.x, region.value))
    _star(above, landscape, landscape.places[landscape.optimum], 520)
    best = landscape.optimum
    _star(side, landscape, (landscape.places[best, 0], landscape.values[best]), 520)
    first, second = axis_labels(landscape)
    style.tidy(above, "Region of the search, from above", first, second)
    style.tidy(side, "The same from the side", first, landscape.label)
    above.set_xlim(*region.x)
    above.set_ylim(*region.y)
    side.set_xlim(*region.x)
    span = region.value[1] - region.value[0]
    side.set_ylim(region.value[0], region.value[1] + 0.06 * span)
    style.colour_bar(figure, side, norm, landscape.label, extend="min")
    label = f"best of every {every} queries, in order"
    above.plot([], [], "o-", color=RED, markersize=8, label=label)
    style.legend_below(figure, ncols=2, markerscale=0.7)
    return figure


def in_three_dimensions(landscape: Landscape, every: int) -> Figure:
    """Draw the cells as a cloud, height and colour their value, and the search's way up."""
    figure = Figure(figsize=(9.0, 6.6), dpi=style.DPI, facecolor="white")
    axes: Any = figure.add_axes((-0.02, -0.02, 0.93, 1.02), projection="3d", computed_zorder=False)
    low, high = value_range(landscape)
    norm = Normalize(low, high)
    shown = landscape.values >= low
    order = np.argsort(landscape.values[shown], kind="stable")
    places, values = landscape.places[shown][order], landscape.values[shown][order]
    cloud = {"cmap": style.sequence_colours(), "norm": norm, "s": 3, "alpha": 0.35}
    flat = {"linewidths": 0, "depthshade": False, "rasterized": True}
    axes.scatter(*places.T, values, c=values, zorder=1, **cloud, **flat)
    points = landscape.trajectory[landscape.trajectory["value"] >= low]
    x, y, z = (points[name].to_numpy(np.float64) for name in ("x", "y", "value"))
    axes.plot(x, y, z, color=RED, linewidth=1.1, alpha=0.75, zorder=3)
    dots: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.7, "depthshade": False}
    text: dict[str, Any] = {
        "fontsize": 6,
        "color": "white",
        "ha": "center",
        "va": "center",
        "zorder": 5,
    }
    best = (*landscape.places[landscape.optimum], landscape.values[landscape.optimum])
    look: dict[str, Any] = {"s": 520, "zorder": 3.5, "depthshade": False}
    style.star(axes, *best, label=landscape.best, **look)
    axes.set_zlim(low, high)
    axes.view_init(elev=22, azim=-62)
    axes.set_box_aspect((1.25, 1.0, 0.85), zoom=0.98)
    # As the eye sees them, in inches; a number that would hide another stays a small dot.
    across, up, _ = proj_transform(x, y, z, axes.get_proj())
    inches = 0.93 * figure.get_figwidth() / 0.2  # of a unit of the projection
    numbered = style.spread_out(inches * across, inches * up, NUMBER)
    for mask, size in ((~numbered, 12), (numbered, 70)):
        axes.scatter(x[mask], y[mask], z[mask], color=RED, zorder=4, s=size, **dots)
    for number, *place in zip(
        points["number"][numbered], x[numbered], y[numbered], z[numbered], strict=True
    ):
        axes.text(*place, str(number), **text)
    names = [label.partition(" (")[0] for label in axis_labels(landscape)]
    axes.set_xlabel(names[0], fontsize=9, labelpad=6)
    axes.set_ylabel(names[1], fontsize=9, labelpad=6)
    axes.set_zlabel(landscape.label, fontsize=9, labelpad=4)
    axes.tick_params(labelsize=8, pad=1)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.pane.set_facecolor("white")
        axis.pane.set_edgecolor("#dddddd")
        axis._axinfo["grid"]["color"] = "#e6e6e6"
    axes.plot([], [], [], "o-", color=RED, markersize=7, label=f"best of every {every} queries")
    style.legend(figure, "lower center", ncols=2, markerscale=0.8)
    title = "The landscape, and the way of the search"
    figure.text(0.03, 0.95, title, fontsize=11, color=style.INK)
    beside = figure.add_axes((0.91, 0.22, 0.018, 0.55))
    style.colour_bar(figure, axes, norm, landscape.label, cax=beside, extend="min")
    return figure


def _cells(axes: Axes, places: Floats, values: Floats, norm: Normalize, size: float) -> None:
    """Draw cells as dots, the better ones on top."""
    order = np.argsort(values, kind="stable")
    x, y = places[order].T
    look = {"cmap": style.sequence_colours(), "norm": norm, "s": size, "alpha": 0.75, "zorder": 2}
    style.marks(axes, np.ones(len(x), dtype=bool), x, y, c=values[order], clip_on=True, **look)


def _star(axes: Axes, landscape: Landscape, place: Sequence[float] | Floats, size: float) -> None:
    """Draw the optimum, under the numbered points: it may be one of them."""
    style.star(axes, *place, label=landscape.best, s=size, zorder=4.5)


def _path(axes: Axes, points: pd.DataFrame, height: str, limits: Sequence[Sequence[float]]) -> None:
    """Draw numbered points joined by a line; those whose number would hide another are small."""
    x, y = points["x"].to_numpy(np.float64), points[height].to_numpy(np.float64)
    axes.plot(x, y, color=RED, linewidth=0.9, alpha=0.6, zorder=4)
    dots: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.7, "clip_on": False}
    (left, right), (low, high) = limits
    inches = PANEL * (x - left) / (right - left), PANEL * (y - low) / (high - low)
    numbered = style.spread_out(*inches, NUMBER)
    for mask, size in ((~numbered, 16), (numbered, 110)):
        axes.scatter(x[mask], y[mask], color=RED, zorder=5, s=size, **dots)
    text: dict[str, Any] = {
        "fontsize": 7,
        "color": "white",
        "ha": "center",
        "va": "center_baseline",
    }
    for number, left, up in zip(points["number"][numbered], x[numbered], y[numbered], strict=True):
        axes.text(left, up, str(number), zorder=5, **text)
