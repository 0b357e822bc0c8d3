"""Words and units of metrics, from their names."""

import pytest

from optiproxy_nas.report import units


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
def test_labels_and_values_have_the_unit_of_the_metric(metric, label, regret, value, difference):
    assert units.label(metric) == label
    assert units.regret_label(metric) == regret
    assert units.value_text(metric, 91.607) == value
    assert units.difference_text(metric, 91.607) == difference
