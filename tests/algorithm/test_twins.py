"""Architectures that compute the same function as a queried one: put off, not ruled out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from optiproxy_nas import Choice, Space, search
from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.archive import codes_of, make_batch
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.algorithm.selection import select_queries
from optiproxy_nas.algorithm.twins import twin_spread, with_spread, with_twins
from optiproxy_nas.proxies.targets import acquisition_score
from optiproxy_nas.spaces.nb201 import NASBench201
from tiny_space import TinySpace

QUICK: dict[str, Any] = {"gradient": {"epochs": 1, "groups": 2}}


def test_the_spread_starts_from_the_prior_and_follows_the_twins_in_the_archive() -> None:
    assert twin_spread(["a", "b"], torch.tensor([1.0, 3.0]), prior=0.2) == pytest.approx(0.2)
    targets = torch.tensor([1.0, 3.0, 2.0, torch.nan])
    spread = twin_spread(["a", "b", "a", "c"], targets, prior=0.2)
    assert spread == pytest.approx(((0.2**2 + 0.5) / 2) ** 0.5)
    many = torch.randn(400, generator=torch.Generator().manual_seed(0))
    assert 0.9 < twin_spread(["a"] * 400, many, prior=5.0) < 1.1


def test_a_twin_is_scored_by_the_mean_of_the_proxy_and_the_spread_of_twins(
    make_parameters: Callable[..., SearchParameters],
) -> None:
    predictions = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
    changed = with_spread(predictions, [1], 0.5)
    assert torch.equal(changed[..., [0, 2]], predictions[..., [0, 2]])
    assert torch.equal(changed[:, 1], predictions[:, 1])  # of another metric the proxy's
    settings = make_parameters(preset="default").selection
    score = acquisition_score(changed[:, 0], settings)[1]
    mean = predictions[:, 0, 1].mean()
    assert float(score) == pytest.approx(float(mean) + settings.optimism * 0.5, abs=1e-6)
    both = with_spread(predictions, [0, 2], 0.5)[:, 0, [0, 2]]  # each keeps a mean of its own
    torch.testing.assert_close(both.mean(0), predictions[:, 0, [0, 2]].mean(0))
    alone = with_spread(predictions[:1], [0], 0.5)  # one member has no deviation
    assert torch.equal(alone, predictions[:1])


@pytest.mark.parametrize("listed", [0, 20_000])
def test_candidates_are_twins_of_the_best_and_nothing_taken(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters], listed: int
) -> None:
    parameters = make_parameters(preset="default", selection={"twin_noise": 0.1, "listed": listed})
    first = steps.initial_batch(nb201, parameters)
    chain = nb201.from_string(
        "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|"
    )  # conv, conv, conv; it has a twin one change away for each operation of dead edges: none here
    dead = nb201.from_string(
        "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|"
    )  # node 2 has no input
    batch = make_batch(nb201, torch.cat([codes_of(nb201, first), chain, dead]), step=0)
    values = [float(row) for row in range(len(batch))]
    archive = steps.update_archive(batch.assign(value=values), parameters)
    taken = nb201.from_string(
        "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|nor_conv_1x1~2|"
    )
    weights, _ = steps.fit_proxy(nb201, archive, parameters, step=1)
    proxy = steps.fitting.load_proxy(nb201, parameters.proxy, weights)  # type: ignore[attr-defined]
    pool = steps.Pool(chain[:0], torch.empty(0, dtype=torch.int64), 0, 0, 1)  # type: ignore[attr-defined]

    def predict(codes: Any) -> Any:
        return steps.fitting.predict(proxy, nb201.encode(codes))  # type: ignore[attr-defined]

    found, predictions = with_twins(nb201, pool, predict, archive, parameters)
    functions, known = nb201.canonical(found.codes), nb201.canonical(codes_of(nb201, archive))
    assert len(set(functions)) == len(functions)
    assert set(functions) <= set(known[-5:])
    assert not set(nb201.identify(found.codes)) & set(nb201.identify(codes_of(nb201, archive)))
    assert predictions[:, 0].std(0).tolist() == pytest.approx([0.1] * len(functions), abs=1e-5)
    # Of a function with a pending or failed trial none.
    unavailable = make_batch(nb201, taken, step=1)
    fewer, _ = with_twins(nb201, pool, predict, archive, parameters, unavailable)
    assert set(nb201.canonical(fewer.codes)) == set(functions) - {known[-1]}
    # Of all functions with such trials: what was there before.
    unavailable = make_batch(nb201, codes_of(nb201, archive)[-5:], step=1)
    unchanged, _ = with_twins(nb201, pool, predict, archive, parameters, unavailable)
    assert len(unchanged.codes) == 0
    # Nor is one selected, however well the proxy scores it.
    pools = "|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+"
    alone = nb201.from_string(f"{pools}|avg_pool_3x3~0|avg_pool_3x3~1|avg_pool_3x3~2|")
    pool = pool._replace(codes=alone, group=torch.zeros(1, dtype=torch.int64))

    def prefers_others(codes: torch.Tensor) -> torch.Tensor:
        return (codes != alone).any(-1).float().expand(2, 1, -1)

    for rows, is_alone in ((None, False), (unavailable, True)):
        chosen = select_queries(
            nb201, pool, prefers_others, archive, parameters, 1, 1, torch.Generator(), rows
        )
        assert (chosen["architecture"].tolist() == nb201.to_string(alone)) is is_alone


@pytest.mark.heavy
def test_the_share_of_twins_follows_their_noise(tiny: TinySpace) -> None:
    """Of 72 architectures, the twins of the best are queried where they differ much, else not."""

    def worth(architecture: str) -> Any:
        function: Any = tiny.canonical(tiny.from_string([architecture]))[0]
        a, b, input_b, a_b, a_output = function
        return float(3 * (a == 1) + 2 * (b == 2) + input_b - a_b + 2 * a_output)

    def repeats(noise: Any) -> Any:
        settings: dict[str, Any] = {
            "preset": "default",
            "selection": {"twin_noise": noise},
            **QUICK,
        }
        archive = search(space=tiny, evaluate=worth, budget=20, seed=1000, **settings).archive
        functions = tiny.canonical(codes_of(tiny, archive))
        return len(functions) - len(dict.fromkeys(functions))

    assert repeats(0.0) == repeats(1e-3) < repeats(5.0)


def test_a_search_without_twins_is_the_same_whatever_is_believed_of_them() -> None:
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
