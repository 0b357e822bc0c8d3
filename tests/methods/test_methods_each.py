"""What is particular to each method."""

from __future__ import annotations

import logging
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas import Search
from optiproxy_nas.core.errors import InvalidArchitectureError, ParameterError
from optiproxy_nas.evaluation.loop import run_method
from optiproxy_nas.methods import Answers, Unavailable, build_method
from optiproxy_nas.methods.bananas import Bananas
from optiproxy_nas.methods.local_search import LocalSearch
from optiproxy_nas.methods.regularized_evolution import RegularizedEvolution
from optiproxy_nas.spaces.nb201 import NASBench201
from tiny_space import TinySpace

GOAL = torch.tensor([1, 2, 3, 4, 0, 1])
NOTHING = Unavailable(torch.empty(0, 6, dtype=torch.int64), pd.DataFrame(), 0)


def tell(method: Any, codes: Any, values: Any) -> None:
    """Tell values alone: the methods here read nothing else."""
    keys = np.stack([np.ones_like(values), values])
    method.tell(Answers(codes, values, keys, pd.DataFrame({"value": values})))


def distance(code: Any, other: Any) -> Any:
    return int((code != other).sum())


def test_the_oldest_leaves_the_population_however_good(nb201: NASBench201) -> None:
    settings = RegularizedEvolution.Settings(population=3, tournament=3)
    method = RegularizedEvolution(nb201, settings, 50, 0)
    first = method.ask(NOTHING).codes
    assert len(first) == 3
    tell(method, first, np.array([9.0, 1.0, 2.0]))
    child = method.ask(NOTHING).codes
    assert distance(child[0], first[0]) == 1  # the tournament is the whole population
    tell(method, child, np.array([3.0]))
    grandchild = method.ask(NOTHING).codes
    assert distance(grandchild[0], child[0]) == 1  # the best of the first three has left
    assert grandchild.shape == (1, 6)


def test_a_tournament_larger_than_the_population_is_refused(nb201: NASBench201) -> None:
    with pytest.raises(ParameterError, match=r"tournament \(9\) is larger than population \(5\)"):
        build_method("regularized_evolution", nb201, {"population": 5, "tournament": 9}, 50, 0)


def climb(nb201: NASBench201, query_until: Any) -> Any:
    """Local search on minus the distance to ``GOAL`` from one random cell, until it is found."""
    settings = LocalSearch.Settings(initial_samples=1, restart_samples=1, query_until=query_until)
    method = LocalSearch(nb201, settings, 300, 0)
    rounds: list[Any] = []
    while not rounds or rounds[-1][1].max() < 0:
        codes = method.ask(NOTHING).codes
        values = -(codes != GOAL).sum(-1).double().numpy()
        tell(method, codes, values)
        rounds.append((codes, values))
    return method, rounds


def test_local_search_takes_the_first_better_neighbour_and_restarts_at_an_optimum(
    nb201: NASBench201,
) -> None:
    method, rounds = climb(nb201, "improvement")
    here, value = rounds[0][0][0], rounds[0][1][0]
    for codes, values in rounds[1:]:
        assert len(codes) == 1
        assert distance(codes[0], here) == 1
        if values[0] > value:
            here, value = codes[0], values[0]
    left = 0
    while distance((code := method.ask(NOTHING).codes)[0], GOAL) == 1:  # the other neighbours
        tell(method, code, np.array([-1.0]))
        left += 1
        assert left <= 24
    assert distance(code[0], GOAL) > 1  # elsewhere, at random


def test_local_search_takes_the_best_of_all_neighbours(nb201: NASBench201) -> None:
    _, rounds = climb(nb201, "all")
    assert len(rounds[1][0]) == 24
    for (codes, values), (following, _) in pairwise(rounds[1:]):
        best = codes[int(values.argmax())]
        assert all(distance(code, best) == 1 for code in following)
    climbed = [values.max() for _, values in rounds]
    assert climbed == sorted(set(climbed))


def test_local_search_asks_in_random_order(nb201: NASBench201) -> None:
    orders = []
    for seed in (0, 1):
        settings = LocalSearch.Settings(initial_samples=1, query_until="all")
        method = LocalSearch(nb201, settings, 300, seed)
        start = method.ask(NOTHING).codes
        tell(method, start, np.zeros(1))
        orders.append(((method.ask(NOTHING).codes - start) % 5).tolist())
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_an_iterated_local_search_restarts_two_changes_from_the_best(nb201: NASBench201) -> None:
    settings = LocalSearch.Settings(initial_samples=1, restart_at="incumbent")
    method = LocalSearch(nb201, settings, 300, 0)
    (start,) = method.ask(NOTHING).codes
    tell(method, start[None], np.array([1.0]))
    for left in reversed(range(len(nb201.neighbours(start[None])))):  # none is better
        codes = method.ask(NOTHING).codes
        assert distance(codes[0], start) == 1
        tell(method, codes, np.array([-float(left)]))
    codes = method.ask(NOTHING).codes
    assert len(codes) == 1
    assert distance(codes[0], start) == 2
    tell(method, codes, np.array([0.0]))  # worse, and where it goes on
    (next_code,) = method.ask(NOTHING).codes
    assert distance(next_code, codes[0]) == 1


def test_a_gaussian_process_may_choose_among_all_architectures(nb201: NASBench201) -> None:
    """The best batch of a list is never worse than that of a pool, by the same acquisition."""
    pytest.importorskip("botorch")
    first = torch.tensor([[i % 5, (i * 2) % 5, i % 3, 1, 2, i % 4] for i in range(12)])
    values = -(first != GOAL).sum(-1).double().numpy()
    chosen = []
    for listed in (0, 20_000):
        method: Any = build_method("gaussian_process", nb201, {"listed": listed, "batch": 1}, 50, 0)
        method.ask(NOTHING)
        tell(method, first, values)
        chosen.append(method.ask(NOTHING).codes)
        assert not any((first == chosen[-1]).all(-1))
    from botorch.acquisition.analytic import LogExpectedImprovement

    model, best = method._model()
    with torch.no_grad():
        score = [float(LogExpectedImprovement(model, best)(it.double()[:, None])) for it in chosen]
    assert score[1] >= score[0]


@pytest.mark.parametrize(("minibatch", "is_as_whole"), [(12, True), (5, False)])
def test_bananas_sees_minibatches(minibatch: int, is_as_whole: bool, nb201: NASBench201) -> None:
    codes = torch.tensor([[i % 5, (i * 2) % 5, i % 3, 1, 2, i % 4] for i in range(12)])
    predictions = []
    for size in (None, minibatch, minibatch):
        method: Any = build_method("bananas", nb201, {"epochs": 3, "minibatch": size}, 50, 0)
        method.ask(NOTHING)
        tell(method, codes, np.arange(12.0))
        predictions.append(method._fit(method._encode(codes)))
    assert torch.equal(predictions[1], predictions[2])
    assert torch.equal(predictions[0], predictions[1]) == is_as_whole


def test_bananas_asks_for_neighbours_of_the_best_that_it_predicts_good(nb201: NASBench201) -> None:
    def value(codes: Any) -> Any:  # how many of the six operations are 3x3 convolutions
        return 50 + 5 * (codes == 3).sum(-1).double().numpy()

    method = Bananas(nb201, Bananas.Settings(initial_samples=60, parents=3, batch=5), 200, 0)
    first = method.ask(NOTHING).codes
    tell(method, first, value(first))
    batch = method.ask(NOTHING).codes
    assert batch.shape == (5, 6)
    best = first[np.argsort(-value(first), kind="stable")[:3].copy()]
    assert all(min(distance(code, parent) for parent in best) == 1 for code in batch)
    assert value(batch).mean() > value(nb201.neighbours(best)).mean() + 3


class Restricted(TinySpace):
    """Half of TinySpace: operation a and the edge from it must fit."""

    size = None

    @staticmethod
    def valid(codes: Any) -> Any:
        return (codes[:, 0] + codes[:, 4]) % 2 == 0

    def random(self, count: int, generator: torch.Generator) -> Any:
        found = super().random(20 * count, generator)
        return found[self.valid(found)][:count]

    def neighbours(self, codes: Any) -> Any:
        near = super().neighbours(codes)
        return near[self.valid(near)]

    def from_string(self, architectures: Any) -> Any:
        codes = super().from_string(architectures)
        if not self.valid(codes).all():
            raise InvalidArchitectureError("operation a and the edge from it do not fit")
        return codes


def test_tpe_tells_optuna_what_is_invalid_and_proposes_it_to_nobody() -> None:
    pytest.importorskip("optuna")
    space: Any = Restricted()
    method: Any = build_method("tpe", space, {"startup": 5}, 25, 0)
    archive, _ = run_method(space, lambda name: len(space.from_string([name])), method, 25)
    assert len(archive) == 25
    states = {trial.state.name for trial in method._study.get_trials(deepcopy=False)}
    assert states == {"COMPLETE", "FAIL"}


def test_tpe_reads_the_choices_off_the_space(nb201: NASBench201, tiny: TinySpace) -> None:
    pytest.importorskip("optuna")
    from optiproxy_nas.methods.tpe import code_values

    assert code_values(nb201) == [(0, 1, 2, 3, 4)] * 6
    assert code_values(tiny) == [(0, 1, 2)] * 2 + [(0, 1)] * 3


def value_of(name: str) -> Any:
    return float(sum(map(ord, name)) % 50)


@pytest.mark.parametrize(("name", "package"), [("tpe", "optuna"), ("gaussian_process", "botorch")])
def test_libraries_are_silent_and_leave_global_settings(
    name: str,
    package: str,
    nb201: NASBench201,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip(package)
    build_method(name, nb201, {}, 16, 0)  # imports, whose warnings are not ours
    dtype, filters = torch.get_default_dtype(), list(warnings.filters)
    with caplog.at_level(logging.INFO), warnings.catch_warnings():
        warnings.simplefilter("error")
        run_method(nb201, value_of, build_method(name, nb201, {}, 16, 0), 16)
    assert torch.get_default_dtype() == dtype
    assert warnings.filters == filters
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["bananas", "gaussian_process", "tpe"])
def test_equal_values_break_nothing(name: str, nb201: NASBench201) -> None:
    pytest.importorskip({"tpe": "optuna", "gaussian_process": "botorch"}.get(name, "torch"))
    method = build_method(name, nb201, {}, 24, 0)
    archive, _ = run_method(nb201, lambda name: 10.0, method, 24)
    assert len(archive) == 24


def test_bananas_refuses_an_encoding_that_is_too_large_before_any_query() -> None:
    with pytest.raises(ParameterError):
        Search(space="nbnlp", method="bananas", budget=20)
    assert Search(space="nbnlp", method="bananas", budget=20, settings={"longest": 2}).ask()
