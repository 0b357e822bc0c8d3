"""Targets come from the archive's values, keep their order, and can be undone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.errors import UnknownNameError
from optiproxy_nas.proxies.targets import (
    TARGETS,
    acquisition_score,
    make_targets,
    standardise,
    to_values,
)

archives = arrays(
    np.float64, st.integers(2, 40), elements=st.floats(0, 100).map(lambda x: round(x, 2))
)
each_target = pytest.mark.parametrize("name", TARGETS)


@each_target
@given(values=archives)
def test_order_and_ties_are_kept(name: Any, values: Any) -> None:
    targets = make_targets(values, name)
    assert targets.dtype == torch.float32
    assert targets.shape == values.shape
    assert torch.isfinite(targets).all()
    order = np.argsort(values)
    steps, gaps = np.diff(values[order]), targets.double().numpy()[order]
    assert (np.diff(gaps)[steps == 0] == 0).all()
    assert (np.diff(gaps)[steps > 0] > 0).all()


@pytest.mark.parametrize("name", ["rank", "log_regret", "bounded_log_regret"])
@pytest.mark.parametrize("reference", [None, 0.93])
def test_the_lowest_float_is_a_bad_value_and_hides_no_other(
    name: str, reference: float | None
) -> None:
    values = np.array([0.91, 0.93, 0.92, -sys.float_info.max, 0.9, 0.935])
    targets = make_targets(values, name, reference)
    assert torch.isfinite(targets).all()
    assert targets.argsort().tolist() == [3, 4, 0, 2, 1, 5]


@each_target
@given(values=archives)
def test_to_values_undoes_the_targets_of_the_archive(name: Any, values: Any) -> None:
    exact = TARGETS[name](values)
    np.testing.assert_allclose(to_values(exact, values, name), values, atol=1e-6)


@each_target
@given(values=archives)
def test_to_values_rises_with_the_prediction(name: Any, values: Any) -> None:
    grid = np.linspace(-6, 6, 101)
    restored = to_values(grid, values, name)
    assert (np.diff(restored) >= -1e-9).all()
    assert restored[0] == values.min()
    highest = values.max() + (values.max() - np.median(values))  # optimism has a bound
    assert values.max() <= restored[-1] <= highest + 1e-9
    if values.max() > np.median(values):
        assert restored[-1] > values.max()


def test_standardised_is_the_z_score_of_the_archive() -> None:
    values = np.array([10.0, 90.0, 91.0])
    targets = make_targets(values, "standardised").double().numpy()
    np.testing.assert_allclose(targets, (values - values.mean()) / values.std(), rtol=1e-6)
    back = to_values(np.array([0.5]), values, "standardised")
    assert float(back[0]) == pytest.approx(values.mean() + 0.5 * values.std())


def test_rank_is_the_normal_score() -> None:
    values = np.array([91.0, 10.0, 90.0, 90.0])
    expected = norm.ppf((np.array([4, 1, 2.5, 2.5]) - 0.5) / 4)
    np.testing.assert_allclose(make_targets(values, "rank"), expected, rtol=1e-6)


def test_rank_does_not_feel_how_bad_the_failed_ones_are() -> None:
    one, two = np.array([10.0, 90.0, 91.0]), np.array([80.0, 90.0, 99.0])
    assert torch.equal(make_targets(one, "rank"), make_targets(two, "rank"))


@each_target
def test_targets_use_nothing_but_the_archive(name: Any) -> None:
    """No statistic of a whole table hides in them: they do not feel the unit of the values."""
    values = np.array([20.0, 50.0, 52.0, 70.0])
    torch.testing.assert_close(make_targets(values, name), make_targets(values / 4 + 3, name))


@each_target
@pytest.mark.parametrize("value", [0.0, 50.0])
def test_a_constant_archive_has_constant_targets(name: Any, value: float) -> None:
    values = np.full(5, value)
    assert make_targets(values, name).tolist() == [0.0] * 5
    np.testing.assert_allclose(to_values(np.array([-1.0, 0.0, 3.0]), values, name), value)


def test_a_constant_archive_has_zero_targets_in_spite_of_rounding() -> None:
    assert make_targets(np.full(3, 0.1), "standardised").tolist() == [0.0] * 3


def test_log_regret_is_the_logarithm_of_the_distance_to_the_best() -> None:
    values = np.array([91.0, 10.0, 90.0, 85.0, 89.0])  # best 91, median 89
    raw = -np.log((91 - values) / 2 + 0.1)
    expected = (raw - raw.mean()) / raw.std()
    np.testing.assert_allclose(make_targets(values, "log_regret"), expected, rtol=1e-5)


def test_log_regret_resolves_the_top_better_than_z_scores() -> None:
    values = np.array([10.0, 85.0, 88.0, 90.0, 90.9, 91.0])
    top = {name: np.diff(make_targets(values, name).numpy())[-1] for name in TARGETS}
    assert top["log_regret"] > 3 * top["standardised"]


def test_log_regret_where_the_median_is_the_best() -> None:
    targets = make_targets(np.array([91.0, 91.0, 91.0, 90.0]), "log_regret")
    assert torch.isfinite(targets).all()
    assert targets[0] == targets[2] > targets[3]


def test_unknown_target() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'standardised'"):
        make_targets(np.ones(2), "standardized")


def test_the_deviation_of_huge_values_is_no_overflow() -> None:
    values = np.array([1.0, 2.0, 4.0])
    with np.errstate(all="raise"):
        assert standardise(1e300 * values) == pytest.approx(standardise(values))


def test_a_diverged_value_does_not_set_the_scale_of_the_bounded_regret() -> None:
    usual = np.linspace(90, 94, 20)
    diverged = np.append(usual, -1e9)
    top = {
        name: np.ptp(TARGETS[name](diverged)[10:20])
        for name in ("log_regret", "bounded_log_regret")
    }
    assert top["bounded_log_regret"] > 2 * top["log_regret"]
    same = TARGETS["bounded_log_regret"](usual)
    np.testing.assert_allclose(same, TARGETS["log_regret"](usual))  # nothing is far off


@pytest.mark.parametrize("members", [2, 5])
def test_scores_are_the_same_to_the_last_bit_without_a_gradient(
    make_parameters: Callable[..., SearchParameters], members: int
) -> None:
    chosen = make_parameters(selection={"acquisition": "optimistic", "optimism": 2.0}).selection
    drawn = torch.randn(members, 1000, generator=torch.Generator().manual_seed(0)) + 50
    score = acquisition_score(drawn, chosen)
    assert torch.equal(score, drawn.mean(0) + 2 * drawn.std(0))
    assert torch.equal(score, acquisition_score(drawn.requires_grad_(), chosen).detach())
