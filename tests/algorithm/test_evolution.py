"""Evolution on the frozen proxy, in the place of gradient search."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optiproxy_nas import search
from optiproxy_nas.algorithm import gradient
from optiproxy_nas.algorithm.evolution import EvolutionSettings, evolve  # type: ignore[attr-defined]
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.nb201 import NASBench201

pytestmark = pytest.mark.usefixtures("global_state")

CODES = {"nb201": [3, 0, 2, 1, 4, 3], "tiny": [2, 0, 1, 0, 1]}


def closeness(space: Any) -> Any:
    """The score of which one architecture is the only maximum, and that architecture."""
    best = torch.tensor([CODES[space.name]])
    target = space.encode(best)

    def score(codes: Any) -> Any:
        gaps = zip(space.encode(codes), target, strict=True)
        return -sum((x - y).square().flatten(1).sum(1) for x, y in gaps)

    return score, best


def evolved(space: Any, seed: int = 0, parents: int = 3, **settings: Any) -> Any:
    generator = torch.Generator().manual_seed(seed)
    chosen = EvolutionSettings(**{"population": 30, "generations": 15, **settings})
    return evolve(space, closeness(space)[0], space.random(parents, generator), chosen, generator)


def test_the_maximum_is_found_and_comes_first(space: SearchSpace) -> None:
    found = evolved(space)
    assert space.identify(found.population[:1]) == space.identify(closeness(space)[1])
    assert found.trace.score[-1] > found.trace.score[0]


def test_the_population_is_distinct_and_sorted_by_the_score(space: SearchSpace) -> None:
    found = evolved(space, population=20)
    scores = closeness(space)[0](found.population)
    assert len(found.population) == len(set(space.identify(found.population))) == 20
    assert torch.equal(scores, scores.sort(descending=True).values)


def test_the_first_population_has_the_parents(nb201: NASBench201) -> None:
    best = closeness(nb201)[1]
    settings = EvolutionSettings(population=4, generations=1)
    generator = torch.Generator().manual_seed(0)
    found = evolve(nb201, closeness(nb201)[0], best, settings, generator)
    assert torch.equal(found.population[:1], best)


def test_the_logits_are_the_shares_of_the_population(space: SearchSpace) -> None:
    found = evolved(space, population=10)
    encoding = space.encode(found.population)
    shares = encoding.operations.mean(0)
    torch.testing.assert_close(torch.softmax(found.logits.alpha[0], -1), shares, atol=0.01, rtol=0)
    torch.testing.assert_close(found.trace.probability[-1], shares)
    torch.testing.assert_close(found.edges, encoding.edges.mean(0))
    assert found.trace.entropy.shape == found.trace.score.shape == (15, 1)
    assert found.logits.beta.shape == (1, space.num_edges)


def test_evolution_depends_on_the_generator_alone(space: SearchSpace) -> None:
    first, again, other = (evolved(space, seed, generations=2) for seed in (1, 1, 2))
    assert torch.equal(first.population, again.population)
    assert not torch.equal(first.population, other.population)


def test_larger_tournaments_converge_faster(nb201: NASBench201) -> None:
    mean = {
        size: sum(
            float(
                evolved(nb201, seed, tournament=size, generations=3, population=60).trace.score[-1]
            )
            for seed in range(5)
        )
        for size in (1, 20)
    }
    assert mean[20] > mean[1]


SMALL = {
    "proxy": {"hidden": 8, "members": 1},
    "fit": {"first_epochs": 5, "epochs": 5},
    "selection": {"samples": 30, "batch": 5},
    "gradient": {"groups": 5},
}


def run(monkeypatch: pytest.MonkeyPatch, **overrides: Any) -> Any:
    """A search of 20 architectures by evolution, in which gradient search must not run."""
    monkeypatch.setattr(gradient, "optimise_logits", None)
    values = {"evolution": {"population": 20, "generations": 4}, **SMALL, **overrides}
    return search(
        space="nb201",
        evaluate=lambda text: text.count("conv"),
        budget=20,
        preset="default",
        **values,
    )


@pytest.mark.parametrize("skip_twins", [True, False])
def test_a_search_by_evolution_queries_new_architectures(
    monkeypatch: pytest.MonkeyPatch, skip_twins: bool
) -> None:
    selection = {**SMALL["selection"], "skip_twins": skip_twins}
    first, again = (run(monkeypatch, selection=selection) for _ in range(2))
    assert first.archive["architecture"].nunique() == 20
    assert (first.archive["group"] == -1).all()
    assert first.archive.equals(again.archive)


def test_a_search_by_evolution_says_so_in_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    dumped = run(monkeypatch).parameters.model_dump(mode="json")
    assert dumped["evolution"] == {"population": 20, "generations": 4, "tournament": 5}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population": 1}, "'evolution.population' = 1"),
        ({"generations": 0}, "'evolution.generations' = 0"),
        ({"tournaments": 3}, "evolution.tournament"),
        ({"population": 20.0}, "evolution.population"),
    ],
)
def test_what_evolution_cannot_do_is_refused(
    monkeypatch: pytest.MonkeyPatch, settings: Any, message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        run(monkeypatch, evolution=settings)
