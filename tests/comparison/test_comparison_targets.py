"""Runs that maximised something else than validation accuracy, alone and beside others."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pytest
from made_runs import found, make_run

from optiproxy_nas.report.compare import compare, comparison_page
from optiproxy_nas.report.curve_values import page, plot
from optiproxy_nas.report.curves import BEST, REGRET, axis_label, draw
from optiproxy_nas.spaces.nb201 import NASBench201

LOSS = "negative_test_loss"
NOTE = "Loss on the TEST text."


def loss_run(seed: int, **more: Any) -> Any:
    values = np.array([-6.0, -5.0, -5.5, -4.5]) - seed / 10
    return make_run(seed, values, optimum=None, target=LOSS, caution=NOTE, **more)


@pytest.fixture(scope="module")
def mixed() -> Any:
    return compare(found(make_run(0), make_run(1), loss_run(0), loss_run(1)))


def test_each_target_has_a_panel_of_its_own(mixed: Any) -> None:
    assert [panel.metric for panel in mixed.panels] == [LOSS, "validation_accuracy"]
    assert [panel.title for panel in mixed.panels] == [
        "cifar10, negative test loss",
        "cifar10, validation accuracy",
    ]
    assert [len(panel.runs) for panel in mixed.panels] == [2, 2]
    (caution,) = [text for text in mixed.cautions if "different metrics" in text]
    assert "negative test loss; validation accuracy" in caution


def test_a_run_that_says_nothing_has_the_target_of_its_source() -> None:
    assert make_run().target == "validation_accuracy"
    assert make_run(source="nbnlp").target == LOSS
    assert "TEST" in make_run(source="nbnlp").caution
    assert make_run(source="not:installed").target == "validation_accuracy"


def test_labels_are_those_of_the_panels(mixed: Any) -> None:
    panels = mixed.curves
    assert [axis_label(BEST, panels, i, 2) for i in (0, 1)] == [
        "best negative test loss (nats)",
        "best validation accuracy (%)",
    ]
    assert [axis_label(REGRET, panels, i, 2) for i in (0, 1)] == [
        "regret (nats)",
        "regret (percentage points)",
    ]
    shown = [axes.get_ylabel() for axes in draw(panels, [BEST]).axes]
    assert shown == ["best negative test loss (nats)", "best validation accuracy (%)"]
    assert [plot("p", panel, BEST).label for panel in panels] == shown
    assert "Regret (nats)" in page("Both", panels)


@pytest.mark.heavy
def test_the_page_tells_unit_and_caution_once_a_panel(mixed: Any, nb201: NASBench201) -> None:
    text = html.unescape(comparison_page(mixed, nb201))
    first, second = text.split("<h2>cifar10, ")[1:3]
    assert first.count(NOTE) == 1
    assert "the best value that any run found is −4.50 nats" in first
    assert "differences: nats" in first
    assert "%" not in first.split("<h3>Best so far")[0]
    assert NOTE not in second
    assert "the optimum of the table is 40.00 %" in second
    assert "differences: points" in second
    assert "Negative test loss (nats)</th>" in text
    assert "Best</th>" in text  # of runs in different units
