"""Callbacks, and the rules that end a search before its budget."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from evaluations import arguments, failing, worth

from optiproxy_nas import Search, search
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.evaluation import stop_rules
from optiproxy_nas.pipelines.run_progress import RunProgress


def test_callbacks_see_every_trial_and_may_stop() -> None:
    seen = []

    def callback(opened: Any, trial: Any) -> None:
        seen.append((trial.number, trial.state))
        if len(seen) == 5:
            opened.stop("enough")

    found = search(evaluate=failing, callbacks=[callback], **arguments("random_search"))
    assert [number for number, _ in seen] == list(range(5))
    assert [state for _, state in seen] == [trial.state for trial in found.trials[:5]]
    assert found.stopped == "enough"
    assert len(found.archive) + len(found.failed) == 5


def test_an_error_of_a_callback_carries_the_result() -> None:
    def callback(opened: Any, trial: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        search(evaluate=worth, callbacks=[callback], **arguments("random_search"))
    result: Any = vars(caught.value)["result"]
    assert len(result.archive) == 1


def test_a_target_ends_it_at_the_trial_that_reaches_it() -> None:
    whole = search(evaluate=worth, **arguments("random_search"))
    target = whole.archive["value"].iloc[6:12].max()
    found = search(evaluate=worth, target=target, **arguments("random_search"))
    assert found.best_value >= target
    assert (found.archive["value"].iloc[:-1] < target).all()
    assert "target" in found.stopped


def test_a_target_of_what_is_minimised_is_reached_from_above() -> None:
    more = {"direction": "minimize", **arguments("random_search")}
    whole = search(evaluate=worth, **more)
    target = whole.archive["value"].iloc[6:12].min()
    found = search(evaluate=worth, target=target, **more)
    assert found.best_value <= target
    assert (found.archive["value"].iloc[:-1] > target).all()


def test_patience_counts_trials_without_improvement() -> None:
    found = search(evaluate=lambda architecture: 1.0, patience=4, **arguments("random_search"))
    assert len(found.archive) == 5
    assert "improvement" in found.stopped


def test_a_timeout_finishes_the_open_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(stop_rules.time, "monotonic", lambda: next(clock))  # type: ignore[attr-defined]
    found = search(evaluate=worth, timeout=2.5, **arguments("random_search"))
    assert len(found.archive) == 3
    assert "timeout" in found.stopped


@pytest.mark.parametrize(
    "rule",
    [
        {"timeout": 0},
        {"timeout": -1.0},
        {"target": math.nan},
        {"patience": 0},
        {"patience": 1.5},
        {"callbacks": 3},
        {"callbacks": "ab"},
    ],
)
def test_rules_that_say_nothing_are_refused(rule: Any) -> None:
    with pytest.raises(ParameterError, match=next(iter(rule))):
        search(evaluate=worth, **rule, **arguments("random_search"))


def test_a_callback_changes_no_archive() -> None:
    asked = arguments("random_search")
    changed = search(
        evaluate=worth,
        callbacks=[lambda _, trial: trial.metrics.update(value=0)],  # type: ignore[attr-defined]
        **asked,
    )
    pd.testing.assert_frame_equal(changed.archive, search(evaluate=worth, **asked).archive)


def test_an_error_with_data_and_a_fixed_result_is_raised_as_it_is() -> None:
    class ClusterError(Exception):
        result = property()

        def __init__(self) -> None:
            self.data = {"node": 1}

    def raising(search: Any, trial: Any) -> None:
        raise ClusterError

    with pytest.raises(ClusterError) as caught:
        search(evaluate=worth, callbacks=[raising], **arguments("random_search"))
    assert caught.value.data == {"node": 1}


def test_an_epsilon_wider_than_the_initial_values_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for epsilon, warned in ((3.0, 1), (1.0, 0)):
        given: dict[str, Any] = {"initial_samples": 3, "stop_regret": {"epsilon": epsilon}}
        rule: Any = stop_rules.WarnOfWideEpsilon(Search(**given).parameters)
        for count in range(1, 6):
            table = pd.DataFrame({"value": np.arange(float(count))})
            rule(SimpleNamespace(archive=lambda table=table: table), None)
        assert len(caplog.records) == warned
        caplog.clear()


def test_a_run_of_kedro_warns_of_a_wide_epsilon_too(caplog: pytest.LogCaptureFixture) -> None:
    given: dict[str, Any] = {"initial_samples": 3, "stop_regret": {"epsilon": 3.0}}
    archive = pd.DataFrame({"value": [0.0, 1.0, 2.0], "best": 2.0, "cost": 1})
    for quiet in (True, False):
        progress = RunProgress(Search(**given).parameters, "validation_accuracy", quiet)
        progress.update(archive, None)
        progress.update(pd.concat([archive, archive.assign(value=99.0)]), None)
        progress.close()
        assert len(caplog.records) == (not quiet)
