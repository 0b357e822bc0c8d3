"""A problem from Python: what a trial gets, what it may answer, what is refused beforehand."""

from __future__ import annotations

import logging
import math
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from evaluations import QUICK
from trained_problem import RUN, SPACE, Trained, error_of

from optiproxy_nas import (
    DataError,
    EvaluationError,
    ParameterError,
    Problem,
    RunningTrial,
    Search,
    SearchResult,
    Target,
    batched,
    read_journal,
    search,
)
from optiproxy_nas.algorithm import steps
from optiproxy_nas.core.errors import JournalError
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.batch import evaluate_batch
from optiproxy_nas.evaluation.evaluator import Evaluator, Request


def test_print_names_the_target_with_its_unit_and_the_test_of_the_answer() -> None:
    problem = Trained()
    result = search(problem=problem, **RUN)
    assert problem.tested == [result.best.number]
    assert result.best_architecture in problem.trained
    assert result.test == {"error": result.best_value + 1}
    for text in (str(result), repr(result), result._repr_html_()):
        assert "test error" in text
        assert f"{result.best_value + 1:.2f} %" in text
        assert f"{result.best_value:.2f} %" in text
    assert (result.unit, result.target) == ("%", "error [%]")


def test_all_metrics_and_the_curve_are_kept_and_saved(tmp_path: Path) -> None:
    result = search(problem=Trained(), **RUN)
    loaded = SearchResult.load(result.save(tmp_path / "r.search"))
    for kept in (result, loaded):
        trial = kept.trials[0]
        assert set(trial.metrics) == {"value", "error", "width", "nothing", "memory_mb"}
        assert trial.value == error_of(trial.architecture)
        assert np.isnan(trial.metrics["nothing"])
        assert trial.curve[0] == (1, 0.5)
        assert kept.test == result.test
        assert {"width", "memory_mb"} <= {*kept.to_frame()}


class Watched(Trained):
    """Keeps what each trial gets, and lets the test say what it answers."""

    def __init__(self, answer: Any = None) -> None:
        super().__init__()
        self.trials: list[RunningTrial] = []
        self.drawn: list[Any] = []
        self.answer = answer

    def evaluate(self, trial: RunningTrial) -> Any:
        metrics = super().evaluate(trial)
        self.trials.append(trial)
        self.drawn.append((random.random(), np.random.random(), torch.rand(1).item()))  # noqa: NPY002
        return metrics if self.answer is None else self.answer(trial, metrics)


def test_a_trial_gets_number_seed_folder_device_deadline_and_data(tmp_path: Path) -> None:
    class Reading(Watched):
        datasets = ("signals", "labels")

        def load(self) -> dict[str, Any]:
            return {"signals": 1, "labels": 2}

    problem = Reading()
    result = search(
        problem=problem,
        data={"labels": 3},
        journal=tmp_path / "j.jsonl",
        evaluation={"timeout": 60, "device": "cpu"},
        **RUN,
    )
    for number, (got, trial) in enumerate(zip(problem.trials, result.trials, strict=True)):
        assert (got.number, got.attempt, got.seed) == (number, 1, trial.seed)
        assert got.folder == tmp_path / "j_trials" / f"{number:04d}"
        assert (got.folder / "checkpoint").exists()
        assert 0 < got.seconds_left <= 60
        assert got.device == "cpu"
        assert got.data == {"signals": 1, "labels": 3}
        assert got.architecture == trial.architecture


def test_without_a_journal_folders_are_taken_away_at_the_end() -> None:
    problem = Watched()
    search(problem=problem, **RUN)
    assert not problem.trials[0].folder.parent.exists()


def test_global_generators_follow_the_trial_and_stay_as_they_were() -> None:
    first, second = Watched(), Watched()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = random.Random(1).random()
    search(problem=first, **RUN)
    assert random.random() == expected
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(1))
    search(problem=second, **RUN)
    assert first.drawn == second.drawn
    assert len({*first.drawn}) == len(first.drawn)


def spoil(trial: RunningTrial, metrics: Any) -> Any:
    trial.architecture.clear()
    return metrics


def take_away(trial: RunningTrial, metrics: Any) -> Any:
    shutil.rmtree(trial.folder)
    return metrics


def replace(trial: RunningTrial, metrics: Any) -> Any:
    shutil.rmtree(trial.folder)
    trial.folder.write_text("no folder")
    return metrics


def as_tensors(trial: RunningTrial, metrics: Any) -> Any:
    return {
        "error": torch.tensor(metrics["error"], dtype=torch.float64, requires_grad=True),
        "width": np.int64(metrics["width"]),
        "more": np.float32(1.5),
    }


def spoil_all(trial: RunningTrial, metrics: Any) -> Any:
    trial.folder, trial.architecture, trial.curve = "nowhere", {}, None  # type: ignore[assignment]
    trial.number, trial.seed = 99, -1
    return metrics


def with_its_architecture(trial: RunningTrial, metrics: Any) -> Any:
    return {**metrics, "architecture": dict(reversed(trial.architecture.items()))}


@pytest.mark.parametrize(
    "answer", [spoil, spoil_all, take_away, replace, as_tensors, with_its_architecture]
)
def test_what_a_trial_does_to_its_surroundings_changes_no_answer(
    answer: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    class Untested(Watched):
        test: Any = Problem.test

    path = tmp_path / "j.jsonl"
    result = search(problem=Untested(answer), journal=path, **RUN)
    expected = search(problem=Trained(), **RUN)
    pd.testing.assert_frame_equal(result.archive, expected.archive)
    assert bool(caplog.records) == (answer in (take_away, replace))


def test_a_folder_that_was_replaced_is_made_again_and_one_that_cannot_be_ends_the_search(
    tmp_path: Path,
) -> None:
    def replace_and_fail(trial: RunningTrial, metrics: Any) -> Any:
        if trial.number == 2 and trial.attempt == 1:
            replace(trial, metrics)
            raise OSError("no checkpoint")
        return metrics

    path = tmp_path / "j.jsonl"
    result = search(problem=Watched(replace_and_fail), failures={"retries": 1}, journal=path, **RUN)
    assert not result.failed
    other = tmp_path / "k.jsonl"
    (tmp_path / "k_trials").write_text("no folder")
    with pytest.raises(DataError):
        search(problem=Watched(), journal=other, **RUN)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is warned of; tests of Kedro let the package's logger tell more than that."""
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("answer", "kept"),
    [(None, {}), ("good", {}), ({"error": math.nan, "more": 2}, {"more": 2.0}), ([1.0], {})],
)
def test_a_test_that_gives_no_numbers_is_warned_of(
    answer: Any, kept: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Misjudged(Trained):
        def test(self, trial: RunningTrial) -> Any:
            return answer

    assert search(problem=Misjudged(), **RUN).test == kept
    assert len(warnings_in(caplog)) == 1


def test_an_answer_that_was_not_trained_is_not_tested(caplog: pytest.LogCaptureFixture) -> None:
    trained = search(problem=Trained(), **RUN)
    again = Trained()
    run: dict[str, Any] = {"method": "random_search", "budget": 1}
    assert search(problem=again, initial=trained.top(1), **run).test == {}
    assert again.tested == []
    assert len(warnings_in(caplog)) == 1


def test_a_result_that_goes_on_keeps_the_test_of_its_answer(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    first = search(problem=Trained(), **RUN)
    again = Trained()
    result = search(problem=again, initial=first.save(tmp_path / "a.search"), **RUN)
    assert (result.test, again.trained, again.tested) == (first.test, [], [])
    assert not warnings_in(caplog)


def test_the_target_alone_is_an_answer() -> None:
    result = search(problem=Watched(lambda trial, metrics: metrics["error"]), **RUN)
    assert set(result.trials[0].metrics) == {"value", "error"}


@pytest.mark.parametrize(
    "answer",
    [
        lambda trial, metrics: {"width": 3},
        lambda trial, metrics: {},
        lambda trial, metrics: "good",
        lambda trial, metrics: [1.0, 2.0],
        lambda trial, metrics: {**metrics, "error": "good"},
        lambda trial, metrics: {**metrics, "value": 1.0},
        lambda trial, metrics: {**metrics, "architecture": {"depth": 9}},
        lambda trial, metrics: {**metrics, "architecture": "another"},
    ],
    ids=["no target", "nothing", "text", "list", "text as target", "value", "other", "other text"],
)
def test_what_is_no_answer_ends_the_search_and_keeps_the_journal(
    answer: Any, tmp_path: Path
) -> None:
    def after_three(trial: RunningTrial, metrics: Any) -> Any:
        return answer(trial, metrics) if trial.number == 3 else metrics

    with pytest.raises(EvaluationError) as caught:
        search(problem=Watched(after_three), journal=tmp_path / "j.jsonl", **RUN)
    assert len(caught.value.data["result"].archive) == len(read_journal(tmp_path / "j.jsonl")) == 3
    again = Trained()
    with pytest.raises(JournalError):  # of another problem
        search(problem=again, journal=tmp_path / "j.jsonl", **RUN)
    mended = Watched(lambda trial, metrics: metrics)
    search(problem=mended, journal=tmp_path / "j.jsonl", **RUN)
    assert len(mended.trained) == 9


@pytest.mark.parametrize(
    "answer", [lambda *_: float("nan"), lambda *_: None, lambda *_: {"error": float("inf")}]
)
def test_an_answer_without_a_finite_target_is_a_failed_trial(answer: Any) -> None:
    def third(trial: RunningTrial, metrics: Any) -> Any:
        return answer() if trial.number == 3 else metrics

    assert [t.number for t in search(problem=Watched(third), **RUN).failed] == [3]


def test_leaving_the_process_is_a_failed_trial() -> None:
    def leave(trial: RunningTrial, metrics: Any) -> Any:
        raise SystemExit(3)

    with pytest.raises(EvaluationError) as caught:
        search(problem=Watched(leave), **RUN)
    assert "SystemExit" in caught.value.data["trials"][0].error


def test_a_bound_on_an_unmeasured_metric_is_refused_at_the_latest_at_the_first_answer(
    tmp_path: Path,
) -> None:
    bounded = {"name": "constrained", "constraints": ["latency_ms <= 3"]}
    declared: Any = Trained()
    silent: Any = Trained()
    silent.metrics = ()
    with pytest.raises(ParameterError):
        search(problem=declared, objective=bounded, **RUN)
    assert declared.trained == []
    with pytest.raises(EvaluationError) as caught:
        search(problem=silent, objective=bounded, journal=tmp_path / "j.jsonl", **RUN)
    assert "latency_ms" in caught.value.message
    assert len(silent.trained) == 1
    assert len(read_journal(tmp_path / "j.jsonl")) == 0


def test_the_target_can_be_bounded_too(tmp_path: Path) -> None:
    class Renamed(Trained):
        target = Target("loss", "minimize")
        test: Any = Problem.test

        def evaluate(self, trial: RunningTrial) -> Any:
            return {"loss": super().evaluate(trial)["error"]}

    bounded = {"name": "constrained", "constraints": ["loss >= 5"]}
    run: dict[str, Any] = {"objective": bounded, "journal": tmp_path / "j.jsonl", **RUN}
    result = search(problem=Renamed(), **run)
    assert result.best_value >= 5
    again = Renamed()
    pd.testing.assert_frame_equal(search(problem=again, **run).archive, result.archive)
    assert again.trained == []


def test_metrics_can_be_bounded_and_others_are_recorded() -> None:
    bounded = {"name": "constrained", "constraints": ["width <= 16"]}
    result = search(problem=Trained(), objective=bounded, **RUN)
    assert result.is_eligible
    assert result.best.metrics["width"] <= 16
    assert "memory_mb" in result.best.metrics


class Unloading(Trained):
    datasets = ("signals",)

    def load(self) -> Any:
        raise OSError("no file")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"problem": Trained(), "evaluate": len}, ParameterError),
        ({"problem": Trained(), "data": 3}, ParameterError),
        ({"problem": Trained(), "data": {"signals": 3}}, ParameterError),
        ({"problem": Unloading()}, DataError),
        ({"evaluate": len, "data": {}}, ParameterError),
        ({"evaluate": len, "evaluation": 3}, ParameterError),
        ({"evaluate": len, "evaluation": {"worker": 3}}, ParameterError),
        ({"evaluate": len, "evaluation": {"timeout": 3}}, ParameterError),
        ({"problem": Trained(), "evaluation": {"workers": 2}}, ParameterError),
        ({"problem": Trained(), "evaluation": {"device": "abacus"}}, ParameterError),
        ({"evaluate": len, "evaluation": {"device": "cpu"}}, ParameterError),
        (
            {"evaluate": len, "evaluation": {"executor": "processes", "device": "cpu"}},
            ParameterError,
        ),
        ({"evaluation": {"timeout": 3}}, ParameterError),
        ({"problem": Trained(), "journal": 3}, ParameterError),
        ({"problem": Trained(), "journal": ""}, ParameterError),
        ({"evaluate": batched(len), "evaluation": {"executor": "processes"}}, ParameterError),
        ({"evaluate": lambda: 1.0}, ParameterError),
        ({"evaluate": lambda network, epochs: 1.0}, ParameterError),
        ({"evaluate": batched(lambda: [])}, ParameterError),
        ({"problem": Trained}, None),
        ({"problem": Unloading(), "data": {"signals": 3}}, None),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_any_training(
    arguments: Any, kind: Any
) -> None:
    run: dict[str, Any] = {**RUN, "space": SPACE} if "problem" not in arguments else RUN
    if kind is None:
        assert len(search(**arguments, **run).archive) == 12
        return
    with pytest.raises(kind):
        search(**arguments, **run)


def test_a_problem_can_be_asked_and_told() -> None:
    opened = Search(problem=Trained(), **RUN)
    for trial in opened.ask(3):
        opened.tell(trial, error_of(trial.architecture))
    (trial,) = opened.ask(1)
    with pytest.raises(EvaluationError) as caught:
        opened.tell(trial, {"width": 8.0, "size": 1.0})
    assert caught.value.data["needed"] == ["error"]
    metrics = opened.tell(trial, {"error": 2.0, "width": 8.0}).metrics
    assert metrics == {"error": 2.0, "width": 8.0, "value": 2.0}
    assert opened.result().target == "error [%]"
    assert opened.objective.direction == "minimize"


class Recording(Evaluator):
    """Keeps the requests; every second trial fails at its first attempt."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def ended(self, objective: Any, requests: Any) -> Any:
        for place, request in enumerate(requests):
            self.requests.append(request)
            fails = request.number % 2 and request.attempt == 1
            value = {"value": error_of(SPACE.architecture(request.architecture))}
            yield place, Outcome({}, "no") if fails else Outcome(value)


def test_the_loop_and_the_steps_of_a_pipeline_ask_for_the_same_trainings() -> None:
    run: dict[str, Any] = {"seed": 3, "budget": 13, "failures": {"retries": 1}, **QUICK}
    looped, stepped = Recording(), Recording()
    result = search(space=SPACE, evaluate=looped, **run)
    opened = Search(space=SPACE, **run)
    space = opened.space
    parameters: Any = opened.parameters
    batch = steps.initial_batch(space, parameters)
    rows, failed = evaluate_batch(space, batch, stepped, parameters)
    archive = steps.update_archive(rows, parameters)
    weights, _ = steps.fit_proxy(space, archive, parameters, step=1)
    logits, _ = steps.search_logits(space, weights, archive, parameters, step=1)
    pool = steps.sample_candidates(space, logits, archive, parameters, failed, step=1)
    batch = steps.select_batch(space, pool, weights, archive, parameters, failed, step=1)
    rows, failed = evaluate_batch(space, batch, stepped, parameters, archive, failed)
    archive = steps.update_archive(rows, parameters, archive)
    pd.testing.assert_frame_equal(result.archive, archive)
    assert looped.requests == stepped.requests
    assert len(looped.requests) == 13 + 6


def test_a_target_may_be_called_value() -> None:
    class Plain(Trained):
        target = Target("value", "minimize")
        test: Any = Problem.test

        def evaluate(self, trial: RunningTrial) -> Any:
            return {"value": super().evaluate(trial)["error"]}

    assert search(problem=Plain(), **RUN).target == "value"


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_training_that_changes_the_working_directory_changes_it_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrapped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    seen = []

    def evaluate(architecture: str) -> Any:
        seen.append(os.getcwd())
        os.chdir(tmp_path / "elsewhere")
        return [1.0] * len(architecture) if wrapped else 1.0

    function = batched(evaluate) if wrapped else evaluate
    search(space=SPACE, evaluate=function, method="random_search", budget=3)
    assert {*seen, os.getcwd()} == {str(tmp_path)}


def test_print_shows_the_other_metrics_with_their_bounds() -> None:
    bound = {"name": "constrained", "constraints": ["width <= 16"]}
    found = search(problem=Trained(), objective=bound, initial_samples=4, budget=4)
    width = found.best.metrics["width"]
    assert found.metric_lines == [f"width {width:.0f} (bound: <= 16)", "memory mb inf"]
    for text in (str(found), repr(found)):
        assert "(bound: <= 16)" in text
