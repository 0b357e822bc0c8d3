"""The front and its hypervolume against definitions and volumes that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from optiproxy_nas.objectives.constraints import Constraint
from optiproxy_nas.objectives.pareto import Reference, hypervolume, pareto_front, reference_of

COARSE = st.integers(0, 5).map(float)  # coarse, so that ties happen
CLOUDS = st.tuples(st.integers(1, 12), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=COARSE)
)


def dominates(a: Any, b: Any) -> Any:
    return bool((a <= b).all() and (a < b).any())


@given(CLOUDS)
@settings(max_examples=60, deadline=None)
def test_the_front_is_what_nothing_dominates(points: Any) -> None:
    expected = [not any(dominates(other, point) for other in points) for point in points]
    assert pareto_front(points).tolist() == expected


@given(CLOUDS)
@settings(max_examples=60, deadline=None)
def test_maximising_is_minimising_the_negative(points: Any) -> None:
    assert pareto_front(points, maximise=True).tolist() == pareto_front(-points).tolist()
    corner = (6.0,) * points.shape[1]
    flipped = Reference(tuple(-x for x in corner), (True,) * len(corner))
    assert hypervolume(points, Reference(corner)) == pytest.approx(hypervolume(-points, flipped))


@given(CLOUDS)
@settings(max_examples=40, deadline=None)
def test_volume_is_the_number_of_dominated_unit_cubes(points: Any) -> None:
    size = points.shape[1]
    lattice = np.stack(np.meshgrid(*[np.arange(4.0)] * size, indexing="ij"), -1).reshape(-1, size)
    cubes = (points[None] <= lattice[:, None]).all(-1).any(-1)
    assert hypervolume(points, Reference((4.0,) * size)) == pytest.approx(cubes.sum())


@given(CLOUDS)
@settings(max_examples=40, deadline=None)
def test_only_the_front_counts(points: Any) -> None:
    reference = Reference((5.0,) * points.shape[1])
    whole = hypervolume(points, reference)
    assert hypervolume(points[pareto_front(points)], reference) == pytest.approx(whole)


def test_a_cell_that_cannot_run_is_never_on_the_front_and_adds_nothing() -> None:
    points = np.array([[50.0, 3.0], [90.0, np.inf], [np.nan, 1.0]])
    assert pareto_front(points, [True, False]).tolist() == [True, False, False]
    assert hypervolume(points, reference_of([Constraint("ms", "<", 4)])) == pytest.approx(50 * 1)


def test_a_cell_outside_its_bound_adds_nothing() -> None:
    reference = reference_of([Constraint("ms", "<", 4), Constraint("million", "<=", 0.5)])
    inside, outside = [40.0, 3.0, 0.25], [90.0, 4.5, 0.1]
    assert hypervolume([inside], reference) == pytest.approx(40 * 1 * 0.25)
    assert hypervolume([inside, outside], reference) == hypervolume([inside], reference)
    assert hypervolume([outside, [90.0, 4.0, 0.1]], reference) == 0


def test_two_cells_by_hand() -> None:
    reference = reference_of([Constraint("ms", "<", 10)])
    assert hypervolume([[40, 5], [60, 8]], reference) == pytest.approx(40 * 5 + 20 * 2)


def test_the_reference_has_each_metric_once_and_its_direction() -> None:
    bounds = [
        Constraint("b", ">=", 2),
        Constraint("a", "<", 4),
        Constraint("b", "<", 9),
        Constraint("c", ">", 1),
    ]
    assert reference_of(bounds) == Reference((0, 9, 4, 1), (True, False, False, True))
    assert reference_of(reversed(bounds)).point == (0, 1, 9, 4)
    lower = reference_of([Constraint("c", ">", 1)])
    assert hypervolume([[10.0, 3.0], [20.0, 1.5]], lower) == pytest.approx(10 * 2 + 10 * 0.5)


def test_many_dimensions_are_close_and_repeat() -> None:
    points = np.full((1, 9), 0.5)
    reference = Reference((1.0,) * 9)
    assert hypervolume(points, reference) == pytest.approx(0.5**9, rel=2e-3)
    assert hypervolume(points, reference) == hypervolume(points, reference)


def test_nothing_has_no_volume() -> None:
    assert hypervolume(np.empty((0, 2)), Reference((1.0, 1.0))) == 0
    assert pareto_front(np.empty((0, 2))).shape == (0,)


@pytest.mark.parametrize("points", [np.zeros((2, 3)), np.zeros(2)])
def test_coordinates_must_match(points: Any) -> None:
    with pytest.raises(ValueError, match=r"coordinates|\[n, d\]"):
        hypervolume(points, Reference((1.0, 1.0)))
