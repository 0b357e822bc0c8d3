"""A small picture of one architecture, from the labelled DAG that every search space gives.

Left to right: a vertex stands one column behind its latest input. An edge that passes over
columns goes through an invisible vertex in each, so that it does not cross boxes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import pairwise
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from optiproxy_nas.reporting.style import BLUE, DPI, FAINT, INK, as_array
from optiproxy_nas.spaces.base import SearchSpace

Bools = NDArray[np.bool_]
Place = tuple[int, float]  # column, height

COLUMN, ROW = 1.95, 0.78  # inches between columns and rows
WIDTH, HEIGHT = 1.2, 0.4  # inches of a box
STARTS, SWEEPS = 20, 6  # of the search for few crossings


def draw_cell(
    space: SearchSpace,
    architecture: str,
    feature_names: Sequence[str] | None = None,
    node_labels: Sequence[str] = (),
    idle: Collection[str] = ("none",),
) -> Figure:
    """Draw an architecture as its graph; what no signal passes through is grey.

    Args:
        space: gives the graph.
        architecture: in the notation of the space.
        feature_names: names of the F features; default: input, the M operations, output where
            F = M + 2, and numbers elsewhere.
        node_labels: small captions of the N operation vertices, in vertex order.
        idle: labels that pass nothing on.
    """
    graph = space.graph(space.encode(space.from_string([architecture])))
    keep = as_array(graph.mask[0]) > 0.5
    edges = (as_array(graph.adjacency[0]) > 0.5)[np.ix_(keep, keep)]
    kinds = as_array(graph.features[0])[keep].argmax(axis=1)
    if feature_names is None:
        standard = space.num_features == len(space.operations) + 2
        feature_names = (
            ("input", *space.operations, "output")
            if standard
            else [f"kind {index}" for index in range(space.num_features)]
        )
    labels = [feature_names[kind] for kind in kinds]
    live = _live(edges, np.array([label in idle for label in labels]))
    places, routes = _layout(edges)

    columns = max(column for column, _ in places) + 1
    heights = [height for _, height in places] + [h for route in routes.values() for _, h in route]
    size = (columns * COLUMN, (max(heights) - min(heights) + 1.3) * ROW)
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(-0.5 * COLUMN, (columns - 0.5) * COLUMN)
    axes.set_ylim((min(heights) - 0.65) * ROW, (max(heights) + 0.65) * ROW)
    for (source, target), route in routes.items():
        used = bool(live[source] and live[target])
        axes.add_patch(
            FancyArrowPatch(
                path=_curve([places[source], *route, places[target]]),
                arrowstyle="-|>",
                mutation_scale=9,
                color=INK if used else FAINT,
                linewidth=1.2 if used else 0.8,
                linestyle="-" if used else (0, (3, 3)),
                zorder=2 if used else 1,
            )
        )
    captions = list(node_labels)
    for vertex, (column, height) in enumerate(places):
        x, y, end = column * COLUMN, height * ROW, labels[vertex] not in space.operations
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
        axes.text(x, y, labels[vertex], ha="center", va="center_baseline", fontsize=9, color=colour)
        if not end and captions:
            axes.text(
                x, y - HEIGHT / 2 - 0.03, captions.pop(0), ha="center", va="top", fontsize=7.5,
                color=FAINT,
            )  # fmt: skip
    return figure


def _live(edges: Bools, blocked: Bools) -> Bools:
    """Vertices on a path from a source to a sink that no blocked vertex interrupts."""
    isolated = ~edges.any(axis=0) & ~edges.any(axis=1)
    forward = ~edges.any(axis=0) & ~isolated & ~blocked
    backward = ~edges.any(axis=1) & ~isolated & ~blocked
    for _ in range(len(edges)):
        forward |= edges[forward].any(axis=0) & ~blocked
        backward |= edges[:, backward].any(axis=1) & ~blocked
    return forward & backward


def _layout(edges: Bools) -> tuple[list[Place], dict[tuple[int, int], list[Place]]]:
    """Places of the V vertices, and the in-between places of every edge."""
    count = len(edges)
    pairs = [(int(a), int(b)) for a, b in np.argwhere(edges)]
    column = [0] * count
    for _ in range(count):  # longest path from a source; V rounds are enough in a DAG
        for a, b in pairs:
            column[b] = max(column[b], column[a] + 1)
    chains: dict[tuple[int, int], list[int]] = {}
    links: list[tuple[int, int]] = []
    for a, b in pairs:
        between = range(column[a] + 1, column[b])
        chain = list(range(len(column), len(column) + len(between)))
        column.extend(between)
        chains[a, b] = chain
        links.extend(zip([a, *chain], [*chain, b], strict=True))

    height = _heights(column, links)
    places = [(column[v], height[v]) for v in range(len(column))]
    return places[:count], {edge: [places[v] for v in chain] for edge, chain in chains.items()}


def _heights(column: Sequence[int], links: Sequence[tuple[int, int]]) -> list[float]:
    """Heights with few crossings and short links.

    From several random starts, columns are sorted by the mean height of their neighbours on the
    left (rightward sweep) and on the right (leftward sweep) in turn; the best of all is kept.
    """
    left: list[list[int]] = [[] for _ in column]
    right: list[list[int]] = [[] for _ in column]
    for a, b in links:
        left[b].append(a)
        right[a].append(b)
    layers = [[v for v, c in enumerate(column) if c == k] for k in range(max(column) + 1)]
    pairs = [
        (one, two)
        for i, one in enumerate(links)
        for two in links[:i]
        if column[one[0]] == column[two[0]]
    ]
    shuffle = np.random.default_rng(0)  # fixed, so that a cell always looks the same
    best: list[float] = []
    least = (math.inf, math.inf)
    for _ in range(STARTS):
        height = [float(x) for x in shuffle.permutation(len(column))]
        for sweep in range(SWEEPS):
            beside = left if sweep % 2 else right
            for layer in layers if sweep % 2 else reversed(layers):
                pull = {v: fmean(height[n] for n in beside[v] or [v]) for v in layer}
                ordered = sorted(layer, key=lambda v: (pull[v], height[v]))
                for index, vertex in enumerate(ordered):
                    height[vertex] = index - (len(layer) - 1) / 2
            crossings = sum(
                (height[a] - height[c]) * (height[b] - height[d]) < 0 for (a, b), (c, d) in pairs
            )
            cost = (crossings, sum(abs(height[a] - height[b]) for a, b in links))
            if cost < least:
                best, least = list(height), cost
    return best


def _curve(places: Sequence[Place]) -> Path:
    """A smooth path between box sides; it bends between columns and is level within them."""
    vertices: list[tuple[float, float]] = []
    codes: list[np.uint8] = []
    for (column, height), (next_column, next_height) in pairwise(places):
        x0, y0 = column * COLUMN + WIDTH / 2, height * ROW
        x1, y1 = next_column * COLUMN - WIDTH / 2, next_height * ROW
        middle = (x0 + x1) / 2
        vertices += [(x0, y0), (middle, y0), (middle, y1), (x1, y1)]
        codes += [Path.LINETO if codes else Path.MOVETO, *[Path.CURVE4] * 3]
    return Path(vertices, codes)
