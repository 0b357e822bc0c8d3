"""What an evaluation may answer: labels are matched, and what is no number is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from evaluations import BOUND, METHODS, arguments, worth
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas import Search, batched, search
from optiproxy_nas.core.errors import EvaluationError, FailedTrialsError, ParameterError
from optiproxy_nas.evaluation.answers import read_answer, read_answers
from optiproxy_nas.objectives import resolve_objective

PLAIN, BOUNDED = resolve_objective("accuracy"), resolve_objective(BOUND)
NAMES = ["a", "b", "c"]
VALUES = {"a": 3.0, "b": 1.0, "c": 2.0}


def values(answer: Any, objective: Any = PLAIN) -> Any:
    return [outcome.metrics.get("value") for outcome in read_answers(objective, answer, NAMES)]


@pytest.mark.heavy
@given(order=st.permutations(NAMES))
def test_labels_are_matched_in_any_order(order: Any) -> None:
    column = [VALUES[name] for name in order]
    series = pd.Series(column, index=order)
    table = pd.DataFrame({"value": column, "latency_ms": column}, index=order)
    expected = [3.0, 1.0, 2.0]
    assert values(series) == expected
    assert values(dict(zip(order, column, strict=True))) == expected
    assert values({"value": series}) == expected
    assert values(table) == expected
    assert values(table, BOUNDED) == expected
    assert values({name: {"value": VALUES[name], "latency_ms": 1} for name in order}) == expected


def test_without_labels_the_order_is_that_asked_for() -> None:
    numbers = [3.0, 1.0, 2.0]
    for answer in (
        numbers,
        tuple(numbers),
        np.array(numbers),
        np.array([3, 1, 2]),
        torch.tensor(numbers),
        pd.Series(numbers),
        pd.DataFrame({"value": numbers}),
        {"value": numbers, "flops": [1, 2, 3]},
        [{"value": number} for number in numbers],
    ):
        assert values(answer) == numbers


def test_what_is_missing_failed() -> None:
    for answer in (
        [3.0, None, 2.0],
        [3.0, float("nan"), 2.0],
        np.ma.masked_array([3.0, 1.0, 2.0], [False, True, False]),
        pd.Series([3.0, pd.NA, 2.0], dtype="Float64"),
        pd.Series([3.0, float("inf"), 2.0]),
        [torch.tensor(3.0, requires_grad=True), None, torch.tensor(2.0, dtype=torch.bfloat16)],
        torch.tensor([3.0, float("nan"), 2.0], dtype=torch.bfloat16, requires_grad=True),
    ):
        assert values(answer) == [3.0, None, 2.0]


@pytest.mark.parametrize(
    "answer",
    [
        pd.Series([1.0, 2.0, 3.0]).sort_values(ascending=False),  # whose rows are whose?
        pd.Series([1.0, 2.0, 3.0], index=["a", "b", "d"]),
        pd.Series([1.0, 2.0, 3.0], index=["a", "b", "b"]),
        {"a": 1.0, "b": 2.0},
        {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0},
        [1.0, 2.0],
        [[1.0, 2.0, 3.0]],
        ["1", "2", "3"],
        [True, False, True],
        [1.0, "2", 3.0],
        "abc",
        None,
        5.0,
        [{"value": 1.0}, {"value": 2.0}],
        {"latency_ms": [1.0, 2.0, 3.0]},
        np.ma.masked_array(["3", "1", "2"], [False, True, False]),
        np.ma.masked_array([3j, 1j, 2j], [False, True, False]),
        torch.zeros(3, device="meta"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(answer: Any) -> None:
    with pytest.raises(EvaluationError):
        values(answer)


def test_a_further_metric_of_another_type_costs_no_training() -> None:
    with pytest.warns(UserWarning, match="'device'") as warned:
        outcome = read_answer(PLAIN, {"value": 0.9, "converged": True, "device": "cpu"}, "a")
    assert outcome.metrics == {"value": 0.9, "converged": 1.0}
    assert len(warned) == 1
    columns = {"value": [1.0, 2.0, 3.0], "converged": [True, False, True], "device": ["cpu"] * 3}
    with pytest.warns(UserWarning, match="'device'"):
        outcomes = list(read_answers(PLAIN, columns, NAMES))
    assert outcomes[1].metrics == {"value": 2.0, "converged": 0.0}
    refused = {"value": 1.0, "latency_ms": True}
    with pytest.raises(EvaluationError) as caught:  # it is bounded
        read_answer(BOUNDED, refused, "a")
    assert caught.value.data["answer"] is True
    with pytest.raises(EvaluationError) as caught:
        read_answer(PLAIN, {"accuracy": 1.0}, "a")
    assert caught.value.data["answer"] == {"accuracy": 1.0}


def test_all_metrics_are_needed() -> None:
    with pytest.raises(EvaluationError, match="latency_ms"):
        values([1.0, 2.0, 3.0], BOUNDED)
    with pytest.raises(EvaluationError, match="latency_ms"):
        search(evaluate=lambda architecture: 1.0, **arguments("random_search", "constrained"))


@pytest.mark.parametrize("method", [name for name in METHODS if name != "gaussian_process"])
def test_labelled_answers_in_any_order_change_no_search(method: Any) -> None:
    def labelled(names: Any) -> Any:
        table = pd.DataFrame([worth(name) for name in names], index=names)
        return table.sort_values("value")

    asked = arguments(method, "constrained")
    single = search(evaluate=worth, **asked)
    pd.testing.assert_frame_equal(
        search(evaluate=batched(labelled), **asked).archive, single.archive
    )


def test_who_passes_a_function_of_a_list_is_told_what_to_write() -> None:
    with pytest.raises(EvaluationError, match=r"batched\(f\)"):
        search(evaluate=lambda names: [1.0 for _ in names], **arguments("random_search"))


def test_a_batch_that_raises_ends_the_search_with_what_came_before() -> None:
    calls = []

    def evaluate(names: Any) -> Any:
        calls.append(names)
        if len(calls) == 2:
            raise RuntimeError("the cluster burns")
        return [1.0] * len(names)

    with pytest.raises(EvaluationError, match="the cluster burns") as caught:
        search(evaluate=batched(evaluate), **arguments("random_search"))
    assert caught.value.data["archive"]["architecture"].tolist() == calls[0]
    assert caught.value.data["result"].best.value == 1.0


def test_only_functions_are_called() -> None:
    number: Any = 3
    with pytest.raises(ParameterError, match="function"):
        search(evaluate=number, **arguments("random_search"))
    with pytest.raises(ParameterError):
        batched(number)


def test_a_single_tensor_is_read_or_refused_with_what_was_paid_for() -> None:
    (trial,) = (opened := Search(**arguments("random_search"))).ask(1)
    with pytest.raises(EvaluationError):
        opened.tell(trial, torch.zeros((), device="meta"))
    assert opened.tell(trial, torch.tensor(2.0, dtype=torch.bfloat16)).value == 2.0


def test_a_batch_may_change_the_list_that_it_is_given() -> None:
    def evaluate(names: Any) -> Any:
        return [worth(names.pop(0))["value"] for _ in range(len(names))]

    asked = arguments("random_search")
    pd.testing.assert_frame_equal(
        search(evaluate=batched(evaluate), **asked).archive, search(evaluate=worth, **asked).archive
    )


@pytest.mark.parametrize("huge", [10**30, -(2**63) - 1, 1e300])
def test_huge_numbers_are_numbers(huge: Any) -> None:
    for outcome in (read_answer(PLAIN, huge, "a"), *read_answers(PLAIN, [huge], ["a"])):
        assert outcome.metrics == {"value": float(huge)}


def test_an_integer_that_is_no_finite_float_fails_its_trial() -> None:
    for number in (10**400, -(10**400)):
        for outcome in (read_answer(PLAIN, number, "a"), *read_answers(PLAIN, [number], ["a"])):
            assert (outcome.metrics, "inf" in outcome.error) == ({}, True)


def test_a_message_has_the_reason_before_an_architecture_that_is_cut() -> None:
    architecture = "x" * 1000
    for answer in ("text", {"accuracy": 1}):
        with pytest.raises(EvaluationError) as caught:
            read_answer(PLAIN, answer, architecture)
        reason, _, rest = caught.value.message.partition("xxx")
        assert "must give" in reason
        assert len(rest) < 130


def test_an_evaluation_without_return_is_told_from_nan_and_warned_of_at_once(caplog: Any) -> None:
    with caplog.at_level("WARNING"), pytest.raises(FailedTrialsError) as caught:
        search(evaluate=lambda _: None, budget=20, failures={"in_a_row": 3})
    assert "None" in caught.value.data["error"]
    assert sum("None" in record.message for record in caplog.records) == 1
    with pytest.raises(FailedTrialsError) as caught:
        search(evaluate=lambda _: float("nan"), budget=20, failures={"in_a_row": 3})
    assert "nan" in caught.value.data["error"]
