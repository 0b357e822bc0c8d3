"""From the heads' predictions to one score: feasibility, weights, both modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.objectives.aggregation import MODES, log_feasibility
from optiproxy_nas.objectives.constrained import Constrained
from optiproxy_nas.proxies.targets import acquisition_score

NOISE = torch.tensor([0.3, 0.3]).double()

pytestmark = pytest.mark.usefixtures("global_state")


def weights_of(mode: Any, *arguments: Any) -> Any:
    return mode.weights(*arguments)


def settings(**values: Any) -> Any:
    return Constrained(constraints=("a < 1", "b < 1"), **values)


def predictions(members: int = 4, heads: int = 3, count: int = 6, seed: int = 0) -> Any:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(members, heads, count, generator=stream).double()


@given(st.integers(1, 5), st.floats(0.01, 3), st.floats(0.1, 4), st.integers(0, 99))
def test_log_feasibility_is_the_normal_distribution_function(
    members: Any, noise: Any, spread: Any, seed: Any
) -> None:
    excess = spread * predictions(members, 2, 7, seed)
    variance = excess.numpy().var(0, ddof=1) if members > 1 else 0.0
    expected = norm.logcdf(0, loc=excess.numpy().mean(0), scale=np.sqrt(variance + noise**2))
    result = log_feasibility(excess, torch.tensor([noise, noise]).double())
    assert result.shape == (2, 7)
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-12)


def test_log_feasibility_at_the_bound_far_inside_and_far_outside() -> None:
    excess = torch.tensor([0.0, -60.0, 60.0]).double().expand(1, 1, 3)
    at, inside, outside = log_feasibility(excess, torch.tensor([0.5]))[0]
    assert at == pytest.approx(np.log(0.5))
    assert inside == pytest.approx(0, abs=1e-12)
    # log Φ(-z) = -z²/2 - log(z sqrt(2π)) for large z: a slope that leads back, however far.
    z = 120.0
    assert outside == pytest.approx(-(z**2) / 2 - np.log(z * np.sqrt(2 * np.pi)), rel=1e-6)


def test_a_proxy_is_never_surer_than_the_noise() -> None:
    agreed = torch.full((3, 1, 1), 0.3)
    noise = torch.tensor([0.3])
    assert log_feasibility(agreed, noise) == pytest.approx(norm.logcdf(-1), rel=1e-5)
    split = torch.tensor([0.0, 0.3, 0.6]).reshape(3, 1, 1)  # the same mean, less sure
    assert log_feasibility(split, noise) > log_feasibility(agreed, noise)


@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("distance", [1.0, 20.0])
def test_its_gradient_is_that_of_finite_differences(members: int, distance: float) -> None:
    excess = (distance * predictions(members, 2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: log_feasibility(x, NOISE), excess, atol=1e-4)


def test_its_gradient_leads_to_the_bound_from_however_far_in_single_precision() -> None:
    excess = torch.tensor([[[-40.0, -1.0, 0.0, 1.0, 40.0]]], requires_grad=True)
    (slope,) = torch.autograd.grad(log_feasibility(excess, NOISE[:1]).sum(), excess)
    slope = slope[0, 0]
    assert torch.isfinite(slope).all()
    assert (slope <= 0).all()
    assert (slope.diff() < 0)[1:].all()  # the steeper, the further outside
    assert slope[-1] == pytest.approx(-40 / 0.3**2, rel=0.01)


def selection(
    make_parameters: Callable[..., SearchParameters], acquisition: str = "optimistic"
) -> Any:
    return make_parameters(selection={"acquisition": acquisition, "optimism": 1.5}).selection


def history(*rates: Any, bounds: int = 1, size: int = 4, initial: float = 0.5) -> Any:
    """Steps 0, 1, ... with these shares of violations, of all bounds by the same queries."""
    steps = np.repeat(np.arange(1 + len(rates)), size)
    broken = [np.arange(size) < round(rate * size) for rate in (initial, *rates)]
    return steps, np.tile(np.concatenate(broken), (bounds, 1))


@pytest.mark.parametrize("acquisition", ["mean", "optimistic"])
def test_the_default_score_is_acquisition_plus_log_feasibility(
    make_parameters: Callable[..., SearchParameters], acquisition: str
) -> None:
    chosen, mode = selection(make_parameters, acquisition), MODES["default"]
    how, heads = settings(feasibility_weight=0.7, gain=0), predictions()
    weights = weights_of(mode, *history(0.5, bounds=2), how)
    assert weights.accuracy == 1.0
    assert weights.constraints.tolist() == [0.7, 0.7]
    kept = log_feasibility(heads[:, 1:], NOISE)
    expected = acquisition_score(heads[:, 0], chosen) + 0.7 * (kept[0] + kept[1])
    torch.testing.assert_close(mode.score(heads, weights, NOISE, chosen), expected)
    assert mode.score(heads.float(), weights, NOISE, chosen).dtype == torch.float32


def test_the_default_weight_follows_the_violation_rate() -> None:
    mode, how = (
        MODES["default"],
        settings(feasibility_weight=0.5, gain=0.2, tolerated_violation_rate=0.25),
    )
    at = weights_of(mode, *history(0.25, 0.25), how).constraints
    np.testing.assert_allclose(at, 0.5)
    after = weights_of(mode, *history(1.0, 0.0, 0.5), how).constraints
    np.testing.assert_allclose(after, 0.5 * np.exp(0.2 * (0.75 - 0.25 + 0.25)))
    bounds = [weights_of(mode, *history(*[rate] * 99), how).constraints[0] for rate in (0.0, 1.0)]
    np.testing.assert_allclose(bounds, [0.5, 5.0])  # never below its start


def test_before_anything_is_feasible_the_accuracy_hardly_counts(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    mode, chosen = MODES["default"], selection(make_parameters)
    how = settings(accuracy_before_feasible=0.05)
    lost, found = (
        weights_of(mode, *history(rate, bounds=2, initial=1.0), how) for rate in (1.0, 0.75)
    )
    assert (lost.accuracy, found.accuracy) == (0.05, 1.0)
    heads = torch.zeros(1, 3, 2)
    heads[0, 0] = torch.tensor([1.0, 0.0])  # better, but outside by one sd
    heads[0, 1] = torch.tensor([1.0, 0.0])
    one, two = mode.score(heads, lost, NOISE, chosen)
    assert one < two


def test_the_learnt_score_is_the_papers_weighted_sum(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    chosen, mode, how = selection(make_parameters, "mean"), MODES["paper_weights"], settings()
    heads = predictions()
    weights = weights_of(mode, *history(1.0, 1.0, bounds=2), how)
    mean = heads.mean(0)
    expected = weights.accuracy * mean[0] - weights.constraints @ mean[1:].numpy()
    torch.testing.assert_close(mode.score(heads, weights, NOISE, chosen), expected)


def learnt(*rates: Any, initial: float = 0.5, **values: Any) -> Any:
    table = history(*rates, initial=initial)
    weights = weights_of(MODES["paper_weights"], *table, settings(**values))
    assert weights.accuracy == pytest.approx(1 - weights.constraints[0])
    return float(weights.constraints[0])


def test_learnt_weights_follow_the_violation_rate() -> None:
    start = learnt()
    assert start == 0.5
    assert learnt(initial=1.0) == start  # the initial sample says nothing of the search
    assert learnt(1.0) == pytest.approx(0.55)
    assert learnt(1.0, 1.0) == pytest.approx(0.60)
    assert learnt(0.0) == pytest.approx(0.45)
    assert learnt(1.0, 0.0) == pytest.approx(0.5)
    assert learnt(0.25) < start < learnt(0.5)  # tolerated are 40 %
    assert learnt(0.25, tolerated_violation_rate=0.25) < start  # no more than tolerated
    assert learnt(0.25, tolerated_violation_rate=0.2) > start
    assert learnt(1.0, weight_step=0.2) == pytest.approx(0.7)


@pytest.mark.parametrize("mode", MODES)
def test_each_bound_has_a_weight_of_its_own(mode: Any) -> None:
    """Four queries a step: all break the first bound, one of them the second, none the third."""
    steps = np.repeat(np.arange(4), 4)
    broken = np.array([[True] * 16, [True, False, False, False] * 4, [False] * 16])
    how = settings(tolerated_violation_rate=0.2, gain=0.1, weight_step=0.05)
    weights = MODES[mode].weights(steps, broken, how)
    if mode == "default":
        rises = np.exp(3 * 0.1 * np.array([1 - 0.2, 0.25 - 0.2, 0]))  # not below the start
        np.testing.assert_allclose(weights.constraints, 0.5 * rises)
        assert weights.accuracy == how.accuracy_before_feasible
    else:
        np.testing.assert_allclose(weights.constraints, [0.65, 0.65, 0.35])
        assert weights.accuracy == pytest.approx(0.35)  # what the greatest leaves
    alone = [MODES[mode].weights(steps, broken[[c]], how) for c in range(3)]
    assert weights.constraints.tolist() == [one.constraints[0] for one in alone]


def test_learnt_weights_stay_in_their_bounds() -> None:
    assert learnt(*[1.0] * 30) == pytest.approx(0.9)
    assert learnt(*[1.0] * 30, greatest_weight=0.6) == pytest.approx(0.6)
    assert learnt(*[0.0] * 30) == 0.0
    assert learnt(*[0.0] * 30, 1.0) == pytest.approx(0.05)  # it comes back at once


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), max_size=30), st.data())
def test_more_violations_never_make_a_bound_weigh_less(rates: Any, data: Any) -> None:
    worse = [data.draw(st.sampled_from([r for r in (0, 0.25, 0.5, 0.75, 1) if r >= rate]))
             for rate in rates]  # fmt: skip
    assert 0 <= learnt(*rates) <= learnt(*worse) + 1e-12 <= 0.9 + 1e-9


@pytest.mark.parametrize("mode", MODES)
def test_scores_fall_with_every_excess_and_rise_with_the_value(
    mode: Any, make_parameters: Callable[..., SearchParameters]
) -> None:
    chosen, how = selection(make_parameters, "mean"), settings()
    weights = weights_of(MODES[mode], *history(0.5, bounds=2), how)
    heads = predictions().requires_grad_()
    (slope,) = torch.autograd.grad(MODES[mode].score(heads, weights, NOISE, chosen).sum(), heads)
    by_head = slope.sum(0)  # of all members together: the spread is not changed
    assert (by_head[0] > 0).all()
    assert (by_head[1:] < 0).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("members", [1, 3])
def test_gradients_of_the_scores_are_those_of_finite_differences(
    mode: Any, members: int, make_parameters: Callable[..., SearchParameters]
) -> None:
    chosen, how = selection(make_parameters), settings()
    for rates in ((0.5,), (1.0,)):
        weights = weights_of(MODES[mode], *history(*rates, bounds=2, initial=1.0), how)
        heads = predictions(members).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda x, w=weights: MODES[mode].score(x, w, NOISE, chosen), heads, atol=1e-4
        )
