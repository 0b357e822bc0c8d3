"""The constrained objective: what a query reveals, what is best, what is learnt, what is told."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from made_up import MadeUp, archive_of

from optiproxy_nas import search
from optiproxy_nas.algorithm.archive import COLUMNS, check_archive  # type: ignore[attr-defined]
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.errors import (
    ArtifactError,
    DataError,
    EvaluationError,
    ObjectiveError,
    ParameterError,
    UnknownNameError,
)
from optiproxy_nas.evaluation.batch import evaluate_trials
from optiproxy_nas.evaluation.function_evaluator import batched
from optiproxy_nas.evaluation.loop import run_search
from optiproxy_nas.methods.bananas import Bananas
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.objectives.trial_order import fitness_of
from optiproxy_nas.proxies.targets import TARGETS, make_targets
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.nb201 import NASBench201
from optiproxy_nas.testing.determinism import plain
from tiny_space import TinySpace

pytestmark = pytest.mark.usefixtures("global_state")

TWO = ("latency_ms < 6", "size_mb <= 1.6")
ONE_EACH = st.lists(
    st.tuples(st.floats(0, 100), st.one_of(st.floats(0.5, 9), st.just(6.0), st.just(np.inf))),
    min_size=2,
    max_size=12,
)


def constrained(*constraints: Any, **values: Any) -> Any:
    chosen = {"constraints": constraints or TWO, **values}
    return resolve_objective({"name": "constrained", **chosen})


def table(rows: Any) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["value", "latency_ms"])


def test_columns_in_the_order_of_the_constraints_each_once() -> None:
    objective = constrained("b > 1", "a < 3", "b < 2")
    assert list(objective.columns) == [
        "b", "predicted_b", "a", "predicted_a", "violation", "feasibility",
    ]  # fmt: skip
    assert set(objective.columns.values()) == {"float64"}
    assert objective.task.heads == 4


def test_a_query_reveals_everything_at_once_and_costs_one(space: SearchSpace) -> None:
    objective = constrained(*TWO, "some_fail_ms < 3")
    evaluate = MadeUp(space, "latency_ms", "size_mb", "some_fail_ms")
    archive = archive_of(space, objective)
    truth = evaluate.all(archive["architecture"])
    for name in ("value", "latency_ms", "size_mb", "some_fail_ms"):
        assert archive[name].tolist() == truth[name].tolist()
    outside = (
        np.maximum(truth["latency_ms"] / 6 - 1, 0)
        + np.maximum(truth["size_mb"] / 1.6 - 1, 0)
        + np.maximum(truth["some_fail_ms"] / 3 - 1, 0)
    )
    np.testing.assert_allclose(archive["violation"], outside)
    assert np.isinf(outside).any()
    assert (outside == 0).any()
    assert archive["predicted_latency_ms"].isna().all()
    assert objective.price.costs(archive).tolist() == [1] * len(archive)
    check_archive(space, archive, objective)


def by_architecture(names: Any, told: Any) -> Any:
    """The same answers, labelled and in another order."""
    return pd.DataFrame(told, index=names).iloc[::-1]


def rows_of(names: Any, told: Any) -> Any:
    return pd.DataFrame(told).to_dict("records")


@pytest.mark.parametrize(
    "make",
    [
        lambda names, told: told,
        lambda names, told: pd.DataFrame(told),
        lambda names, told: {**told, "more": told["value"]},
        by_architecture,
        rows_of,
        lambda names, told: dict(zip(names, rows_of(names, told), strict=True)),
    ],
)
def test_any_mapping_of_columns_is_an_answer(tiny: TinySpace, make: Any) -> None:
    objective, evaluate = constrained(*TWO), MadeUp(tiny, "latency_ms", "size_mb")
    batch = archive_of(tiny, objective)[["step", "architecture"]]
    ask = batched(lambda names: make(names, evaluate(names)))
    expected, _ = evaluate_trials(objective, batch, evaluate)
    assert plain(evaluate_trials(objective, batch, ask)[0]) == plain(expected)
    one_by_one = pd.DataFrame(evaluate(batch["architecture"]), index=batch["architecture"]).loc
    for answer in (one_by_one.__getitem__, lambda name: one_by_one[name].to_dict()):
        assert plain(evaluate_trials(objective, batch, answer)[0]) == plain(expected)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda told: told["value"], r"columns value, latency_ms, size_mb.*it gave .*array"),
        (lambda told: None, "it gave None"),
        (lambda told: list(told.values()), "columns value, latency_ms, size_mb"),
        (lambda told: {"value": told["value"]}, "columns value, latency_ms, size_mb.*dict of val"),
        (lambda told: told | {"latency_ms": told["latency_ms"][:-1]}, "gave 4 .*'latency_ms'"),
        (lambda told: told | {"latency_ms": 3.0}, "of 5 architectures gave 3.0.*'latency_ms'"),
        (lambda told: told | {"latency_ms": ["slow"] * 5}, "'slow'.*'latency_ms'"),
    ],
)
def test_an_answer_that_is_none_is_a_data_error(tiny: TinySpace, spoil: Any, message: str) -> None:
    objective, evaluate = constrained(*TWO), MadeUp(tiny, "latency_ms", "size_mb")
    batch = archive_of(tiny, objective)[["step", "architecture"]].head()
    with pytest.raises(DataError, match=f"(?s){message}"):
        evaluate_trials(objective, batch, batched(lambda names: spoil(evaluate(names))))


@pytest.mark.parametrize(
    ("metric", "number", "fails"),
    [
        ("latency_ms", np.nan, True),
        ("size_mb", -np.inf, True),
        ("size_mb", np.inf, False),  # it cannot run there
        ("value", np.inf, True),
        ("value", None, True),
    ],
)
def test_a_metric_without_a_number_fails_its_trial_alone(
    tiny: TinySpace, metric: str, number: Any, fails: bool
) -> None:
    objective, evaluate = constrained(*TWO), MadeUp(tiny, "latency_ms", "size_mb")
    batch = archive_of(tiny, objective)[["step", "architecture"]].head()

    def spoilt(names: Any) -> Any:
        told = evaluate(names)
        return told | {metric: [told[metric][0], number, *told[metric][2:]]}

    rows, outcomes = evaluate_trials(objective, batch, batched(spoilt))
    assert [bool(outcome.error) for outcome in outcomes] == [False, fails, *[False] * 3]
    assert fails == (metric in outcomes[1].error)
    kept = [0, 2, 3, 4] if fails else [*range(5)]
    assert rows["architecture"].tolist() == batch["architecture"].iloc[kept].tolist()


@given(ONE_EACH)
def test_feasible_before_infeasible_then_value_or_violation(rows: Any) -> None:
    """Deb (2000): any two rows compare as his three rules say."""
    objective, archive = constrained("latency_ms < 6"), table(rows)
    fitness, eligible = fitness_of(objective.order.keys(archive)), objective.order.eligible(archive)
    violation = [max(latency - 6, 0) / 6 for _, latency in rows]
    for i, (value_i, latency_i) in enumerate(rows):
        for j, (value_j, _) in enumerate(rows):
            if eligible[i] and eligible[j]:
                assert (fitness[i] > fitness[j]) == (value_i > value_j)
            elif eligible[i]:
                assert fitness[i] > fitness[j]
            elif violation[i] < violation[j] - 1e-12:  # as the objective rounds it
                assert not eligible[j]
                assert fitness[i] > fitness[j]
        assert eligible[i] == (latency_i < 6)


@given(ONE_EACH)
def test_best_and_incumbent_are_those_of_a_double_loop(rows: Any) -> None:
    objective, archive = constrained("latency_ms < 6"), table(rows)
    best = objective.order.best(archive)
    for count in range(1, len(rows) + 1):
        feasible = [(value, -row) for row, (value, m) in enumerate(rows[:count]) if m < 6]
        incumbent = objective.order.incumbent(archive.iloc[:count])
        if feasible:
            value, row = max(feasible)
            assert best[count - 1] == value
            assert incumbent == -row
        else:
            assert np.isnan(best[count - 1])
            assert rows[incumbent][1] == min(latency for _, latency in rows[:count])


def test_strict_and_not_strict_differ_at_the_bound() -> None:
    rows = table([(80.0, 6.0), (70.0, 5.0)])
    assert constrained("latency_ms < 6").order.incumbent(rows) == 1
    assert constrained("latency_ms <= 6").order.incumbent(rows) == 0
    assert constrained("latency_ms > 5").order.incumbent(rows) == 0
    assert constrained("latency_ms >= 5").order.eligible(rows).all()


def test_what_cannot_run_is_the_answer_only_where_nothing_else_is() -> None:
    objective = constrained("latency_ms < 1")
    rows = table([(99.0, np.inf), (20.0, 50.0), (10.0, 40.0)])
    assert objective.order.incumbent(rows) == 2
    assert objective.order.incumbent(rows.iloc[:1]) == 0
    assert not objective.order.eligible(rows).any()


@pytest.mark.parametrize("name", TARGETS)
def test_targets_are_excesses_in_standard_deviations(space: SearchSpace, name: Any) -> None:
    objective = constrained("latency_ms < 6", "size_mb > 1.2", "latency_ms > 4")
    archive = archive_of(space, objective)
    targets = objective.task.targets(archive, name).double().numpy()
    assert targets.shape == (4, len(archive))
    latency, size = archive["latency_ms"], archive["size_mb"]
    np.testing.assert_allclose(targets[1], (latency - 6) / latency.std(ddof=0), atol=1e-5)
    np.testing.assert_allclose(targets[2], (1.2 - size) / size.std(ddof=0), atol=1e-5)
    np.testing.assert_allclose(targets[3], (4 - latency) / latency.std(ddof=0), atol=1e-5)
    assert ((targets[1:].max(0) <= 0) == objective.order.eligible(archive)).all()
    best = archive["value"].to_numpy()[objective.order.incumbent(archive)]
    known = make_targets(archive["value"].to_numpy(), name, best)
    np.testing.assert_array_equal(targets[0], known)


def test_what_cannot_run_counts_as_the_worst_that_can(space: SearchSpace) -> None:
    objective = constrained("some_fail_ms < 1.3")
    archive = archive_of(space, objective)
    targets, fails = objective.task.targets(archive, "rank")[1], np.isinf(archive["some_fail_ms"])
    assert fails.any()
    assert torch.isfinite(targets).all()
    assert (targets[torch.tensor(fails)] == targets.max()).all()
    nowhere = archive.assign(some_fail_ms=np.inf)
    assert (objective.task.targets(nowhere, "rank")[1] == 1).all()
    everywhere = archive.assign(some_fail_ms=1.0)  # no spread at all
    assert torch.allclose(objective.task.targets(everywhere, "rank")[1], torch.tensor(-0.3 / 1.3))


references = st.lists(st.integers(0, 1000), min_size=3, max_size=30, unique=True)


@given(references, st.data())
def test_targets_around_a_reference_are_monotone(values: Any, data: Any) -> None:
    values = np.array(values) / 10
    reference = data.draw(st.sampled_from(list(values)))
    for name in TARGETS:
        targets = TARGETS[name](values, reference)
        order = np.argsort(values)
        assert (np.diff(targets[order]) > 0).all()


@given(st.lists(st.integers(1, 500), min_size=1, max_size=12, unique=True), st.integers(0, 100))
def test_log_regret_around_a_reference_is_point_symmetric(distances: Any, reference: Any) -> None:
    """Values mirrored at the reference have targets mirrored at its own."""
    away = np.array(distances) / 10
    values = np.concatenate([reference - away, [reference], reference + away])
    targets = TARGETS["log_regret"](values, float(reference))
    count, middle = len(away), targets[len(away)]
    np.testing.assert_allclose(targets[:count] - middle, middle - targets[count + 1 :], atol=1e-9)


@given(references)
def test_log_regret_around_the_best_keeps_the_order_it_had(values: Any) -> None:
    values = np.array(values) / 10
    assume(np.median(values) < values.max())
    plain_order = np.argsort(TARGETS["log_regret"](values))
    assert (np.argsort(TARGETS["log_regret"](values, values.max())) == plain_order).all()


def test_log_regret_is_finest_around_its_reference() -> None:
    values = np.arange(0.0, 101.0)
    steps = np.diff(TARGETS["log_regret"](values, 40.0))
    assert set(np.argsort(steps)[-2:]) == {39, 40}


def test_predictions_are_told_in_units_and_as_a_probability(space: SearchSpace) -> None:
    objective = constrained("latency_ms < 6", "size_mb > 1.2", noise=0.3)
    archive = archive_of(space, objective)
    targets = objective.task.targets(archive, "rank").unsqueeze(0)  # a proxy that is right
    told = objective.task.predicted(targets, archive, "rank")
    assert set(told) <= {*COLUMNS, *objective.columns}
    for name in ("value", "latency_ms", "size_mb"):
        predicted = told["predicted" if name == "value" else f"predicted_{name}"]
        np.testing.assert_allclose(predicted, archive[name], atol=1e-4)
    assert ((told["feasibility"] >= 0) & (told["feasibility"] <= 1)).all()
    inside = objective.order.eligible(archive)
    assert told["feasibility"][inside].mean() > 0.6 > 0.5 > told["feasibility"][~inside].max()
    at_the_bounds = torch.zeros(1, 3, 1)
    told = objective.task.predicted(at_the_bounds, archive, "rank")
    assert told["feasibility"] == pytest.approx([0.25])
    assert told["predicted_latency_ms"] == pytest.approx([6])
    assert told["predicted_size_mb"] == pytest.approx([1.2])


@pytest.mark.parametrize(
    ("target", "direction"), [("log_regret", "maximize"), ("rank", "minimize")]
)
def test_predictions_are_in_units_whatever_the_target_and_the_direction(
    tiny: TinySpace, target: str, direction: str
) -> None:
    objective = constrained("latency_ms < 6", direction=direction)
    archive = archive_of(tiny, objective)
    assert not objective.order.eligible(archive)[archive["value"].argmax()]  # no reference
    targets = objective.task.targets(archive, target).unsqueeze(0)  # a proxy that is right
    predicted = objective.task.predicted(targets, archive, target)["predicted"]
    np.testing.assert_allclose(predicted, archive["value"], rtol=1e-3)


def test_a_metric_bounded_from_both_sides_is_drawn_between_them(
    tiny: TinySpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    objective = constrained("latency_ms < 6", "latency_ms > 4")
    archive = archive_of(tiny, objective)
    scale = archive["latency_ms"].std(ddof=0)
    latency = torch.linspace(1, 9, 9).double().requires_grad_()
    heads = torch.stack([0 * latency, (latency - 6) / scale, (4 - latency) / scale]).unsqueeze(0)
    score = objective.task.score(archive, make_parameters().selection)(heads)
    assert int(score.argmax()) == 4
    (slope,) = torch.autograd.grad(score.sum(), latency)
    assert (slope[:4] > 0).all()
    assert (slope[5:] < 0).all()


def test_diagnostics_are_the_violation_rates_and_the_weights(space: SearchSpace) -> None:
    objective = constrained("latency_ms < 6", "size_mb < 99", mode="paper_weights")
    latency = [3.0] * 8 + [9.0] * 5 + [9.0, 9.0, 9.0, 3.0, 3.0]
    archive = archive_of(space, objective, latency_ms=latency)
    last = objective.diagnose(archive[archive["step"] == 2], archive)
    assert last["violation_rate"] == pytest.approx(3 / 5)
    assert last["recent_violation_rate"] == pytest.approx(8 / 18)  # fewer than 20: all
    # The weights are those that chose the batch: after the step before it.
    assert last["weight_latency_ms"] == pytest.approx(0.55)
    assert last["weight_size_mb"] == pytest.approx(0.45)  # nothing broke this bound
    assert last["weight_accuracy"] == pytest.approx(0.45)


def test_a_metric_bounded_from_both_sides_has_a_weight_for_each(space: SearchSpace) -> None:
    objective = constrained("latency_ms < 6", "latency_ms > 2")
    latency = [3.0] * 8 + [9.0] * 5 + [9.0, 9.0, 9.0, 3.0, 3.0]
    archive = archive_of(space, objective, latency_ms=latency)
    last = objective.diagnose(archive[archive["step"] == 2], archive)
    assert last["weight_upper_latency_ms"] > last["weight_lower_latency_ms"] == 0.5


@pytest.mark.parametrize("broken", [20, 16, 0])
def test_the_recent_violation_rate_is_of_the_last_twenty_queries(
    tiny: TinySpace, broken: int
) -> None:
    latency = [9.0] * 8 + [9.0] * 10 + [9.0] * broken + [3.0] * (20 - broken)
    objective = constrained("latency_ms < 6")
    archive = archive_of(tiny, objective, (8, 10, 20), latency_ms=latency)
    told = objective.diagnose(archive[archive["step"] == 2], archive)
    assert told["recent_violation_rate"] == broken / 20


def test_the_rate_counts_the_initial_sample_where_few_queries_were_proposed(
    tiny: TinySpace,
) -> None:
    """Of the last twenty 17 broke the bound, of the ten proposed 7: no alarm is to be missed."""
    latency = [9.0] * 20 + [9.0] * 7 + [3.0] * 3
    objective = constrained("latency_ms < 6")
    archive = archive_of(tiny, objective, (20, 10), latency_ms=latency)
    last = objective.diagnose(archive[archive["step"] == 1], archive)
    assert last["recent_violation_rate"] == pytest.approx(17 / 20)


def test_the_summary_tells_how_far_the_answer_is_from_each_bound(tiny: TinySpace) -> None:
    objective = constrained("latency_ms < 6", "latency_ms > 1", "size_mb >= 0.5")
    archive = archive_of(
        tiny, objective, (3,), value=[80, 90, 70], latency_ms=[4.5, 7, 2], size_mb=[0.6, 1, 1]
    )
    told = objective.summary(archive)
    assert told["feasible"] is True
    expected = [
        ("latency_ms < 6", "latency_ms", 6.0, 4.5, 1.5, 25.0),
        ("latency_ms > 1", "latency_ms", 1.0, 4.5, 3.5, 350.0),
        ("size_mb >= 0.5", "size_mb", 0.5, 0.6, pytest.approx(0.1), pytest.approx(20.0)),
    ]
    keys = ("constraint", "metric", "bound", "value", "margin", "margin_percent")
    assert told["constraints"] == [dict(zip(keys, row, strict=True)) for row in expected]
    lost = objective.summary(archive_of(tiny, objective, (2,), latency_ms=[7.0, np.inf]))
    assert lost["feasible"] is False
    assert lost["constraints"][0]["margin"] == -1
    nowhere = objective.summary(archive_of(tiny, objective, (1,), latency_ms=[np.inf]))
    assert nowhere["constraints"][0]["value"] is None
    assert nowhere["constraints"][0]["margin_percent"] is None
    json.dumps([told, lost, nowhere], allow_nan=False)


def test_losses_have_no_hypervolume(tiny: TinySpace) -> None:
    objective = constrained("latency_ms < 6")
    archive = archive_of(tiny, objective, (2,), value=[80, 90], latency_ms=[4.0, 3.0])
    assert objective.summary(archive)["hypervolume"] == 90 * 3
    losses = archive_of(tiny, objective, (2,), value=[-4.6, -4.7], latency_ms=[4.0, 3.0])
    assert objective.summary(losses)["hypervolume"] is None
    for value, size in ((0.0, None), (0.5, 0.5 * 3)):
        low = archive_of(tiny, objective, (2,), value=[-1.0, value], latency_ms=[4.0, 3.0])
        assert objective.summary(low)["hypervolume"] == size
    minimised = constrained("latency_ms < 6", direction="minimize")
    errors = archive_of(tiny, minimised, (2,), value=[80, 90], latency_ms=[4.0, 3.0])
    assert minimised.summary(errors)["hypervolume"] is None
    broken = archive_of(tiny, objective, (2,), value=[80, 90], latency_ms=[7.0, 8.0])
    assert objective.summary(broken)["hypervolume"] == 0


def edited(archive: Any, row: Any, column: Any, value: Any) -> Any:
    archive = archive.copy()
    archive.loc[row, column] = value
    return archive


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda a: a.drop(columns=["latency_ms"]), r"columns missing: \['latency_ms'\]"),
        (lambda a: a.drop(columns=["violation"]), r"columns missing: \['violation'\]"),
        (lambda a: edited(a, int(a["value"].argmax()), "latency_ms", 0.5), "'best' is not"),
        (
            lambda a: edited(a.astype({"latency_ms": object}), 3, "latency_ms", "fast"),
            "something else than numbers in latency_ms",
        ),
    ],
)
def test_an_edited_archive_is_refused(tiny: TinySpace, edit: Any, problem: str) -> None:
    objective = constrained("latency_ms < 4")
    archive = archive_of(tiny, objective)
    check_archive(tiny, archive, objective)
    assert not objective.order.eligible(archive)[archive["value"].argmax()]
    with pytest.raises(ArtifactError, match=problem):
        check_archive(tiny, edit(archive), objective)


def searched(
    space: Any,
    make_parameters: Callable[..., SearchParameters],
    objective: Any,
    evaluate: Any,
    **overrides: Any,
) -> Any:
    name = "nb201" if space.name == "nb201" else "tiny_space:TinySpace"
    return run_search(
        space, evaluate, make_parameters(space=name, objective=objective, **overrides)
    )


@pytest.mark.parametrize("mode", ["default", "paper_weights"])
def test_equal_searches_give_equal_archives_byte_for_byte(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters], mode: str
) -> None:
    objective = {"name": "constrained", "constraints": TWO, "mode": mode}
    first, again = (
        searched(space, make_parameters, objective, MadeUp(space, "latency_ms", "size_mb"))
        for _ in range(2)
    )
    other = searched(
        space, make_parameters, objective, MadeUp(space, "latency_ms", "size_mb"), seed=1
    )
    assert plain(first.archive) == plain(again.archive)
    assert plain(first.diagnostics) == plain(again.diagnostics)
    assert plain(first.archive) != plain(other.archive)


def test_the_two_modes_are_two_searches(
    tiny: TinySpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    archives = [
        searched(
            tiny, make_parameters, {"name": "constrained", "constraints": TWO, "mode": mode},
            MadeUp(tiny, "latency_ms", "size_mb"),
        ).archive["architecture"].tolist()
        for mode in ("default", "paper_weights")
    ]  # fmt: skip
    assert archives[0][:8] == archives[1][:8]
    assert archives[0] != archives[1]


def test_each_architecture_is_asked_about_once_for_all_metrics(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    evaluate = MadeUp(space, "latency_ms", "size_mb")
    result = searched(space, make_parameters, {"name": "constrained", "constraints": TWO}, evaluate)
    asked = [name for call in evaluate.calls for name in call]
    assert asked == result.archive["architecture"].tolist()
    assert len(set(asked)) == 23


def test_the_plain_objective_has_the_columns_it_always_had(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    archive = run_search(nb201, MadeUp(nb201), make_parameters()).archive
    assert list(archive) == [
        "order", "step", "architecture", "value", "predicted", "predicted_sd", "score", "group",
        "best", *(f"code_{i}" for i in range(6)),
    ]  # fmt: skip


def test_a_bound_that_nothing_breaks_leaves_the_best_what_it_was(
    tiny: TinySpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    objective = {"name": "constrained", "constraints": ["latency_ms < 1000"]}
    result = searched(tiny, make_parameters, objective, MadeUp(tiny, "latency_ms"))
    archive = result.archive
    assert (archive["violation"] == 0).all()
    assert archive["best"].tolist() == archive["value"].cummax().tolist()
    assert result.is_eligible
    assert result.best_value == archive["value"].max()


def test_a_search_without_a_feasible_cell_says_so(
    tiny: TinySpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    objective = {"name": "constrained", "constraints": ["latency_ms < 0.1"]}
    result = searched(tiny, make_parameters, objective, MadeUp(tiny, "latency_ms"))
    assert not result.is_eligible
    assert result.archive["best"].isna().all()
    least = result.archive.loc[result.archive["latency_ms"].idxmin()]
    assert result.best_architecture == least["architecture"]
    assert result.diagnostics["best"].isna().all()


@pytest.mark.heavy
def test_the_search_turns_to_what_is_feasible(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    """Of random cells few keep the bound; of the last queries most do, and they are better."""
    bound = {"name": "constrained", "constraints": ["latency_ms < 5.2"]}
    result = searched(
        nb201, make_parameters, bound, MadeUp(nb201, "latency_ms"), budget=60,
        proxy={"hidden": 24, "members": 3}, fit={"epochs": 40, "first_epochs": 80},
        gradient={"groups": 8, "epochs": 20}, selection={"samples": 60},
    )  # fmt: skip
    archive = result.archive
    late, random = archive[archive["step"] > 4], archive[archive["step"] == 0]
    assert (late["violation"] == 0).mean() > (random["violation"] == 0).mean() + 0.2
    assert result.is_eligible
    assert result.archive["feasibility"].iloc[8:].between(0, 1).all()
    kept = archive["violation"].iloc[8:] == 0
    told = archive["feasibility"].iloc[8:]
    assert told[kept].mean() > told[~kept].mean()


@pytest.mark.parametrize(
    ("constraints", "kind", "message"),
    [
        (["latency_ms < 0.001"], ObjectiveError, "No architecture keeps 'latency_ms < 0.001'"),
        (["latency_s < 12"], UnknownNameError, "Did you mean 'latency_ms'"),
        (["edgegpu_latency_ms < 4"], UnknownNameError, "what source 'embedded' holds"),
        (["latency_ms < -1"], ParameterError, "-1 is not a positive number"),
        (["latency_ms < 8; parameters_millions > 1.4"], ParameterError, "cannot be read|not a num"),
        (["latency_ms < 8", "parameters_millions > 1.4"], ObjectiveError, "keeps all of them"),
    ],
)
def test_impossible_bounds_are_refused_before_any_query(
    constraints: Any, kind: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optiproxy_nas.benchmarks.source_benchmark import TabularBenchmark

    def query(*_: Any) -> None:
        raise AssertionError("a query was made")

    monkeypatch.setattr(TabularBenchmark, "query", query)
    with pytest.raises(kind, match=message):
        search(budget=12, objective={"name": "constrained", "constraints": constraints})


def test_a_user_s_own_evaluation_of_value_and_metrics(nb201: NASBench201) -> None:
    evaluate, objective = MadeUp(nb201, "latency_ms"), {
        "name": "constrained", "constraints": "latency_ms <= 6",
    }  # fmt: skip
    kept = copy.deepcopy(objective)
    small: dict[str, Any] = {"fit": {"epochs": 2, "first_epochs": 2}, "gradient": {"epochs": 2}}
    result = search(budget=14, objective=objective, evaluate=evaluate, **small)
    assert objective == kept
    assert len(result.archive) == 14
    assert result.is_eligible
    assert result.parameters.source == "custom"


@pytest.mark.parametrize("call", [1, 2])
def test_an_evaluation_that_forgets_a_metric_keeps_what_was_paid_for(
    tiny: TinySpace, make_parameters: Callable[..., SearchParameters], call: int
) -> None:
    evaluate = MadeUp(tiny, "latency_ms")

    def forgets(names: Any) -> Any:
        told = evaluate(names)
        return told["value"] if len(evaluate.calls) == call else told

    with pytest.raises(EvaluationError) as caught:
        searched(
            tiny,
            make_parameters,
            {"name": "constrained", "constraints": ["latency_ms < 6"]},
            batched(forgets),
        )
    assert caught.value.data["needed"] == ["value", "latency_ms"]
    assert len(caught.value.data["archive"]) == 8 * (call - 1)
    assert len(caught.value.data["trials"]) == (8 if call == 1 else 13)


@pytest.mark.parametrize("method", ["optiproxy", "random_search"])
@pytest.mark.parametrize("progress", [False, True])
def test_a_progress_bar_has_no_best_to_show_while_nothing_is_feasible(
    nb201: NASBench201, method: str, progress: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    objective = {"name": "constrained", "constraints": ["latency_ms < 0.1"]}
    small: dict[str, Any] = {"fit": {"epochs": 2, "first_epochs": 2}, "gradient": {"epochs": 2}}
    result = search(
        budget=14, objective=objective, evaluate=MadeUp(nb201, "latency_ms"), method=method,
        progress=progress, **(small if method == "optiproxy" else {}),
    )  # fmt: skip
    assert len(result.archive) == 14
    assert not result.is_eligible
    assert "nan" not in capfd.readouterr().err


@pytest.mark.parametrize("method", ["optiproxy", "random_search"])
def test_fifty_bounds_make_a_wide_archive_without_a_warning(method: str) -> None:
    """pandas warns of tables that were put together column by column."""
    metrics = [f"device_{i}_ms" for i in range(50)]

    def evaluate(name: str) -> Any:
        return {"value": name.count("conv"), **dict.fromkeys(metrics, 5 + len(set(name)))}

    small: dict[str, Any] = {"fit": {"epochs": 2, "first_epochs": 2}, "gradient": {"epochs": 2}}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.PerformanceWarning)
        result = search(
            budget=14, evaluate=evaluate, method=method,
            objective={"name": "constrained", "constraints": [f"{m} <= 16" for m in metrics]},
            **(small if method == "optiproxy" else {}),
        )  # fmt: skip
    assert result.archive.shape == (14, len(COLUMNS) + 2 * 50 + 2 + 6)
    assert set(metrics) < set(result.archive)


def test_what_cannot_run_has_a_finite_fitness_below_what_can() -> None:
    objective = constrained("latency_ms < 6")
    rows = table([(90.0, np.inf), (50.0, 9.0), (50.0, 5.0), (80.0, 600.0)])
    fitness = fitness_of(objective.order.keys(rows))
    assert np.isfinite(fitness).all()
    assert np.argsort(fitness).tolist() == [0, 3, 1, 2]


def test_a_model_of_a_method_goes_on_where_something_cannot_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A value of -inf would make every prediction of BANANAS NaN, in silence."""
    predictions = []
    fit = Bananas._fit

    def noting(*args: Any) -> Any:
        predictions.append(fit(*args))
        return predictions[-1]

    monkeypatch.setattr(Bananas, "_fit", noting)
    search(
        "mine", budget=16, method="bananas", settings={"epochs": 3, "batch": 3},
        evaluate=batched(lambda names: {
            "value": np.arange(len(names)) + 50.0,
            "latency_ms": np.where(np.arange(len(names)) % 3, np.inf, 4.0),
        }),
        objective={"name": "constrained", "constraints": ["latency_ms < 6"]},
    )  # fmt: skip
    assert len(predictions) == 2
    assert all(torch.isfinite(p).all() for p in predictions)
