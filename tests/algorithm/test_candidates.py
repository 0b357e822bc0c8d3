"""Sampling Q candidates outside the archive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from optiproxy_nas.algorithm.candidates import draw_candidates, sample_random
from optiproxy_nas.algorithm.gradient import initial_logits
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.errors import SamplingError
from optiproxy_nas.core.parameters import SelectionSettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.spaces import Logits
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.nb201 import NASBench201
from tiny_space import TinySpace

pytestmark = pytest.mark.usefixtures("global_state")


def test_the_initial_sample_is_distinct_and_random(
    space: SearchSpace, generator: torch.Generator
) -> None:
    codes = sample_random(space, 60, generator)
    assert codes.shape == (60, space.code_length)
    assert len(set(space.identify(codes))) == 60
    again = sample_random(space, 60, torch.Generator().manual_seed(0))
    assert torch.equal(codes, again)
    assert not torch.equal(codes, sample_random(space, 60, torch.Generator().manual_seed(1)))


def test_the_whole_space_can_be_the_initial_sample_but_not_more(
    tiny: TinySpace, generator: torch.Generator
) -> None:
    assert len(set(tiny.identify(sample_random(tiny, 72, generator)))) == 72
    with pytest.raises(SamplingError, match=r"Only 72 of 73 distinct .*'tiny'") as caught:
        sample_random(tiny, 73, generator)
    assert caught.value.data == {"found": 72, "wanted": 73}


class Spy:
    """Remembers the exploration share of each draw."""

    def __init__(self, space: Any) -> None:
        self.space = space
        self.asked: list[Any] = []

    def __getattr__(self, name: Any) -> Any:
        return getattr(self.space, name)

    def sample(
        self, logits: Any, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Any:
        self.asked.append((count, exploration))
        return self.space.sample(logits, count, generator, exploration)


def draw(
    space: Any,
    make_parameters: Callable[..., SearchParameters],
    generator: torch.Generator,
    archive: Any,
    *,
    batch: int = 5,
    logits: Any = None,
    values: Any = None,
    **settings: Any,
) -> Any:
    parameters = make_parameters(selection={"batch": batch, "samples": 24, **settings})
    if logits is None:
        logits = initial_logits(space, parameters.gradient, 0, 1)
    if values is None:
        values = torch.arange(len(archive), dtype=torch.float64)
    spy = Spy(space)
    pool = draw_candidates(spy, logits, archive, values, batch, parameters.selection, generator)
    return pool, spy.asked


def sure(space: Any, code: Any, groups: int = 4) -> Any:
    """Logits that draw one architecture only, in every group."""
    hard = space.encode(code.expand(groups, -1))
    return Logits(60 * hard.operations, 60 * (2 * hard.edges - 1))


@pytest.mark.parametrize("weight", [0.5, 50.0])
def test_noise_of_the_weights_reaches_the_draws_of_every_group(
    nb201: NASBench201, generator: torch.Generator, weight: float
) -> None:
    """Of logits that are sure of one cell, weights p + w·U still draw the others."""
    code = torch.tensor([3, 3, 3, 3, 3, 3])
    settings = SelectionSettings(
        **{**load_preset("paper")["selection"], "samples": 400, "weight_noise": weight}
    )
    archive = torch.zeros(1, 6, dtype=torch.int64)
    pool = draw_candidates(
        nb201, sure(nb201, code), archive, torch.zeros(1), 5, settings, generator
    )
    others = (pool.codes != 3).double().mean()
    assert others > 0.7 if weight > 1 else 0.3 < others < 0.7
    assert set(pool.group.tolist()) == {0, 1, 2, 3}
    assert len(pool.codes) + pool.duplicates == 400


@pytest.mark.parametrize("skip_twins", [False, True])
def test_the_pool_is_distinct_and_new(
    space: SearchSpace,
    make_parameters: Callable[..., SearchParameters],
    generator: torch.Generator,
    skip_twins: bool,
) -> None:
    archive = sample_random(space, 20, generator)
    pool, asked = draw(space, make_parameters, generator, archive, skip_twins=skip_twins)
    identities = space.identify(pool.codes)
    assert len(set(identities)) == len(identities) >= 5
    assert not set(identities) & set(space.identify(archive))
    assert len(pool.codes) == len(pool.group)
    assert set(pool.group.tolist()) <= {0, 1, 2, 3}
    assert len(pool.codes) + pool.duplicates + pool.twins == 24 * pool.draws
    assert asked[0] == (6, make_parameters().selection.exploration)
    assert pool.draws == len(asked)


def test_twins_are_skipped_only_when_asked(
    tiny: TinySpace, make_parameters: Callable[..., SearchParameters], generator: torch.Generator
) -> None:
    # b is dead (no input): pool and skip on b are twins of conv on b.
    archive = torch.tensor([[0, 0, 0, 0, 1]])
    twin = torch.tensor([[0, 1, 0, 0, 1], [0, 2, 0, 0, 1]])
    logits = Logits(sure(tiny, twin[:1]).alpha * 0, sure(tiny, twin[:1]).beta)
    options: dict[str, Any] = {"logits": logits, "batch": 2, "samples": 400}
    with_twins, _ = draw(tiny, make_parameters, generator, archive, skip_twins=False, **options)
    without, _ = draw(tiny, make_parameters, generator, archive, skip_twins=True, **options)
    assert set(tiny.identify(twin)) <= set(tiny.identify(with_twins.codes))
    assert with_twins.twins == 0
    assert without.twins > 0
    functions = tiny.canonical(without.codes)
    assert len(set(functions)) == len(functions)
    assert not set(functions) & set(tiny.canonical(archive))


def test_samples_are_split_over_the_groups(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters], generator: torch.Generator
) -> None:
    """Q = 24 over K = 5 groups: ceil(24 / 5) = 5 each."""
    parameters = make_parameters(gradient={"groups": 5})
    logits = initial_logits(nb201, parameters.gradient, 0, 1)
    pool, asked = draw(nb201, make_parameters, generator, nb201.random(2, generator), logits=logits)
    assert asked[0][0] == 5
    assert torch.bincount(pool.group).max() <= 5


def test_exploration_rises_until_there_are_enough(
    space: SearchSpace, make_parameters: Callable[..., SearchParameters], generator: torch.Generator
) -> None:
    code = space.random(1, generator)
    pool, asked = draw(
        space, make_parameters, generator, code, logits=sure(space, code), exploration=0.2,
        skip_twins=False, batch=20,
    )  # fmt: skip
    shares = [share for _, share in asked]
    assert shares == pytest.approx([1 - 0.8 / 2**draw for draw in range(len(shares))])
    assert len(shares) == pool.draws > 1
    assert len(pool.codes) >= 20


def test_retries_are_bounded(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters], generator: torch.Generator
) -> None:
    code = nb201.random(1, generator)
    with pytest.raises(SamplingError, match="1 draws of 24 architectures gave only 0 ") as caught:
        draw(
            nb201, make_parameters, generator, code, logits=sure(nb201, code),
            batch=24, max_draws=1, exploration=0.0, skip_twins=False,
        )  # fmt: skip
    assert caught.value.data == {"found": 0, "wanted": 24, "draws": 1}


def test_an_exhausted_space_is_a_sampling_error(
    tiny: TinySpace, make_parameters: Callable[..., SearchParameters], generator: torch.Generator
) -> None:
    archive = sample_random(tiny, 70, generator)
    pool, _ = draw(
        tiny, make_parameters, generator, archive, batch=2, skip_twins=False, samples=200
    )
    assert len(pool.codes) == 2
    with pytest.raises(SamplingError, match="gave only 2 outside the archive of 70; 3 are needed"):
        draw(tiny, make_parameters, generator, archive, batch=3, skip_twins=False, samples=200)


@pytest.mark.parametrize("moves", [1, 2])
def test_neighbours_of_the_best_join_the_pool(
    nb201: NASBench201,
    make_parameters: Callable[..., SearchParameters],
    generator: torch.Generator,
    moves: int,
) -> None:
    archive = sample_random(nb201, 6, generator)
    values = torch.tensor([10.0, 90, 20, 80, 30, 40], dtype=torch.float64)
    pool, _ = draw(
        nb201, make_parameters, generator, archive, values=values, local_moves=moves,
        skip_twins=False,
    )  # fmt: skip
    expected = set(nb201.identify(nb201.neighbours(archive[[1, 3][:moves]])))
    expected -= set(nb201.identify(archive))
    local = pool.codes[pool.group == -1]
    drawn = set(nb201.identify(pool.codes[pool.group != -1]))
    assert set(nb201.identify(local)) == expected - drawn
    assert len(local) > 12 * moves


def test_local_moves_join_the_first_draw_only(
    tiny: TinySpace, make_parameters: Callable[..., SearchParameters], generator: torch.Generator
) -> None:
    code = tiny.random(1, generator)
    pool, asked = draw(
        tiny, make_parameters, generator, code, logits=sure(tiny, code), batch=24,
        local_moves=1, skip_twins=False, exploration=0.0,
    )  # fmt: skip
    assert len(asked) > 1
    assert (pool.group == -1).sum() == len(tiny.neighbours(code)) == 7
