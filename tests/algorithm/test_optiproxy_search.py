"""Algorithm 2 as a whole, on a made-up objective."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.archive import check_archive, codes_of
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.algorithm.step_diagnostics import MEASURABLE
from optiproxy_nas.core.errors import BudgetError, EvaluationError, FailedTrialsError
from optiproxy_nas.evaluation.batch import evaluate_batch
from optiproxy_nas.evaluation.function_evaluator import Batched, batched
from optiproxy_nas.evaluation.loop import run_search
from optiproxy_nas.objectives.accuracy import Accuracy
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.nb201 import NASBench201
from tiny_space import TinySpace

pytestmark = pytest.mark.usefixtures("global_state")

PLAIN = Accuracy()
GAIN = {"none": -3.0, "skip": 0.0, "nor_conv_1x1": 1.0, "nor_conv_3x3": 2.5, "avg": -1.0}
GAIN |= {"conv": 2.0, "pool": -1.0}


class Objective(Batched):
    """Counts what it is asked; the sum of its operations' gains, in made-up percent."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.calls: list[list[str]] = []

    @property
    def asked(self) -> Any:
        return Counter(name for call in self.calls for name in call)

    def answer(self, architectures: Any) -> Any:
        assert type(architectures) is list
        assert all(type(name) is str for name in architectures)
        self.calls.append(architectures)
        return np.array([self.value(name) for name in architectures])

    @staticmethod
    def value(name: str) -> Any:
        gains = sum(gain * name.count(word) for word, gain in GAIN.items())
        return 80 + gains + 0.01 * (sum(map(ord, name)) % 7)


def search(
    space: Any,
    make_parameters: Callable[..., SearchParameters],
    callbacks: Any = (),
    **overrides: Any,
) -> Any:
    name = "nb201" if space.name == "nb201" else "tiny_space:TinySpace"
    parameters = make_parameters(space=name, **overrides)
    objective = Objective()
    return run_search(space, objective, parameters, callbacks), objective


def as_bytes(result: Any) -> Any:
    return result.archive.to_csv().encode() + result.archive.to_numpy(dtype=str).tobytes()


def test_the_budget_is_spent_exactly_and_nothing_is_asked_twice(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    result, objective = search(space, make_parameters)
    assert len(result.archive) == 23 == sum(objective.asked.values())
    assert set(objective.asked.values()) == {1}
    assert [len(call) for call in objective.calls] == [8, 5, 5, 5]
    assert [name for call in objective.calls for name in call] == result.archive[
        "architecture"
    ].tolist()
    assert len(set(space.identify(codes_of(space, result.archive)))) == 23
    check_archive(space, result.archive, PLAIN)


@pytest.mark.parametrize(
    ("budget", "batch", "sizes"),
    [
        (20, 5, [8, 5, 5, 2]),  # the last batch is cut
        (8, 5, [8]),  # the initial sample is all there is
        (9, 5, [8, 1]),
        (11, 1, [8, 1, 1, 1]),
        (30, 24, [8, 22]),  # B = Q
    ],
)
def test_batches_fill_the_budget(
    nb201: NASBench201,
    make_parameters: Callable[..., SearchParameters],
    budget: int,
    batch: int,
    sizes: Any,
) -> None:
    result, objective = search(nb201, make_parameters, budget=budget, selection={"batch": batch})
    assert [len(call) for call in objective.calls] == sizes
    assert result.archive["step"].value_counts(sort=False).tolist() == sizes
    assert len(result.diagnostics) == len(result.traces) == len(sizes) - 1


@pytest.mark.parametrize("groups", [1, 24])
def test_one_group_and_as_many_as_candidates(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters], groups: int
) -> None:
    result, _ = search(space, make_parameters, gradient={"groups": groups}, budget=14)
    assert result.logits["alpha"].shape[0] == groups
    assert set(result.archive["group"]) <= set(range(-1, groups))


def test_equal_seeds_give_equal_archives_byte_for_byte(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    (first, _), (again, _), (other, _) = (
        search(space, make_parameters, seed=seed, budget=18) for seed in (3, 3, 4)
    )
    assert as_bytes(first) == as_bytes(again)
    assert first.diagnostics.equals(again.diagnostics)
    for kept in ("weights", "logits"):
        one, two = getattr(first, kept), getattr(again, kept)
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert as_bytes(first) != as_bytes(other)


def test_the_global_generators_do_not_decide_anything(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    state = torch.get_rng_state()
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(as_bytes(search(nb201, make_parameters, budget=13)[0]))
    torch.set_rng_state(state)
    assert results[0] == results[1]


def test_the_result_names_the_best_architecture_queried(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    result, objective = search(space, make_parameters)
    best = max(objective.asked, key=Objective.value)
    assert result.best_value == Objective.value(best) == result.archive["value"].max()
    assert Objective.value(result.best_architecture) == result.best_value
    assert result.archive["best"].iloc[-1] == result.best_value


def test_a_printed_result_is_the_answer_with_what_has_to_be_known_of_it(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    result, _ = search(space, make_parameters)
    told = replace(result, target="negative_test_loss", caution="A surrogate's value.")
    assert str(told).splitlines() == [
        result.best_architecture,
        f"negative test loss {result.best_value:.2f} nats after 23 queries",
        "A surrogate's value.",
    ]
    assert str(result).splitlines()[1].startswith("value ")
    assert len(str(result).splitlines()) == 2


def test_of_equals_the_first_is_the_best(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    parameters = make_parameters(budget=13)
    result = run_search(nb201, lambda name: 50, parameters)
    assert result.best_architecture == result.archive["architecture"].iloc[0]
    assert result.best_value == 50.0
    assert result.diagnostics["kendall_tau"].isna().all()


def test_the_search_beats_chance(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    """At 40 queries of 15,625 the mean of the chosen is far above that of the random ones."""
    result, _ = search(
        nb201, make_parameters, budget=40, proxy={"hidden": 16}, fit={"epochs": 40},
        gradient={"epochs": 40, "groups": 8}, selection={"samples": 64},
    )  # fmt: skip
    value, step = result.archive["value"], result.archive["step"]
    assert value[step >= 4].mean() > value[step == 0].mean() + 2 * value[step == 0].std()
    # Few queries are not ranked; of those that are, the proxy ranks the latest better than chance.
    ranked = result.diagnostics["queries"] - (step == 0).sum() >= MEASURABLE
    assert (result.diagnostics["recent_spearman"].notna() == ranked).all()
    assert result.diagnostics["recent_spearman"].iloc[-1] > 0.2


def test_the_paper_preset_runs(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    result, _ = search(
        nb201, make_parameters, preset="paper", budget=25, initial_samples=10,
        fit={"epochs": 3, "first_epochs": 3, "batch_size": 7},
        gradient={"epochs": 3, "groups": 5}, selection={"batch": 10, "samples": 100},
    )  # fmt: skip
    assert result.archive["step"].value_counts(sort=False).tolist() == [10, 10, 5]
    assert (result.archive.loc[result.archive["step"] > 0, "group"] >= 0).all()


def test_each_trial_is_reported_and_each_step_diagnosed(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    trials, spent, best = [], [], []

    def note(search: Any, trial: Any) -> None:
        trials.append(trial)
        spent.append(search.spent)
        best.append(search.best)

    result, _ = search(nb201, make_parameters, [note])
    assert [trial.number for trial in trials] == [*range(23)]
    assert [trial.value for trial in trials] == result.archive["value"].tolist()
    assert spent == [8] * 8 + [13] * 5 + [18] * 5 + [23] * 5  # a round is charged as a whole
    assert best == result.archive["best"].tolist()
    steps = result.diagnostics.astype(object).to_dict("records")
    assert [row["step"] for row in steps] == [1, 2, 3]
    assert [row["queries"] for row in steps] == [13, 18, 23]
    lowest = result.parameters.gradient.min_temperature
    for row in steps:
        assert row["best"] == result.archive["value"][: row["queries"]].max()
        assert row["candidates"] >= 5
        assert row["temperature"] == pytest.approx(lowest)
    assert set(result.traces) == {1, 2, 3}


def test_predictions_were_made_before_the_query(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    """Values of a step's batch do not enter its own predictions."""
    parameters = make_parameters(budget=13)
    honest = run_search(nb201, Objective(), parameters).archive

    class Liar(Objective):
        def answer(self, architectures: Any) -> Any:
            values = super().answer(architectures)
            return values if len(self.calls) == 1 else values * 0 + 1

    lied = run_search(nb201, Liar(), parameters).archive
    columns = ["architecture", "predicted", "predicted_sd", "score", "group"]
    assert lied[columns].equals(honest[columns])
    assert not lied["value"].equals(honest["value"])


@pytest.mark.parametrize("part", ["fit", "gradient"])
def test_warm_starts_change_the_search_and_only_from_step_two_on(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters], part: str
) -> None:
    switches = {"fit": {"warm_start": False}, "gradient": {"warm_start": False}}
    cold, warm = (
        search(nb201, make_parameters, **{**switches, part: {"warm_start": w}})[0]
        for w in (False, True)
    )
    assert cold.archive[:13].equals(warm.archive[:13])
    assert not torch.equal(cold.logits["alpha"], warm.logits["alpha"])
    assert torch.equal(cold.traces[1]["score"], warm.traces[1]["score"])
    assert not torch.equal(cold.traces[2]["score"], warm.traces[2]["score"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values[:-1],
        lambda values: values[:, None],
        lambda values: 7.0,
        lambda values: None,
        lambda values: ["good", *values[1:]],
        lambda values: [[1.0], *[[1.0, 2.0]] * (len(values) - 1)],
    ],
)
@pytest.mark.parametrize("call", [1, 2])
def test_answers_of_a_wrong_shape_or_type_end_the_search(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters], spoil: Any, call: int
) -> None:
    objective = Objective()

    def evaluate(names: Any) -> Any:
        values = objective(names)
        return spoil(values) if len(objective.calls) == call else values

    with pytest.raises(EvaluationError, match="one number") as caught:
        run_search(nb201, batched(evaluate), make_parameters())
    kept, trials = caught.value.data["archive"], caught.value.data["trials"]
    assert len(objective.calls) == call
    assert kept["architecture"].tolist() == [name for c in objective.calls[:-1] for name in c]
    running = [trial.architecture for trial in trials if trial.state == "running"]
    assert running == objective.calls[-1]


def test_what_has_no_finite_value_has_failed_and_is_not_fitted_on(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    """Of each batch the second fails; the search goes on and spends its budget."""
    objective = Objective()

    def evaluate(names: Any) -> Any:
        return np.where(np.arange(len(names)) == 1, np.nan, objective(names))

    result = run_search(nb201, batched(evaluate), make_parameters())
    assert [len(call) for call in objective.calls] == [8, 5, 5, 5]
    assert set(objective.asked.values()) == {1}
    failed = [trial.architecture for trial in result.trials if trial.state == "failed"]
    assert failed == [call[1] for call in objective.calls]
    assert result.archive["value"].notna().all()
    assert len(result.archive) == 23 - 4
    assert not set(failed) & set(result.archive["architecture"])
    check_archive(nb201, result.archive, PLAIN)
    assert [*result.diagnostics["queries"]] == [11, 15, 19]


@pytest.mark.parametrize("number", [np.nan, np.inf, None])
def test_a_search_of_failures_alone_ends(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters], number: Any
) -> None:
    with pytest.raises(FailedTrialsError, match=r"failures\.in_a_row = 10") as caught:
        run_search(nb201, lambda name: number, make_parameters(initial_samples=12))
    assert caught.value.data["archive"].empty
    assert caught.value.data["failed"] == 10


def test_a_batch_beyond_the_budget_is_not_evaluated(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    parameters, objective = make_parameters(budget=10), Objective()
    first = steps.initial_batch(nb201, parameters)
    evaluations, failed = evaluate_batch(nb201, first, objective, parameters)
    assert failed.empty
    archive = steps.update_archive(evaluations, parameters)
    other = steps.initial_batch(nb201, parameters.model_copy(update={"seed": 9}))
    with pytest.raises(BudgetError, match="8 queries asked for at a price of 8, 2 of 10 left"):
        evaluate_batch(nb201, other, objective, parameters, archive)
    assert len(objective.calls) == 1


def test_steps_may_run_twice_and_out_of_order(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    """What a step gives depends on its inputs and (seed, step) alone."""
    result, _ = search(space, make_parameters)
    archive = result.archive[result.archive["step"] < 3]
    name = result.parameters.space
    parameters = make_parameters(space=name, gradient={"warm_start": False})
    parameters = parameters.model_copy(
        update={"fit": parameters.fit.model_copy(update={"warm_start": False})}
    )
    runs, before = [], archive.copy(deep=True)
    for _ in range(2):
        weights, _ = steps.fit_proxy(space, archive, parameters, step=3)
        logits, _ = steps.search_logits(space, weights, archive, parameters, None, step=3)
        pool = steps.sample_candidates(space, logits, archive, parameters, step=3)
        runs.append(steps.select_batch(space, pool, weights, archive, parameters, step=3))
        steps.initial_batch(space, parameters)  # something else in between
    assert runs[0].equals(runs[1])
    assert archive.equals(before)


def test_a_spent_space_ends_in_a_full_archive(
    tiny: TinySpace, make_parameters: Callable[..., SearchParameters]
) -> None:
    """All 72 architectures of a small space can be asked for, each once."""
    result, objective = search(
        tiny, make_parameters, budget=72, fit={"epochs": 1}, gradient={"epochs": 1},
        selection={"skip_twins": False, "batch": 16, "samples": 64},
    )  # fmt: skip
    assert len(result.archive) == len(objective.asked) == 72
