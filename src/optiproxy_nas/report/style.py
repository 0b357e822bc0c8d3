"""What all figures share: a figure's name, title and caption; size, colours, marks, legends.

Drawings are plain ``matplotlib.figure.Figure`` objects. Nothing here touches pyplot or the global
rcParams, because Kedro may run nodes in threads and a notebook has its own style. Equal figures
give equal bytes (``png``).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from optiproxy_nas.core.arrays import Floats, Mask

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


Data = TypeVar("Data", contravariant=True)  # what a figure is drawn from


@dataclass(frozen=True)
class ReportFigure(Generic[Data]):
    """A figure of a report.

    Attributes:
        id: its name in the catalog and of its file, without ``.png``.
        title: its heading on the page.
        caption: how to read it, in a sentence or two.
        draw: the function that draws it from the data of the report.
    """

    id: str
    title: str
    caption: str
    draw: Callable[[Data], Figure]


class LineStyle(NamedTuple):
    """Style of a line in any figure: ``width`` in points or pixels, ``dashes`` in widths."""

    colour: str
    dashes: tuple[float, ...]
    width: float


def line_style(index: int) -> LineStyle:
    """Return the style of the curve at ``index`` of its figure."""
    width = 2.2 if index < HEAVY else 1.5
    return LineStyle(PALETTE[index % len(PALETTE)], DASHES[index % len(DASHES)], width)


def new_figure(width: float, height: float) -> Figure:
    """Return a white figure of ``width`` x ``height`` inches with a constrained layout."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def tidy(axes: Axes, title: str, xlabel: str = "", ylabel: str = "", pad: float = 6.0) -> None:
    """Set title (left, ``pad`` points above) and labels; hide the spines without ticks."""
    axes.set_title(title, loc="left", fontsize=11, color=INK, pad=pad)
    axes.set_xlabel(xlabel, fontsize=10)
    axes.set_ylabel(ylabel, fontsize=10)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def note(axes: Axes, text: str) -> None:
    """Write a grey sentence in the middle of axes that have nothing else to show."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=10, color=FAINT
    )


def remark(axes: Axes, text: str) -> None:
    """Write a few words in the upper left corner, legible over what is drawn there."""
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
    """Return a small figure that says why there is nothing to draw."""
    figure = new_figure(7.5, 2.2)
    axes = figure.subplots()
    tidy(axes, title)
    axes.set_axis_off()
    note(axes, text)
    return figure


def sequence_colours() -> Colormap:
    """Return colours from dark to light, without the lightest end, which vanishes on white."""
    return ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, 256)))


def whole_ticks(count: int) -> MaxNLocator:
    """Return a locator of at most ``count`` ticks at round whole numbers."""
    return MaxNLocator(count, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)


def colour_bar(figure: Figure, axes: Axes, norm: Normalize, label: str) -> None:
    """Draw the key to colours of :func:`sequence_colours` that stand for whole numbers."""
    bar = figure.colorbar(
        ScalarMappable(norm, sequence_colours()),
        ax=axes,
        pad=0.02,
        ticks=whole_ticks(8),
        shrink=0.9,
    )
    bar.set_label(label, fontsize=10)
    bar.ax.tick_params(labelsize=9)


def marks(axes: Axes, mask: Mask, x: Floats, y: Floats, **style: Any) -> None:
    """Draw the marks [n] of a mask without edges, also on the border; nothing if there are none.

    ``style`` is matplotlib's; arrays in ``c`` are of the marks shown.
    """
    if mask.any():
        axes.scatter(x[mask], y[mask], **{"linewidths": 0, "clip_on": False, **style})


def star(axes: Axes, x: float, y: float, label: str) -> None:
    """Mark the answer of a search."""
    axes.scatter(
        x,
        y,
        marker="*",
        s=190,
        color=ORANGE,
        edgecolors="white",
        linewidths=0.8,
        zorder=5,
        clip_on=False,
        label=label,
    )


def order_norm(order: Floats) -> Normalize:
    """Return the scale of colours for the order of queries, also of a single one."""
    return Normalize(float(order.min()), max(float(order.max()), float(order.min()) + 1))


def legend_below(figure: Figure) -> None:
    """Draw one legend below all axes, each label once."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        found, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, found, strict=True))
    if handles:
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside lower center",
            ncols=3,
            fontsize=9,
            frameon=False,
        )


def legend_beside(axes: Axes) -> None:
    """Draw the legend of axes to their right."""
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False)


def top_range(value: Floats, step: Floats, optimum: float | None) -> tuple[float, float]:
    """Return limits that show the better part: the best of the initial sample and the upper 3/4.

    A few values that are far below would make the interesting part unreadable.
    """
    top = float(value.max()) if optimum is None else max(float(value.max()), optimum)
    low = float(np.quantile(value, 0.25))
    if (step == 0).any():
        low = min(low, float(value[step == 0].max()))
    span = _span(low, top)
    # Where little lies below, cutting it off would hide more than it shows.
    if value.min() > low - 0.5 * span:
        low = float(value.min())
        span = _span(low, top)
    return low - 0.08 * span, top + 0.1 * span


def shared_range(values: Floats) -> tuple[float, float]:
    """Return limits of both axes: all values but far outliers (3 interquartile ranges away)."""
    first, third = np.quantile(values, [0.25, 0.75])
    reach = 3.0 * _span(float(first), float(third))
    inside = values[(values >= first - reach) & (values <= third + reach)]
    low, high = float(inside.min()), float(inside.max())
    pad = 0.05 * _span(low, high)
    return low - pad, high + pad


def _span(low: float, high: float) -> float:
    """Return their distance, and never 0: at least a thousandth of the values."""
    return max(high - low, 1e-3 * max(abs(low), abs(high))) or 0.1


def as_array(values: Any) -> Floats:
    """Return a float64 array of a tensor (any device, with or without gradient), array or list."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def png(figure: Figure) -> bytes:
    """Return the PNG bytes of a figure, without date and version."""
    # The first layout moves labels a little, and the second settles them: without this pass
    # the same figure saved twice would differ.
    figure.draw_without_rendering()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
