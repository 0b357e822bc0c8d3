"""What earlier runs do to a search: trust, weights, the initial sample, the listed scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas import Search
from optiproxy_nas.algorithm import prior as module
from optiproxy_nas.algorithm import steps
from optiproxy_nas.algorithm.listing import list_architectures, score_all
from optiproxy_nas.algorithm.prior import choose_by_prior, shares_of, trust_of, weigh_prior
from optiproxy_nas.core.random_streams import torch_generator
from optiproxy_nas.methods import resolve_method
from optiproxy_nas.proxies import fit as fitting
from optiproxy_nas.proxies.prior_mean import WEIGHTS, EarlierTrials, fit_prior, prior_means
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.nb201 import NASBench201


def worth(space: Any, codes: Any) -> Any:
    return space.encode(codes).operations[..., 3].sum(1)


def state_of(space: Any, *signs: Any, count: int = 40) -> Any:
    codes = space.random(count, torch.Generator().manual_seed(5))
    values = worth(space, codes)
    return fit_prior(space, [EarlierTrials(codes, sign * values.unsqueeze(0)) for sign in signs])


@pytest.fixture
def parameters() -> Any:
    return resolve_method({"space": "nb201", "method": "optiproxy", "seed": 0, "budget": 20})


def test_trust_goes_from_the_belief_to_the_rank_correlation() -> None:
    drawn = torch.randn(1, 200, generator=torch.Generator().manual_seed(0))
    beliefs = torch.tensor([0.8, 0.8, 0.8])
    means = torch.stack([drawn, -drawn, drawn.roll(1, 1)])
    first = trust_of(means[..., :1], drawn[:, :1], beliefs)
    assert first.flatten().tolist() == pytest.approx([0.8 * 5 / 6] * 3)
    last = trust_of(means, drawn, beliefs).flatten()
    assert last[0] > 0.98
    assert last[1] == 0
    assert last[2] < 0.25


def test_unobserved_heads_have_the_belief() -> None:
    targets = torch.tensor([[1.0, 2.0, 3.0], [torch.nan] * 3])
    trust = trust_of(torch.ones(1, 2, 3), targets, torch.tensor([0.5]))
    assert trust[0, 1] == 0.5


def test_runs_that_agree_count_once_and_useless_ones_not() -> None:
    assert shares_of(torch.full((10, 1), 0.7)).sum() == pytest.approx(0.7)
    one = shares_of(torch.tensor([[0.9], [0.0], [0.0]])).flatten()
    assert one.tolist() == pytest.approx([0.9, 0, 0])
    assert shares_of(torch.zeros(3, 1)).sum() == 0


def test_what_is_left_of_the_targets_and_the_means_are_the_targets(nb201: NASBench201) -> None:
    codes = nb201.random(30, torch.Generator().manual_seed(1))
    targets = worth(nb201, codes).unsqueeze(0)
    guide, trust, left = weigh_prior(nb201, state_of(nb201, 1, -1), codes, targets)
    assert trust[0] > 0.8
    assert trust[1] == 0
    means = prior_means(nb201, guide).of(nb201.encode(codes))
    torch.testing.assert_close(left + guide[WEIGHTS][0, 0] * means[0], targets)
    assert left.var() < targets.var()


def test_a_part_of_the_initial_sample_is_what_earlier_runs_rank_best(
    nb201: NASBench201, parameters: Any
) -> None:
    state = state_of(nb201, 1)
    cold = steps.initial_batch(nb201, parameters)
    warm = steps.initial_batch(nb201, parameters, prior=state)
    count = round(module.FIRST * parameters.initial_samples)
    assert len(warm) == len(cold) == parameters.initial_samples
    chosen = nb201.from_string(warm["architecture"].tolist())[:count]
    assert worth(nb201, chosen)[0] == 6  # the most there are
    assert (worth(nb201, chosen) >= 4).all()
    others = set(warm["architecture"][count:])
    assert others <= set(cold["architecture"])  # the same random draws
    assert warm.equals(steps.initial_batch(nb201, parameters, prior=state))


def test_chosen_architectures_compute_other_functions_and_leave_out_what_is_taken(
    nb201: NASBench201, parameters: Any
) -> None:
    arguments = (nb201, state_of(nb201, 1), 6, parameters.selection)
    chosen = choose_by_prior(*arguments, torch_generator(0, 0, "prior-sample"))
    assert len(set(nb201.canonical(chosen))) == 6
    others = choose_by_prior(*arguments, torch_generator(0, 0, "prior-sample"), chosen)
    assert not set(nb201.canonical(others)) & set(nb201.canonical(chosen))


def test_the_list_is_scored_as_each_architecture_is(nb201: NASBench201, parameters: Any) -> None:
    state = state_of(nb201, 1, 0.5)
    codes = nb201.random(20, torch.Generator().manual_seed(3))
    targets = worth(nb201, codes).unsqueeze(0)
    arguments = (parameters.proxy, parameters.fit, None, 0, 1)
    guide, _, left = weigh_prior(nb201, state, codes, targets)
    weights = {**fitting.fit_proxy(nb201, codes, left, *arguments).weights, **guide}
    proxy = fitting.load_proxy(nb201, parameters.proxy, weights)
    scores = score_all(nb201, proxy, lambda it: it.mean(0)[0], parameters.proxy, True)
    rows = torch.tensor([0, 1500, 4000])
    listed = nb201.encode(list_architectures(nb201, True).codes[rows])
    expected = fitting.predict(proxy, listed).mean(0)[0]
    np.testing.assert_allclose(scores[rows], expected, atol=1e-4)


def searched_by(prior: Any, seed: int = 3) -> Any:
    """The archive of a search for ``worth``, led by earlier trials of the given values."""
    space = get_space("nb201")
    codes = space.random(40, torch.Generator().manual_seed(5))
    values = prior(worth(space, codes)).numpy()
    trials = pd.DataFrame({"architecture": space.to_string(codes), "value": values})
    opened = Search(space="nb201", budget=14, seed=seed, prior=trials)
    while not opened.done:
        for trial in opened.ask():
            opened.tell(trial, float(worth(space, space.from_string([trial.architecture]))[0]))
    return opened.result().archive


def test_where_earlier_runs_mislead_the_initial_sample_grows_to_that_of_a_search_without(
    nb201: NASBench201,
) -> None:
    alone: Any = resolve_method({"space": "nb201", "method": "optiproxy", "seed": 3, "budget": 14})
    cold = steps.initial_batch(nb201, alone)
    misled, led = searched_by(lambda it: -it), searched_by(lambda it: it)
    assert set(misled["architecture"][2:11]) == set(cold["architecture"][:9])
    assert not set(misled["architecture"][11:]) & set(cold["architecture"])
    assert led["value"][3:11].mean() > misled["value"][3:11].mean()
