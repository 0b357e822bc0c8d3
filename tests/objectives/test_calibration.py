"""The proxy's own errors, as the search learns them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.objectives.aggregation import (
    MOST_ERROR,
    PRIOR,
    WINDOW,
    prediction_error,
)
from optiproxy_nas.objectives.constraints import parse_constraint
from optiproxy_nas.objectives.metric_scale import MetricScale

BOUND = parse_constraint("latency_ms <= 4")


def archive(errors: Any, metric: float = 5.0, initial: int = 3) -> pd.DataFrame:
    """``initial`` queries without a prediction, then one for each error."""
    predicted = [np.nan] * initial + [metric - error for error in errors]
    return pd.DataFrame({"latency_ms": metric, "predicted_latency_ms": predicted})


def error(table: Any, scale: float = 1.0, assumed: float = 0.15) -> Any:
    return prediction_error(MetricScale(scale, "linear").errors(BOUND, table), assumed)


def test_before_any_prediction_it_is_the_assumed_one() -> None:
    assert error(archive([])) == pytest.approx(0.15)


def test_a_proxy_that_knows_its_errors_needs_no_others() -> None:
    nothing: Any = None
    assert error(archive([0.3, -0.4]), assumed=nothing) == 0.0


def test_it_is_the_root_mean_square_with_the_prior_as_queries() -> None:
    expected = np.sqrt((PRIOR * 0.15**2 + 0.3**2 + 0.4**2) / (PRIOR + 2))
    assert error(archive([0.3, -0.4])) == pytest.approx(expected)
    assert error(archive([0.6, -0.8]), scale=2.0) == pytest.approx(expected)


def test_only_the_last_queries_count() -> None:
    late = archive([0.9] * 200 + [0.1] * WINDOW)
    assert error(late) == pytest.approx(error(archive([0.1] * WINDOW)))


def test_what_cannot_run_says_nothing_and_one_wild_error_little() -> None:
    wild = archive([0.1, 50.0])
    assert error(wild) == pytest.approx(error(archive([0.1, MOST_ERROR])))
    endless = archive([0.1, 0.1])
    endless.loc[endless.index[-1], "latency_ms"] = np.inf
    assert error(endless) == pytest.approx(error(archive([0.1])))


@given(st.lists(st.floats(-3, 3), max_size=100), st.floats(0.01, 1))
def test_it_lies_between_the_errors_and_what_was_assumed(errors: Any, assumed: Any) -> None:
    sizes = [min(abs(value), MOST_ERROR) for value in errors[-WINDOW:]] + [assumed]
    assert min(sizes) - 1e-9 <= error(archive(errors), assumed=assumed) <= max(sizes) + 1e-9
