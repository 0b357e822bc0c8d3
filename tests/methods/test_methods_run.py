"""The ask/tell loop: what is paid for, what is told, what is kept when something fails."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.algorithm.archive import check_archive
from optiproxy_nas.core.errors import (
    BudgetError,
    EvaluationError,
    FailedTrialsError,
    InvalidArchitectureError,
    MethodError,
    SamplingError,
)
from optiproxy_nas.evaluation.ask_tell import AskTell
from optiproxy_nas.evaluation.function_evaluator import batched
from optiproxy_nas.evaluation.loop import drive, run_method
from optiproxy_nas.evaluation.proposals import REPEATS
from optiproxy_nas.methods import Method, Proposals, build_method
from optiproxy_nas.objectives.accuracy import Accuracy
from optiproxy_nas.spaces.nb201 import NASBench201
from tiny_space import TinySpace

SPACE = NASBench201()
PLAIN = Accuracy()


def cell(number: int) -> Any:
    """The cell whose code is ``number`` in base 5."""
    return [number // 5**i % 5 for i in range(5, -1, -1)]


def value(architecture: str) -> Any:
    place: Any = SPACE.identify(SPACE.from_string([architecture]))[0]
    return float(place)


class Objective:
    """The number of the cell; some fail."""

    def __init__(self, *failing: Any) -> None:
        self.asked: Counter[Any] = Counter()
        self.failing = failing

    def __call__(self, architecture: Any) -> Any:
        self.asked[architecture] += 1
        if value(architecture) in self.failing:
            raise RuntimeError("the cluster burns")
        return value(architecture)


class Scripted(Method):
    """Asks for the cell numbers that it is given, round by round, and then from the start again."""

    reference = "these tests"

    def __init__(self, *rounds: Any) -> None:
        self.rounds, self.asked = rounds, 0
        self.told: list[Any] = []
        self.unavailable: list[Any] = []

    def ask(self, unavailable: Any) -> Any:
        self.unavailable.append(SPACE.identify(unavailable.codes) if len(unavailable.codes) else [])
        codes = self.rounds[self.asked % len(self.rounds)]
        self.asked += 1
        return Proposals(torch.tensor([cell(number) for number in codes]).long().reshape(-1, 6))

    def tell(self, answers: Any) -> None:
        assert SPACE.identify(answers.codes) == answers.values.tolist()
        assert answers.rows["value"].tolist() == answers.values.tolist()
        assert [*map(value, answers.rows["architecture"])] == answers.values.tolist()
        self.told.append(answers.values.tolist())


def numbers(archive: Any) -> Any:
    return [int(value(architecture)) for architecture in archive["architecture"]]


def test_repeats_cost_nothing_and_are_told_again() -> None:
    method, objective = Scripted([7, 7, 8], [8], [9, 7]), Objective()
    archive, trials = run_method(SPACE, objective, method, 3)
    assert numbers(archive) == [7, 8, 9]
    assert set(objective.asked.values()) == {1}
    assert method.told == [[7, 8], [8]]  # a repeat within the round is pending then; 9 ends it
    assert trials["order"].tolist() == [0, 0, 1, 1, 2]
    assert trials["charged"].tolist() == [True, False, True, False, True]
    assert trials["trial"].tolist() == [0, 1, 2, 3, 4]
    assert archive["step"].tolist() == [0, 0, 2]
    assert archive["best"].tolist() == [7, 8, 9]
    assert archive[["predicted", "predicted_sd", "score"]].isna().all(axis=None)
    check_archive(SPACE, archive, PLAIN)


def test_a_batch_is_cut_to_the_budget_in_the_order_asked() -> None:
    method = Scripted([5, 3, 5, 4, 3, 9, 8])
    objective = Objective()
    archive, trials = run_method(SPACE, objective, method, 3)
    assert numbers(archive) == [5, 3, 4]
    assert set(objective.asked.values()) == {1}
    assert trials["order"].tolist() == [0, 1, 0, 2]


@given(
    rounds=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=6),
    budget=st.integers(1, 10),
)
def test_the_record_is_that_of_the_proposals(rounds: Any, budget: Any) -> None:
    proposals = [number for batch in rounds for number in batch]
    distinct = list(dict.fromkeys(proposals))
    budget = min(budget, len(distinct))
    archive, trials = run_method(SPACE, Objective(), Scripted(*rounds), budget)
    assert numbers(archive) == distinct[:budget]
    spent = proposals.index(distinct[budget - 1]) + 1
    assert [numbers(archive)[row] for row in trials["order"]] == proposals[:spent]
    assert trials["charged"].sum() == budget
    assert archive["step"].is_monotonic_increasing


def test_each_trial_is_reported() -> None:
    events = []

    def note(search: Any, trial: Any) -> None:
        events.append((trial.number, trial.state, trial.value, search.spent, search.best))

    run_method(SPACE, Objective(5), Scripted([7, 7, 5], [7], [8]), 3, [note])
    assert events == [
        (0, "complete", 7.0, 2, 7.0),
        (1, "failed", None, 2, 7.0),
        (2, "complete", 8.0, 3, 8.0),
    ]


def test_a_method_that_proposes_nothing_has_finished() -> None:
    method = Scripted([1, 2], [3], [])
    archive, trials = run_method(SPACE, Objective(), method, 9)
    assert numbers(archive) == [1, 2, 3]
    assert len(trials) == 3
    assert method.asked == 3


def test_a_trial_that_fails_is_charged_and_neither_told_nor_asked_again() -> None:
    method, objective = Scripted([1, 2], [2, 3], [1, 4]), Objective(2)
    search = AskTell(SPACE, PLAIN, method, 4)
    drive(search, objective)
    assert numbers(search.archive()) == [1, 3, 4]
    check_archive(SPACE, search.archive(), PLAIN)
    assert set(objective.asked.values()) == {1}
    assert method.told == [[1], [3]]
    assert method.unavailable == [[], [2], [2]]
    assert [trial.state for trial in search.trials] == ["complete", "failed", *["complete"] * 2]
    assert search.trials[1].error == "RuntimeError: the cluster burns"
    assert search.spent == 4
    assert search.proposals()["order"].tolist() == [0, -1, -1, 1, 0, 2]


def test_failures_in_a_row_end_the_search_with_what_was_paid_for() -> None:
    with pytest.raises(FailedTrialsError) as caught:
        run_method(SPACE, Objective(*range(3, 99)), Scripted([1, 2], range(3, 50)), 40)
    assert caught.value.data["error"] == "RuntimeError: the cluster burns"
    assert numbers(caught.value.data["archive"]) == [1, 2]
    assert [trial.state for trial in caught.value.data["trials"]].count("failed") == 10


def test_a_failing_batch_keeps_what_was_paid_for() -> None:
    objective = Objective(3)
    evaluate = batched(lambda names: [*map(objective, names)])
    with pytest.raises(EvaluationError, match="the cluster burns") as caught:
        run_method(SPACE, evaluate, Scripted([1, 2], [3]), 9)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert numbers(caught.value.data["archive"]) == [1, 2]
    check_archive(SPACE, caught.value.data["archive"], PLAIN)
    assert [trial.state for trial in caught.value.data["trials"]] == [
        "complete", "complete", "running",
    ]  # fmt: skip


@pytest.mark.parametrize("answer", [[], "no", [[1.0, 2.0]], [1.0, "2.0"], [1.0, 2j]])
def test_answers_of_a_batch_are_validated(answer: Any) -> None:
    with pytest.raises(EvaluationError, match="one number") as caught:
        run_method(SPACE, batched(lambda names: answer), Scripted([1, 2]), 2)
    archive = caught.value.data["archive"]
    assert isinstance(archive, pd.DataFrame)
    assert len(archive) == 0


@pytest.mark.parametrize("answer", ["0.5", [1.0], [], 2j, object()])
def test_an_answer_that_is_no_number_ends_the_search(answer: Any) -> None:
    answers = [1.0, answer]
    with pytest.raises(EvaluationError, match="one number") as caught:
        run_method(SPACE, lambda name: answers.pop(0), Scripted([1, 2]), 2)
    assert caught.value.data["archive"]["value"].tolist() == [1]
    assert [trial.state for trial in caught.value.data["trials"]] == ["complete", "running"]


MISSING = [None, float("nan"), np.inf, -np.inf, pd.NA]


@pytest.mark.parametrize(
    "evaluate",
    [
        *(lambda name, nothing=nothing: nothing if value(name) == 2 else 1.0
          for nothing in [*MISSING, np.ma.masked]),
        *(batched(lambda names, nothing=nothing: [1.0, nothing]) for nothing in MISSING),
        batched(lambda names: np.ma.array([1.0, 2.0], mask=[False, True])),
        batched(lambda names: pd.Series([1, None], dtype="Int64")),
    ],
)  # fmt: skip
def test_without_a_finite_number_the_trial_failed(evaluate: Any) -> None:
    search = AskTell(SPACE, PLAIN, Scripted([1, 2]), 2)
    drive(search, evaluate)
    assert [trial.state for trial in search.trials] == ["complete", "failed"]
    assert search.archive()["value"].tolist() == [1]


@pytest.mark.heavy
def test_a_method_that_repeats_itself_is_stopped() -> None:
    method = Scripted([1, 2], [2], [1])
    with pytest.raises(SamplingError, match=r"after 2 of 3 queries.*Lower the budget") as caught:
        run_method(SPACE, Objective(), method, 3)
    assert numbers(caught.value.data["archive"]) == [1, 2]
    assert method.asked <= REPEATS + 1


def test_a_method_that_has_nothing_to_propose_keeps_what_was_paid_for() -> None:
    method = Scripted([1, 2])

    def give_up(unavailable: Any) -> None:
        raise SamplingError("nothing left")

    method.tell = lambda answers: setattr(method, "ask", give_up)  # type: ignore[method-assign]
    with pytest.raises(SamplingError, match="nothing left") as caught:
        run_method(SPACE, Objective(), method, 3)
    assert numbers(caught.value.data["archive"]) == [1, 2]


@pytest.mark.parametrize("where", ["ask", "tell"])
def test_a_method_that_raises_keeps_what_was_paid_for(where: str) -> None:
    method = Scripted([1, 2])

    def fail(*answers: Any) -> None:
        raise ZeroDivisionError("a bug of its own")

    if where == "tell":
        method.tell = fail  # type: ignore[assignment, method-assign]
    else:
        method.tell = lambda answers: setattr(method, "ask", fail)  # type: ignore[method-assign]
    with pytest.raises(MethodError, match=r"after 2 queries.*a bug of its own") as caught:
        run_method(SPACE, Objective(), method, 3)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert numbers(caught.value.data["archive"]) == [1, 2]
    check_archive(SPACE, caught.value.data["archive"], PLAIN)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"architecture": np.array(["zzz", "zzz"])}, "'architecture'"),
        ({"order": np.arange(2)}, "'order'"),
        ({"code_3": np.zeros(2, dtype=np.int64)}, "'code_3'"),
        ({"value": np.zeros(2)}, "'value'"),
        ({"score": np.zeros(3)}, r"'score'.*\[3\].*\[2\]"),
        ({"score": 1.0}, r"'score'.*\[2\]"),
        ({"predicted": np.array(["high", "low"])}, "'predicted'.*float64"),
        ({"group": np.array([0.0, np.nan])}, "'group'.*int64"),
    ],
)
def test_columns_that_cannot_be_used_are_refused_before_the_query(
    columns: Any, message: str
) -> None:
    method, objective = Scripted([1, 2], [3, 4]), Objective()
    plain_ask = method.ask

    def ask(unavailable: Any) -> Any:
        proposals = plain_ask(unavailable)
        return proposals if method.asked == 1 else proposals._replace(columns=columns)

    method.ask = ask  # type: ignore[method-assign]
    with pytest.raises(MethodError, match=message) as caught:
        run_method(SPACE, objective, method, 4)
    assert len(objective.asked) == 2
    assert numbers(caught.value.data["archive"]) == [1, 2]


def test_codes_out_of_range_are_refused_before_the_query() -> None:
    method, objective = Scripted([1]), Objective()
    method.ask = lambda unavailable: Proposals(torch.full((1, 6), 9))  # type: ignore[method-assign]
    with pytest.raises(MethodError, match="failed after 0 queries") as caught:
        run_method(SPACE, objective, method, 2)
    assert not objective.asked
    assert caught.value.data["archive"].empty


def test_a_budget_beyond_the_space_is_refused_before_any_query(tiny: TinySpace) -> None:
    objective = Objective()
    with pytest.raises(BudgetError, match="72"):
        run_method(tiny, objective, build_method("random_search", tiny, {}, 73, 0), 73)
    assert not objective.asked


@pytest.mark.parametrize(
    "codes",
    [
        torch.zeros(2, 5, dtype=torch.int64),
        torch.zeros(6, dtype=torch.int64),
        torch.zeros(2, 6),
        np.zeros((2, 6), dtype=np.int64),
        None,
    ],
)
def test_what_is_no_code_is_named(codes: Any) -> None:
    method = Scripted([1])
    method.ask = lambda unavailable: codes if codes is None else Proposals(codes)  # type: ignore[method-assign]
    with pytest.raises(InvalidArchitectureError, match=r"(?s)Scripted.ask.*\[n, 6\]"):
        run_method(SPACE, Objective(), method, 2)


def test_a_method_that_proposes_nothing_at_all_is_an_error() -> None:
    with pytest.raises(MethodError) as caught:
        run_method(SPACE, Objective(), Scripted([]), 3)
    assert caught.value.data["archive"].empty
