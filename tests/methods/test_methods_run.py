"""The ask/tell loop: what is paid for, what is told, what is kept when something fails."""

from __future__ import annotations

from collections import Counter

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
    InvalidArchitectureError,
    MethodError,
    SamplingError,
)
from optiproxy_nas.evaluation.loop import PATIENCE, run_method
from optiproxy_nas.methods import Method, Proposals, build_method
from optiproxy_nas.objectives.accuracy import Accuracy
from optiproxy_nas.spaces.nb201 import NASBench201

SPACE = NASBench201()
PLAIN = Accuracy()


def cell(number):
    """The cell whose code is ``number`` in base 5."""
    return [number // 5**i % 5 for i in range(5, -1, -1)]


def value(architecture):
    return float(SPACE.identify(SPACE.from_string([architecture]))[0])


class Objective:
    def __init__(self, fails_at=None):
        self.asked = Counter()
        self.fails_at = fails_at

    def __call__(self, architectures):
        if self.fails_at is not None and len(self.asked) >= self.fails_at:
            raise RuntimeError("the cluster burns")
        self.asked.update(architectures)
        return [value(architecture) for architecture in architectures]


class Scripted(Method):
    """Asks for the cell numbers that it is given, round by round, and then from the start again."""

    reference = "these tests"

    def __init__(self, *rounds):
        self.rounds, self.told, self.asked = rounds, [], 0

    def ask(self):
        codes = self.rounds[self.asked % len(self.rounds)]
        self.asked += 1
        return Proposals(torch.tensor([cell(number) for number in codes]).long().reshape(-1, 6))

    def tell(self, answers):
        assert SPACE.identify(answers.codes) == answers.values.tolist()
        assert answers.rows["value"].tolist() == answers.values.tolist()
        assert [*map(value, answers.rows["architecture"])] == answers.values.tolist()
        self.told.append(answers.values.tolist())


def numbers(archive):
    return [int(value(architecture)) for architecture in archive["architecture"]]


def test_repeats_cost_nothing_and_are_told_again():
    method, objective = Scripted([7, 7, 8], [8], [9, 7]), Objective()
    archive, trials = run_method(SPACE, objective, method, 3)
    assert numbers(archive) == [7, 8, 9]
    assert set(objective.asked.values()) == {1}
    assert method.told == [[7, 7, 8], [8], [9]]  # the search ends with its last query
    assert trials["order"].tolist() == [0, 0, 1, 1, 2]
    assert trials["charged"].tolist() == [True, False, True, False, True]
    assert trials["trial"].tolist() == [0, 1, 2, 3, 4]
    assert archive["step"].tolist() == [0, 0, 2]
    assert archive["best"].tolist() == [7, 8, 9]
    assert archive[["predicted", "predicted_sd", "score"]].isna().all(axis=None)
    check_archive(SPACE, archive, PLAIN)


def test_a_batch_is_cut_to_the_budget_in_the_order_asked():
    method = Scripted([5, 3, 5, 4, 3, 9, 8])
    archive, trials = run_method(SPACE, Objective(), method, 3)
    assert numbers(archive) == [5, 3, 4]
    assert method.told == [[5, 3, 5, 4]]
    assert len(trials) == 4


@given(
    rounds=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=6),
    budget=st.integers(1, 10),
)
def test_the_record_is_that_of_the_proposals(rounds, budget):
    proposals = [number for batch in rounds for number in batch]
    distinct = list(dict.fromkeys(proposals))
    budget = min(budget, len(distinct))
    archive, trials = run_method(SPACE, Objective(), Scripted(*rounds), budget)
    assert numbers(archive) == distinct[:budget]
    spent = proposals.index(distinct[budget - 1]) + 1
    assert [numbers(archive)[row] for row in trials["order"]] == proposals[:spent]
    assert trials["charged"].sum() == budget
    assert archive["step"].is_monotonic_increasing


def test_each_round_is_reported():
    events = []
    run_method(SPACE, Objective(), Scripted([7, 7, 5], [7], [8]), 3, events.append)
    assert events == [(0, 2, 2, 3, 7.0), (1, 2, 2, 4, 7.0), (2, 3, 3, 5, 8.0)]
    assert events[-1]._fields == ("step", "spent", "queries", "proposals", "best")


def test_a_method_that_proposes_nothing_has_finished():
    method = Scripted([1, 2], [3], [])
    archive, trials = run_method(SPACE, Objective(), method, 9)
    assert numbers(archive) == [1, 2, 3]
    assert len(trials) == 3
    assert method.asked == 3


def test_a_failing_evaluation_keeps_what_was_paid_for():
    with pytest.raises(EvaluationError, match=r"after 2 queries.*the cluster burns") as caught:
        run_method(SPACE, Objective(fails_at=2), Scripted([1, 2], [3]), 9)
    assert numbers(caught.value.data["archive"]) == [1, 2]
    check_archive(SPACE, caught.value.data["archive"], PLAIN)


@pytest.mark.parametrize("answer", [[], [1.0, float("nan")], "no", [[1.0, 2.0]]])
def test_values_are_validated(answer):
    with pytest.raises(EvaluationError, match="one finite number for each") as caught:
        run_method(SPACE, lambda names: answer, Scripted([1, 2]), 2)
    archive = caught.value.data["archive"]
    assert isinstance(archive, pd.DataFrame)
    assert len(archive) == 0


def test_a_method_that_repeats_itself_is_stopped():
    method = Scripted([1, 2], [2], [1])
    with pytest.raises(SamplingError, match=r"after 2 of 3 queries.*Lower the budget") as caught:
        run_method(SPACE, Objective(), method, 3)
    assert numbers(caught.value.data["archive"]) == [1, 2]
    assert method.asked <= PATIENCE + 1


def test_a_method_that_has_nothing_to_propose_keeps_what_was_paid_for():
    method = Scripted([1, 2])

    def give_up():
        raise SamplingError("nothing left")

    method.tell = lambda answers: setattr(method, "ask", give_up)
    with pytest.raises(SamplingError, match="nothing left") as caught:
        run_method(SPACE, Objective(), method, 3)
    assert numbers(caught.value.data["archive"]) == [1, 2]


@pytest.mark.parametrize("where", ["ask", "tell"])
def test_a_method_that_raises_keeps_what_was_paid_for(where):
    method = Scripted([1, 2])

    def fail(*answers):
        raise ZeroDivisionError("a bug of its own")

    if where == "tell":
        method.tell = fail
    else:
        method.tell = lambda answers: setattr(method, "ask", fail)
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
def test_columns_that_cannot_be_used_are_refused_before_the_query(columns, message):
    method, objective = Scripted([1, 2], [3, 4]), Objective()
    plain_ask = method.ask

    def ask():
        proposals = plain_ask()
        return proposals if method.asked == 1 else proposals._replace(columns=columns)

    method.ask = ask
    with pytest.raises(MethodError, match=message) as caught:
        run_method(SPACE, objective, method, 4)
    assert len(objective.asked) == 2
    assert numbers(caught.value.data["archive"]) == [1, 2]


def test_codes_out_of_range_are_refused_before_the_query():
    method, objective = Scripted([1]), Objective()
    method.ask = lambda: Proposals(torch.full((1, 6), 9))
    with pytest.raises(MethodError, match="failed after 0 queries") as caught:
        run_method(SPACE, objective, method, 2)
    assert not objective.asked
    assert caught.value.data["archive"].empty


def test_a_budget_beyond_the_space_is_refused_before_any_query(tiny):
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
def test_what_is_no_code_is_named(codes):
    method = Scripted([1])
    method.ask = lambda: codes if codes is None else Proposals(codes)
    with pytest.raises(InvalidArchitectureError, match=r"(?s)Scripted.ask.*\[n, 6\]"):
        run_method(SPACE, Objective(), method, 2)


def test_a_method_that_proposes_nothing_at_all_is_an_error():
    with pytest.raises(MethodError) as caught:
        run_method(SPACE, Objective(), Scripted([]), 3)
    assert caught.value.data["archive"].empty
