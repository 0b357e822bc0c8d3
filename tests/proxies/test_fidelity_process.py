"""One Gaussian process for all rungs: its posterior, its fit, and what its heads add up to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad
from torch import Tensor

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies.fidelity_process import FidelityGaussianProcess, NegativeLogPosterior
from optiproxy_nas.proxies.gaussian_moments import CONSTANT
from optiproxy_nas.proxies.gaussian_process import JITTER, SHAPE, GaussianProcessProxy
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.testing import check_proxy

SETTINGS = ProxySettings(**load_preset("default")["proxy"])


def proxy_of(space: SearchSpace, heads: int, kind: Any = FidelityGaussianProcess) -> Any:
    return kind(space, SETTINGS, torch.Generator(), heads)


def some(space: SearchSpace, count: int, seed: int = 0) -> Tensor:
    return space.random(count, torch.Generator().manual_seed(seed))


def trials(space: SearchSpace, counts: tuple[int, ...], seed: int = 0) -> Any:
    """Codes, targets [H, n] and values [n] of trials: the first of a rung are at the next, too."""
    draws = np.random.default_rng(seed)
    codes, rungs = some(space, counts[0]), np.repeat(np.arange(len(counts)), counts)
    rows = torch.cat([codes[:count] for count in counts])
    values = (rows == 3).sum(1).numpy() + draws.normal(size=len(rows)) * 0.3
    start = np.concatenate([[0], np.cumsum(counts)])
    targets = torch.full((len(counts), len(rows)), torch.nan)
    for row, rung in enumerate(rungs):
        place = row - start[rung]
        below = values[start[rung - 1] + place] if rung else 0.0
        targets[rung, row] = values[row] - below
    return rows, targets, values, rungs


def by_the_textbook(proxy: Any, values: Any, rungs: Any, asked: Tensor, rung: int) -> Any:
    """Mean and deviation of the value at a rung, from the hyper-parameters that the proxy has."""
    blocks, hyper = len(proxy.blocks), proxy.hyper.exp().numpy()
    lengths = np.repeat(hyper[0, :blocks], proxy.blocks)
    left, right = (
        (proxy.features(proxy.space.encode(it)) * proxy.norms).numpy() / lengths
        for it in (proxy.codes, asked)
    )
    sums = np.cumsum(hyper[:, -1])

    def covariance(a: Any, b: Any, at: Any, there: Any) -> Any:
        distance = np.sqrt(5 * ((a[:, None] - b[None]) ** 2).sum(-1))
        kernel = (1 + distance + distance**2 / 3) * np.exp(-distance) + CONSTANT
        return kernel * sums[np.minimum(at[:, None], there[None])]

    centre, spread = values.mean(), values.std()
    scaled, at = (values - centre) / spread, np.full(len(asked), rung)
    noisy = covariance(left, left, rungs, rungs)
    noisy += np.diag(hyper[rungs, blocks] + JITTER)
    cross = covariance(left, right, rungs, at)
    solved = np.linalg.solve(noisy, cross)
    rate = SHAPE + scaled @ np.linalg.solve(noisy, scaled) / 2
    shape = SHAPE + len(values) / 2
    variance = ((1 + CONSTANT) * sums[rung] - (cross * solved).sum(0)) * rate / (shape - 1)
    return centre + spread * scaled @ solved, spread * np.sqrt(variance)


@pytest.mark.parametrize("counts", [(30, 8), (20, 9, 4)])
def test_heads_add_up_to_the_posterior_of_each_rung(
    nb201: SearchSpace, counts: tuple[int, ...]
) -> None:
    codes, targets, values, rungs = trials(nb201, counts)
    proxy, asked = proxy_of(nb201, len(counts)), some(nb201, 20, seed=1)
    proxy.fit(codes, targets)
    predictions = proxy(nb201.encode(asked)).cumsum(1)
    listed = proxy.predict_prepared(proxy.prepare(nb201.encode(asked))).cumsum(1)
    for rung in range(len(counts)):
        mean, deviation = by_the_textbook(proxy, values, rungs, asked, rung)
        np.testing.assert_allclose(predictions[:, rung].mean(0), mean, atol=1e-4)
        np.testing.assert_allclose(predictions[:, rung].std(0), deviation, atol=1e-4)
    torch.testing.assert_close(predictions, listed, atol=1e-4, rtol=1e-4)


def test_of_one_rung_it_is_the_plain_process(nb201: SearchSpace) -> None:
    codes, targets, _, _ = trials(nb201, (25,))
    asked, found = nb201.encode(some(nb201, 20, seed=1)), []
    for kind in (GaussianProcessProxy, FidelityGaussianProcess):
        proxy = proxy_of(nb201, 1, kind)
        proxy.fit(codes, targets)
        found.append(proxy(asked))
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


def test_the_gradient_of_the_posterior_is_that_of_differences(nb201: SearchSpace) -> None:
    draws = np.random.default_rng(0)
    parts = [draws.normal(size=(20, width)) for width in (4, 2, 3)]
    squares = np.stack([((x[:, None] - x[None]) ** 2).mean(-1) for x in parts])
    loss = NegativeLogPosterior(squares, draws.normal(size=20), draws.integers(3, size=20), 3)
    for _ in range(3):
        at = draws.normal(size=8)
        assert check_grad(lambda x: loss(x)[0], lambda x: loss(x)[1], at) < 1e-5


def test_full_trainings_tell_what_short_ones_do_not(nb201: SearchSpace) -> None:
    """Of equal short values those are predicted best that are like what turned out well."""
    codes, unseen = some(nb201, 60), some(nb201, 200, seed=5)
    targets = torch.full((2, 90), torch.nan)
    targets[0, :60] = 0.1 * torch.randn(60, generator=torch.Generator().manual_seed(0))
    targets[1, 60:] = (codes[:30] == 3).sum(1).float()
    proxy = proxy_of(nb201, 2)
    proxy.fit(torch.cat([codes, codes[:30]]), targets)
    short, correction = proxy(nb201.encode(unseen)).mean(0)
    liked = (unseen == 3).sum(1).float()
    assert torch.corrcoef(torch.stack([correction, liked]))[0, 1] > 0.7
    assert short.std() < correction.std()


def test_a_full_training_without_a_short_one_is_left_out(nb201: SearchSpace) -> None:
    codes, targets, _, _ = trials(nb201, (20, 5))
    alone = torch.full((2, 1), torch.nan)
    alone[1] = 9.0
    asked, found = nb201.encode(some(nb201, 10, seed=1)), []
    for rows, values in (
        (codes, targets),
        (torch.cat([codes, some(nb201, 1, seed=7)]), torch.cat([targets, alone], 1)),
    ):
        proxy = proxy_of(nb201, 2)
        proxy.fit(rows, values)
        found.append(proxy(asked))
    assert torch.equal(*found)


def test_draws_add_up_to_what_is_predicted(nb201: SearchSpace) -> None:
    codes, targets, _, _ = trials(nb201, (20, 6))
    proxy, asked = proxy_of(nb201, 2), nb201.encode(some(nb201, 5, seed=1))
    proxy.fit(codes, targets)
    drawn = proxy.sample_functions(asked, 4000, torch.Generator().manual_seed(0)).sum(1)
    predicted = proxy(asked).sum(1)
    np.testing.assert_allclose(drawn.mean(0), predicted.mean(0), atol=0.1)
    np.testing.assert_allclose(drawn.std(0), predicted.std(0), rtol=0.1)


def test_it_keeps_the_contract_of_a_proxy(nb201: SearchSpace) -> None:
    check_proxy(FidelityGaussianProcess, nb201)
