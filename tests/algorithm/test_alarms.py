"""When a search raises an alarm, and that each is told once, in the log and at the end."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from optiproxy_nas import search
from optiproxy_nas.algorithm.alarms import (
    LOGGER,
    AlarmLog,
    AlarmSettings,
    alarm_facts,
    raised_alarms,
)
from optiproxy_nas.report.terminal import terminal_summary

CALM = {
    "queries": 60,
    "stagnation": 30,
    "recent_kendall_tau": 0.3,
    "spread": 0.6,
    "distance": 0.4,
    "agreement": 0.2,
    "recent_violation_rate": 0.5,
}
SETTINGS = AlarmSettings()


@pytest.mark.parametrize(
    ("changed", "raised"),
    [
        ({}, set()),
        ({"recent_kendall_tau": -0.4}, {"proxy_alarm"}),
        ({"recent_kendall_tau": -0.1}, set()),  # no worse than chance
        ({"recent_kendall_tau": -0.4, "stagnation": 19}, set()),  # it still finds better ones
        ({"recent_kendall_tau": None}, set()),
        ({"spread": 0.05}, {"collapse_alarm"}),
        ({"agreement": 1.0}, {"collapse_alarm"}),
        ({"distance": 0.01}, {"collapse_alarm"}),
        ({"spread": 0.05, "stagnation": 19}, set()),
        ({"recent_violation_rate": 0.85}, {"violation_alarm"}),
        ({"recent_violation_rate": 0.8}, set()),
        ({"recent_violation_rate": 1.0, "queries": 20}, set()),  # too few to say so
    ],
)
def test_an_alarm_is_raised_where_its_threshold_is_passed(changed: Any, raised: Any) -> None:
    found = raised_alarms(CALM | changed, 40, 5, SETTINGS)
    assert {name for name, value in found.items() if value} == raised
    assert found.keys() == {"proxy_alarm", "collapse_alarm", "violation_alarm"}


def test_the_thresholds_are_parameters() -> None:
    low = CALM | {"recent_kendall_tau": 0.2, "spread": 0.3, "recent_violation_rate": 0.6}
    strict = AlarmSettings(kendall_tau=0.25, spread=0.4, violation_rate=0.55, patience=30)
    assert set(raised_alarms(low, 40, 5, strict).values()) == {1}
    assert set(raised_alarms(low, 40, 5, strict.model_copy(update={"patience": 31})).values()) == {
        0,
        1,  # of violations, whatever was found
    }
    never = AlarmSettings(kendall_tau=-1, violation_rate=1)
    assert not any(raised_alarms(low | {"recent_kendall_tau": -1.0}, 40, 5, never).values())
    with pytest.raises(ValidationError):
        AlarmSettings(violation_rate=1.5)


def test_no_alarm_of_what_a_step_does_not_speak_of() -> None:
    listed = {name: CALM[name] for name in ("queries", "stagnation", "recent_kendall_tau")}
    assert raised_alarms(listed, 40, 5, SETTINGS) == {"proxy_alarm": 0}
    few = listed | {"recent_kendall_tau": -1.0}
    assert raised_alarms(few, 19, 5, SETTINGS) == {"proxy_alarm": 0}
    assert raised_alarms(few, 20, 5, SETTINGS) == {"proxy_alarm": 1}


def step(queries: int, **changed: Any) -> Any:
    numbers = CALM | {"queries": queries} | changed
    return numbers | raised_alarms(numbers, 40, 5, SETTINGS)


def test_each_kind_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    log = AlarmLog(5, SETTINGS)
    with caplog.at_level(logging.WARNING, LOGGER):
        for numbers in (
            step(30),
            step(32, spread=0.01),
            step(34, spread=0.01, recent_kendall_tau=-0.4),
            step(36, spread=0.01, recent_kendall_tau=-0.5),
        ):
            log.look(numbers)
    collapse, proxy = caplog.messages
    assert collapse.startswith("Alarm: mode collapse at query 32: the spread is below 0.1;")
    assert proxy.startswith("Alarm: proxy gap at query 34: Kendall's τ")


def test_the_summary_says_when_each_was_raised_first_and_how_often() -> None:
    steps = [step(30), step(32, spread=0.01), step(34), step(36, spread=0.01)]
    (text,) = alarm_facts(pd.DataFrame(steps), 5, SETTINGS)["alarms"]
    assert text.startswith("mode collapse at query 32:")
    assert text.endswith("Raised in 2 of 4 steps.")
    assert alarm_facts(pd.DataFrame(steps[:1]), 5, SETTINGS) == {}
    assert alarm_facts(pd.DataFrame({"step": []}), 5, SETTINGS) == {}
    lines = terminal_summary({"space": "nb201", "alarms": [text, "τ"]}).splitlines()
    assert any(line.startswith("Alarm: mode collapse at query 32") for line in lines)
    assert all(line.isascii() for line in lines)


@pytest.mark.heavy
def test_a_search_warns_while_it_runs_and_its_archive_is_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Thresholds that any search passes: they change what is told, and nothing else."""
    quick: dict[str, Any] = {
        "preset": "ensemble",
        "budget": 34,
        "fit": {"epochs": 2, "first_epochs": 2},
        "gradient": {"epochs": 2},
        "selection": {"samples": 20, "skip_twins": False},
    }
    quiet = {"kendall_tau": -1.0, "spread": 0.0, "distance": 0.0}
    with caplog.at_level(logging.WARNING, LOGGER):
        calm = search(**quick, alarms=quiet)
        assert not caplog.records
        loud = search(**quick, alarms={"patience": 1, "kendall_tau": 1.0, "spread": 1.0})
    kinds = {text.split(" at query")[0] for text in caplog.messages}
    assert kinds == {"Alarm: proxy gap", "Alarm: mode collapse"}
    assert len(caplog.messages) == 2
    pd.testing.assert_frame_equal(calm.archive, loud.archive)
    numbers = loud.diagnostics
    assert {"stagnation", "spread", "distance", "agreement"} <= set(numbers)
    assert np.isfinite(numbers["spread"]).all()
    assert numbers["collapse_alarm"].iloc[-1] == 1


def test_mode_collapse_is_told_with_rungs_too(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is fully trained while first looks are made: they count as queries without a best."""

    def evaluate(architecture: str, epochs: int) -> float:
        return float(architecture.count("conv_3x3") + epochs)

    with caplog.at_level(logging.WARNING, LOGGER):
        found = search(
            evaluate=evaluate,
            objective={"name": "multi_fidelity", "low_first": 30},
            preset="low_fidelity",
            budget=1000,
            selection={"listed": 0, "samples": 20, "ascent_rounds": 0},
            gradient={"epochs": 2},
            alarms={"patience": 5, "kendall_tau": -1.0, "spread": 1.0},
        )
    assert [text.split(" at query")[0] for text in caplog.messages] == ["Alarm: mode collapse"]
    assert found.diagnostics["collapse_alarm"].max() == 1
    stuck = found.diagnostics["stagnation"] >= 5
    assert (found.diagnostics["collapse_alarm"] == stuck).all()
