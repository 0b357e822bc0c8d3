"""Drawing of one architecture, from the labelled DAG that every search space gives.

It runs from left to right, a long one in several lines: an edge from line to line ends at a
letter, and begins again at the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from optiproxy_nas.core.arrays import Floats, Mask, as_array
from optiproxy_nas.report.cell_layout import COLUMN, Edge, Folded, Place, Point, Routes, layout
from optiproxy_nas.report.style import BLUE, DPI, FAINT, INK, ShownFigure
from optiproxy_nas.spaces.base import SearchSpace

WIDTH, HEIGHT = 1.2, 0.4  # inches of a box
STUB = 0.2  # inches of an edge before it goes on in another line
IDLE = "none"  # the operation that passes nothing on
LONGEST = 15  # letters of a label on one line


@dataclass(frozen=True)
class _Vertices:
    """The vertices of a drawing [V], and where they stand.

    Attributes:
        labels: what their boxes say.
        ends: the names of inputs and outputs; "" of operations.
        live: those on a path that carries a signal.
        captions: what stands below their boxes.
        places: their columns and heights.
    """

    labels: list[str]
    ends: list[str]
    live: Mask
    captions: list[str]
    places: list[Place]


def draw_cell(
    space: SearchSpace,
    architecture: str,
    feature_names: Sequence[str] | None = None,
    node_labels: Sequence[str] = (),
) -> Figure:
    """Draw an architecture as its graph; what no signal passes through is grey.

    Where the space has no graph, the figure holds the space's text drawing.

    Args:
        space: gives the graph, and the names of its inputs and outputs. Edges of different
            weights into one vertex are numbered, the heaviest first: its inputs have an order.
        architecture: in the notation of the space.
        feature_names: names of the F features; default: the space's M operations and its
            ``vertex_labels`` where F = M + 2, and numbers elsewhere.
        node_labels: small captions of the N operation vertices, in vertex order.
    """
    if not space.num_vertices:
        return _text_figure(space.draw(architecture))
    graph = space.graph(space.encode(space.from_string([architecture])))
    keep = as_array(graph.mask[0]) > 0.5
    weights = as_array(graph.adjacency[0])[np.ix_(keep, keep)]
    kinds = as_array(graph.features[0])[keep].argmax(axis=1)
    shown = np.flatnonzero(keep).tolist()
    sections, ends = _sections_and_ends(space.vertex_labels, shown)
    if feature_names is not None:
        labels = [feature_names[kind] for kind in kinds]
    elif space.num_features == len(space.operations) + 2:
        names = ("", *space.operations, "")
        labels = [end or names[kind] for end, kind in zip(ends, kinds, strict=True)]
    else:
        labels = [f"kind {kind}" for kind in kinds]
    searched = [vertex for vertex, name in enumerate(space.vertex_labels) if not name]
    captions = dict(zip(searched, node_labels, strict=False))
    live = _live(weights > 0, np.array([label == IDLE for label in labels]))
    places, routes = layout(weights > 0)
    captioned = [captions.get(vertex, "") for vertex in shown]
    vertices = _Vertices(labels, ends, live, captioned, places)

    folded = Folded(places, routes)
    figure = ShownFigure(figsize=folded.size, dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(-0.5 * COLUMN, folded.size[0] - 0.5 * COLUMN)
    axes.set_ylim(-folded.size[1], 0.0)
    _draw_edges(axes, vertices, routes, folded, _order(weights))
    for section, members in sections.items():  # above the highest of its first column
        first = min(members, key=lambda v: (places[v][0], -places[v][1]))
        x, y = folded.point(places[first])
        style = {"fontsize": 9.5, "fontweight": "bold", "color": INK}
        _write(axes, x - WIDTH / 2, y + HEIGHT / 2 + 0.06, section, ha="left", va="bottom", **style)
    _draw_boxes(axes, vertices, folded)
    return figure


def cell_remarks(space: SearchSpace, architecture: str) -> str:
    """Return what a reader has to be told of the drawing of this architecture, in sentences."""
    if not architecture or not space.num_vertices:
        return ""
    graph = space.graph(space.encode(space.from_string([architecture])))
    keep = as_array(graph.mask[0]) > 0.5
    weights = as_array(graph.adjacency[0])[np.ix_(keep, keep)]
    sections, _ = _sections_and_ends(space.vertex_labels, np.flatnonzero(keep).tolist())
    remarks = []
    if IDLE in space.operations:
        remarks.append("Grey parts carry no signal to the output.")
    if Folded(*layout(weights > 0)).letters:
        remarks.append("An edge that ends at a letter goes on there in the next line.")
    if _order(weights):
        remarks.append("Numbers on arrows are the order of inputs.")
    if len(sections) > 1:
        remarks.append(
            "The encoding feeds the normal cell's output to both inputs of the reduction cell; in "
            "the network these are the outputs of the cell before it and of the one before that."
        )
    return " ".join(remarks)


def _text_figure(text: str) -> Figure:
    """Return a text in letters of one width as a figure."""
    lines = text.splitlines()
    size = (0.085 * max(map(len, lines)) + 0.3, 0.17 * len(lines) + 0.3)
    figure = ShownFigure(figsize=size, dpi=DPI, facecolor="white")
    style: dict[str, Any] = {"family": "monospace", "fontsize": 9, "color": INK, "va": "center"}
    figure.text(0.15 / size[0], 0.5, text, **style)
    return figure


def _draw_edges(
    axes: Axes, vertices: _Vertices, routes: Routes, folded: Folded, order: dict[Edge, str]
) -> None:
    """Draw the edges with their numbers, and the letters where they go on in another line."""
    letters: dict[Point, dict[str, bool]] = {}  # where -> those that stand there, whether used
    for (source, target), route in routes.items():
        used = bool(vertices.live[source] and vertices.live[target])
        colour = INK if used else FAINT
        lines = folded.lines([vertices.places[source], *route, vertices.places[target]])
        for index, points in enumerate(lines):
            begins, ends = index == 0, index == len(lines) - 1
            axes.add_patch(
                FancyArrowPatch(
                    path=_curve(points, not begins, not ends),
                    arrowstyle="-|>" if ends else "-",
                    mutation_scale=9,
                    color=colour,
                    linewidth=1.2 if used else 0.8,
                    linestyle="-" if used else (0, (3, 3)),
                    zorder=2 if used else 1,
                )
            )
            number = order.get((source, target), "") if ends else ""
            if number and len(points) > 1:
                (x0, y0), (x1, y1) = points[-2:]
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
                style = {"fontsize": 8, "color": colour, "zorder": 3, "bbox": box}
                _write(axes, (x0 + x1) / 2, (y0 + y1) / 2, number, va="center", **style)
            letter = folded.letters.get(source, "") + (number if len(points) == 1 else "")
            for (x, y), side in [(points[0], -1)] * (not begins) + [(points[-1], 1)] * (not ends):
                found = letters.setdefault((x + side * (WIDTH / 2 + STUB + 0.07), y), {})
                found[letter] = used or found.get(letter, False)
    for (x, y), found in letters.items():
        style = {
            "fontsize": 8,
            "fontweight": "bold",
            "color": INK if any(found.values()) else FAINT,
        }
        _write(axes, x, y, ",".join(sorted(found)), va="center_baseline", **style)


def _draw_boxes(axes: Axes, vertices: _Vertices, folded: Folded) -> None:
    for vertex, place in enumerate(vertices.places):
        (x, y), live = folded.point(place), vertices.live[vertex]
        fill = "white" if vertices.ends[vertex] else "#e4edf8"
        axes.add_patch(
            FancyBboxPatch(
                (x - WIDTH / 2, y - HEIGHT / 2),
                WIDTH,
                HEIGHT,
                boxstyle="round,pad=0,rounding_size=0.08",
                facecolor=fill if live else "#f3f3f3",
                edgecolor=BLUE if live else FAINT,
                linewidth=1.2 if live else 0.8,
                zorder=3,
            )
        )
        name = _in_lines(vertices.labels[vertex])
        style: dict[str, Any] = {"va": "center_baseline", "fontsize": 9}
        if "\n" in name:
            style = {"va": "center", "fontsize": 8}
        _write(axes, x, y, name, linespacing=1.0, color=INK if live else FAINT, **style)
        if caption := vertices.captions[vertex]:
            style = {"fontsize": 7.5, "color": FAINT, "zorder": 3}
            _write(axes, x, y - HEIGHT / 2 - 0.03, caption, va="top", **style)


def _write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    axes.text(x, y, text, **{"ha": "center", "zorder": 4, **style})


def _sections_and_ends(
    vertex_labels: Sequence[str], shown: Sequence[int]
) -> tuple[dict[str, list[int]], list[str]]:
    """Return the vertices of each named section ("normal cell: input"), and the names of all."""
    members: dict[str, list[int]] = {}
    names = []
    for index, vertex in enumerate(shown):
        section, colon, name = vertex_labels[vertex].partition(": ")
        names.append(name if colon else section)
        if colon:
            members.setdefault(section, []).append(index)
    return members, names


def _order(weights: Floats) -> dict[Edge, str]:
    """Return the rank, by weight, of each edge into a vertex whose edges differ in weight."""
    order: dict[Edge, str] = {}
    for target in range(len(weights)):
        sources = sorted(np.flatnonzero(weights[:, target]), key=lambda s: -weights[s, target])
        if len({float(weights[source, target]) for source in sources}) > 1:
            order |= {(int(s), target): str(rank) for rank, s in enumerate(sources, start=1)}
    return order


def _in_lines(label: str) -> str:
    """Return a label, on two lines if it is too long for a box, split where its words are."""
    breaks = [i + 1 for i, letter in enumerate(label[:-1]) if letter in "_- "]
    if len(label) <= LONGEST or not breaks:
        return label
    middle = min(breaks, key=lambda i: abs(2 * i - len(label)))
    return f"{label[:middle]}\n{label[middle:]}"


def _live(edges: Mask, blocked: Mask) -> Mask:
    """Return the vertices on a path from a source to a sink without a blocked vertex."""
    isolated = ~edges.any(axis=0) & ~edges.any(axis=1)
    forward = ~edges.any(axis=0) & ~isolated & ~blocked
    backward = ~edges.any(axis=1) & ~isolated & ~blocked
    for _ in range(len(edges)):
        forward |= edges[forward].any(axis=0) & ~blocked
        backward |= edges[:, backward].any(axis=1) & ~blocked
    return forward & backward


def _curve(points: Sequence[Point], comes: bool, goes_on: bool) -> Path:
    """Return a smooth path between box sides, which bends between columns only.

    Args:
        points: the middles of the places on one line.
        comes: it begins before the first, coming from another line.
        goes_on: it ends behind the last, and goes on in another line.
    """
    vertices: list[Point] = []
    codes: list[np.uint8] = []
    if comes:
        x, y = points[0]
        vertices += [(x - WIDTH / 2 - STUB, y), (x - WIDTH / 2, y)]
        codes += [Path.MOVETO, Path.LINETO]
    for (x0, y0), (x1, y1) in pairwise(points):
        x0, x1 = x0 + WIDTH / 2, x1 - WIDTH / 2
        middle = (x0 + x1) / 2
        vertices += [(x0, y0), (middle, y0), (middle, y1), (x1, y1)]
        codes += [Path.LINETO if codes else Path.MOVETO, *[Path.CURVE4] * 3]
    if goes_on:
        x, y = points[-1]
        vertices += [(x + WIDTH / 2, y), (x + WIDTH / 2 + STUB, y)]
        codes += [Path.LINETO if codes else Path.MOVETO, Path.LINETO]
    return Path(vertices, codes)
