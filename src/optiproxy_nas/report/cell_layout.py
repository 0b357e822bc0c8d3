"""Layout of a drawn graph: where its vertices and edges stand.

Left to right: a vertex stands one column behind its latest input. An edge that passes over
columns goes through an invisible vertex in each, so that it does not cross boxes. A long graph is
folded into lines, or its labels would be too small to read on a page.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby
from statistics import fmean

import numpy as np

from optiproxy_nas.core.arrays import Mask

Place = tuple[int, float]  # column, height
Point = tuple[float, float]  # inches
Edge = tuple[int, int]
Routes = dict[Edge, list[Place]]  # edge -> its places between those of its ends

COLUMN, ROW = 1.95, 0.78  # inches between columns and rows
LINE = 6  # columns of a line; one that is all has up to one more
STARTS, SWEEPS = 20, 6  # of the search for few crossings


def layout(edges: Mask) -> tuple[list[Place], Routes]:
    """Return the places of the V vertices, and the in-between places of every edge."""
    count = len(edges)
    pairs = [(int(a), int(b)) for a, b in np.argwhere(edges)]
    column = [0] * count
    for _ in range(count):  # longest path from a source; V rounds are enough in a DAG
        for a, b in pairs:
            column[b] = max(column[b], column[a] + 1)
    chains: dict[Edge, list[int]] = {}
    links: list[Edge] = []
    for a, b in pairs:
        between = range(column[a] + 1, column[b])
        chain = list(range(len(column), len(column) + len(between)))
        column.extend(between)
        chains[a, b] = chain
        links.extend(zip([a, *chain], [*chain, b], strict=True))

    height = _heights(column, links)
    places = [(column[v], height[v]) for v in range(len(column))]
    return places[:count], {edge: [places[v] for v in chain] for edge, chain in chains.items()}


def _heights(column: Sequence[int], links: Sequence[Edge]) -> list[float]:
    """Return heights with few crossings and short links.

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


class Folded:
    """A layout in inches, a long graph folded into lines.

    Attributes:
        size: width and height of the figure.
        letters: vertex -> the letter of its edges that go on in another line.
    """

    def __init__(self, places: Sequence[Place], routes: Routes) -> None:
        chains = {(a, b): [places[a], *route, places[b]] for (a, b), route in routes.items()}
        columns = max(column for column, _ in places) + 1
        over: list[set[int]] = [set() for _ in range(columns)]  # sources of edges into a column
        for (source, _), chain in chains.items():
            for column, _ in chain[1:]:
                over[column].add(source)
        self._starts = _starts([len(sources) for sources in over])
        crossing = sorted(set[int]().union(*(over[start] for start in self._starts[1:])))
        self.letters = {v: chr(97 + i) if i < 26 else str(i) for i, v in enumerate(crossing)}
        self._top: list[float] = []  # of each line: the height that is at 0
        every = [*places, *(place for route in routes.values() for place in route)]
        reached = 0.0
        for line in range(len(self._starts)):
            heights = [height for column, height in every if self._line(column) == line]
            self._top.append(max(heights) + 0.65 + reached)
            reached += max(heights) - min(heights) + 1.3
        widths = np.diff([*self._starts, columns])
        self.size = (float(widths.max()) * COLUMN, reached * ROW)

    def _line(self, column: int) -> int:
        return bisect_right(self._starts, column) - 1

    def point(self, place: Place) -> Point:
        """Return the middle of a place."""
        line = self._line(place[0])
        return (place[0] - self._starts[line]) * COLUMN, (place[1] - self._top[line]) * ROW

    def lines(self, chain: Sequence[Place]) -> list[list[Point]]:
        """Return the points of an edge, line by line."""
        lines = groupby(chain, key=lambda place: self._line(place[0]))
        return [[self.point(place) for place in line] for _, line in lines]


def _starts(edges: Sequence[int]) -> list[int]:
    """Return the first column of each line, given how many vertices lead into each column.

    A line ends where few edges go on, as late as it may.
    """
    starts = [0]
    while len(edges) - starts[-1] > LINE + 1:
        allowed = range(starts[-1] + LINE // 2, starts[-1] + LINE + 1)
        starts.append(min(allowed, key=lambda column: (edges[column], -column)))
    return starts
