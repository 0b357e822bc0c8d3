"""Climbing the frozen proxy's score from the drawn candidates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.candidates import Pool, climb, sample_random
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.nb201 import NASBench201
from tiny_space import TinySpace

pytestmark = pytest.mark.usefixtures("global_state")


def pool_of(codes: Any) -> Any:
    return Pool(codes, torch.arange(len(codes)), 3, 2, 1, 0)


def agreement(target: Any) -> Any:
    """How many places of a code equal those of ``target``: one change raises it by one."""
    return lambda codes: (codes == target).sum(-1).double()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_it_reaches_the_top_of_a_slope_in_as_many_rounds_as_changes(seed: Any) -> None:
    space = NASBench201()
    drawn = sample_random(space, 6, torch.Generator().manual_seed(seed))
    target, start, known = drawn[0], drawn[1:2], drawn[2:]
    apart = int((start[0] != target).sum())
    score = agreement(target)
    assert score(climb(space, pool_of(start), score, known[:0], apart).codes).max() == 6
    assert score(climb(space, pool_of(start), score, known[:0], apart - 1).codes).max() == 5


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["nb201", "nb101", "nb301", "nbnlp"])
def test_what_it_adds_is_new_valid_and_no_worse(name: str, generator: torch.Generator) -> None:
    space = get_space(name)
    drawn = sample_random(space, 40, generator)
    pool, known = pool_of(drawn[:25]), drawn[25:]
    weights = torch.randn(space.code_length, generator=generator, dtype=torch.float64)

    def score(codes: Any) -> Any:
        return codes.double() @ weights

    climbed = climb(space, pool, score, known, 4)
    again = climb(space, pool, score, known, 4)
    assert torch.equal(climbed.codes, again.codes)
    assert torch.equal(climbed.codes[:25], pool.codes)  # the drawn ones stay in front
    assert torch.equal(climbed.group[:25], pool.group)
    assert (climbed.group[25:] == -1).all()
    assert climbed[2:] == pool[2:]  # what was counted in the draws
    identities = space.identify(climbed.codes)
    assert len(set(identities)) == len(identities)
    assert not set(identities) & set(space.identify(known))
    assert space.to_string(space.from_string(space.to_string(climbed.codes))) == space.to_string(
        climbed.codes
    )
    assert score(climbed.codes).max() > score(pool.codes).max()


def test_the_end_is_a_local_maximum(nb201: NASBench201, generator: torch.Generator) -> None:
    drawn = sample_random(nb201, 60, generator)
    table = torch.rand(5**6, generator=generator)
    base = 5 ** torch.arange(6)

    def score(codes: Any) -> Any:
        return table[codes @ base]

    climbed = climb(nb201, pool_of(drawn[:30]), score, drawn[30:], 100)
    top = climbed.codes[score(climbed.codes).argmax()]
    around = nb201.neighbours(top[None])
    known = set(nb201.identify(drawn[30:]))
    rivals = [code for code in around if nb201.identify(code[None])[0] not in known]
    assert (score(torch.stack(rivals)) < score(top[None])).all()


def test_no_rounds_and_nothing_left_change_nothing(
    tiny: TinySpace, generator: torch.Generator
) -> None:
    codes = sample_random(tiny, 72, generator)
    pool = pool_of(codes[:3])
    score = agreement(codes[0])
    assert climb(tiny, pool, score, codes[3:], 0) is pool
    assert torch.equal(climb(tiny, pool, score, codes[3:], 5).codes, pool.codes)


def test_twins_are_met_once_where_they_are_skipped(
    nb201: NASBench201, generator: torch.Generator
) -> None:
    drawn = sample_random(nb201, 30, generator)
    known = drawn[10:]
    taken = set(nb201.canonical(known))
    functions = dict(zip(nb201.canonical(drawn[:10]), drawn[:10], strict=True))
    start = torch.stack([code for name, code in functions.items() if name not in taken])
    none = nb201.operations.index("none")

    def score(codes: Any) -> Any:  # cells that are cut off are twins of one another
        return (codes == none).sum(-1).double()

    once = climb(nb201, pool_of(start), score, known, 6, skip_twins=True)
    names = nb201.canonical(once.codes)
    assert len(set(names)) == len(names) > len(start)
    assert not set(names) & taken
    every = climb(nb201, pool_of(start), score, known, 6)
    assert len(set(nb201.canonical(every.codes))) < len(every.codes)


@pytest.mark.parametrize("width", [1, 3, 50])
def test_it_keeps_the_best_of_what_it_met(
    nb201: NASBench201, generator: torch.Generator, width: int
) -> None:
    """Brute force: the same beam with everything kept that was ever looked at."""
    drawn = sample_random(nb201, 40, generator)
    table = torch.rand(5**6, generator=generator)

    def score(codes: Any) -> Any:
        return table[codes @ 5 ** torch.arange(6)]

    met = {tuple(code.tolist()) for code in drawn[:20]}
    archive = {tuple(code.tolist()) for code in drawn[20:]}
    for _ in range(3):
        beam = sorted(met, key=lambda code: -score(torch.tensor(code)))[:width]
        met |= {tuple(code.tolist()) for code in nb201.neighbours(torch.tensor(beam))} - archive
    best = sorted(met, key=lambda code: -score(torch.tensor(code)))[:width]
    climbed = climb(nb201, pool_of(drawn[:20]), score, drawn[20:], 3, width=width).codes
    order = torch.argsort(score(climbed), descending=True)[:width]
    assert [tuple(code.tolist()) for code in climbed[order]] == best


def test_the_selection_climbs_by_the_score_of_the_objective(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    """A batch chosen with climbing scores at least as high, candidate by candidate."""
    parameters = make_parameters()
    first = steps.initial_batch(nb201, parameters)
    places = first.assign(value=[float(name.count("conv")) for name in first["architecture"]])
    archive = steps.update_archive(places, parameters)
    weights, _ = steps.fit_proxy(nb201, archive, parameters, step=1)
    logits, _ = steps.search_logits(nb201, weights, archive, parameters, step=1)
    pool = steps.sample_candidates(nb201, logits, archive, parameters, step=1)

    def chosen(**selection: Any) -> Any:
        changed = make_parameters(selection=selection)
        return steps.select_batch(nb201, pool, weights, archive, changed, step=1)

    plain, climbed = chosen(), chosen(ascent_rounds=8)
    assert (climbed["score"].to_numpy() >= plain["score"].to_numpy()).all()
    assert climbed["score"].iloc[0] > plain["score"].iloc[0]
    assert not set(climbed["architecture"]) & set(archive["architecture"])
    without_proxy = chosen(ascent_rounds=8, use_proxy=False)
    assert set(without_proxy["group"]) != {-1}
    assert without_proxy.equals(chosen(use_proxy=False))
