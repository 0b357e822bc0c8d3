"""The landscape in three dimensions, as a picture; the page has it interactive."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from optiproxy_nas.report.diagnose.draw_landscape import RED, axis_labels, value_range
from optiproxy_nas.report.diagnose.landscape import Landscape
from optiproxy_nas.report.style import DPI, INK, ORANGE, sequence_colours


def in_three_dimensions(landscape: Landscape, every: int) -> Figure:
    """The cells as a cloud, height and colour their value, and the search's way up."""
    figure = Figure(figsize=(9.0, 6.6), dpi=DPI, facecolor="white")
    axes: Any = figure.add_axes((-0.02, -0.02, 0.93, 1.02), projection="3d", computed_zorder=False)
    low, high = value_range(landscape)
    norm = Normalize(low, high)
    shown = landscape.values >= low
    order = np.argsort(landscape.values[shown], kind="stable")
    places, values = landscape.places[shown][order], landscape.values[shown][order]
    axes.scatter(
        places[:, 0], places[:, 1], values, c=values, cmap=sequence_colours(), norm=norm, s=3,
        alpha=0.35, linewidths=0, depthshade=False, zorder=1, rasterized=True,
    )  # fmt: skip
    points = landscape.trajectory[landscape.trajectory["value"] >= low]
    x, y, z = (points[name].to_numpy(np.float64) for name in ("x", "y", "value"))
    axes.plot(x, y, z, color=RED, linewidth=1.1, alpha=0.75, zorder=3)
    axes.scatter(
        x, y, z, s=70, color=RED, edgecolors="white", linewidths=0.7, depthshade=False, zorder=4
    )
    for number, *place in zip(points["number"], x, y, z, strict=True):
        axes.text(
            *place, str(number), fontsize=6, color="white", ha="center", va="center", zorder=5
        )
    best = landscape.optimum
    axes.scatter(
        *landscape.places[best], landscape.values[best], marker="*", s=520, color=ORANGE,
        edgecolors="white", linewidths=0.8, depthshade=False, zorder=3.5,
        label=landscape.best,
    )  # fmt: skip
    axes.set_zlim(low, high)
    axes.view_init(elev=22, azim=-62)
    axes.set_box_aspect((1.25, 1.0, 0.85), zoom=0.98)
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
    figure.legend(loc="lower center", ncols=2, fontsize=9, frameon=False, markerscale=0.8)
    figure.text(0.03, 0.95, "The landscape, and the way of the search", fontsize=11, color=INK)
    bar = figure.colorbar(
        ScalarMappable(norm, sequence_colours()),
        cax=figure.add_axes((0.91, 0.22, 0.018, 0.55)),
        extend="min",
    )
    bar.set_label(landscape.label, fontsize=10)
    bar.ax.tick_params(labelsize=9)
    return figure
