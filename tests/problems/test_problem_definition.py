"""What a problem is made of, how it is named, and what is refused before any training."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optiproxy_nas import ParameterError, Problem, RunningTrial, Space, Target, UnknownNameError
from optiproxy_nas.core.numbers import metric_name, unit, value_text
from optiproxy_nas.methods import resolve_method
from optiproxy_nas.problems.resolution import (
    check_metrics,
    name_of,
    resolve_problem,
    with_problem,
)

HERE = f"{__name__}:"


class Small(Problem):
    space = Space({"depth": [1, 2, 3]})
    target = Target("loss", "minimize", "nats")
    metrics = ("size",)
    objective = {"name": "constrained", "constraints": ["size <= 2"]}  # noqa: RUF012

    def __init__(self, scale: float = 1.0, **others: Any) -> None:
        self.scale = scale

    def evaluate(self, trial: RunningTrial) -> float:
        return self.scale * float(trial.architecture["depth"])


class Needing(Small):
    def __init__(self, folder: str) -> None:
        super().__init__()


class Bare(Problem):
    space = "nb201"
    target = Target("value")

    def evaluate(self, trial: RunningTrial) -> float:
        return 1.0


@dataclass(eq=False)
class Declared(Bare):
    width: int = 3


class Spaceless(Bare):
    space: Any = None


class Untargeted(Bare):
    target: Any = "accuracy"


class Untrained(Problem):
    space = "nb201"
    target = Target("value")


class Odd(Bare):
    def evaluate(self) -> float:  # type: ignore[override]
        return 1.0


class OddTest(Bare):
    def test(self, trial: Any, more: Any) -> Any:  # type: ignore[override]
        return {}


class OneText(Bare):
    metrics: Any = "size"


class Clashing(Small):
    metrics = ("value",)


class Unbuilt(Bare):
    space = "no_module_of_mine:Space"


class Stumbling(Bare):
    @property
    def space(self) -> Any:  # type: ignore[override]
        raise OSError("no file of options")


class Raising(Bare):
    def __init__(self) -> None:
        raise OSError("no disk")


def function(trial: RunningTrial) -> float:
    return 1.0


def test_a_name_a_mapping_a_class_and_an_instance_mean_the_same_problem() -> None:
    given: Any
    for given in (f"{HERE}Small", {"name": f"{HERE}Small"}, Small, Small()):
        problem = resolve_problem(given)
        assert isinstance(problem, Small)
        assert name_of(problem, given) == f"{HERE}Small"
    given = {"name": f"{HERE}Small", "scale": 2.0}
    for again in (given, Small(2.0), Small(scale=2.0)):
        assert resolve_problem(again).scale == 2.0  # type: ignore[attr-defined]
        assert name_of(resolve_problem(again), again) == given
    assert name_of(resolve_problem("mnist1d")) == "mnist1d"
    path = "optiproxy_nas.problems.mnist1d:Mnist1d"
    assert name_of(resolve_problem(path), path) == "mnist1d"


@pytest.mark.parametrize(
    ("scale", "is_default"),
    [(1.0, True), (1, True), (np.float64(1), True), (True, False), (1.5, False), ([1.0], False)],
)
def test_a_setting_that_is_the_default_is_not_written(scale: Any, is_default: bool) -> None:
    written = f"{HERE}Small" if is_default else {"name": f"{HERE}Small", "scale": scale}
    for given in ({"name": f"{HERE}Small", "scale": scale}, Small(scale)):
        assert name_of(resolve_problem(given), given) == written


def test_the_arguments_of_an_instance_are_kept() -> None:
    problem = Small(3, colour="red", array=object())
    assert name_of(problem) == {
        "name": f"{HERE}Small",
        "scale": 3,
        "colour": "red",
        "array": "<object>",
    }
    assert name_of(pickle.loads(pickle.dumps(problem)))["scale"] == 3  # type: ignore[index]
    assert name_of(Declared(4)) == {"name": f"{HERE}Declared", "width": 4}
    assert name_of(Bare()) == f"{HERE}Bare"


def test_a_problem_decides_space_direction_and_the_default_objective() -> None:
    values = with_problem({"problem": Small(), "method": "random_search", "seed": 0, "budget": 3})
    parameters = resolve_method(values)
    assert parameters.space == Small.space.declaration()
    assert parameters.objective.direction == "minimize"
    assert parameters.objective.metrics == ("size",)
    assert parameters.dataset == "Small"
    assert parameters.problem == f"{HERE}Small"
    assert "problem" not in resolve_method({**RUN, "space": "nb201"}).model_dump()


RUN: dict[str, Any] = {"method": "random_search", "seed": 0, "budget": 3}


def test_the_objective_that_is_given_wins_and_its_settings_are_merged() -> None:
    assert with_problem({"problem": Small(), "objective": "accuracy"})["objective"] == "accuracy"
    given = {"constraints": ["size <= 1"]}
    found = with_problem({"problem": Small(), "objective": given})["objective"]
    assert found == {"name": "constrained", "constraints": ["size <= 1"]}
    assert with_problem({"seed": 1}) == {"seed": 1}


@pytest.mark.parametrize("other", [{"space": "nb201"}, {"direction": "maximize"}])
def test_another_space_or_direction_is_refused(other: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        with_problem({"problem": Small(), **other})
    assert caught.value.data["problem"] == "Small"
    with_problem({"problem": Small(), "direction": "minimize"})


def test_bounds_on_what_is_not_measured_are_refused_where_metrics_are_declared() -> None:
    def objective(bound: str) -> Any:
        values = {"problem": Small(), "objective": {"name": "constrained", "constraints": [bound]}}
        return resolve_method(with_problem({**RUN, **values})).objective

    with pytest.raises(UnknownNameError) as caught:
        check_metrics(Small(), objective("sise <= 2"))
    assert caught.value.data["suggestion"] == "size"
    check_metrics(Small(), objective("size <= 2"))
    check_metrics(Small(), objective("loss <= 2"))
    check_metrics(Bare(), objective("whatever <= 2"))  # seen at the first answer


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (3, "instance"),
        ({"scale": 3}, "instance"),
        (f"{HERE}function", "subclass"),
        (f"{HERE}Nothing", "cannot be imported"),
        ("no_module_of_mine:Problem", "cannot be imported"),
        (f"{HERE}Needing", "folder"),
        ({"name": f"{HERE}Bare", "scale": 3}, "scale"),
        (f"{HERE}Raising", "no disk"),
        (f"{HERE}Stumbling", "no file of options"),
        (f"{HERE}Spaceless", "space"),
        (f"{HERE}Unbuilt", "no_module_of_mine"),
        (f"{HERE}Untargeted", "Target"),
        (f"{HERE}Untrained", "evaluate"),
        (f"{HERE}Odd", "evaluate"),
        (f"{HERE}OddTest", "test"),
        (f"{HERE}OneText", "metrics"),
        (f"{HERE}Clashing", "value"),
    ],
)
def test_what_is_no_problem_is_refused_with_one_message(given: Any, word: str) -> None:
    with pytest.raises(ParameterError) as caught:
        resolve_problem(given)
    assert word in caught.value.message
    assert type(caught.value) is ParameterError


def test_a_wrong_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve_problem("mnist")
    assert caught.value.data["suggestion"] == "mnist1d"


@pytest.mark.parametrize(
    "arguments",
    [("",), (3,), ("a", "up"), ("a", "maximize", None), ("a [%]",), ("a", "minimize", 3)],
)
def test_a_target_that_is_none_is_refused(arguments: Any) -> None:
    with pytest.raises(ParameterError):
        Target(*arguments)


@pytest.mark.parametrize(
    ("target", "name", "its_unit"),
    [
        (Target("accuracy", unit="%"), "accuracy", "%"),
        (Target("accuracy"), "accuracy", ""),
        (Target("latency_ms", unit="ms"), "latency", "ms"),
        (Target("validation_error", "minimize", "%"), "validation error", "%"),
        (Target("score"), "score", ""),
    ],
)
def test_the_label_of_a_target_tells_its_unit(target: Any, name: str, its_unit: str) -> None:
    assert unit(target.label) == its_unit
    assert metric_name(target.label) == name
    assert value_text(target.label, 1.0).endswith(its_unit)


@pytest.mark.heavy
def test_importing_a_problem_loads_no_torch() -> None:
    code = (
        "import sys, optiproxy_nas.problems; print({'torch', 'numpy', 'pandas'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_running_trial_says_how_much_time_is_left_and_keeps_what_is_reported(
    tmp_path: Path,
) -> None:
    told: list[Any] = []
    trial = RunningTrial(0, {}, tmp_path, on_report=lambda *point: told.append(point))
    assert trial.seconds_left == float("inf")
    trial.deadline = 0.0
    assert trial.seconds_left < 0
    trial.report(1, 2)
    assert trial.curve == told == [(1, 2.0)]
    with pytest.raises(ValueError, match="loss"):
        trial.report(2, "loss")  # type: ignore[arg-type]
