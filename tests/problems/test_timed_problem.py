"""The latency of a problem's networks is measured where they are trained, and may be bounded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from timed_problem import Timed, Unbuilt, Unwritable

from optiproxy_nas import (
    LatencySettings,
    ParameterError,
    SearchResult,
    UnknownNameError,
    search,
)
from optiproxy_nas.core.errors import ConversionError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.evaluation import problem_evaluator
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.problems.latency import check_latency, machine_text
from optiproxy_nas.problems.resolution import resolve_problem

RUN: dict[str, Any] = {"method": "random_search", "budget": 4, "seed": 0}
ENOUGH = "latency_p75_ms <= 1000"


def run(problem: Any, bound: str = ENOUGH, **arguments: Any) -> SearchResult:
    objective = {"name": "constrained", "constraints": [bound]}
    return search(problem=problem, objective=objective, **{**RUN, **arguments})


@pytest.mark.heavy
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_latencies_are_metrics_of_each_trial_and_may_be_bounded(
    tmp_path: Path, executor: str
) -> None:
    evaluation = {"executor": executor, "workers": 1} if executor == "processes" else {}
    result = run(Timed(), journal=tmp_path / "run.jsonl", evaluation=evaluation)
    metrics = [trial.metrics for trial in result.trials]
    assert len(metrics) == 4
    assert all(0 < one["latency_ms"] < one["latency_p75_ms"] * 1.5 < 1500 for one in metrics)
    assert all(one["latency_precision"] > 0 for one in metrics)
    assert (result.archive["latency_p75_ms"] > 0).all()
    facts = json.loads((tmp_path / "run_trials" / "0000" / "latency.json").read_text())
    assert facts["median_ms"] == metrics[0]["latency_ms"]
    assert facts["machine"]["cores"] >= 1
    assert 0 < facts["speed"] <= 1


def test_what_evaluate_measures_itself_stands() -> None:
    answer = {"latency_ms": 1.0, "latency_p75_ms": 2.0}
    result = run(Timed(answer), budget=2)
    assert set(result.archive["latency_p75_ms"]) == {2.0}
    one = run(Timed({"latency_ms": 1e6}), budget=2).trials[0].metrics
    assert one["latency_ms"] == 1e6 > one["latency_p75_ms"]


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_a_bound_below_anything_measurable_is_refused(runtime: str) -> None:
    problem = Timed(runtime=runtime)
    for bound in ("latency_ms < 1e-6", "latency_p75_ms <= 1e-6"):
        with pytest.raises(ParameterError, match="below anything") as caught:
            run(problem, bound)
        assert caught.value.data["least"] > 1e-6
    for bound in ("latency_ms > 1e-6", ENOUGH):
        objective = resolve_objective({"name": "constrained", "constraints": [bound]})
        check_latency(problem, objective, "cpu")


def test_latencies_that_are_compared_are_to_be_measured_on_one_kind_of_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs: list[bool] = []
    monkeypatch.setattr(
        problem_evaluator, "JobEvaluator", lambda it, *_, **__: needs.append(it.needs_one_kind)
    )
    settings = EvaluationSettings(executor="processes")
    for bound in ("accuracy > 0.5", ENOUGH):
        objective = resolve_objective({"name": "constrained", "constraints": [bound]})
        problem_evaluator.evaluator_for(Timed(), {}, tmp_path, settings, objective)
    assert needs == [False, True]


def test_a_bound_far_below_what_a_network_takes_is_warned_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optiproxy_nas.problems.latency.floor_ms", lambda *_: 0.0)
    for bound, warned in (("latency_p75_ms <= 1e-5", True), (ENOUGH, False)):
        objective = resolve_objective({"name": "constrained", "constraints": [bound]})
        check_latency(Timed(), objective, "cpu")
        assert ("far below" in caplog.text) is warned
        caplog.clear()


def test_settings_may_be_a_mapping_and_wrong_ones_are_refused() -> None:
    class Mapped(Timed):
        def __init__(self, **settings: Any) -> None:
            self.latency: Any = settings

    assert resolve_problem(Mapped(seconds=0.5)).latency == LatencySettings(seconds=0.5)
    for wrong in ({"second": 1}, {"seconds": "long"}):
        with pytest.raises(ParameterError) as caught:
            resolve_problem(Mapped(**wrong))
        assert [it.parameter for it in caught.value.data["problems"]] == list(wrong)


def test_a_bound_on_a_quantile_that_is_not_measured_is_refused() -> None:
    problem = Timed()
    problem.metrics = ("score",)
    with pytest.raises(UnknownNameError) as caught:
        run(problem, "latency_p90_ms <= 2")
    assert caught.value.data["suggestion"] == "latency_p75_ms"


def test_a_latency_without_a_network_is_refused() -> None:
    with pytest.raises(ParameterError, match="build"):
        search(problem=Unbuilt(), **RUN)
    problem: Any = Timed()
    problem.latency = 2
    with pytest.raises(ParameterError, match="LatencySettings"):
        search(problem=problem, **RUN)


def test_a_missing_onnxruntime_is_said_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ParameterError) as caught:
        search(problem=Timed(runtime="onnxruntime"), **RUN)
    assert caught.value.data["package"] == "onnxruntime"


@pytest.mark.heavy
def test_a_network_that_onnx_cannot_express_is_a_failed_trial_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = Unwritable(runtime="onnxruntime")
    drawn = "optiproxy_nas.problems.latency.drawn_architecture"
    monkeypatch.setattr(drawn, lambda problem: {"layers": 1, "bias": True})
    with pytest.raises(ConversionError, match="linalg_eigvals"):
        search(problem=problem, **RUN)
    monkeypatch.setattr(drawn, lambda problem: {"layers": 1, "bias": False})
    result = search(problem=problem, **{**RUN, "budget": 8})
    assert 0 < len(result.archive) < 8
    assert all("ConversionError" in trial.error for trial in result.trials if trial.error)


@pytest.mark.heavy
def test_a_machine_that_is_too_busy_is_warned_of_once_or_fails_trials(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("optiproxy_nas.measuring.timing.least_precision", lambda *_: 0.5)
    search(problem=Timed(precision=0.4, seconds=0.5), **{**RUN, "budget": 2})
    assert caplog.text.count("less precise") == 1
    result = search(problem=Timed(precision=0.4, seconds=0.5, noisy="fail"), **{**RUN, "budget": 2})
    assert len(result.archive) == 0
    assert all("latency.precision" in trial.error for trial in result.trials)


def test_a_latency_on_a_machine_slower_than_usual_is_shown_as_one() -> None:
    machine = {"processor": "A", "cores": 2, "device": "cpu"}
    facts = {"machine": machine, "threads": 1, "runtime": "torch", "load": 0.4}
    assert machine_text(facts) == machine_text({**facts, "speed": 1.0})  # as files of before
    assert "60 %" in machine_text({**facts, "speed": 0.6})
