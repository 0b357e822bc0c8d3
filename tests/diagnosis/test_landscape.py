from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.evaluation.finished_run import SearchHistory
from optiproxy_nas.report.diagnose.landscape import (
    COMPONENTS,
    TOWARDS_BEST,
    Region,
    find_axes,
    flat_encodings,
    make_landscape,
    search_region,
)
from optiproxy_nas.report.diagnose.reference_cells import Cells
from optiproxy_nas.spaces.nb201 import NASBench201
from tiny_space import TinySpace


@pytest.fixture(scope="module")
def landscape(nb201: NASBench201, run: SearchHistory, cells: Cells) -> Any:
    return make_landscape(nb201, cells, codes_of(nb201, run.archive), 4)


def test_principal_components_where_they_are_defined() -> None:
    draw = np.random.default_rng(0)
    turn, _ = np.linalg.qr(draw.normal(size=(5, 5)))
    cloud = draw.normal(size=(400, 5)) * [5, 3, 1, 0.5, 0.1] @ turn.T
    axes = find_axes(cloud, draw.normal(size=400))
    assert axes.kind == COMPONENTS
    _, singular, rows = np.linalg.svd(cloud - cloud.mean(0))
    assert np.abs(np.sum(axes.directions * rows[:2], axis=1)) == pytest.approx([1, 1])
    assert axes.variance == pytest.approx((singular**2 / (singular**2).sum())[:2])


def test_a_complete_table_has_no_principal_components_and_gets_other_axes(landscape: Any) -> None:
    axes = landscape.axes
    assert axes.kind == TOWARDS_BEST
    assert axes.directions @ axes.directions.T == pytest.approx(np.eye(2), abs=1e-9)
    assert axes.variance == pytest.approx([1 / 24] * 2)  # of 6 x 4 equal ones
    best = landscape.values >= np.quantile(landscape.values, 0.9)
    assert landscape.places[best, 0].mean() > landscape.places[~best, 0].mean() + 0.5
    # The first axis leads there straight: nothing is left at right angles to it.
    assert landscape.places[best, 1].mean() == pytest.approx(0, abs=0.01)


@given(st.integers(0, 2**31))
def test_axes_do_not_depend_on_the_order_of_the_cells(seed: Any) -> None:
    draw = np.random.default_rng(seed)
    cloud = draw.normal(size=(60, 4)) * [4, 2, 1, 0.5]
    order = draw.permutation(60)
    one, two = find_axes(cloud, cloud[:, 0]), find_axes(cloud[order], cloud[order, 0])
    assert one.directions == pytest.approx(two.directions, abs=1e-8)
    leading = np.abs(one.directions).argmax(axis=1)
    assert (one.directions[[0, 1], leading] > 0).all()


def test_places_and_queries(
    nb201: NASBench201, run: SearchHistory, cells: Cells, landscape: Any
) -> None:
    assert (landscape.values[landscape.queries] == run.archive["value"]).all()
    expected = (
        flat_encodings(nb201, cells.codes) - landscape.axes.centre
    ) @ landscape.axes.directions.T
    assert landscape.places == pytest.approx(expected)
    assert landscape.values[landscape.optimum] == cells.values.max() == cells.optimum
    assert landscape.best == f"optimum of the table: {cells.optimum:.2f} %"


def test_flat_encodings_hold_operations_and_edges(tiny: TinySpace) -> None:
    codes = tiny.random(7, torch.Generator().manual_seed(0))
    encoding = tiny.encode(codes)
    flat = flat_encodings(tiny, codes)
    assert flat.shape == (7, tiny.num_nodes * len(tiny.operations) + tiny.num_edges)
    assert (flat[:, -tiny.num_edges :] == encoding.edges.numpy()).all()


def test_the_trajectory_is_the_best_of_every_few_queries(
    run: SearchHistory, landscape: Any
) -> None:
    values = run.archive["value"].to_numpy()
    points = landscape.trajectory
    assert points["number"].tolist() == list(range(1, 10))  # 33 queries, 4 a point
    for number, query, value in zip(
        points["number"], points["query"], points["value"], strict=True
    ):
        chunk = values[4 * (number - 1) : 4 * number]
        assert value == chunk.max()
        assert query == 4 * (number - 1) + chunk.argmax() + 1
    rows = points["row"].to_numpy()
    assert (landscape.places[rows] == points[["x", "y"]].to_numpy()).all()


def test_the_region_holds_the_better_half_of_the_trajectory(landscape: Any) -> None:
    region = search_region(landscape)
    points = landscape.trajectory
    good = points[points["value"] >= points["value"].median()]
    assert region.holds(good[["x", "y"]].to_numpy()).all()
    low, high = region.value
    assert high == landscape.values[region.holds(landscape.places)].max()
    assert low < high


def test_holds() -> None:
    region = Region((0, 1), (0, 2), (0, 1))
    places = np.array([[0.5, 1.5], [1.5, 1.5], [0.5, 2.5], [0, 2]])
    assert region.holds(places).tolist() == [True, False, False, True]


def test_the_order_decides_the_optimum_and_the_way_where_the_value_does_not(
    nb201: NASBench201, run: SearchHistory, cells: Cells
) -> None:
    queried, values = codes_of(nb201, run.archive), cells.values
    turned = make_landscape(
        nb201, cells._replace(ranks=np.argsort(np.argsort(-values))), queried, 4
    )
    assert values[turned.optimum] == values.min()
    first = turned.trajectory.iloc[0]
    assert first["value"] == run.archive["value"].head(4).min()
