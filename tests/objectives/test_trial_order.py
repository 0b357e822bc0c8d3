"""The order of trials, and the numbers that methods get of it, at any scale of the values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from optiproxy_nas import search
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.evaluation.loop import run_method
from optiproxy_nas.methods import METHODS, build_method
from optiproxy_nas.methods.memory import MemoryMethod
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.objectives.base import Training
from optiproxy_nas.objectives.trial_order import fitness_of
from optiproxy_nas.spaces.nb201 import NASBench201

NEAR_MINUS_1E8 = (2.0**12, -(2.0**27))  # scale, offset: exact in a float
BOUND = {"name": "constrained", "constraints": ["latency_ms <= 6"]}
OBJECTIVES = (
    resolve_objective(BOUND),
    resolve_objective({"name": "multi_fidelity", "low_epochs": 12, "full_epochs": 200}),
)
finite = st.one_of(
    st.floats(-1e300, 1e300), st.sampled_from([-1e8, -1e8 + 1, 0.0, 1e-300, 2e-300, 1e300, -1e300])
)
archives = st.lists(
    st.tuples(
        finite,
        st.one_of(st.floats(1e-300, 1e300), st.sampled_from([6.0, np.nextafter(6, 7), np.inf])),
        st.sampled_from([12, 200]),
    ),
    min_size=1,
    max_size=12,
).map(lambda rows: pd.DataFrame(rows, columns=["value", "latency_ms", "epochs"]))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: objective.name)
@given(archives)
def test_methods_get_finite_numbers_in_the_order_of_the_trials(
    objective: Any, archive: Any
) -> None:
    order = objective.order
    keys, eligible = order.keys(archive), order.eligible(archive)
    fitness = fitness_of(keys)
    assert np.isfinite(fitness).all()
    assert (fitness[eligible] == archive["value"][eligible]).all()
    columns = keys.T.tolist()
    for i, one in enumerate(columns):
        for j, other in enumerate(columns):
            assert (fitness[i] < fitness[j]) == (one < other)
    assert fitness.argmax() == order.incumbent(archive) == order.ranks(archive).argmax()
    if eligible.any():
        best = archive["value"][eligible].max()
        assert archive["value"][order.incumbent(archive)] == order.best(archive)[-1] == best


def test_the_scale_of_what_may_not_be_the_answer_is_that_of_the_data() -> None:
    values, violations = np.array([-1e8, -1.2e8]), np.array([0.01, 1.0, np.inf])
    keys = np.array([[1, 1, 0, 0, 0], [*values, *-violations]])
    fitness = fitness_of(keys)
    spread = np.ptp(values)
    np.testing.assert_allclose(fitness[2:], values.min() - spread * np.array([2.01, 2.5, 3]), 1e-3)
    assert (fitness_of(keys[:, 2:]) < 0).all()  # nothing eligible


def integer(architecture: str) -> Any:
    """0..127, alike for neighbours."""
    return sum(map(ord, architecture)) * 7 % 128


def bounded(scale: Any, offset: Any) -> Any:
    """A third breaks the bound, some of it without a number."""

    def evaluate(architecture: str) -> Any:
        kind = len(architecture) + ord(architecture[1])
        return {
            "value": offset + scale * integer(architecture),
            "latency_ms": np.inf if kind % 6 == 0 else 3.0 + kind % 5,
        }

    return evaluate


SMALL = {
    "initial_samples": 4,
    "gradient": {"epochs": 2, "groups": 2},
    "fit": {"epochs": 2, "first_epochs": 3},
    "proxy": {"hidden": 8},
}
SETTINGS = {
    "regularized_evolution": {"population": 6, "tournament": 3},
    "local_search": {"initial_samples": 4, "restart_samples": 2},
    "bananas": {"initial_samples": 4, "batch": 2, "epochs": 3},
    "gaussian_process": {"initial_samples": 4, "random": 20},
    "tpe": {"startup": 4, "random": 20},
}


def bounded_search(method: str, scale: Any, offset: Any) -> Any:
    more = SMALL if method == "optiproxy" else {"settings": SETTINGS.get(method, {})}
    return search(
        method=method,
        budget=8 if method in ("optiproxy", "gaussian_process") else 24,
        objective=BOUND,
        evaluate=bounded(scale, offset),
        **more,
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_answer_is_the_best_feasible_row_also_with_values_near_minus_1e8(method: Any) -> None:
    result = bounded_search(method, *NEAR_MINUS_1E8)
    feasible = result.archive[result.archive["latency_ms"] <= 6]
    assert 0 < len(feasible) < len(result.archive)
    assert result.is_eligible
    assert result.best_value == feasible["value"].max() == result.archive["best"].iloc[-1]


@pytest.mark.heavy
@pytest.mark.parametrize("method", [name for name in SETTINGS if name != "bananas"])
def test_methods_that_only_compare_search_alike_at_any_scale(method: Any) -> None:
    one, other = (bounded_search(method, *of).archive for of in ((1, 0), NEAR_MINUS_1E8))
    assert one["architecture"].tolist() == other["architecture"].tolist()


@pytest.mark.heavy
@pytest.mark.parametrize("name", [name for name in METHODS if name != "optiproxy"])
def test_methods_compare_as_the_order_does(name: Any, nb201: NASBench201) -> None:
    """Also what they remember of earlier rounds. (OptiProxy-NAS reads the order itself.)"""
    objective = resolve_objective(BOUND)
    method = build_method(name, nb201, SETTINGS.get(name, {}), 16, 0)
    archive, _ = run_method(nb201, bounded(*NEAR_MINUS_1E8), method, 16, objective=objective)
    assert not objective.order.eligible(archive).all()
    assert isinstance(method, MemoryMethod)
    values = method._memory.values
    told = archive.head(len(values))  # nothing is told that is not asked after
    assert (rankdata(values, "dense") - 1 == objective.order.ranks(told)).all()
    if name == "tpe":
        study: Any = vars(method)["_study"]
        held = [trial.value for trial in study.trials if trial.value is not None]
        assert sorted(held) == sorted(values)


def negated(evaluate: Any) -> Any:
    def mirrored(*arguments: Any) -> Any:
        answer = evaluate(*arguments)
        return {**answer, "value": -answer["value"]} if isinstance(answer, dict) else -answer

    return mirrored


def plain(architecture: str) -> Any:
    return 90.0 - integer(architecture)


def by_epochs(architecture: str, epochs: int) -> Any:
    return epochs / 20 + integer(architecture)


EPOCHS = {"name": "multi_fidelity", "low_epochs": 5, "full_epochs": 10, "low_first": 6}
TASKS = {
    "accuracy": ({"name": "accuracy"}, plain, 1),
    "constrained": (BOUND, bounded(1.0, -50.0), 1),
    "paper_weights": ({**BOUND, "mode": "paper_weights"}, bounded(1.0, -50.0), 1),
    "multi_fidelity": ({**EPOCHS, "step_epochs": 20}, by_epochs, 10),
}


def mirror_images(method: str, task: Any) -> Any:
    """A search that maximises, and one that minimises the negated values."""
    objective, evaluate, price = TASKS[task]
    more = SMALL if method == "optiproxy" else {"settings": SETTINGS.get(method, {})}
    budget = price * (8 if method in ("optiproxy", "gaussian_process") else 16)
    arguments: dict[str, Any] = {"method": method, "objective": objective, "budget": budget, **more}
    return (
        search(**arguments, evaluate=evaluate),
        search(**arguments, evaluate=negated(evaluate), direction="minimize"),
    )


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", METHODS)
def test_minimising_is_the_mirror_image_of_maximising(method: Any, task: Any) -> None:
    one, other = mirror_images(method, task)
    turned = {name: -other.archive[name] for name in ("value", "best", "predicted")}
    pd.testing.assert_frame_equal(one.archive, other.archive.assign(**turned), check_exact=True)
    assert other.best_architecture == one.best_architecture
    assert other.best_value == -one.best_value
    eligible = other.parameters.objective.order.eligible(other.archive)
    assert other.best_value == other.archive["value"][eligible].min()


def test_direction_is_a_setting_of_the_objective_that_the_source_gives() -> None:
    minimised = Training(200, False, "minimize")
    assert resolve_objective("accuracy").direction == "maximize"
    for name in ("accuracy", BOUND, "multi_fidelity"):
        assert resolve_objective(name, minimised).direction == "minimize"
    given = {"name": "accuracy", "direction": "maximize"}
    assert resolve_objective(given, minimised).direction == "maximize"
    with pytest.raises(ParameterError, match=r"objective\.direction = 'maximize'"):
        search(evaluate=plain, objective=given, direction="minimize")
    down: Any = "down"
    with pytest.raises(ParameterError, match="direction"):
        search(evaluate=plain, direction=down)
