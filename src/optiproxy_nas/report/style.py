"""What all figures share: a figure's name, title and caption; size, colours, marks, legends.

Drawings are plain ``matplotlib.figure.Figure`` objects. No function touches pyplot or the
global rcParams: Kedro may run nodes in threads, and a notebook may have another style.
Equal figures give equal bytes (``png``).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import matplotlib
import numpy as np
import scipy
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from optiproxy_nas.algorithm.step_diagnostics import MEASURABLE
from optiproxy_nas.core.arrays import Floats, Integers, Mask

INK = "#222222"
FAINT = "#9a9a9a"
BLUE = "#1f5fa8"
ORANGE = "#d9731a"
GREEN = "#2c7f5b"
RED = "#b8332e"
DPI = 130
SPEARMAN, KENDALL = "Spearman ρ", "Kendall τ"
MAX_NAME = 18  # letters of an option or a vertex
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
        remarks: further sentences of the caption, which depend on what is drawn.
    """

    id: str
    title: str
    caption: str
    draw: Callable[[Data], Figure]
    remarks: Callable[[Data], str] = lambda data: ""

    def caption_for(self, data: Data) -> str:
        """Return the whole caption of the figure of ``data``."""
        return f"{self.caption} {self.remarks(data)}".rstrip()


class ShownFigure(Figure):
    """A figure that notebooks show, also where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        return png(self)


class LineStyle(NamedTuple):
    """Style of a line in any figure: ``width`` in points or pixels, ``dashes`` in widths."""

    colour: str
    dashes: tuple[float, ...]
    width: float

    @property
    def drawn(self) -> dict[str, Any]:
        """The style in matplotlib's words."""
        dashes = (0, self.dashes) if self.dashes else "-"
        return {"color": self.colour, "linewidth": self.width, "linestyle": dashes}


def line_style(index: int) -> LineStyle:
    """Return the style of the curve at ``index`` of its figure."""
    width = 2.2 if index < HEAVY else 1.5
    return LineStyle(PALETTE[index % len(PALETTE)], DASHES[index % len(DASHES)], width)


def new_figure(width: float, height: float) -> Figure:
    """Return a white figure of ``width`` x ``height`` inches with a constrained layout."""
    return ShownFigure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


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


def remark(axes: Axes, text: str, outside: int = 0) -> None:
    """Write a few words in the upper left corner, and how many points are ``outside``."""
    if outside:
        text += f"\n{outside} outside the range, drawn at its border"
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
    """Return a small figure that states why there is nothing to draw."""
    figure = new_figure(7.5, 2.2)
    axes = figure.subplots()
    tidy(axes, title)
    axes.set_axis_off()
    note(axes, text)
    return figure


def sequence_colours() -> Colormap:
    """Return colours from dark to light, without the lightest end, which vanishes on white."""
    return ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, 256)))


def shortened(name: str) -> str:
    """Return a name of at most ``MAX_NAME`` letters."""
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def whole_ticks(count: int) -> MaxNLocator:
    """Return a locator of at most ``count`` ticks at round whole numbers."""
    return MaxNLocator(count, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)


def colour_bar(
    figure: Figure | SubFigure, axes: Any, key: Normalize | ScalarMappable, label: str, **look: Any
) -> None:
    """Draw the key to the colours of a picture, or of :func:`sequence_colours` over a range.

    ``look`` is matplotlib's; ``axes`` are those that make room for it.
    """
    drawn = ScalarMappable(key, sequence_colours()) if isinstance(key, Normalize) else key
    bar = figure.colorbar(drawn, ax=axes, **{"pad": 0.02, "shrink": 0.9, **look})
    bar.set_label(label, fontsize=10)
    bar.ax.tick_params(labelsize=9)


def marks(axes: Axes, mask: Mask, x: Floats, y: Floats, **style: Any) -> None:
    """Draw the marks [n] of a mask without edges, also on the border; nothing if there are none.

    ``style`` is matplotlib's; arrays in ``c`` are of the marks shown.
    """
    if mask.any():
        axes.scatter(x[mask], y[mask], **{"linewidths": 0, "clip_on": False, **style})


def star(axes: Axes, *place: float, label: str, **look: Any) -> None:
    """Mark the answer of a search, or the best cell."""
    drawn = {"marker": "*", "s": 190, "color": ORANGE, "edgecolors": "white", "linewidths": 0.8}
    axes.scatter(*place, **{**drawn, "zorder": 5, "label": label, **look})


def level(axes: Axes, height: float, label: str, **look: Any) -> None:
    """Draw what values are compared with: the optimum, or no preference at all."""
    axes.axhline(height, color=GREEN, linestyle="--", linewidth=1.2, label=label, **look)


def diagonal(axes: Axes, low: float, high: float) -> None:
    """Draw where both axes are equal, from ``low`` to ``high``, in a square."""
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1.0, linestyle="--", zorder=1)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal", adjustable="box")


def order_norm(order: Floats) -> Normalize:
    """Return the scale of colours for the order of queries, also of a single one."""
    return Normalize(float(order.min()), max(float(order.max()), float(order.min()) + 1))


def step_axis(axes: Axes, steps: Floats) -> None:
    """Set the axis of steps, with room for a bar at both ends."""
    axes.xaxis.set_major_locator(whole_ticks(9))
    axes.set_xlim(steps.min() - 0.6, steps.max() + 0.6)


def legend(drawn: Any, loc: str, *entries: Any, **look: Any) -> None:
    """Draw an unframed legend of a figure or axes; ``entries``: handles and labels, default all."""
    drawn.legend(*entries, loc=loc, fontsize=9, frameon=False, **look)


def legend_below(figure: Figure, last: Collection[str] = (), **look: Any) -> None:
    """Draw one legend below all axes, each label once, those of ``last`` behind the others."""
    handles = legend_handles(figure.axes)
    labels = sorted(handles, key=last.__contains__)
    if labels:
        shown = [handles[label] for label in labels]
        legend(figure, "outside lower center", shown, labels, **{"ncols": 3, **look})


def legend_beside(axes: Axes) -> None:
    """Draw the legend of axes to their right."""
    legend(axes, "center left", bbox_to_anchor=(1.01, 0.5))


def legend_under(axes: Axes, drop: float, columns: int) -> None:
    """Draw the legend of axes, each label once, below them, ``drop`` of their height lower."""
    handles = legend_handles([axes])
    entries = list(handles.values()), list(handles)
    legend(axes, "upper center", *entries, bbox_to_anchor=(0.5, -drop), ncols=columns)


def legend_handles(drawn: Iterable[Axes]) -> dict[str, Any]:
    """Return label -> what stands for it in a legend."""
    pairs = (zip(*axes.get_legend_handles_labels(), strict=True) for axes in drawn)
    return {label: handle for of_axes in pairs for handle, label in of_axes}


def correlation_text(first: Floats, second: Floats, name: str = SPEARMAN) -> str:
    """Return ``Spearman ρ 0.93, n = 12``, or Kendall's τ; the number alone where there is none."""
    text = f"n = {len(first)}"
    if len(first) >= MEASURABLE and np.ptp(first) > 0 and np.ptp(second) > 0:
        measure = scipy.stats.spearmanr if name == SPEARMAN else scipy.stats.kendalltau
        text = f"{name} {float(measure(first, second).statistic):.2f}, {text}"
    return text


def spread_out(x: Floats, y: Floats, least: float) -> Mask:
    """Return which of n points keep ``least`` from each other: the last first, then backwards.

    The first of all comes second, so that numbered points show where they begin and end.
    """
    order = [len(x) - 1, 0, *range(len(x) - 2, 0, -1)][: len(x)]
    kept: list[int] = []
    for row in order:
        if all(np.hypot(x[row] - x[it], y[row] - y[it]) >= least for it in kept):
            kept.append(row)
    return np.isin(np.arange(len(x)), kept)


def evenly(count: int, most: int) -> Integers:
    """Return at most ``most`` of the indices 0..count - 1, evenly spread, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def png(figure: Figure, dpi: int = DPI, colours: int = 0) -> bytes:
    """Return the PNG bytes of a figure at ``dpi`` dots an inch, without date and version.

    With a palette of so many ``colours`` it has a fifth to a half of the bytes.
    """
    figure.set_dpi(dpi)
    # The first layout moves labels a little, and the second, which drawing includes, settles
    # them: without the first, the same figure saved twice would differ.
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    buffer = io.BytesIO()
    # ``savefig`` would go through every artist once more, to lay the figure out.
    canvas = FigureCanvasAgg(figure)
    canvas.print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    if not colours:
        return buffer.getvalue()
    with Image.open(buffer) as drawn, io.BytesIO() as small:
        few = drawn.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
        few.save(small, "png", optimize=True)
        return small.getvalue()
