"""ℒ = ℒ_mse + λ ℒ_rank against the double loop of Eq. 5."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.proxies.losses import fitting_loss, pairwise_ranking_loss

numbers = st.floats(-5, 5, width=32)


@st.composite
def problems(draw: Any) -> Any:
    count, members = draw(st.integers(1, 9)), draw(st.integers(1, 3))
    row = st.lists(numbers, min_size=count, max_size=count)
    predictions = torch.tensor(draw(st.lists(row, min_size=members, max_size=members)))
    ties = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=count, max_size=count)
    targets = torch.tensor(draw(st.one_of(row, ties)))
    return predictions.double(), targets.double(), draw(st.floats(0, 2))


def naive(predictions: list[float], targets: list[float], margin: float) -> tuple[float, int]:
    total, pairs = 0.0, 0
    for f_i, y_i in zip(predictions, targets, strict=True):
        for f_j, y_j in zip(predictions, targets, strict=True):
            if y_i > y_j:
                total += max(0.0, margin - (f_i - f_j))
                pairs += 1
    return total, pairs


@given(problems())
def test_ranking_loss_is_the_double_loop(problem: Any) -> None:
    predictions, targets, margin = problem
    total = pairwise_ranking_loss(predictions, targets, margin)
    mean = pairwise_ranking_loss(predictions, targets, margin, "mean")
    assert total.shape == mean.shape == (len(predictions),)
    for member, row in enumerate(predictions.tolist()):
        expected, pairs = naive(row, targets.tolist(), margin)
        assert float(total[member]) == pytest.approx(expected, abs=1e-6)
        assert float(mean[member]) == pytest.approx(expected / max(pairs, 1), abs=1e-6)


@given(problems(), st.floats(0, 2))
def test_fitting_loss_is_the_mean_square_plus_lambda_times_ranking(
    problem: Any, coefficient: Any
) -> None:
    predictions, targets, margin = problem
    loss = fitting_loss(predictions.unsqueeze(1), targets.unsqueeze(0), coefficient, margin)
    assert loss.shape == (len(predictions),)
    for member, row in enumerate(predictions.tolist()):
        pairs = zip(row, targets.tolist(), strict=True)
        square = sum((f - y) ** 2 for f, y in pairs) / len(row)
        expected = square + coefficient * naive(row, targets.tolist(), margin)[0]
        assert float(loss[member]) == pytest.approx(expected, abs=1e-6)


def test_targets_may_differ_between_members() -> None:
    predictions, targets = torch.randn(2, 6), torch.randn(2, 6)
    both = pairwise_ranking_loss(predictions, targets, 0.1)
    for member in range(2):
        alone = pairwise_ranking_loss(predictions[member : member + 1], targets[member], 0.1)
        torch.testing.assert_close(both[member : member + 1], alone)


def test_ties_make_no_pair_and_a_right_order_beyond_the_margin_costs_nothing() -> None:
    tied = pairwise_ranking_loss(torch.randn(3, 5), torch.ones(5), 0.1)
    assert tied.tolist() == [0.0] * 3
    assert pairwise_ranking_loss(torch.ones(1, 5), torch.ones(5), 0.1, "mean").tolist() == [0.0]
    ordered = torch.arange(5.0)
    assert float(pairwise_ranking_loss(ordered.unsqueeze(0), ordered, 0.1)) == 0
    assert float(pairwise_ranking_loss(-ordered.unsqueeze(0), ordered, 0.1)) > 0


def test_gradient_raises_the_better_and_lowers_the_worse() -> None:
    predictions = torch.zeros(1, 2, requires_grad=True)
    pairwise_ranking_loss(predictions, torch.tensor([1.0, 2.0]), 0.1).sum().backward()  # type: ignore[no-untyped-call]
    assert predictions.grad is not None
    assert predictions.grad.tolist() == [[1.0, -1.0]]


def test_weights_weigh_the_squared_errors_and_nothing_else(generator: torch.Generator) -> None:
    predictions, targets = torch.randn(2, 6, generator=generator), torch.arange(6.0)
    weights = torch.rand(2, 6, generator=generator)
    squares = torch.stack([(weights[e] * (predictions[e] - targets) ** 2).mean() for e in range(2)])
    ranking = pairwise_ranking_loss(predictions, targets, 0.1)
    heads, aims = predictions.unsqueeze(1), targets.unsqueeze(0)
    loss = fitting_loss(heads, aims, 0.3, 0.1, weights=weights)
    torch.testing.assert_close(loss, squares + 0.3 * ranking)
    plain = fitting_loss(heads, aims, 0.3, 0.1)
    torch.testing.assert_close(fitting_loss(heads, aims, 0.3, 0.1, weights=weights * 0 + 1), plain)


holes = st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=2, max_size=2)


@given(holes=holes, seed=st.integers(0, 99), weighted=st.booleans(), reduction=st.booleans())
def test_the_loss_is_that_of_each_heads_observed_rows(
    holes: Any, seed: Any, weighted: Any, reduction: Any
) -> None:
    """NaN targets: as if those rows were not there, head by head; and no gradient reaches them."""
    stream = torch.Generator().manual_seed(seed)
    predictions = torch.randn(3, 2, 7, generator=stream).double().requires_grad_()
    full = torch.randn(2, 7, generator=stream).double()
    weights = torch.rand(3, 7, generator=stream).double() if weighted else None
    seen = ~torch.tensor(holes)
    targets = full.where(seen, torch.nan)
    how = (0.3, 0.1, "mean" if reduction else "sum")
    loss = fitting_loss(predictions, targets, *how, weights)
    expected = torch.zeros(3).double()
    for head in range(2):
        rows = seen[head].nonzero().flatten()
        if len(rows):
            expected += fitting_loss(
                predictions[:, head : head + 1, rows], full[head : head + 1, rows], *how,
                None if weights is None else weights[:, rows],
            )  # fmt: skip
    torch.testing.assert_close(loss, expected)
    (slope,) = torch.autograd.grad(loss.sum(), predictions)
    assert torch.isfinite(slope).all()
    assert (slope[:, ~seen] == 0).all()
    if seen.any():
        assert (slope[:, seen] != 0).any()
