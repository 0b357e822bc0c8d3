"""A small picture of one architecture, from the labelled DAG that every search space gives.

It runs from left to right, a long one in several lines: an edge from line to line ends at a
letter, and begins again at the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from optiproxy_nas.core.arrays import Floats, Mask
from optiproxy_nas.report.cell_layout import COLUMN, Folded, Point, layout
from optiproxy_nas.report.style import BLUE, DPI, FAINT, INK, as_array
from optiproxy_nas.spaces.base import SearchSpace

WIDTH, HEIGHT = 1.2, 0.4  # inches of a box
STUB = 0.2  # inches of an edge before it goes on in another line
LONGEST = 15  # letters of a label on one line


def draw_cell(
    space: SearchSpace,
    architecture: str,
    feature_names: Sequence[str] | None = None,
    node_labels: Sequence[str] = (),
    idle: Collection[str] = ("none",),
) -> Figure:
    """Draw an architecture as its graph; what no signal passes through is grey.

    Args:
        space: gives the graph, and the names of its inputs and outputs. Edges of different
            weights into one vertex are numbered, the heaviest first: its inputs have an order.
        architecture: in the notation of the space.
        feature_names: names of the F features; default: the space's M operations and its
            ``vertex_labels`` where F = M + 2, and numbers elsewhere.
        node_labels: small captions of the N operation vertices, in vertex order.
        idle: labels that pass nothing on.
    """
    graph = space.graph(space.encode(space.from_string([architecture])))
    keep = as_array(graph.mask[0]) > 0.5
    weights = as_array(graph.adjacency[0])[np.ix_(keep, keep)]
    edges = weights > 0
    kinds = as_array(graph.features[0])[keep].argmax(axis=1)
    shown = np.flatnonzero(keep).tolist()
    parts_of, ends = _named(space.vertex_labels, shown)
    if feature_names is None and space.num_features == len(space.operations) + 2:
        names = ("", *space.operations, "")
        labels = [end or names[kind] for end, kind in zip(ends, kinds, strict=True)]
    elif feature_names is None:
        labels = [f"kind {kind}" for kind in kinds]
    else:
        labels = [feature_names[kind] for kind in kinds]
    order = _order(weights)
    live = _live(edges, np.array([label in idle for label in labels]))
    places, routes = layout(edges)

    folded = Folded(places, routes)
    figure = Figure(figsize=folded.size, dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(-0.5 * COLUMN, folded.size[0] - 0.5 * COLUMN)
    axes.set_ylim(-folded.size[1], 0.0)
    letters: dict[Point, dict[str, bool]] = {}  # where -> those that stand there, whether used
    for (source, target), route in routes.items():
        used = bool(live[source] and live[target])
        parts = folded.parts([places[source], *route, places[target]])
        for index, points in enumerate(parts):
            begins, ends_here = index == 0, index == len(parts) - 1
            axes.add_patch(
                FancyArrowPatch(
                    path=_curve(points, not begins, not ends_here),
                    arrowstyle="-|>" if ends_here else "-",
                    mutation_scale=9,
                    color=INK if used else FAINT,
                    linewidth=1.2 if used else 0.8,
                    linestyle="-" if used else (0, (3, 3)),
                    zorder=2 if used else 1,
                )
            )
            sides = [(points[0], -1)] * (not begins) + [(points[-1], 1)] * (not ends_here)
            number = order.get((source, target), "") if ends_here else ""
            if number and len(points) > 1:
                (x0, y0), (x1, y1) = points[-2:]
                axes.text(
                    (x0 + x1) / 2, (y0 + y1) / 2, number, ha="center", va="center", fontsize=8,
                    color=INK if used else FAINT, zorder=3,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
                )  # fmt: skip
            for (x, y), side in sides:
                found = letters.setdefault((x + side * (WIDTH / 2 + STUB + 0.07), y), {})
                letter = folded.letters[source] + (number if len(points) == 1 else "")
                found[letter] = used or found.get(letter, False)
    for (x, y), found in letters.items():
        colour = INK if any(found.values()) else FAINT
        axes.text(
            x, y, ",".join(sorted(found)), ha="center", va="center_baseline", fontsize=8,
            fontweight="bold", color=colour, zorder=4,
        )  # fmt: skip
    searched = [vertex for vertex, name in enumerate(space.vertex_labels) if not name]
    captions = dict(zip(searched, node_labels, strict=False))
    for section, members in parts_of.items():  # above the highest of its first column
        first = min(members, key=lambda v: (places[v][0], -places[v][1]))
        x, y = folded.point(places[first])
        axes.text(
            x - WIDTH / 2, y + HEIGHT / 2 + 0.06, section, ha="left", va="bottom", fontsize=9.5,
            fontweight="bold", color=INK, zorder=4,
        )  # fmt: skip
    for vertex, place in enumerate(places):
        (x, y), end = folded.point(place), bool(ends[vertex])
        axes.add_patch(
            FancyBboxPatch(
                (x - WIDTH / 2, y - HEIGHT / 2),
                WIDTH,
                HEIGHT,
                boxstyle="round,pad=0,rounding_size=0.08",
                facecolor="#f3f3f3" if not live[vertex] else "#e4edf8" if not end else "white",
                edgecolor=BLUE if live[vertex] else FAINT,
                linewidth=1.2 if live[vertex] else 0.8,
                zorder=3,
            )
        )
        colour = INK if live[vertex] else FAINT
        name = _in_lines(labels[vertex])
        axes.text(
            x, y, name, ha="center", va="center" if "\n" in name else "center_baseline",
            fontsize=8 if "\n" in name else 9, linespacing=1.0, color=colour, zorder=4,
        )  # fmt: skip
        if shown[vertex] in captions:
            axes.text(
                x, y - HEIGHT / 2 - 0.03, captions[shown[vertex]], ha="center", va="top",
                fontsize=7.5, color=FAINT,
            )  # fmt: skip
    return figure


def _named(
    vertex_labels: Sequence[str], shown: Sequence[int]
) -> tuple[dict[str, list[int]], list[str]]:
    """The named vertices of each part of the graph, and the names of all; "" of operations."""
    members: dict[str, list[int]] = {}
    names = []
    for place, vertex in enumerate(shown):
        part, parted, name = vertex_labels[vertex].partition(": ")
        names.append(name if parted else part)
        if parted:
            members.setdefault(part, []).append(place)
    return members, names


def _order(weights: Floats) -> dict[tuple[int, int], str]:
    """The rank, by weight, of each edge into a vertex whose edges differ in weight."""
    order: dict[tuple[int, int], str] = {}
    for target in range(len(weights)):
        sources = sorted(np.flatnonzero(weights[:, target]), key=lambda s: -weights[s, target])
        if len({float(weights[source, target]) for source in sources}) > 1:
            order |= {(int(s), target): str(rank) for rank, s in enumerate(sources, start=1)}
    return order


def _in_lines(label: str) -> str:
    """A label that is too long for a box on two lines, split where its words are."""
    breaks = [i + 1 for i, letter in enumerate(label[:-1]) if letter in "_- "]
    if len(label) <= LONGEST or not breaks:
        return label
    middle = min(breaks, key=lambda i: abs(2 * i - len(label)))
    return f"{label[:middle]}\n{label[middle:]}"


def _live(edges: Mask, blocked: Mask) -> Mask:
    """Vertices on a path from a source to a sink that no blocked vertex interrupts."""
    isolated = ~edges.any(axis=0) & ~edges.any(axis=1)
    forward = ~edges.any(axis=0) & ~isolated & ~blocked
    backward = ~edges.any(axis=1) & ~isolated & ~blocked
    for _ in range(len(edges)):
        forward |= edges[forward].any(axis=0) & ~blocked
        backward |= edges[:, backward].any(axis=1) & ~blocked
    return forward & backward


def _curve(points: Sequence[Point], comes: bool, goes_on: bool) -> Path:
    """A smooth path between box sides; it bends between columns and is level within them.

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
