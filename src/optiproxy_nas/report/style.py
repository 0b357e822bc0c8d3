"""What all figures share: size, colours, notes for empty data, and bytes that repeat.

Figures are plain ``matplotlib.figure.Figure`` objects. Nothing here touches pyplot or the
global rcParams, because Kedro may run nodes in threads and a notebook has its own style.
"""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Floats = NDArray[np.float64]

INK = "#222222"
FAINT = "#9a9a9a"
BLUE = "#1f5fa8"
ORANGE = "#d9731a"
GREEN = "#2c7f5b"
RED = "#b8332e"
DPI = 130
# Five dashes of eight colours: forty lines differ, and the first five also without colour.
PALETTE = (BLUE, ORANGE, GREEN, "#8c4fa3", RED, "#1c9aa8", "#7a5c3e", "#5b6770")
DASHES = ((), (5.0, 1.5), (6.0, 1.5, 1.2, 1.5), (2.5, 1.2), (1.2, 1.2))  # on, off, ... in widths
HEAVY = 2  # the first lines are what the others are compared with


class LineStyle(NamedTuple):
    """Of a line in any figure: ``width`` in points or pixels, ``dashes`` in widths."""

    colour: str
    dashes: tuple[float, ...]
    width: float


def line_style(index: int) -> LineStyle:
    """The style of the curve at ``index`` of its figure."""
    width = 2.2 if index < HEAVY else 1.5
    return LineStyle(PALETTE[index % len(PALETTE)], DASHES[index % len(DASHES)], width)


def new_figure(width: float, height: float) -> Figure:
    """A white figure of ``width`` x ``height`` inches whose parts make room for each other."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def tidy(axes: Axes, title: str, xlabel: str = "", ylabel: str = "", pad: float = 6.0) -> None:
    """Title (left, ``pad`` points above), axis labels, and only the spines that carry ticks."""
    axes.set_title(title, loc="left", fontsize=11, color=INK, pad=pad)
    axes.set_xlabel(xlabel, fontsize=10)
    axes.set_ylabel(ylabel, fontsize=10)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def note(axes: Axes, text: str) -> None:
    """A grey sentence in the middle of axes that have nothing else to show."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=10, color=FAINT
    )


def remark(axes: Axes, text: str) -> None:
    """A few words in the upper left corner, legible over what is drawn there."""
    axes.text(
        0.03,
        0.97,
        text,
        transform=axes.transAxes,
        ha="left",
        va="top",
        fontsize=9,
        zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 3},
    )


def empty_figure(title: str, text: str) -> Figure:
    """A small figure that says why there is nothing to draw."""
    figure = new_figure(7.5, 2.2)
    axes = figure.subplots()
    tidy(axes, title)
    axes.set_axis_off()
    note(axes, text)
    return figure


def sequence_colours() -> Colormap:
    """Dark to light with order; the lightest end is cut off, it vanishes on white."""
    return ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, 256)))


def whole_ticks(count: int) -> MaxNLocator:
    """At most ``count`` ticks at round whole numbers."""
    return MaxNLocator(count, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)


def colour_bar(figure: Figure, axes: Axes, norm: Normalize, label: str) -> None:
    """The key to colours of :func:`sequence_colours` that stand for whole numbers."""
    bar = figure.colorbar(
        ScalarMappable(norm, sequence_colours()),
        ax=axes,
        pad=0.02,
        ticks=whole_ticks(8),
        shrink=0.9,
    )
    bar.set_label(label, fontsize=10)
    bar.ax.tick_params(labelsize=9)


def as_array(values: Any) -> Floats:
    """A float64 array from a tensor (any device, with or without gradient), array or list."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def png(figure: Figure) -> bytes:
    """PNG bytes of a figure; equal figures give equal bytes (no date, no version inside)."""
    # The first layout moves labels a little, and the second settles them: without this pass
    # the same figure saved twice would differ.
    figure.draw_without_rendering()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
