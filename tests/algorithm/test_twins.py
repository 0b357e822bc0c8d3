"""Architectures that compute the same function as a queried one: put off, not ruled out."""

from __future__ import annotations

import pytest
import torch

from optiproxy_nas import Choice, Space, search
from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.algorithm.twins import TwinEvidence, with_twins
from optiproxy_nas.proxies.targets import acquisition_score

QUICK = {"gradient": {"epochs": 1, "groups": 2}}


def test_the_spread_starts_from_the_prior_and_follows_the_twins_in_the_archive():
    alone = TwinEvidence.of(["a", "b"], torch.tensor([1.0, 3.0]), prior=0.2)
    assert alone == ({"a": 1.0, "b": 3.0}, pytest.approx(0.2))
    seen = TwinEvidence.of(["a", "b", "a", "c"], torch.tensor([1.0, 3.0, 2.0, torch.nan]), 0.2)
    assert seen.means == {"a": 1.5, "b": 3.0}
    assert seen.spread == pytest.approx(((0.2**2 + 0.5) / 2) ** 0.5)
    many = TwinEvidence.of(["a"] * 400, torch.randn(400, generator=torch.Generator()), 10.0)
    assert 0.9 < many.spread < 1.2


def test_of_twins_the_evidence_stands_in_the_place_of_the_prediction(make_parameters):
    predictions = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    evidence = TwinEvidence({"a": 2.0}, 0.5)
    believed = evidence.predictions(["x", "a", "y"], predictions)
    assert torch.equal(believed[..., [0, 2]], predictions[..., [0, 2]])
    assert torch.equal(believed[:, 1], predictions[:, 1])  # of another metric the proxy's
    settings = make_parameters(preset="default").selection
    score = acquisition_score(believed[:, 0], settings)[1]
    assert float(score) == pytest.approx(2.0 + settings.optimism * 0.5)
    alone = evidence.predictions(["a"], predictions[:1, :, :1])  # one member has no deviation
    assert float(alone[0, 0, 0]) == 2.0


@pytest.mark.parametrize("listed", [0, 20_000])
def test_candidates_are_twins_of_the_best_and_nothing_taken(nb201, make_parameters, listed):
    parameters = make_parameters(preset="default", selection={"twin_noise": 0.1, "listed": listed})
    first = steps.initial_batch(nb201, parameters)
    chain = nb201.from_string(
        "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|"
    )  # conv, conv, conv; it has a twin one change away for each operation of dead edges: none here
    dead = nb201.from_string(
        "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|"
    )  # node 2 has no input
    batch = steps.make_batch(nb201, torch.cat([codes_of(nb201, first), chain, dead]), step=0)
    values = [float(row) for row in range(len(batch))]
    archive = steps.update_archive(batch.assign(value=values), parameters)
    taken = nb201.from_string(
        "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|nor_conv_1x1~2|"
    )
    weights, _ = steps.fit_proxy(nb201, archive, parameters, step=1)
    proxy = steps.fitting.load_proxy(nb201, parameters.proxy, weights)
    pool = steps.Pool(chain[:0], torch.empty(0, dtype=torch.int64), 0, 0, 1)

    def predict(codes):
        return steps.fitting.predict(proxy, nb201.encode(codes))

    found, predictions = with_twins(nb201, pool, predict, archive, parameters)
    functions, known = nb201.canonical(found.codes), nb201.canonical(codes_of(nb201, archive))
    assert len(set(functions)) == len(functions)
    assert set(functions) <= set(known[-5:])
    assert not set(nb201.identify(found.codes)) & set(nb201.identify(codes_of(nb201, archive)))
    targets = parameters.objective.task.targets(archive, parameters.fit.targets)[0]
    best = functions.index(known[-1])
    assert float(predictions[:, 0, best].mean()) == pytest.approx(float(targets[-1]), abs=1e-5)
    # Of a function with a pending or failed trial none.
    unavailable = steps.make_batch(nb201, taken, step=1)
    fewer, _ = with_twins(nb201, pool, predict, archive, parameters, unavailable)
    assert set(nb201.canonical(fewer.codes)) == set(functions) - {known[-1]}


def test_twins_are_queried_once_no_function_promises_more(tiny):
    """Of 72 architectures and fewer functions: all functions first, then twins of the best."""

    def worth(architecture):
        return float(sum(map(ord, str(tiny.canonical(tiny.from_string([architecture]))))) % 101)

    def functions(**selection):
        settings = {"preset": "default", "selection": selection, **QUICK}
        archive = search(space=tiny, evaluate=worth, budget=50, seed=1000, **settings).archive
        return tiny.canonical(codes_of(tiny, archive)), archive["value"].tolist()

    every = len(
        set(tiny.canonical(torch.cartesian_prod(*(torch.arange(n) for n in (3, 3, 2, 2, 2)))))
    )
    found, values = functions(twin_noise=1e-3)
    firsts = [found.index(key) for key in dict.fromkeys(found)]
    repeats = sorted(set(range(10, len(found))) - set(firsts))
    assert repeats
    assert len(set(found)) <= every
    best = max(values)
    assert values[repeats[0]] == best  # the best function's twin before others'


def test_a_search_without_twins_is_the_same_whatever_is_believed_of_them():
    space = Space({"a": [1, 2, 3, 4], "b": Choice(["x", "y"]), "c": [1, 2, 3]}, name="no twins")
    archives = [
        search(
            space=space,
            evaluate=lambda it: it["a"] * it["c"] + (it["b"] == "x"),
            budget=20,
            selection={"twin_noise": noise},
            **QUICK,
        ).archive
        for noise in (0.0, 0.5)
    ]
    assert archives[0].equals(archives[1])
