"""Pending trials in the score: each proposal follows a member, or predictions are believed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.archive import check_archive
from optiproxy_nas.algorithm.pending import (
    believed_targets,
    follow_in_turn,
    followed_members,
    select_in_turn,
)
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.algorithm.steps import initial_batch
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.evaluation.loop import open_search
from optiproxy_nas.proxies.fit import load_proxy, predict
from optiproxy_nas.spaces.nb201 import NASBench201

pytestmark = pytest.mark.usefixtures("global_state")

POLICIES = ("exclude", "thompson", "believer")
BOUNDS = {"name": "constrained", "constraints": ["size <= 6", "latency >= 1"]}
RUNGS = {"name": "multi_fidelity", "rungs": [2, 4, 8], "low_first": 6, "step_epochs": 12}
OBJECTIVES = {
    "accuracy": {"name": "accuracy"},
    "bounds": BOUNDS,
    "paper_weights, minimised": {**BOUNDS, "mode": "paper_weights", "direction": "minimize"},
    "rungs": RUNGS,
}
each_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


def parameters_of(
    make_parameters: Callable[..., SearchParameters], policy: Any, objective: Any, **overrides: Any
) -> Any:
    rungs = objective["name"] == "multi_fidelity"
    proxy = {"name": "autoregressive_mlp" if rungs else "mlp", "members": 3}
    return make_parameters(
        objective=objective, proxy=proxy, selection={"pending": policy, "batch": 2},
        gradient={"epochs": 2}, **{"fit": {"epochs": 3, "first_epochs": 3}, "seed": 1000,
        "initial_samples": 6, "budget": 48 if rungs else 12, **overrides},
    )  # fmt: skip


def answer(trial: Any) -> Any:
    """The sum of its operations' gains after some epochs, and the metrics that are bounded."""
    value = 50 + 7 * trial.text.count("conv") - 5 * trial.text.count("none")
    value += 0.01 * (sum(map(ord, trial.text)) % 7) - 9 / (trial.epochs or 9)
    return {"value": value, "size": 2.0 * trial.text.count("3x3"), "latency": value / 30}


def metrics_of(trial: Any, parameters: Any) -> Any:
    found = answer(trial)
    return {name: found[name] for name in ("value", *parameters.objective.metrics)}


def searched(space: Any, parameters: Any, workers: Any, search: Any = None) -> Any:
    """A search whose trials are told in another order than they are asked for."""
    search = search or open_search(space, parameters)
    running: list[Any] = []
    while True:
        while len(running) < workers and (asked := search.ask(1)):
            running += asked
        if not running:
            return search
        trial = running.pop((7 * len(search.trials)) % len(running))
        given = answer(trial)
        search.tell(
            trial, {"value": given["value"], **{m: given[m] for m in parameters.objective.metrics}}
        )


def rows_of(search: Any) -> Any:
    return search.archive().to_csv()


@each_objective
def test_with_one_worker_all_policies_are_the_serial_search(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters], objective: Any
) -> None:
    archives = [
        rows_of(searched(nb201, parameters_of(make_parameters, policy, objective), workers=1))
        for policy in POLICIES
    ]
    assert archives[0] == archives[1] == archives[2]


@each_objective
def test_with_several_workers_each_policy_is_another_search(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters], objective: Any
) -> None:
    archives = set()
    for policy in POLICIES:
        parameters = parameters_of(make_parameters, policy, objective)
        search = searched(nb201, parameters, workers=4)
        check_archive(nb201, search.archive(), parameters.objective)
        assert (
            search.spent <= parameters.budget < search.spent + parameters.objective.price.cheapest
        )
        assert len(search.archive()) == len(search.trials)  # nothing believed is in it
        if policy == "believer":
            assert rows_of(searched(nb201, parameters, workers=4)) == rows_of(search)
        archives.add(rows_of(search))
    assert len(archives) == len(POLICIES)


def test_the_default_is_left_out_of_what_is_stored(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    assert "pending" not in make_parameters().model_dump()["selection"]
    stored = make_parameters(selection={"pending": "thompson"}).model_dump()
    assert stored["selection"]["pending"] == "thompson"


def test_an_unknown_policy_is_refused(make_parameters: Callable[..., SearchParameters]) -> None:
    with pytest.raises(ParameterError):
        make_parameters(selection={"pending": "liar"})


# Thompson.


def pending_of(space: Any, parameters: Any, count: int = 3) -> Any:
    batch = initial_batch(space, parameters).tail(count).reset_index(drop=True)
    return batch


@given(step=st.integers(1, 99), picks=st.integers(1, 17))
def test_every_member_is_followed_once_before_one_is_again(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters], step: Any, picks: Any
) -> None:
    parameters = parameters_of(make_parameters, "thompson", OBJECTIVES["accuracy"])
    pending = pending_of(nb201, parameters)
    members, all_members = (
        followed_members(pending, parameters, step, count) for count in (picks, 17)
    )
    assert members is not None
    assert all_members is not None
    assert members == all_members[:picks]
    counts = np.bincount(members, minlength=3)
    assert counts.max() - counts.min() <= 1
    assert len(members) == picks


def test_the_whole_ensemble_is_followed_where_nothing_is_pending(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    parameters = parameters_of(make_parameters, "thompson", OBJECTIVES["accuracy"])
    pending = pending_of(nb201, parameters)
    assert followed_members(None, parameters, 1, 2) is None
    assert followed_members(pending.head(0), parameters, 1, 2) is None
    for other in ({"pending": "exclude"}, {"pending": "believer"}, {"use_proxy": False}):
        selection = parameters.selection.model_copy(update=other)
        changed = parameters.model_copy(update={"selection": selection})
        assert followed_members(pending, changed, 1, 2) is None


@each_objective
def test_a_followed_score_is_that_of_the_member_alone(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters], objective: Any
) -> None:
    parameters = parameters_of(make_parameters, "thompson", objective)
    task = parameters.objective.task
    archive = searched(nb201, parameters, workers=1).archive()
    score = task.score(archive, parameters.selection)
    predictions = torch.randn(3, task.heads, 5, generator=torch.Generator().manual_seed(1))
    followed = follow_in_turn(score, [2, 0])(predictions)
    alone = [score(predictions[member : member + 1])[i] for i, member in enumerate([2, 0, 2, 0, 2])]
    assert torch.allclose(followed, torch.stack(alone))
    leaf = predictions.clone().requires_grad_()
    follow_in_turn(score, [2, 0])(leaf).sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    reached = leaf.grad.abs().sum(1) > 0  # [E, n]
    assert reached.tolist() == [
        [i % 2 == 1 for i in range(5)],
        [False] * 5,
        [i % 2 == 0 for i in range(5)],
    ]


def test_each_member_takes_its_best_that_is_left() -> None:
    predictions = torch.tensor([[[3.0, 2.0, 1.0, 2.5]], [[3.0, 0.0, 9.0, 9.0]]])  # [E, 1, q]
    rows, scores = select_in_turn(lambda p: p[0, 0], predictions, [0, 1, 0, 1])
    assert rows.tolist() == [0, 2, 3, 1]
    assert scores.tolist() == [3.0, 9.0, 2.5, 0.0]


# Believer.


@each_objective
def test_what_is_believed_is_the_mean_of_the_heads_that_will_be_answered(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters], objective: Any
) -> None:
    parameters = parameters_of(make_parameters, "believer", objective)
    task = parameters.objective.task
    archive = searched(nb201, parameters, workers=1).archive()
    weights, _ = steps.fit_proxy(nb201, archive, parameters, step=1)
    pending = archive.tail(4).drop(columns=["value", "order", "best"]).reset_index(drop=True)
    found = believed_targets(nb201, pending, parameters, weights)
    assert found is not None
    codes, targets = found
    assert nb201.to_string(codes) == pending["architecture"].tolist()
    mean = predict(
        load_proxy(nb201, parameters.proxy, weights, task.heads), nb201.encode(codes)
    ).mean(0)
    for row in range(4):
        for head in range(task.heads):
            of_row = (
                not parameters.objective.fidelities or pending["epochs"][row] == [2, 4, 8][head]
            )
            if of_row:
                assert targets[head, row] == mean[head, row]
            else:
                assert torch.isnan(targets[head, row])


def test_nothing_is_believed_before_there_is_a_proxy_or_a_pending_trial(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    parameters = parameters_of(make_parameters, "believer", OBJECTIVES["accuracy"])
    pending = pending_of(nb201, parameters)
    assert believed_targets(nb201, pending, parameters, None) is None
    assert believed_targets(nb201, None, parameters, {}) is None
    assert believed_targets(nb201, pending.head(0), parameters, {}) is None
    other = parameters_of(make_parameters, "thompson", OBJECTIVES["accuracy"])
    assert believed_targets(nb201, pending, other, {}) is None


def test_members_agree_more_about_what_they_believe(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    """The spread that the score is optimistic about falls at a pending architecture."""
    parameters = parameters_of(
        make_parameters, "believer", OBJECTIVES["accuracy"], fit={"epochs": 60, "first_epochs": 60}
    )
    archive = searched(nb201, parameters, workers=1).archive().head(8)
    before, _ = steps.fit_proxy(nb201, archive, parameters, step=1)
    pending = initial_batch(nb201, parameters, 12).tail(4).reset_index(drop=True)
    spreads = []
    for rows in (None, pending):
        weights, _ = steps.fit_proxy(nb201, archive, parameters, None, before, rows, step=2)
        proxy = load_proxy(nb201, parameters.proxy, weights)
        codes = nb201.from_string(pending["architecture"].tolist())
        spreads.append(float(predict(proxy, nb201.encode(codes)).std(0).mean()))
    assert spreads[1] < 0.7 * spreads[0]


# Several proposals from one fit.


@pytest.mark.parametrize("policy", POLICIES)
@each_objective
def test_workers_that_are_free_get_proposals_of_one_fit(
    nb201: NASBench201,
    make_parameters: Callable[..., SearchParameters],
    policy: str,
    objective: Any,
) -> None:
    parameters = parameters_of(make_parameters, policy, objective)
    search, price = open_search(nb201, parameters), parameters.objective.price
    for trial in search.ask(5):
        search.tell(trial, metrics_of(trial, parameters))
    search.ask(1)  # of the initial sample, and stays open
    search.propose(wanted=5)
    proposed = [trial for trial in search.trials if trial.state == "waiting"]
    spent = search.spent - price.initial_cost(6)
    assert spent == price.step_cost(2) if objective is RUNGS else len(proposed) == 5
    assert len(search.records().steps) == 1
    for trial in [*search.ask(len(proposed)), search.trials[5]]:
        search.tell(trial, metrics_of(trial, parameters))
    rest = searched(nb201, parameters, 2, search)
    assert rest.spent <= parameters.budget < rest.spent + price.cheapest
