"""Earlier runs as the mean function of a proxy: their means, unknown choices, weights θ*."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optiproxy_nas import Space
from optiproxy_nas.core.parameters import FitSettings, ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies import fit as fitting
from optiproxy_nas.proxies.gaussian_process import GaussianProcessProxy
from optiproxy_nas.proxies.prior_mean import (
    LARGEST,
    UNKNOWN,
    WEIGHTS,
    EarlierTrials,
    PriorMeans,
    WithPrior,
    encode_partly,
    fit_prior,
    prior_means,
    without_prior,
)
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.base import Encoding
from optiproxy_nas.spaces.nb201 import NASBench201

PRESET = load_preset("default")
SETTINGS = ProxySettings(**PRESET["proxy"])


def trials(space: Any, count: int = 20, seed: int = 0, heads: int = 1) -> Any:
    codes = space.random(count, torch.Generator().manual_seed(seed))
    values = space.encode(codes).operations[..., -1].sum(1)
    return EarlierTrials(codes, torch.stack([values * (head + 1) for head in range(heads)]))


def test_a_mean_is_that_of_the_run_s_gaussian_process(nb201: NASBench201) -> None:
    run, other = trials(nb201, 30, heads=2), trials(nb201, 20, seed=1, heads=2)
    asked = nb201.encode(nb201.random(40, torch.Generator().manual_seed(2)))
    found = PriorMeans(nb201, fit_prior(nb201, [other, run])).of(asked)[1]
    process = GaussianProcessProxy(nb201, SETTINGS, torch.Generator(), 2)
    process.fit(run.codes, run.targets)
    torch.testing.assert_close(found, process(asked).mean(0), rtol=1e-3, atol=1e-3)


def test_a_long_run_is_fitted_on_its_best_and_last_rows(nb201: NASBench201) -> None:
    state = fit_prior(nb201, [trials(nb201, LARGEST + 50)])
    assert len(state["prior/codes"]) == LARGEST


def test_gradients_pass_to_both_fields_of_the_encoding() -> None:
    nb101 = get_space("nb101")
    means = PriorMeans(nb101, fit_prior(nb101, [trials(nb101)]))
    hard = nb101.encode(nb101.random(3, torch.Generator().manual_seed(1)))
    asked = Encoding(hard.operations.requires_grad_(), hard.edges.requires_grad_())
    means.of(asked).sum().backward()  # type: ignore[no-untyped-call]
    assert asked.operations.grad is not None
    assert asked.edges.grad is not None
    assert asked.operations.grad.abs().sum() > 0
    assert asked.edges.grad.abs().sum() > 0


def test_an_unknown_choice_has_all_its_options_alike() -> None:
    space = Space({"width": [1, 2, 3], "depth": [1, 2]})
    encoding = encode_partly(space, torch.tensor([[UNKNOWN, 2], [1, 1]]))
    assert encoding.operations[0, 0].tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3])
    assert encoding.operations[0, 1].tolist() == [0, 0, 1, 0]
    assert torch.equal(encoding.operations[1], space.encode(torch.tensor([[1, 1]])).operations[0])


@pytest.mark.parametrize("name", ["gaussian_process", "graph_mlp", "gcn"])
def test_any_proxy_is_loaded_with_the_weighted_means_of_its_weights(
    nb201: NASBench201, name: str
) -> None:
    settings = SETTINGS.model_copy(update={"name": name, "hidden": 8})
    fit = FitSettings(**{**PRESET["fit"], "first_epochs": 3, "epochs": 2})
    run = trials(nb201)
    fitted = fitting.fit_proxy(nb201, run.codes, run.targets, settings, fit, None, 0, 1).weights
    state = fit_prior(nb201, [run, trials(nb201, seed=3)])
    guided = {**fitted, **state, WEIGHTS: torch.tensor([[0.5], [0.0]])}
    asked = nb201.encode(nb201.random(10, torch.Generator().manual_seed(4)))
    alone, both = (
        fitting.predict(fitting.load_proxy(nb201, settings, weights), asked)
        for weights in (fitted, guided)
    )
    means = prior_means(nb201, state).of(asked)
    torch.testing.assert_close(both - alone, (0.5 * means[0]).expand_as(both), rtol=0, atol=1e-4)
    assert without_prior(guided).keys() == fitted.keys()
    again = fitting.fit_proxy(nb201, run.codes, run.targets, settings, fit, guided, 0, 2).weights
    assert again.keys() == fitted.keys()  # a warm start takes the proxy's own


def test_equal_tensors_are_one_object_so_that_lists_are_computed_once(nb201: NASBench201) -> None:
    state = fit_prior(nb201, [trials(nb201)])
    copied = {name: value.clone() for name, value in state.items()}
    assert prior_means(nb201, state) is prior_means(nb201, copied)
    copied["prior/hyper"] += 1
    assert prior_means(nb201, state) != prior_means(nb201, copied)


def test_the_gradient_by_hand_is_that_of_differences(nb201: NASBench201) -> None:
    runs = [trials(nb201, 30), trials(nb201, 20, seed=1)]
    state = fit_prior(nb201, runs)
    earlier = PriorMeans(nb201, state)
    means = earlier.weighted(torch.tensor([[0.5], [0.3]]))
    start = nb201.encode(nb201.random(4, torch.Generator().manual_seed(2)))
    features = earlier.features(start) + 0.3
    features.requires_grad_()
    (gradient,) = torch.autograd.grad(means.of(features).square().sum(), features)
    generator = torch.Generator().manual_seed(3)
    along = torch.randn(features.shape, generator=generator, dtype=features.dtype)
    with torch.no_grad():
        after, before = (
            means.of(features + sign * 0.01 * along).double().square().sum() for sign in (1, -1)
        )
    expected = float(after - before) / 0.02
    assert float((gradient * along).sum()) == pytest.approx(expected, rel=1e-2)


def test_runs_without_weight_change_no_prediction(nb201: NASBench201) -> None:
    run, other = trials(nb201), trials(nb201, seed=3)
    encoding = nb201.encode(nb201.random(10, torch.Generator().manual_seed(4)))
    proxy = GaussianProcessProxy(nb201, SETTINGS, torch.Generator(), 1)
    both = PriorMeans(nb201, fit_prior(nb201, [run, other]))
    alone = PriorMeans(nb201, fit_prior(nb201, [run]))
    with torch.no_grad():
        found = WithPrior(proxy, both, torch.tensor([[0.5], [0.0]]))(encoding)
        expected = WithPrior(proxy, alone, torch.tensor([[0.5]]))(encoding)
    assert torch.equal(found, expected)


def test_the_gradient_of_a_guided_process_is_the_sum_of_both(nb201: NASBench201) -> None:
    state = fit_prior(nb201, [trials(nb201, 30), trials(nb201, 20, seed=1)])
    earlier, weights = PriorMeans(nb201, state), torch.tensor([[0.5], [0.3]])
    proxy = GaussianProcessProxy(nb201, SETTINGS, torch.Generator(), 1)
    run = trials(nb201, 15, seed=5)
    proxy.fit(run.codes, run.targets)
    start = nb201.encode(nb201.random(4, torch.Generator().manual_seed(2)))
    by_member = torch.randn(SETTINGS.members, 1, 4, generator=torch.Generator().manual_seed(3))
    guide = earlier.weighted(weights)

    def by_parts(encoding: Encoding) -> Any:
        return proxy(encoding) + guide.of(earlier.features(encoding))

    found = []
    for sum_of_both in (WithPrior(proxy, earlier, weights), by_parts):
        operations = (start.operations + 0.3).requires_grad_()
        value = (by_member * sum_of_both(Encoding(operations, start.edges))).sum()
        found.append((value.detach(), *torch.autograd.grad(value, operations)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_the_archives_of_several_runs_and_heads_are_kept_apart(nb201: NASBench201) -> None:
    runs = [trials(nb201, 30, heads=2), trials(nb201, 12, seed=1, heads=2)]
    asked = nb201.encode(nb201.random(7, torch.Generator().manual_seed(2)))
    both = PriorMeans(nb201, fit_prior(nb201, runs)).of(asked)
    for run, found in zip(runs, both, strict=True):
        (alone,) = PriorMeans(nb201, fit_prior(nb201, [run])).of(asked)
        torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-4)
