"""The scale on which a proxy learns a bounded metric."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.objectives.constraints import parse_constraint
from optiproxy_nas.objectives.metric_scale import MetricScale

BOUNDS = [parse_constraint("latency_ms <= 4"), parse_constraint("latency_ms > 4")]
NAMES = ["linear", "log", "ratio"]
VALUES = st.lists(st.floats(0.01, 1e4), min_size=2, max_size=20, unique=True)


def archive(values: Any) -> pd.DataFrame:
    return pd.DataFrame({"latency_ms": values, "predicted_latency_ms": np.nan})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bound", BOUNDS)
@given(values=VALUES)
def test_targets_keep_the_order_and_the_side_of_the_bound(
    name: Any, bound: Any, values: Any
) -> None:
    scale = MetricScale.of(bound, archive(values), name)
    excess = bound.excess(np.array(values))
    targets = scale.target(excess)
    assert (np.sign(targets) == np.sign(excess)).all()
    assert (np.diff(targets[np.argsort(excess)]) >= 0).all()
    assert scale.excess(targets) == pytest.approx(excess, rel=1e-6, abs=1e-9)


def test_far_from_the_bound_the_log_scale_is_coarse_and_at_it_as_fine() -> None:
    scale = MetricScale(1.0, "log")
    near, far = scale.target(np.array([0.0, 0.01])), scale.target(np.array([100.0, 100.01]))
    assert near[1] - near[0] == pytest.approx(0.01, rel=0.01)
    assert far[1] - far[0] < 2e-4


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_run_is_the_worst(name: Any) -> None:
    table = archive([2.0, 3.0, 9.0, np.inf])
    targets = MetricScale.of(BOUNDS[0], table, name).targets(BOUNDS[0], table)
    assert targets[3] == max(targets[2], 1)
    alone = archive([np.inf, np.inf])
    assert (MetricScale.of(BOUNDS[0], alone, name).targets(BOUNDS[0], alone) == 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_errors_are_those_of_targets(name: Any) -> None:
    table = pd.DataFrame(
        {"latency_ms": [5.0, 8.0, np.inf], "predicted_latency_ms": [np.nan, 3.0, 3.0]}
    )
    scale = MetricScale(2.0, name, bound=4.0)
    errors = scale.errors(BOUNDS[0], table)
    expected = scale.target(np.array([4.0])) - scale.target(np.array([-1.0]))
    assert np.isnan(errors[0])
    assert errors[1] == pytest.approx(expected[0])
    assert not np.isfinite(errors[2])


@pytest.mark.parametrize("name", NAMES)
def test_an_overflowing_prediction_is_finite(name: Any) -> None:
    assert np.isfinite(MetricScale(1.0, name).excess(np.array([1e6, -1e6]))).all()


@pytest.mark.parametrize("bound", BOUNDS)
def test_on_the_scale_of_ratios_a_product_is_a_sum(bound: Any) -> None:
    depth, width = np.meshgrid([1.0, 2.0, 4.0], [3.0, 5.0])
    scale = MetricScale.of(bound, archive((depth * width).ravel()), "ratio")
    targets = scale.target(bound.excess(depth * width))
    np.testing.assert_allclose(np.diff(targets, axis=0), np.full((1, 3), np.diff(targets[:, 0])))
    assert np.ptp(targets) * scale.spread == pytest.approx(np.log(20 / 3))


def test_on_the_scale_of_ratios_a_metric_may_be_zero_and_all_may_be_equal() -> None:
    targets = [
        MetricScale.of(BOUNDS[0], archive(values), "ratio").targets(BOUNDS[0], archive(values))
        for values in ([0.0, 4.0, 8.0], [2.0, 2.0])
    ]
    assert all(np.isfinite(values).all() for values in targets)
    assert (targets[1] == targets[1][0]).all()
