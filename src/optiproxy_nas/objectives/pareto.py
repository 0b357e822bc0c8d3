"""The Pareto front of evaluated architectures, and its hypervolume (moocore does both)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import moocore
import numpy as np
from numpy.typing import ArrayLike

from optiproxy_nas.core.arrays import Floats, Mask
from optiproxy_nas.objectives.constraints import Constraint

# The exact algorithm is exponential in the dimension: 300 points of a front take 0.1 s in six
# dimensions and 4 s in seven.
MOST_EXACT = 6


class Reference(NamedTuple):
    """The corner that a hypervolume is measured from.

    ``point`` [d]: a point counts only where it is better than this in every coordinate.
    ``maximise`` [d]: the coordinates of which more is better; empty: all are costs.
    """

    point: tuple[float, ...]
    maximise: tuple[bool, ...] = ()


def reference_of(bounds: Iterable[Constraint]) -> Reference:
    """Return the reference point of constrained runs: 0 % accuracy, and each metric at its bound.

    It depends on the run's parameters alone, so hypervolumes of runs with the same bounds can be
    compared, whatever the runs found. A point that breaks a bound contributes nothing. A metric
    with an upper and a lower bound is minimised from the upper one; points under the lower one
    have to be left out by the caller.

    Args:
        bounds: the constraints.

    Returns:
        The reference for points whose first coordinate is the value (percent) and whose others are
        the bounded metrics, each once, in the order of ``bounds``.
    """
    corner: dict[str, tuple[float, bool]] = {}
    for bound in bounds:
        upper = bound.operator.startswith("<")
        if upper or bound.metric not in corner:
            corner[bound.metric] = (float(bound.bound), not upper)
    points, more = zip((0.0, True), *corner.values(), strict=True)
    return Reference(points, more)


def pareto_front(points: ArrayLike, maximise: bool | Sequence[bool] = False) -> Mask:
    """Return which points no other one dominates: as good in every coordinate and better in one.

    Equal points are all on the front or all off it; one with a coordinate that is not finite (a
    cell that cannot run) never is.

    Args:
        points: [n, d], costs by default.
        maximise: the coordinates of which more is better, one for all or [d].

    Returns:
        [n].
    """
    array = _points(points)
    front: Mask = np.all(np.isfinite(array), axis=1, keepdims=True)[:, 0]
    if front.any():
        kept = moocore.is_nondominated(array[front], maximise=maximise, keep_weakly=True)
        front[front] = np.asarray(kept, dtype=bool)
    return front


def hypervolume(points: ArrayLike, reference: Reference) -> float:
    """Return the volume that the points dominate up to a reference point.

    Exact to six dimensions; beyond, by a deterministic quasi-random sum (to about 1e-4 of it).

    Args:
        points: [n, d]; rows that are not finite, or not better than the reference in every
            coordinate, contribute nothing.
        reference: see :class:`Reference`.

    Returns:
        At least 0, in the product of the coordinates' units.

    Raises:
        ValueError: the reference has another number of coordinates than the points.
    """
    array, corner = _points(points), np.asarray(reference.point, dtype=np.float64)
    sign = np.where(np.asarray(reference.maximise or [False] * len(corner)), -1.0, 1.0)
    if not len(array):
        return 0.0
    if not array.shape[1] == len(corner) == len(sign):
        raise ValueError(
            f"Points of {array.shape[1]} coordinates, a reference of {len(corner)} and "
            f"{len(sign)} directions: these must be equal."
        )
    costs, limit = array * sign, corner * sign
    counting = costs[np.isfinite(costs).all(axis=1) & (costs < limit).all(axis=1)]
    if not len(counting):
        return 0.0
    measure = moocore.hypervolume if len(corner) <= MOST_EXACT else moocore.hv_approx
    return float(measure(np.ascontiguousarray(counting), ref=limit))


def _points(points: ArrayLike) -> Floats:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"Points must be [n, d], not of shape {array.shape}.")
    return array
