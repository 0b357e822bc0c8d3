"""Confirming the best: what is trained again, what is charged, and what the answer is then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy_problem import SPACE, Noisy, failing, interrupted

from optiproxy_nas import (
    BudgetError,
    ParameterError,
    Search,
    SearchInterrupted,
    SearchResult,
    batched,
    read_journal,
    search,
)
from optiproxy_nas.core.run_settings import ConfirmSettings
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.confirmation import (
    confirm_seed,
    confirming,
    joined,
    tabulate,
    trainings_of,
)
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.incumbent import Confirmation, incumbent_of
from optiproxy_nas.evaluation.trials import trial_seed
from optiproxy_nas.methods import overrides_of
from optiproxy_nas.objectives import resolve_objective

CONFIRM = {"best": 3, "seeds": 2}
BOUND = {"name": "constrained", "constraints": ["size <= 120"]}


def run(problem: Noisy | None = None, **arguments: Any) -> SearchResult:
    given = {"method": "random_search", "budget": 14, "seed": 1, "confirm": CONFIRM, **arguments}
    return search(problem=problem or Noisy(), **given)


def test_the_answer_is_the_best_by_the_mean_of_fresh_trainings() -> None:
    problem = Noisy()
    result = run(problem)
    assert len(problem.trained) == 14
    assert len(result.archive) == 8  # the rest is kept back
    table = result.confirmation
    assert table["mean"].is_monotonic_decreasing
    assert set(table["trial"]) == {trial.number for trial in result.top(3)}
    assert table["mean"].tolist() == table[["value_1", "value_2"]].mean(axis=1).tolist()
    assert (result.best.number, result.best_value) == (table["trial"][0], table["mean"][0])
    assert result.confirmed["values"] == (table["value_1"][0], table["value_2"][0])
    again = problem.trained[8:]
    assert {trial.seed for trial in again} == {confirm_seed(1, 1), confirm_seed(1, 2)}
    assert {trial.folder.name for trial in again} == {
        f"{number:04d}_confirm_{repeat}" for number in table["trial"] for repeat in (1, 2)
    }
    assert f"mean of 2 confirmations, sd {table['sd'][0]:.2f} points" in str(result)
    assert "trained again" in result._repr_html_()


@given(seed=st.integers(0, 2**31), count=st.integers(1, 200), repeats=st.integers(1, 20))
@settings(max_examples=20, deadline=None)
def test_no_confirmation_has_the_seed_of_a_trial(seed: int, count: int, repeats: int) -> None:
    fresh = {confirm_seed(seed, repeat) for repeat in range(1, repeats + 1)}
    assert len(fresh) == repeats
    assert fresh.isdisjoint(trial_seed(seed, number) for number in range(count))


values = st.lists(st.floats(-100, 100) | st.none(), min_size=2, max_size=2)


@given(st.lists(values, min_size=1, max_size=5), st.booleans(), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_the_best_mean_answers_and_what_failed_everywhere_does_not(
    trained: list[list[float | None]], is_minimised: bool, best: int
) -> None:
    direction = "minimize" if is_minimised else "maximize"
    objective = resolve_objective({"name": "accuracy", "direction": direction})
    singles = np.arange(len(trained), dtype=np.float64)
    archive = pd.DataFrame(
        {"architecture": [f"a{n}" for n in range(len(trained))], "value": singles}
    )
    setting = ConfirmSettings(best=best, seeds=2)
    ranked = list(range(len(trained)))[:: 1 if is_minimised else -1][:best]
    requests = confirming([Request(n, 1, f"a{n}") for n in ranked], setting, 0)
    numbers = [trained[request.number][request.repeat - 1] for request in requests]
    outcomes = [Outcome({}, "it failed") if n is None else Outcome({"value": n}) for n in numbers]
    table = tabulate(objective, zip(requests, outcomes, strict=True))
    found = Confirmation.of(objective, archive, setting, table)
    assert found is not None
    means = {
        n: float(np.mean([it for it in trained[n] if it is not None]))
        for n in ranked
        if trained[n] != [None, None]
    }
    whole = {n: mean for n, mean in means.items() if None not in trained[n]}
    answer = incumbent_of(objective, archive, found)
    if means:  # the mean of fewer trainings does not compete with that of all
        assert answer.value == (min if is_minimised else max)((whole or means).values())
        assert means[answer.place] == answer.value
        assert answer.single == singles[answer.place]
    else:
        assert (answer.place, answer.values) == (ranked[0], ())
    assert Confirmation.of(objective, archive, setting, table.iloc[1:]) is None  # not to its end
    rows = joined(objective, archive.assign(best=archive["value"]), table)
    assert rows["repeat"].eq(0).sum() == len(archive)
    assert rows.loc[rows["repeat"] > 0, "value"].tolist() == [n for n in numbers if n is not None]


def test_warm_started_it_stands_where_no_confirmation_succeeds() -> None:
    initial = pd.DataFrame({"depth": [5], "width": [64], "value": [99.0]})
    problem, confirm = failing("0000_confirm_1", "0000_confirm_2"), {"best": 1, "seeds": 2}
    result = search(
        problem=problem, method="random_search", budget=6, confirm=confirm, initial=initial
    )
    assert (result.best_value, result.confirmed) == (99.0, {})
    assert result.answer_training.request.repeat == 0


def test_a_metric_that_a_training_lacks_is_none_of_its_own() -> None:
    objective = resolve_objective("accuracy")
    asked = confirming([Request(0, 1, "a0")], ConfirmSettings(best=1, seeds=2), 0)
    outcomes = [Outcome({"value": 1.0, "size": 2.0}), Outcome({"value": 1.0})]
    table = tabulate(objective, zip(asked, outcomes, strict=True))
    assert [set(it.metrics) for _, it in trainings_of(table)] == [{"value", "size"}, {"value"}]


def test_bounds_are_judged_by_the_means() -> None:
    result = run(Noisy(), objective=BOUND)
    assert result.is_eligible
    assert result.answer_metrics["size"] == result.confirmation["size"][0]
    assert result.metric_lines[0].startswith(f"size {result.confirmation['size'][0]:.1f}")
    # Whatever the search had found within the bound breaks it now.
    size = {"at": 1.0}

    def evaluate(architecture: dict[str, Any]) -> dict[str, float]:
        return {"value": float(architecture["depth"]), "size": size["at"]}

    def later(_search: Search, trial: Any) -> None:
        size["at"] = 200.0 if trial.number == 7 else 1.0

    broken = search(
        space=SPACE,
        evaluate=evaluate,
        method="random_search",
        budget=14,
        confirm=CONFIRM,
        objective=BOUND,
        callbacks=[later],
    )
    assert not broken.is_eligible
    assert len(broken.archive) == 8
    assert "(bound: <= 120)" in broken.metric_lines[0]


def test_of_several_fidelities_full_trainings_are_confirmed() -> None:
    fidelities = {"low_epochs": 1, "full_epochs": 4, "step_epochs": 6, "low_first": 4}
    problem = Noisy()
    result = run(
        problem,
        method="optiproxy",
        budget=40,
        objective={"name": "multi_fidelity", **fidelities},
        confirm={"best": 2, "seeds": 1},
        initial_samples=4,
        fit={"epochs": 2, "first_epochs": 2},
        gradient={"epochs": 2},
    )
    again = problem.trained[-2:]
    assert [trial.epochs for trial in again] == [4, 4]
    assert result.archive["cost"].sum() <= 32
    assert result.best.epochs == 4
    assert result.confirmations["epochs"].tolist() == [4, 4]


def test_what_fails_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = (trial.number for trial in run().top(3))
    fails = (f"{first:04d}_confirm_1", f"{first:04d}_confirm_2", f"{second:04d}_confirm_2")
    result = run(failing(*fails))
    table = result.confirmation.set_index("trial")
    assert table["trainings"].to_dict() == {first: 0, second: 1, third: 2}
    assert table.index[-1] == first
    assert result.best.number == third
    assert np.isnan(table["sd"][second])
    assert [f"trial {n}" in caplog.text for n in (first, second, third)] == [True, True, False]
    every = tuple(f"{n:04d}_confirm_{repeat}" for n in (first, second, third) for repeat in (1, 2))
    caplog.clear()
    result = run(failing(*every))
    assert (result.best.number, result.confirmed) == (first, {})
    assert result.caution.startswith("Not confirmed: 6 of 6")
    assert [record.getMessage() for record in caplog.records] == [result.caution]
    assert all(result.caution in shown for shown in (str(result), repr(result)))
    one = run(failing(f"{first:04d}_confirm_2"), confirm={"best": 1, "seeds": 2}, budget=10)
    assert "(1 of 2 confirmations; " in str(one)
    retried = failing(*fails)
    run(retried, failures={"retries": 1})
    assert len(retried.trained) == 14 + 3


@pytest.mark.parametrize("place", [3, 10])
def test_interrupted_anywhere_it_goes_on_to_the_same_end(tmp_path: Any, place: int) -> None:
    path = tmp_path / "j.jsonl"
    with pytest.raises(SearchInterrupted) as caught:
        run(interrupted(place), journal=path)
    assert caught.value.result.confirmation.empty
    assert len(read_journal(path)) == place
    problem, whole = Noisy(), run(journal=tmp_path / "whole.jsonl")
    result = run(problem, journal=path)
    assert len(problem.trained) == 14 - place
    pd.testing.assert_frame_equal(result.archive, whole.archive, check_exact=True)
    pd.testing.assert_frame_equal(result.confirmation, whole.confirmation, check_exact=True)
    assert (result.test, str(result)) == (whole.test, str(whole))
    on = Noisy()
    on_result = search(problem=on, **_arguments(), initial=caught.value.result)
    assert len(on.trained) == 14 - place
    pd.testing.assert_frame_equal(on_result.confirmation, whole.confirmation, check_exact=True)


def _arguments(**changed: Any) -> dict[str, Any]:
    return {"method": "random_search", "budget": 14, "seed": 1, "confirm": CONFIRM, **changed}


def test_a_search_may_be_confirmed_later_and_by_more_seeds(tmp_path: Any) -> None:
    path = tmp_path / "j.jsonl"
    run(confirm=None, budget=8, journal=path)
    for seeds, added in ((1, 3), (2, 3), (2, 0)):
        problem = Noisy()
        confirm = {"best": 3, "seeds": seeds}
        result = run(problem, budget=8 + 3 * seeds, confirm=confirm, journal=path)
        assert len(problem.trained) == added
    pd.testing.assert_frame_equal(result.confirmation, run().confirmation, check_exact=True)
    with Search(problem=Noisy(), method="random_search", budget=8, seed=1, journal=path) as opened:
        assert opened.ask() == []
        assert len(opened.trials) == 8
    warm = search(problem=Noisy(), method="random_search", budget=2, seed=2, initial=path)
    assert len(warm.trials) == 10


def test_a_saved_result_keeps_its_confirmation(tmp_path: Any) -> None:
    result = run()
    loaded = SearchResult.load(result.save(tmp_path / "a.result"))
    pd.testing.assert_frame_equal(loaded.confirmation, result.confirmation, check_exact=True)
    assert str(loaded) == str(result)
    assert loaded.answer_training == result.answer_training
    plain = run(confirm=None, budget=8)
    assert SearchResult.load(plain.save(tmp_path / "b.result")).confirmation.empty


def test_the_test_is_of_the_training_with_the_best_value() -> None:
    for seed in range(2):
        result = run(seed=seed)
        best = result.confirmation.iloc[0]
        values = [best["single"], best["value_1"], best["value_2"]]
        assert result.test == {"validation": max(values)}
        training = result.answer_training
        assert training.metrics["value"] == max(values)
        assert training.request.repeat == (repeat := int(np.argmax(values)))
        assert (f"confirmation {repeat})" if repeat else "(of its trial)") in result.test_lines[0]


def test_a_search_that_a_rule_stopped_is_confirmed() -> None:
    result = run(patience=1, confirm={"best": 1, "seeds": 2})
    assert "improve" in result.stopped
    assert len(result.archive) < 12
    assert len(result.confirmation) == 1


def test_fewer_than_asked_for_are_confirmed_with_a_warning(caplog: Any) -> None:
    result = run(target=-1e9, confirm={"best": 3, "seeds": 1})
    assert len(result.archive) == len(result.confirmation) == 1
    assert "only 1" in caplog.text
    caplog.clear()
    result = run(objective={"name": "constrained", "constraints": ["size <= 1"]})
    assert not result.is_eligible
    assert "nothing is confirmed" in caplog.text


def test_a_function_is_seeded_when_it_confirms(caplog: pytest.LogCaptureFixture) -> None:
    def evaluate(architecture: dict[str, Any]) -> float:
        return float(architecture["depth"] + np.random.normal())  # noqa: NPY002

    def all_at_once(architectures: list[dict[str, Any]]) -> list[float]:
        assert len({str(it) for it in architectures}) == len(architectures)
        return [evaluate(it) for it in architectures]

    for function in (evaluate, batched(all_at_once)):
        found = [
            search(space=SPACE, evaluate=function, **_arguments(budget=20 + 2, confirm=confirm))
            for confirm in [{"best": 1, "seeds": 2}] * 2
        ]
        noise = [
            result.confirmation["value_1"][0] - result.best_architecture["depth"]
            for result in found
        ]
        assert noise[0] == pytest.approx(noise[1])
    assert not caplog.records
    search(space=SPACE, evaluate=lambda it: it["depth"], **_arguments())
    assert "confirm nothing" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"budget": 6}, BudgetError),  # nothing is left for the search
        ({"method": "optiproxy", "budget": 12, "initial_samples": 8}, BudgetError),
        ({"confirm": {"best": 7, "seeds": 1}, "budget": 13}, ParameterError),
        ({"confirm": {"best": 21, "seeds": 1}, "budget": 41}, ParameterError),  # of 20
        ({"confirm": {"best": 0, "seeds": 1}}, ParameterError),
        ({"confirm": {"best": 2}}, ParameterError),
        ({"confirm": 3}, ParameterError),
    ],
)
def test_what_cannot_be_confirmed_is_refused_before_the_first_training(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    problem = Noisy()
    with pytest.raises(error) as caught:
        run(problem, **arguments)
    assert "confirm" in str(caught.value)
    assert not problem.trained


def test_a_budget_is_named_with_what_is_kept_back_of_it() -> None:
    assert run().stopped == "the budget of 14 queries is spent, 6 of them to confirm the best"
    with pytest.raises(BudgetError, match=r"budget of 27 .*at most 26"):  # 20 architectures
        run(budget=27)


def test_a_benchmark_and_ask_and_tell_have_nothing_to_train_again() -> None:
    for refused in (search, Search):
        with pytest.raises(ParameterError) as caught:
            refused(method="random_search", budget=20, confirm=CONFIRM)
        assert caught.value.data["name"] == "confirm"


def test_without_it_nothing_is_recorded_of_it() -> None:
    parameters = run(confirm=None, budget=8).parameters
    assert "confirm" not in parameters.model_dump()
    assert "confirm" not in run().parameters.decisive
    assert "confirm.best = 3 (none)" in overrides_of(run().parameters)
