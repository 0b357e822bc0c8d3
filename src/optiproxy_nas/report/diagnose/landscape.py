"""The search space as a landscape (Figure 4): two axes for the cells, their value as the height.

The axes are the principal components of the encodings where these are defined. Over a complete
table that holds every combination of operations once (NAS-Bench-201) they are not: all
components have the same variance, and any pair of directions is as good as any other. There the
first axis leads from the mean of all cells to the mean of the best tenth, and the second is
the first principal component of the best tenth at right angles to it: towards the good cells,
and along what they differ in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.core.arrays import Floats, Integers, Mask
from optiproxy_nas.core.numbers import metric_label, value_text
from optiproxy_nas.report.diagnose.reference_cells import Cells
from optiproxy_nas.spaces.base import SearchSpace

BEST = 0.1  # share of the cells that the axes of a complete table lead to
COMPONENTS = "principal components"
TOWARDS_BEST = "towards the best tenth"


class Axes(NamedTuple):
    """A plane through the encodings."""

    centre: Floats  # [D]
    directions: Floats  # [2, D], orthonormal
    kind: str  # COMPONENTS or TOWARDS_BEST
    variance: Floats  # [2] share of the cells' variance along each


class Landscape(NamedTuple):
    """Cells in the plane, and a search's way through them."""

    places: Floats  # [T, 2]
    values: Floats  # [T]
    axes: Axes
    queries: Integers  # [n] row of each query, in query order
    trajectory: pd.DataFrame  # one row a point: number, query, row, x, y, value
    optimum: int  # row of the best cell that may be the answer (the first of equals)
    metric: str = VALIDATION_ACCURACY  # what the values are of
    total: int = 0  # cells of the benchmark's table; 0: there is none, the best is the best known
    drawn: int = 0  # random cells among them; 0: they are all
    caution: str = ""  # the benchmark's, of its values

    @property
    def label(self) -> str:
        """The label of an axis of values."""
        return metric_label(self.metric, self.caution)

    @property
    def best(self) -> str:
        """The best cell with its value, for legends."""
        name = "optimum of the table" if self.total else "best of these"
        return f"{name}: {value_text(self.metric, self.values[self.optimum])}"


class Region(NamedTuple):
    """A rectangle of the plane, and the range of values that its colours are for."""

    x: tuple[float, float]
    y: tuple[float, float]
    value: tuple[float, float]

    def holds(self, places: Floats) -> Mask:
        """Return which of places [n, 2] lie in it: [n]."""
        low, high = np.array([self.x[0], self.y[0]]), np.array([self.x[1], self.y[1]])
        inside: Mask = np.all((places >= low) & (places <= high), axis=1)
        return inside


def flat_encodings(space: SearchSpace, codes: Tensor) -> Floats:
    """Return the encodings of codes [n, L] as rows [n, N·M + E]."""
    encoding = space.encode(codes)
    blocks = (encoding.operations.flatten(1), encoding.edges.flatten(1))
    return np.concatenate([block.double().numpy() for block in blocks], axis=1)


def find_axes(encodings: Floats, values: Floats) -> Axes:
    """Find the plane of the picture.

    Args:
        encodings: [T, D] of all cells.
        values: [T]; decide only where the principal components are not defined.
    """
    from sklearn.decomposition import PCA  # here, or every command would wait for it

    pca = PCA(min(3, *encodings.shape), svd_solver="full").fit(encodings)
    variance = np.append(pca.explained_variance_, 0.0)[:3]
    total = max(float(encodings.var(axis=0, ddof=1).sum()), np.finfo(float).tiny)
    centre = encodings.mean(axis=0)
    if (np.diff(variance) < -1e-6 * variance[0]).all():
        directions, kind = pca.components_[:2], COMPONENTS
    else:
        best = np.argsort(-values, kind="stable")[: max(2, round(BEST * len(values)))]
        ascent = encodings[best].mean(axis=0) - centre
        first = ascent / max(float(np.linalg.norm(ascent)), np.finfo(float).tiny)
        rest = encodings[best] - centre
        rest = rest - np.outer(rest @ first, first)
        second = PCA(1, svd_solver="full").fit(rest).components_[0]
        directions, kind = np.stack([first, second]), TOWARDS_BEST
    if kind == COMPONENTS:
        directions[0] = _fix_sign(directions[0])
    directions[1] = _fix_sign(directions[1])
    spread = ((encodings - centre) @ directions.T).var(axis=0, ddof=1) / total
    return Axes(centre, directions, kind, spread)


def _fix_sign(direction: Floats) -> Floats:
    """Return the direction or its opposite: the (first) entry of largest size is positive."""
    size = np.abs(direction)
    leading = int((size >= size.max() * (1 - 1e-9)).argmax())
    return direction * (1.0 if direction[leading] >= 0 else -1.0)


def make_landscape(
    space: SearchSpace,
    cells: Cells,
    queried: Tensor,
    every: int,
    metric: str = VALIDATION_ACCURACY,
    caution: str = "",
) -> Landscape:
    """Place cells, and a search among them, in the plane.

    Args:
        space: the search space.
        cells: T cells, those of the archive among them.
        queried: the archive's cells [n, L], in query order.
        every: the trajectory's points are the best of so many queries each.
        metric: what the values are of.
        caution: the benchmark's, of these values.
    """
    encodings = flat_encodings(space, cells.codes)
    axes = find_axes(encodings, cells.values)
    places = (encodings - axes.centre) @ axes.directions.T
    row_of = {name: row for row, name in enumerate(space.identify(cells.codes))}
    queries = np.array([row_of[name] for name in space.identify(queried)], dtype=np.int64)
    return Landscape(
        places,
        cells.values,
        axes,
        queries,
        _trajectory(places, cells.values, cells.ranks, queries, every),
        optimum=int(cells.ranks.argmax()),
        metric=metric,
        total=cells.total,
        drawn=0 if cells.complete else cells.drawn,
        caution=caution,
    )


def _trajectory(
    places: Floats, values: Floats, ranks: Integers, queries: Integers, every: int
) -> pd.DataFrame:
    """Return the best of every ``every`` queries (the earliest of equals), in order."""
    starts = range(0, len(queries), every)
    best = [start + int(ranks[queries[start : start + every]].argmax()) for start in starts]
    order = np.array(best, dtype=np.int64)
    rows = queries[order]
    x, y = places[rows].T
    number = np.arange(1, len(rows) + 1)
    return pd.DataFrame(
        {"number": number, "query": order + 1, "row": rows, "x": x, "y": y, "value": values[rows]}
    )


def search_region(landscape: Landscape) -> Region:
    """Return the rectangle around the better half of the trajectory's points.

    The colours begin at the median cell of the region, and end at its best.
    """
    points = landscape.trajectory
    good = points[points["value"] >= points["value"].median()]
    place = good[["x", "y"]].to_numpy(np.float64)
    low, high = place.min(axis=0), place.max(axis=0)
    pad = np.maximum(0.12 * (high - low), 0.05 * np.ptp(landscape.places, axis=0))
    (left, bottom), (right, top_edge) = (low - pad).tolist(), (high + pad).tolist()
    region = Region((left, right), (bottom, top_edge), (0.0, 0.0))
    values = landscape.values[region.holds(landscape.places)]
    top = float(values.max())
    return region._replace(value=(min(float(np.median(values)), top - 0.1), top))
