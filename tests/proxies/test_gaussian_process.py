"""The Gaussian process proxy: its posterior, its hyper-parameters, and long archives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import check_grad

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies import gaussian_process as module
from optiproxy_nas.proxies import listed_distances
from optiproxy_nas.proxies.gaussian_process import GaussianProcessProxy, NegativeLogPosterior
from optiproxy_nas.spaces.nb201 import NASBench201

SETTINGS = ProxySettings(**load_preset("default")["proxy"])


def proxy_of(space: Any, heads: int = 1) -> Any:
    return GaussianProcessProxy(space, SETTINGS, torch.Generator(), heads)


def some(space: Any, count: int, seed: int = 0) -> Any:
    return space.random(count, torch.Generator().manual_seed(seed))


def counted(codes: Any, noise: float = 0.0, seed: int = 0) -> Any:
    """A value that the features explain: how often operation 3 occurs; and noise: [1, n]."""
    drawn = torch.randn(len(codes), generator=torch.Generator().manual_seed(seed))
    return ((codes == 3).sum(1) + noise * drawn).unsqueeze(0)


def features_of(proxy: Any, codes: Any) -> Any:
    return proxy.features(proxy.space.encode(codes)) * proxy.norms


def predict(proxy: Any, codes: Any) -> Any:
    return proxy(proxy.space.encode(codes))


def posterior(proxy: Any, seen: Any, targets: Any, asked: Any) -> Any:
    """Mean and deviation by the textbook, from the hyper-parameters that the proxy has."""
    hyper = proxy.hyper[0].numpy()
    lengths = np.repeat(np.exp(hyper[:-1]), proxy.blocks)
    left, right = (features_of(proxy, it).numpy() / lengths for it in (seen, asked))

    def covariance(a: Any, b: Any) -> Any:
        distance = np.sqrt(5 * ((a[:, None] - b[None]) ** 2).sum(-1))
        return (1 + distance + distance**2 / 3) * np.exp(-distance) + module.CONSTANT  # type: ignore[attr-defined]

    y = targets[0].double().numpy()
    centre, spread = y.mean(), y.std()
    scaled = (y - centre) / spread
    noisy = covariance(left, left) + (np.exp(hyper[-1]) + module.JITTER) * np.eye(len(left))
    cross = covariance(left, right)
    solved = np.linalg.solve(noisy, cross)
    shape, rate = (
        module.SHAPE + len(y) / 2,
        module.SHAPE + scaled @ np.linalg.solve(noisy, scaled) / 2,
    )
    variance = (1 + module.CONSTANT - (cross * solved).sum(0)) * rate / (shape - 1)  # type: ignore[attr-defined]
    return centre + spread * scaled @ solved, spread * np.sqrt(variance)


def test_mean_and_deviation_are_those_of_the_textbook(nb201: NASBench201) -> None:
    proxy, seen, asked = proxy_of(nb201), some(nb201, 30), some(nb201, 20, seed=1)
    targets = counted(seen, noise=0.3)
    proxy.fit(seen, targets)
    predictions = predict(proxy, asked)[:, 0]
    mean, deviation = posterior(proxy, seen, targets, asked)
    np.testing.assert_allclose(predictions.mean(0), mean, atol=1e-5)
    np.testing.assert_allclose(predictions.std(0), deviation, atol=1e-5)


def test_the_gradient_of_the_posterior_is_that_of_differences() -> None:
    draws = np.random.default_rng(0)
    parts = [draws.normal(size=(20, width)) for width in (4, 2, 3)]
    squares = np.stack([((x[:, None] - x[None]) ** 2).mean(-1) for x in parts])
    found = NegativeLogPosterior(squares, draws.normal(size=20), length_prior=(3.0, 1.2))
    for _ in range(3):
        point = np.append(draws.normal(size=3) / 2, draws.normal() - 3)
        assert check_grad(lambda x: found(x)[0], lambda x: found(x)[1], point) < 1e-5


def test_it_learns_how_noisy_values_are(nb201: NASBench201) -> None:
    seen = some(nb201, 80)
    clear, noisy = proxy_of(nb201), proxy_of(nb201)
    clear.fit(seen, counted(seen))
    noisy.fit(seen, counted(seen, noise=1.0))
    assert clear.hyper[0, -1] < noisy.hyper[0, -1] - 1


def test_a_fit_goes_on_from_the_hyper_parameters_that_it_has(nb201: NASBench201) -> None:
    seen = some(nb201, 40)
    proxy = proxy_of(nb201)
    first = proxy.fit(seen, counted(seen, noise=0.3))
    again = proxy.fit(seen, counted(seen, noise=0.3))
    assert first[1] < first[0]
    torch.testing.assert_close(again[0], first[1], atol=1e-4, rtol=0)


def test_heads_share_nothing_and_a_missing_value_says_nothing(nb201: NASBench201) -> None:
    seen, asked = some(nb201, 30), some(nb201, 10, seed=1)
    values = torch.cat([counted(seen, 0.3), counted(seen, 0.3, seed=1)])
    values[1, 10:] = torch.nan
    both, few = proxy_of(nb201, heads=2), proxy_of(nb201)
    both.fit(seen, values)
    few.fit(seen[:10], values[1:, :10])
    torch.testing.assert_close(
        predict(both, asked)[:, 1], predict(few, asked)[:, 0], atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("values", [[1.0] * 6, [2.0, torch.nan, torch.nan, torch.nan, 2.0, 2.0]])
def test_equal_values_are_predicted(nb201: NASBench201, values: Any) -> None:
    proxy, seen = proxy_of(nb201), some(nb201, 6)
    proxy.fit(seen, torch.tensor([values]))
    torch.testing.assert_close(predict(proxy, seen).mean(0)[0], torch.full((6,), values[0]))


def test_of_a_long_archive_it_sees_the_best_and_the_last(
    nb201: NASBench201, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST", 20)
    proxy, seen = proxy_of(nb201), some(nb201, 60)
    values = torch.arange(60.0).flip(0).unsqueeze(0)  # the first are the best
    proxy.fit(seen, values)
    assert torch.equal(proxy.codes, seen[[*range(10), *range(50, 60)]])


def test_its_state_holds_the_archive_whatever_its_length(nb201: NASBench201) -> None:
    fitted, seen = proxy_of(nb201), some(nb201, 25)
    fitted.fit(seen, counted(seen, 0.3))
    loaded = proxy_of(nb201)
    loaded.load_state_dict(fitted.state_dict())
    asked = some(nb201, 9, seed=1)
    assert torch.equal(predict(loaded, asked), predict(fitted, asked))


def test_the_gradient_in_the_encoding_is_that_of_differences(nb201: NASBench201) -> None:
    proxy, seen = proxy_of(nb201), some(nb201, 30)
    proxy.fit(seen, counted(seen, noise=0.3))
    posterior, moments = proxy._posterior(), vars(module)["Moments"]
    soft = torch.rand(4, 86, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda features: moments.apply(features, posterior), soft.requires_grad_()
    )


def test_covariances_that_are_looked_up_are_those_that_are_computed(nb201: NASBench201) -> None:
    proxy, listed = proxy_of(nb201, heads=2), some(nb201, 500, seed=1)
    prepared = proxy.prepare(nb201.encode(listed))
    for count in (3, 40, 20):
        seen = some(nb201, count, seed=count)
        values = torch.cat([counted(seen, 0.3), counted(seen, 0.3, seed=1)])
        values[1, :2] = torch.nan
        proxy.fit(seen, values)
        torch.testing.assert_close(proxy.predict_prepared(prepared), predict(proxy, listed))


def test_without_a_table_of_distances_all_covariances_are_computed(
    nb201: NASBench201, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed_distances, "LARGEST", 10)
    proxy, seen = proxy_of(nb201), some(nb201, 30)
    proxy.fit(seen, counted(seen, 0.3))
    prepared = proxy.prepare(nb201.encode(seen))
    assert torch.equal(proxy.predict_prepared(prepared), predict(proxy, seen))


def test_whether_distances_are_listed_does_not_depend_on_what_was_asked_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listed_distances, "LARGEST", 150)
    rows = np.array([[0, 0], [9, 0], [0, 9]], dtype=np.float32)
    blocks = [rows[:1, :1], rows[:1, 1:]]
    listed = listed_distances.ListedDistances(blocks)
    for asked, expected in (([1], [[81, 0]]), ([2], [[0, 81]]), ([1, 2], None), ([1], [[81, 0]])):
        found = listed.of([rows[asked, :1], rows[asked, 1:]])
        assert (found is None) == (expected is None)
        if found is not None:
            squares, columns = found
            assert squares[np.concatenate(columns)].tolist() == expected


@given(st.lists(st.tuples(*[st.integers(-9, 9)] * 5), min_size=1, max_size=30), st.randoms())
def test_distances_to_a_list_are_exact_in_whatever_order_they_are_asked(
    rows: Any, order: Any
) -> None:
    features = np.array(rows, dtype=np.float32)
    blocks = [features[:, :2], features[:, 2:]]
    listed = listed_distances.ListedDistances(blocks)
    for _ in range(3):
        some = order.sample(range(len(rows)), order.randint(1, len(rows)))
        listing: Any = listed.of([block[some] for block in blocks])
        squares, columns = listing
        found_of = squares[np.stack(columns)].transpose(2, 0, 1)
        for block, found in zip(blocks, found_of, strict=True):
            expected = ((block[some][:, None] - block[None]) ** 2).sum(-1)
            assert np.array_equal(found, expected)
