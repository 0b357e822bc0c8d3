"""Fitting θ on the archive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest, spearmanr
from torch import nn

from optiproxy_nas.core.errors import ProxyError
from optiproxy_nas.core.parameters import FitSettings, ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies import build_proxy
from optiproxy_nas.proxies.fit import (
    _batches,
    _bootstrap,
    fit_proxy,
    learning_rate,
    load_proxy,
    predict,
)
from optiproxy_nas.proxies.targets import make_targets
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.nb201 import NASBench201

pytestmark = pytest.mark.usefixtures("global_state")

# The paper's own, but fewer epochs and larger batches; one schedule for the first step and later.
FIT = FitSettings(
    **{
        **load_preset("paper")["fit"],
        **{"epochs": 60, "first_epochs": 60, "batch_size": 16, "lr": 0.01, "lr_step": 20},
        **{"ranking_reduction": "mean", "warm_start": True, "bootstrap": False},
    }
)
PROXY = {**load_preset("paper")["proxy"], "layers": 2, "members": 2}
MLP = ProxySettings(**{**PROXY, "name": "mlp", "hidden": 16})
GCN = ProxySettings(**{**PROXY, "name": "gcn", "hidden": 12})


def archive(space: Any, count: int = 40, seed: int = 0) -> Any:
    codes = space.random(count, torch.Generator().manual_seed(seed))
    gain = torch.tensor([-3.0, 0.0, 1.0, 2.5, -1.0])[codes.clamp(max=4)].sum(-1)
    return codes, 80 + gain.double().numpy()


def fit(
    space: Any,
    proxy: Any = MLP,
    previous: Any = None,
    seed: int = 0,
    step: int = 1,
    data: Any = None,
    targets: Any = None,
    **values: Any,
) -> Any:
    """Of one head, on the archive's values, unless ``targets`` [H, n] are given."""
    codes, truth = archive(space) if data is None else data
    if "epochs" in values:
        values = {"first_epochs": values["epochs"], **values}
    settings = FIT.model_copy(update=values)
    if targets is None:
        targets = make_targets(truth, settings.targets).unsqueeze(0)
    return fit_proxy(space, codes, targets, proxy, settings, previous, seed, step)


def equal(one: Any, two: Any) -> Any:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("proxy", [MLP, GCN], ids=["mlp", "gcn"])
def test_loss_falls_and_the_archive_is_ranked(space: SearchSpace, proxy: Any) -> None:
    result = fit(space, proxy)
    assert result.loss.shape == (FIT.epochs,)
    assert result.loss[-5:].mean() < 0.3 * result.loss[:3].mean()
    codes, truth = archive(space)
    fitted = load_proxy(space, proxy, result.weights)
    for member in predict(fitted, space.encode(codes))[:, 0].numpy():
        assert spearmanr(member, truth).statistic > 0.9


def test_the_ranking_loss_alone_can_be_switched_on(nb201: NASBench201) -> None:
    plain, ranked = fit(nb201, ranking_coefficient=0.0), fit(nb201, ranking_coefficient=5.0)
    assert not equal(plain.weights, ranked.weights)
    assert ranked.loss[0] > plain.loss[0]


@pytest.mark.heavy
def test_equal_calls_give_equal_weights(space: SearchSpace) -> None:
    assert equal(fit(space).weights, fit(space).weights)
    assert not equal(fit(space).weights, fit(space, seed=1).weights)
    assert not equal(fit(space).weights, fit(space, step=2).weights)


def test_warm_start_goes_on_from_the_weights_before(nb201: NASBench201) -> None:
    first = fit(nb201)
    warm = fit(nb201, previous=first.weights, step=2, epochs=3)
    cold = fit(nb201, previous=first.weights, step=2, epochs=3, warm_start=False)
    assert warm.loss[0] < 0.5 * cold.loss[0]
    assert equal(cold.weights, fit(nb201, step=2, epochs=3).weights)


def test_previous_weights_and_data_are_not_changed(nb201: NASBench201) -> None:
    first = fit(nb201, epochs=2)
    kept = {name: value.clone() for name, value in first.weights.items()}
    data = archive(nb201)
    fit(nb201, previous=first.weights, step=2, epochs=2, data=data)
    assert equal(first.weights, kept)
    codes, truth = archive(nb201)
    assert torch.equal(data[0], codes)
    assert (data[1] == truth).all()


@pytest.mark.parametrize("proxy", [MLP, GCN], ids=["mlp", "gcn"])
def test_a_members_fit_does_not_depend_on_the_others(nb201: NASBench201, proxy: Any) -> None:
    """Member e, started from its weights and fitted alone on the same batches, ends the same."""
    start = build_proxy(nb201, proxy, torch.Generator().manual_seed(5)).state_dict()
    together = fit(nb201, proxy, previous=start, epochs=8).weights
    for member in range(2):
        part = slice(member, member + 1)
        lone = {name: value[part].clone() for name, value in start.items()}
        one = proxy.model_copy(update={"members": 1})
        alone = fit(nb201, one, previous=lone, epochs=8).weights
        for name, value in together.items():
            torch.testing.assert_close(alone[name], value[part], atol=2e-4, rtol=1e-3)
            assert not torch.equal(value[part], start[name][part])


def test_a_fit_that_diverges_is_a_proxy_error(nb201: NASBench201) -> None:
    _, truth = archive(nb201)
    with pytest.raises(ProxyError, match=r"diverged in step 1.*Lower fit.lr") as caught:
        fit(nb201, lr=1e30)
    assert caught.value.data["step"] == 1
    targets = make_targets(truth, "standardised").unsqueeze(0)
    targets[0, 3] = torch.inf
    with pytest.raises(ProxyError, match="from epoch 0 on"):
        fit(nb201, targets=targets)


@pytest.mark.heavy
def test_targets_are_what_is_learnt(nb201: NASBench201) -> None:
    _, truth = archive(nb201)
    by_rank, by_rank_again = (
        make_targets(values, "rank").unsqueeze(0) for values in (truth, np.exp(truth / 10))
    )
    assert not equal(fit(nb201).weights, fit(nb201, targets=by_rank).weights)
    assert equal(fit(nb201, targets=by_rank).weights, fit(nb201, targets=by_rank_again).weights)


@pytest.mark.parametrize("proxy", [MLP, GCN], ids=["mlp", "gcn"])
def test_each_head_learns_its_own_targets(space: SearchSpace, proxy: Any) -> None:
    codes, truth = archive(space)
    good = make_targets(truth, "standardised")
    other = make_targets(codes.double().mean(-1).numpy(), "standardised")
    result = fit(space, proxy, targets=torch.stack([good, other]))
    predictions = predict(load_proxy(space, proxy, result.weights, 2), space.encode(codes))
    assert predictions.shape == (2, 2, len(codes))
    for member in predictions:
        assert spearmanr(member[0], good).statistic > 0.9
        assert spearmanr(member[1], other).statistic > 0.9


def test_what_was_not_observed_teaches_nothing(nb201: NASBench201) -> None:
    """Where all is known but one head's target of the last rows, the codes of these rows matter to
    the other head alone; where no head knows them, they might be any."""
    codes, truth = archive(nb201)
    unseen = torch.arange(40) >= 30
    targets = make_targets(truth, "standardised").expand(2, -1).clone()
    targets[:, unseen] = torch.nan
    elsewhere = codes.clone()
    elsewhere[unseen] = (codes[unseen] + 1) % 5
    options: dict[str, Any] = {"batch_size": 64, "ranking_coefficient": 0.2, "epochs": 8}
    one = fit(nb201, data=(codes, truth), targets=targets, **options)
    other = fit(nb201, data=(elsewhere, truth), targets=targets, **options)
    for name, value in one.weights.items():
        torch.testing.assert_close(value, other.weights[name], atol=1e-5, rtol=1e-4)
    assert torch.isfinite(one.loss).all()
    targets[0] = make_targets(truth, "standardised")
    assert not equal(one.weights, fit(nb201, targets=targets, **options).weights)


def test_a_head_that_saw_nothing_stays_as_it_began_but_for_the_trunk(nb201: NASBench201) -> None:
    """No gradient reaches its last layer: with no decay and AdamW it is left bit for bit."""
    _, truth = archive(nb201)
    targets = make_targets(truth, "standardised").expand(2, -1).clone()
    targets[1] = torch.nan
    start = build_proxy(nb201, MLP, torch.Generator().manual_seed(5), 2).state_dict()
    done = fit(nb201, previous=start, targets=targets, weight_decay=0.0, epochs=5).weights
    assert torch.equal(done["head.weight"][..., 1], start["head.weight"][..., 1])
    assert not torch.equal(done["head.weight"][..., 0], start["head.weight"][..., 0])


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_tiny_or_constant_archive_fits(nb201: NASBench201, reduction: str) -> None:
    codes, _ = archive(nb201, 2)
    for truth in (np.array([10.0, 90.0]), np.array([50.0, 50.0])):
        result = fit(nb201, data=(codes, truth), epochs=3, ranking_reduction=reduction)
        assert torch.isfinite(result.loss).all()


def test_the_loss_of_an_epoch_is_the_mean_over_its_batches(nb201: NASBench201) -> None:
    """With weights that hardly move, the mean over equal batches is the same in every epoch."""
    result = fit(nb201, lr=1e-12, weight_decay=0.0, ranking_coefficient=0.0, batch_size=8, epochs=6)
    torch.testing.assert_close(result.loss, result.loss[:1].expand(6), atol=1e-4, rtol=1e-4)


def test_batches_are_a_partition_without_a_lonely_one(generator: torch.Generator) -> None:
    for count, size, expected in ((15, 7, [7, 8]), (14, 7, [7, 7]), (10, 7, [7, 3]), (1, 7, [1])):
        settings = FIT.model_copy(update={"batch_size": size, "batches_per_epoch": None})
        batches = _batches(count, settings, generator)
        assert [len(batch) for batch in batches] == expected
        assert sorted(torch.cat(batches).tolist()) == list(range(count))


@pytest.mark.parametrize("most", [1, 2])
def test_batches_per_epoch_bounds_the_work_but_every_row_gets_its_turn(
    generator: torch.Generator, most: int
) -> None:
    settings = FIT.model_copy(update={"batch_size": 5, "batches_per_epoch": most})
    epochs = [torch.cat(_batches(31, settings, generator)) for _ in range(60)]
    assert {len(rows.unique()) for rows in epochs} == {5 * most}  # type: ignore[no-untyped-call]
    assert len(torch.cat(epochs).unique()) == 31  # type: ignore[no-untyped-call]


def test_learning_rate_of_the_paper_and_of_the_cosine() -> None:
    paper = FIT.model_copy(update={"lr": 0.001, "lr_gamma": 0.9, "lr_step": 10})
    rates = [learning_rate(epoch, 100, paper) for epoch in range(100)]
    assert rates == pytest.approx([0.001 * 0.9 ** (epoch // 10) for epoch in range(100)])
    cosine = FIT.model_copy(update={"lr": 0.01, "lr_schedule": "cosine"})
    cosine_rates = torch.tensor([learning_rate(epoch, 100, cosine) for epoch in range(100)])
    peak = int(cosine_rates.argmax())
    assert 8 <= peak <= 11
    assert 0.009 < cosine_rates.max() <= 0.01
    assert (cosine_rates.diff()[:peak] > 0).all()
    assert (cosine_rates.diff()[peak:] < 0).all()
    assert 0 < cosine_rates[-1] < 1e-4 * 0.01
    assert 0 < learning_rate(0, 1, cosine) <= 0.01


def test_fresh_weights_may_be_fitted_longer(nb201: NASBench201) -> None:
    first = fit(nb201, epochs=2, first_epochs=5)
    assert len(first.loss) == 5
    assert len(fit(nb201, epochs=2, first_epochs=5, step=2, previous=first.weights).loss) == 2
    cold = fit(nb201, epochs=2, first_epochs=5, step=2, previous=first.weights, warm_start=False)
    assert len(cold.loss) == 5


def test_bootstrap_weights_are_exponential_and_keep_to_their_query() -> None:
    weights = _bootstrap(4000, 3, seed=1)
    assert weights.shape == (3, 4000)
    assert weights.dtype == torch.float32
    for member in weights:
        assert kstest(member.double().numpy(), "expon").pvalue > 1e-3
    assert abs(float(torch.corrcoef(weights)[0, 1])) < 0.05
    assert torch.equal(_bootstrap(10, 3, seed=1), weights[:, :10])
    assert not torch.equal(_bootstrap(10, 3, seed=2), weights[:, :10])


def test_bootstrap_makes_members_follow_different_archives(nb201: NASBench201) -> None:
    """A query of weight near 0 hardly matters to the member; one of large weight does."""
    codes, truth = archive(nb201)
    weights = _bootstrap(len(codes), 2, seed=0)
    options: dict[str, Any] = {
        "bootstrap": True,
        "ranking_coefficient": 0.0,
        "epochs": 3,
        "batch_size": 64,
    }
    plain = fit(nb201, **{**options, "bootstrap": False}).weights
    assert not equal(fit(nb201, **options).weights, plain)
    # The gradient of the first epoch is that of the weighted squares.
    settings: dict[str, Any] = {"lr": 1e-12, "weight_decay": 0.0, **options, "epochs": 1}
    result = fit(nb201, data=(codes, truth), **settings)
    predictions = predict(load_proxy(nb201, MLP, result.weights), nb201.encode(codes))
    squares = (predictions[:, 0] - make_targets(truth, "standardised")).square()
    torch.testing.assert_close(result.loss[0], (weights * squares).mean(), atol=1e-4, rtol=1e-4)


def test_a_loaded_proxy_is_frozen_and_the_same(space: SearchSpace) -> None:
    weights = fit(space, epochs=3).weights
    proxy = load_proxy(space, MLP, weights)
    assert not proxy.training
    assert not any(weight.requires_grad for weight in proxy.parameters())
    assert equal(proxy.state_dict(), weights)
    assert not any(value.requires_grad for value in weights.values())


class Broken(nn.Module):
    def forward(self, encoding: Any) -> Any:
        bad = torch.zeros(2, 1, len(encoding.operations))
        bad[1, 0, 0] = torch.inf
        bad[0, 0, 1] = torch.nan
        return bad


def test_predictions_that_are_not_finite_are_a_proxy_error(nb201: NASBench201) -> None:
    encoding = nb201.encode(archive(nb201, 5)[0])
    with pytest.raises(ProxyError, match=r"gave 2 predictions that are not finite .* out of 10"):
        predict(Broken(), encoding)
    assert not predict(load_proxy(nb201, MLP, fit(nb201, epochs=1).weights), encoding).requires_grad
