from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, ttest_ind
from scipy.stats import t as student_t

from optiproxy_nas.report.statistics import (
    PairedDifference,
    bootstrap_mean,
    curves_of,
    median_queries,
    paired_difference,
    queries_to,
    run_length,
    share,
    standard_error,
    welch_difference,
)

values = st.lists(st.floats(-100, 100), min_size=1, max_size=20)


def test_bootstrap_agrees_with_the_normal_interval_on_a_large_sample() -> None:
    sample = np.random.default_rng(1).normal(5.0, 2.0, 400)
    low, high = bootstrap_mean(sample)
    half = norm.ppf(0.975) * sample.std(ddof=1) / math.sqrt(400)
    assert low == pytest.approx(sample.mean() - half, abs=0.02)
    assert high == pytest.approx(sample.mean() + half, abs=0.02)
    assert bootstrap_mean(sample) == (low, high)  # seeded
    inner = bootstrap_mean(sample, confidence=0.5)
    assert low < inner.low < inner.high < high


def test_bootstrap_of_a_constant_is_the_constant() -> None:
    assert bootstrap_mean([3.5] * 7) == (3.5, 3.5)
    assert bootstrap_mean([2.0]) == (2.0, 2.0)


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf]])
def test_a_sample_without_a_mean_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="finite"):
        bootstrap_mean(bad)


@given(values)
def test_bootstrap_stays_within_the_sample(sample: Any) -> None:
    low, high = bootstrap_mean(sample)
    rounding = 1e-12
    assert min(sample) - rounding <= low <= high <= max(sample) + rounding


def test_share_is_wilsons_interval() -> None:
    """Closed form: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)."""
    p, (low, high) = share(77, 100)
    z, n = norm.ppf(0.975), 100
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (low, high) == pytest.approx(
        ((centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n))
    )
    everything, (low, high) = share(10, 10)
    assert everything == 1.0
    assert low == pytest.approx(10 / (10 + z * z))  # a full house still has a lower end
    assert high == pytest.approx(1.0)


def test_paired_difference_of_known_pairs() -> None:
    a = [5.0, 6.0, 7.0, 8.0, 4.0, 9.0]
    b = [4.0, 5.0, 5.0, 8.0, 4.5, 5.0]
    result = paired_difference(a, b)
    assert result.mean == pytest.approx((1 + 1 + 2 + 0 - 0.5 + 4) / 6)
    assert (result.wins, result.ties, result.losses) == (4, 1, 1)
    assert result.low <= result.mean <= result.high
    # Ranks of |1, 1, 2, -0.5, 4| are 2.5, 2.5, 4, 1, 5: W- = 1 of 5 pairs, exact p = 4/32 without
    # ties; scipy's own value lies near it.
    assert 0.05 < result.p_value < 0.2


def test_wilcoxon_is_exact_where_all_pairs_are_won() -> None:
    result = paired_difference(np.arange(1, 9.0), np.zeros(8))
    assert result.p_value == pytest.approx(2 / 2**8)
    assert result.ahead
    assert not result.behind


def test_pairs_that_all_tie_prove_nothing() -> None:
    result = paired_difference([1.0, 2.0], [1.0, 2.0])
    assert result == PairedDifference(0.0, 0.0, 0.0, 1.0, 0, 2, 0)
    assert not result.ahead


@settings(max_examples=15)  # two bootstraps each
@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=12))
def test_swapping_the_methods_swaps_the_verdict(pairs: Any) -> None:
    a, b = zip(*pairs, strict=True)
    one, other = paired_difference(a, b), paired_difference(b, a)
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
    assert one.mean == pytest.approx(-other.mean)
    assert one.p_value == pytest.approx(other.p_value)
    assert not (one.ahead and one.losses == len(pairs))


def test_unequal_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="3 and 2"):
        paired_difference([1, 2, 3], [1, 2])


def test_queries_to_a_target() -> None:
    curves: list[list[float]] = [[1, 3, 3, 9], [9, 9, 9, 9], [1, 1, 1, 8.9999], [1, 9, 9, 9]]
    assert queries_to(curves, 9.0).tolist() == [4, 1, math.inf, 2]
    assert queries_to(curves, 9.0 + 1e-12).tolist() == [4, 1, math.inf, 2]  # rounding is no miss


@pytest.mark.parametrize(
    ("queries", "median"),
    [
        ([4, 2, 1, math.inf], 3),
        ([math.inf, 2, math.inf], math.inf),
        ([1, 2, math.inf, math.inf], math.inf),
        ([7], 7),
        ([math.inf, math.inf], math.inf),
    ],
)
def test_median_queries(queries: Any, median: Any) -> None:
    assert median_queries(queries) == median


def test_run_length_distribution() -> None:
    x, reached = run_length([3, 1, math.inf, 5], budget=4)
    assert x.tolist() == [0, 1, 2, 3, 4]
    assert reached.tolist() == [0, 0.25, 0.25, 0.5, 0.5]


@given(st.lists(st.integers(1, 30) | st.just(math.inf), min_size=1), st.integers(1, 30))
def test_run_length_is_a_distribution(queries: Any, budget: Any) -> None:
    _, reached = run_length(queries, budget)
    assert (np.diff(reached) >= 0).all()
    assert reached[0] == 0
    assert reached[-1] == pytest.approx(np.mean(np.asarray(queries) <= budget))


def rows(seed: int, best: Any, start: int = 1) -> pd.DataFrame:
    queries = range(start, start + len(best))
    return pd.DataFrame({"seed": seed, "query": queries, "best": best})


def test_curves_are_ordered_by_seed_and_keep_the_last_value() -> None:
    table = pd.concat([rows(7, [1.0, 2.0, 3.0, 9.0]), rows(2, [4.0, 5.0])])
    assert curves_of(table.sample(frac=1, random_state=0), 3).tolist() == [[4, 5, 5], [1, 2, 3]]


def test_curves_of_two_methods_at_once_are_refused() -> None:
    table = pd.concat([rows(0, [1.0]), rows(0, [2.0])])
    with pytest.raises(ValueError, match="select one"):
        curves_of(table, 1)
    with pytest.raises(ValueError, match=r"first query for seeds \[3\]"):
        curves_of(rows(3, [1.0], start=2), 2)


def test_welch_is_that_of_the_samples() -> None:
    a, b = np.array([1.0, 2.0, 4.0, 7.0]), np.array([0.0, 0.5, 0.25])
    summary = (a.mean(), a.std(ddof=1), 4, b.mean(), b.std(ddof=1), 3)
    difference, (low, high) = welch_difference(*summary)
    expected = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert difference == pytest.approx(a.mean() - b.mean())
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_welch_with_a_constant_is_the_one_sample_interval() -> None:
    difference, (low, high) = welch_difference(5.0, 2.0, 16, 4.0, 0.0, 10)
    half = student_t.ppf(0.975, 15) * 2.0 / 4
    assert (difference, low, high) == pytest.approx((1.0, 1.0 - half, 1.0 + half))
    assert welch_difference(5.0, 0.0, 16, 4.0, 0.0, 10) == (1.0, (1.0, 1.0))


def test_standard_error() -> None:
    assert standard_error([[1.0, 5.0], [3.0, 5.0]]).tolist() == [1.0, 0.0]
    assert standard_error([[1.0, 5.0]]).tolist() == [0.0, 0.0]


def test_what_is_minimised_is_the_mirror_image() -> None:
    """Means and differences stay as they are; who is better turns."""
    a, b = np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0, 1.0])
    lower, higher = paired_difference(a, b, sign=-1), paired_difference(a, b)
    assert (lower.mean, lower.low, lower.high) == (higher.mean, higher.low, higher.high)
    assert (lower.wins, lower.ties, lower.losses) == (1, 1, 1) == (higher.losses, 1, higher.wins)
    falling = np.array([[9.0, 3.0, 2.0], [9.0, 9.0, 9.0]])
    assert queries_to(falling, 3.0, sign=-1).tolist() == [2, math.inf]
