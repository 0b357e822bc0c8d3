"""Words, units and digits of metrics."""

from __future__ import annotations

import math
from typing import Any

import pytest

from optiproxy_nas.core import numbers


@pytest.mark.parametrize(
    ("metric", "label", "regret", "value", "difference"),
    [
        (
            "validation_accuracy",
            "validation accuracy (%)",
            "regret (percentage points)",
            "91.61 %",
            "91.61 points",
        ),
        (
            "negative_test_loss",
            "negative test loss (nats)",
            "regret (nats)",
            "91.61 nats",
            "91.61 nats",
        ),
        ("latency_ms", "latency (ms)", "regret (ms)", "91.61 ms", "91.61 ms"),
        ("reward", "reward", "regret", "91.61", "91.61"),
    ],
)
def test_labels_and_values_have_the_unit_of_the_metric(
    metric: str, label: str, regret: str, value: str, difference: str
) -> None:
    assert numbers.metric_label(metric) == label
    assert numbers.regret_label(metric) == regret
    assert numbers.value_text(metric, 91.607) == value
    assert numbers.difference_text(metric, 91.607) == difference


def test_a_small_score_has_four_significant_digits() -> None:
    assert numbers.value_text("score", 0.5753) == "0.5753"
    assert numbers.value_text("score", 12345.6) == "12346"
    assert numbers.difference_text("score", 0.5761 - 0.5753, 0.5753, 0.5761) == "0.0008"


@pytest.mark.parametrize(
    ("metric", "values", "shown"),
    [
        ("validation_accuracy", (91.61, 91.28), ["91.61 %", "91.28 %"]),
        ("validation_accuracy", (91.606, 91.607), ["91.606 %", "91.607 %"]),
        ("validation_accuracy", (91.6066667, 91.6066669), ["91.61 %", "91.61 %"]),
        ("score", (0.57531, 0.57534), ["0.57531", "0.57534"]),
    ],
)
def test_values_that_differ_look_different(metric: str, values: Any, shown: Any) -> None:
    assert [numbers.value_text(metric, value, *values) for value in values] == shown


def test_a_difference_reads_zero_only_if_it_is() -> None:
    assert numbers.difference_text("test_accuracy", 0.0) == "0.00 points"
    assert numbers.difference_text("test_accuracy", 0.0007) == "0.001 points"


def test_what_is_not_a_number_does_not_decide_the_digits() -> None:
    assert numbers.decimals("score", [None, math.nan, math.inf, 0.25]) == 4
    assert numbers.decimals("score", []) == 2
    assert numbers.fixed(-0.0001, 2) == "0.00"
    assert numbers.fixed(-2.7e301, 2) == "-2.7e+301"


def test_digits_before_the_point_are_all_shown() -> None:
    assert [numbers.significant(value, 2) for value in (0.00123, 2586, -123456.7, 2e9)] == [
        "0.0012",
        "2586",
        "-123457",
        "2e+09",
    ]
