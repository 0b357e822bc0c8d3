"""Asking and telling: any number of open trials, any order, every method and objective."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, cast
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from evaluations import METHODS, OBJECTIVES, arguments, failing, fails, worth
from hypothesis import given, settings
from hypothesis import strategies as st

from optiproxy_nas import FailedTrialsError, Search, TrialError, search
from optiproxy_nas.algorithm.archive import check_archive, extend
from optiproxy_nas.algorithm.steps import initial_batch
from optiproxy_nas.core.errors import EvaluationError, MethodError, ParameterError
from optiproxy_nas.evaluation.batch import evaluate_batch
from optiproxy_nas.evaluation.loop import drive

SLOW = ("optiproxy", "gaussian_process")
EACH = [(method, objective) for method in METHODS for objective in OBJECTIVES]


def told(opened: Search, trial: Any, evaluate: Any = failing) -> None:
    """Evaluate a trial as a driver would."""
    try:
        epochs = (trial.epochs,) if trial.epochs else ()
        opened.tell(trial, evaluate(trial.architecture, *epochs))
    except MemoryError as error:
        opened.tell(trial, failed=f"MemoryError: {error}")


@pytest.mark.heavy
@pytest.mark.parametrize(("method", "objective"), EACH)
def test_it_is_the_search_of_the_function(method: Any, objective: Any) -> None:
    """Asked a round at a time, with failures."""
    asked = arguments(method, objective)
    opened = Search(**asked)
    while trials := opened.ask():
        for trial in trials:
            told(opened, trial)
    found = search(evaluate=failing, **asked)
    pd.testing.assert_frame_equal(opened.archive(), found.archive)
    assert [trial.architecture for trial in opened.trials] == [t.architecture for t in found.trials]
    assert {trial.state for trial in found.trials} == {"complete", "failed"}
    assert all(fails(trial.architecture) == (trial.state == "failed") for trial in found.trials)
    check_archive(opened.space, found.archive, opened.objective)


@pytest.mark.heavy
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("method", [name for name in METHODS if name not in SLOW])
@settings(max_examples=3)
@given(seed=st.integers(0, 99))
def test_any_number_may_be_open_and_nothing_is_asked_for_twice(
    method: Any, objective: Any, seed: Any
) -> None:
    _check_scripted(method, objective, seed)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("method", SLOW)
@settings(max_examples=1)
@given(seed=st.integers(0, 99))
def test_any_number_may_be_open_in_methods_that_fit(method: str, objective: Any, seed: Any) -> None:
    _check_scripted(method, objective, seed)


def _check_scripted(method: str, objective: Any, seed: int) -> None:
    """Asked and told in the same order it is the same search."""
    first, again = (_scripted(method, objective, random.Random(seed)) for _ in range(2))
    assert [t.architecture for t in first.trials] == [t.architecture for t in again.trials]
    pd.testing.assert_frame_equal(first.archive(), again.archive())
    asked = [(trial.architecture, trial.epochs) for trial in first.trials]
    assert len(set(asked)) == len(asked)
    assert first.spent <= first.budget
    assert first.spent > first.budget - 12  # what is left pays for no further step
    check_archive(first.space, first.archive(), first.objective)


def _scripted(method: str, objective: Any, script: Any) -> Any:
    opened, running = Search(**arguments(method, objective)), []
    while True:
        asked = opened.ask(script.choice([1, 2, 5]))
        running += asked
        assert len(opened.pending) >= len(running)
        if not running:
            return opened
        script.shuffle(running)
        for _ in range(script.randint(0 if asked else 1, len(running))):
            told(opened, running.pop())


@pytest.mark.heavy
@settings(max_examples=2)
@given(script=st.randoms(use_true_random=False))
def test_how_a_round_is_worked_through_does_not_matter(script: Any) -> None:
    """As long as it is told in one order, and no trial beyond it is asked for."""
    opened, running = Search(**arguments("optiproxy")), []
    plain = search(evaluate=failing, **arguments("optiproxy"))
    while trials := opened.ask():
        running = list(trials)
        results = {}
        for trial in script.sample(running, len(running)):
            results[trial.number] = trial
        for number in sorted(results):
            told(opened, results[number])
    pd.testing.assert_frame_equal(opened.archive(), plain.archive)


def test_one_at_a_time_is_a_round_at_a_time() -> None:
    by_one, by_round = (Search(**arguments("regularized_evolution")) for _ in range(2))
    while trials := by_one.ask(1):
        told(by_one, trials[0])
    while trials := by_round.ask():
        for trial in trials:
            told(by_round, trial)
    pd.testing.assert_frame_equal(by_one.archive(), by_round.archive())


def test_a_trial_knows_itself() -> None:
    opened = Search(**arguments("random_search", budget=3))
    first, second = opened.ask(2)
    assert (first.number, second.number) == (0, 1)
    assert first.state == "running"
    assert first.seed != second.seed
    assert opened.spent == 3  # the whole round is charged
    done = opened.tell(second, 90, seconds=2.5)
    assert (done.state, done.value, done.seconds, done.error) == ("complete", 90.0, 2.5, "")
    assert opened.tell(first, failed="no GPU").error == "no GPU"
    assert [trial.order for trial in opened.trials] == [None, 0, None]
    assert opened.trials[2].state == "waiting"


def test_who_tells_wrongly_is_told_so_and_nothing_changes() -> None:
    opened = Search(**arguments("random_search"))
    (trial,) = opened.ask(1)
    wrong: Any
    for wrong in (7, -1, "first", None):
        with pytest.raises(TrialError):
            opened.tell(wrong, 1.0)
    with pytest.raises(TrialError) as caught:
        opened.tell(1, 1.0)
    assert caught.value.data == {"trial": 1, "state": "waiting"}
    other = Search(**arguments("random_search", seed=4)).ask(1)[0]
    with pytest.raises(TrialError) as caught:
        opened.tell(other, 1.0)
    assert caught.value.data["trial"] == other.number
    for answer in ("0.5", True, [1.0], {"accuracy": 1.0}, object()):
        with pytest.raises(EvaluationError):
            opened.tell(trial, answer)
    assert opened.tell(trial, 1.0).state == "complete"
    with pytest.raises(TrialError) as caught:
        opened.tell(trial, 1.0)
    assert caught.value.data == {"trial": 0, "state": "complete"}


def test_failures_in_a_row_end_the_search_with_its_trials() -> None:
    with pytest.raises(FailedTrialsError) as caught:
        search(evaluate=_burnt, **arguments("random_search", failures={"in_a_row": 4}))
    assert caught.value.data["error"] == "RuntimeError: burnt"
    assert len([t for t in caught.value.data["trials"] if t.state == "failed"]) == 4
    assert len(caught.value.data["result"].failed) == 4


def _burnt(architecture: str) -> None:
    raise RuntimeError("burnt")


def test_a_share_of_failures_ends_the_search() -> None:
    def evaluate(architecture: str) -> Any:
        return None if next(count) % 2 else 1.0

    count = iter(range(100))
    limits = {"in_a_row": None, "share": 0.4}
    with pytest.raises(FailedTrialsError) as caught:
        search(evaluate=evaluate, **arguments("random_search", budget=60, failures=limits))
    assert caught.value.data["failed"] == 10


def test_a_failed_trial_is_tried_again_where_that_is_asked_for() -> None:
    attempts = []

    def evaluate(architecture: str) -> float:
        attempts.append(architecture)
        if attempts.count(architecture) == 1:
            raise RuntimeError("flaky")
        return 1.0

    found = search(evaluate=evaluate, **arguments("random_search", failures={"retries": 1}))
    assert len(found.archive) == 22
    assert len(attempts) == 44
    assert not found.failed


def opened_failures(asked: Any, evaluate: Any) -> Any:
    """How many trials were complete before each failed one, by ask and tell."""
    opened = Search(**asked)
    drive(opened, evaluate)
    assert len(opened.failed())
    return opened.failed()["after"].tolist()


def test_a_node_of_a_pipeline_tries_again_as_a_search_does() -> None:
    """Some need a second attempt, some fail for good: the same archive in the same order."""

    def flaky() -> Any:
        attempts: Counter[str] = Counter()

        def evaluate(architecture: str) -> Any:
            attempts[architecture] += 1
            if fails(architecture) or (len(architecture) % 3 and attempts[architecture] == 1):
                raise RuntimeError("flaky")
            return worth(architecture)

        return evaluate

    asked = arguments("optiproxy", budget=8, seed=1, failures={"retries": 1})
    found, opened = search(evaluate=flaky(), **asked), Search(**asked)
    parameters: Any = opened.parameters
    batch = initial_batch(opened.space, parameters)
    evaluated, failed = evaluate_batch(opened.space, batch, flaky(), parameters)
    archive = extend(None, evaluated, opened.objective)
    pd.testing.assert_frame_equal(archive, found.archive)
    assert archive["architecture"].tolist() != batch["architecture"].tolist()[: len(archive)]
    assert set(failed["architecture"]) == {trial.architecture for trial in found.failed}
    assert failed["after"].tolist() == opened_failures(asked, flaky())


def test_every_value_that_is_none_is_a_failure() -> None:
    answers = [None, float("nan"), float("inf"), -float("inf"), {"value": None}, 1.0]
    opened = Search(**arguments("random_search"))
    pairs = zip(opened.ask(6), answers, strict=True)
    states = [opened.tell(trial, answer).state for trial, answer in pairs]
    assert states == ["failed"] * 5 + ["complete"]


def test_a_bounded_metric_may_be_infinite_but_not_missing() -> None:
    opened = Search(**arguments("random_search", "constrained"))
    one, two = opened.ask(2)
    assert opened.tell(one, {"value": 1.0, "latency_ms": float("inf")}).state == "complete"
    assert opened.tell(two, {"value": 1.0, "latency_ms": float("nan")}).state == "failed"


def test_all_that_cannot_be_fitted_on_is_told_at_once() -> None:
    """OptiProxy-NAS with one complete trial: an error with it, not a proxy of nothing."""
    good: list[Any] = []

    def evaluate(architecture: str) -> Any:
        if good:
            raise RuntimeError("burnt")
        good.append(architecture)
        return worth(architecture)

    with pytest.raises(EvaluationError, match="no proxy") as caught:
        search(evaluate=evaluate, **arguments("optiproxy"))
    assert caught.value.data["archive"]["architecture"].tolist() == good


@pytest.mark.parametrize("count", [-1, 2.5, "2", True, float("nan"), [1]])
def test_a_count_that_is_none_is_refused_and_nothing_is_asked(count: Any) -> None:
    opened = Search(**arguments("random_search"))
    with pytest.raises(ParameterError):
        opened.ask(count)
    assert opened.spent == 0
    assert opened.ask(0) == []


def test_a_trial_may_be_told_by_a_number_of_a_table_but_not_by_a_truth() -> None:
    opened = Search(**arguments("random_search"))
    opened.ask(2)
    opened.tell(cast(Any, np.int64(1)), 2.0)
    assert [trial.state for trial in opened.trials[:2]] == ["running", "complete"]
    with pytest.raises(TrialError):
        opened.tell(False, 1.0)


@pytest.mark.parametrize("seconds", [-1, "2", float("nan"), True, 1j, 10**400])
def test_seconds_are_checked_before_anything_is_told(seconds: Any) -> None:
    opened = Search(**arguments("random_search"))
    (trial,) = opened.ask(1)
    with pytest.raises(ParameterError):
        opened.tell(trial, 1.0, seconds=seconds)
    assert opened.tell(trial, 1.0, seconds=cast(Any, np.float32(3))).seconds == 3


def test_an_answer_and_a_failure_are_not_told_together() -> None:
    opened = Search(**arguments("random_search"))
    (trial,) = opened.ask(1)
    with pytest.raises(ParameterError):
        opened.tell(trial, 1.0, failed="out of memory")
    assert opened.trials[0].state == "running"


@pytest.mark.parametrize("reason", ["", None])
def test_it_stops_without_a_reason_too(reason: Any) -> None:
    opened = Search(**arguments("random_search"))
    opened.stop(reason)
    assert opened.done
    assert not opened.ask(1)


@pytest.mark.parametrize("how", [KeyboardInterrupt, ValueError])
def test_a_method_that_was_ended_in_the_middle_is_not_asked_again(
    how: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Search(**arguments("local_search"))
    for trial in opened.ask():
        told(opened, trial)
    with monkeypatch.context() as patch:
        patch.setattr(opened.method, "ask", Mock(side_effect=how))
        with pytest.raises((KeyboardInterrupt, MethodError)):
            opened.ask()
    with pytest.raises(MethodError) as caught:
        opened.ask()
    assert len(caught.value.data["trials"]) == len(opened.result().trials) == len(opened.trials)
    resumed = Search(**arguments("local_search"), initial=opened.result())
    assert resumed.ask()


def test_trials_can_be_keys() -> None:
    assert len({trial: 0 for trial in Search(**arguments("random_search")).ask(3)}) == 3
