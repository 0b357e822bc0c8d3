"""What the figures of the evidence share: mean lines of curves with gaps, and one legend below."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from optiproxy_nas.report.style import INK, LineStyle

Array = NDArray[np.float64]


def draw_line(
    axes: Axes, x: Array, mean: Array, error: Array, label: str, style: LineStyle, order: int
) -> None:
    """A step line in a band of ``error`` to each side, the first of a figure on top."""
    axes.fill_between(
        x, mean - error, mean + error, step="post", color=style.colour, alpha=0.15, linewidth=0
    )
    axes.step(
        x,
        mean,
        where="post",
        label=label,
        color=style.colour,
        linestyle=(0, style.dashes) if style.dashes else "-",
        linewidth=style.width,
        zorder=20 - order,
    )


def legend_below(figure: Figure) -> None:
    """One legend below all panels: each label once, in the order in which they occur."""
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if not handles:
        return
    widest = max(map(len, handles)) + 8
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=max(1, min(len(handles), int(13 * figure.get_figwidth()) // widest)),
        fontsize=9,
        frameon=False,
        labelcolor=INK,
        handlelength=3.2,
    )
