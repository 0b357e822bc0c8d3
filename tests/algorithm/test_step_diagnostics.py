"""The rank correlations of a step are those of scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, rankdata

from optiproxy_nas.algorithm.step_diagnostics import MEASURABLE, rank_correlations

LOWEST = float(np.finfo(np.float64).min)
numbers = st.one_of(
    st.integers(0, 3).map(float), st.floats(-1e9, 1e9), st.sampled_from([np.nan, LOWEST, -LOWEST])
)


@given(st.lists(st.tuples(numbers, numbers), max_size=25))
def test_rank_correlations_are_those_of_scipy(pairs: Any) -> None:
    table = np.array(pairs).reshape(-1, 2)
    tau, rho = rank_correlations(*table.T)
    table = table[~np.isnan(table).any(axis=1)]
    if len(table) < MEASURABLE or (table == table[0]).all(axis=0).any():
        assert (tau, rho) == (None, None)
    else:
        assert tau == kendalltau(*table.T).statistic
        assert rho == np.corrcoef(*map(rankdata, table.T))[0, 1]


@pytest.mark.parametrize("second", [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]])
def test_the_same_and_the_reverse_order_are_the_ends_of_the_range(second: Any) -> None:
    expected = 1 if second[0] == 1 else -1
    found = rank_correlations(np.arange(5.0), np.array(second, dtype=float))
    assert found == pytest.approx((expected, expected), abs=1e-12)
