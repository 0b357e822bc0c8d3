"""The Gaussian process of searches under bounds, and the counts of connected operations."""

from __future__ import annotations

from typing import Any

import torch
from scipy.stats import spearmanr

from optiproxy_nas import Choice, Space
from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies.gaussian_process import GaussianProcessProxy
from optiproxy_nas.proxies.measuring_process import MeasuringGaussianProcess
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.encodings import connected_counts
from optiproxy_nas.spaces.nb201 import EDGES

SETTINGS = ProxySettings(**load_preset("default")["proxy"])
LAYERS = {f"heads_{i}": Choice([4, 8, 12], ordered=True) for i in range(12)}
DECLARED = Space({"size": Choice([1, 2, 4], ordered=True), **LAYERS})


def some(space: Any, count: int, seed: int = 0) -> Any:
    return space.random(count, torch.Generator().manual_seed(seed))


def on_a_path(code: Any) -> Any:
    """Return the positions on a path from node 0 to node 3 without a ``none``, by search."""
    edges = [(position, *edge) for position, edge in enumerate(EDGES) if code[position] != 0]

    def paths(node: Any) -> Any:
        if node == 3:
            return [[]]
        return [[p, *rest] for p, a, b in edges if a == node for rest in paths(b)]

    return {position for path in paths(0) for position in path}


def test_operations_on_a_path_are_counted() -> None:
    space = get_space("nb201")
    codes = some(space, 300)
    counts = connected_counts(space, space.encode(codes))
    for code, row in zip(codes.tolist(), counts, strict=True):
        used = on_a_path(code)
        expected = [sum(code[p] == operation for p in used) for operation in range(5)]
        assert row[1:6].tolist() == expected
        assert row[[0, 6]].tolist() == [float(bool(used))] * 2  # input and output


def test_without_an_operation_none_nothing_is_counted() -> None:
    space = get_space("nb101")
    encoding = space.encode(some(space, 5))
    assert connected_counts(space, encoding).shape == (5, 0)
    proxies = (kind(space, SETTINGS, torch.Generator()) for kind in KINDS)
    features = [proxy.features(encoding) for proxy in proxies]
    assert torch.equal(*features)


KINDS = (GaussianProcessProxy, MeasuringGaussianProcess)


def test_the_spread_of_metrics_has_the_noise_of_a_measurement() -> None:
    space = get_space("nb101")
    seen, asked = some(space, 9), some(space, 4, seed=1)
    noise = torch.randn(2, len(seen), generator=torch.Generator().manual_seed(2))
    targets = seen[:, 0].float() + noise
    found = []
    for kind in KINDS:
        proxy = kind(space, SETTINGS, torch.Generator(), heads=2)
        proxy.fit(seen, targets)
        found.append(proxy(space.encode(asked)))
    plain, measuring = found
    assert torch.allclose(plain.mean(0), measuring.mean(0), atol=1e-5)
    assert torch.allclose(plain[:, 0], measuring[:, 0])
    scale, hyper = proxy._posterior().scale[1].flatten(), proxy.hyper[1, -1]
    added = (scale[1] * scale[2]) ** 2 * hyper.exp()
    assert torch.allclose(measuring[:, 1].var(0), plain[:, 1].var(0) + added.float(), rtol=1e-3)


def test_of_a_declared_space_it_learns_which_choices_decide() -> None:
    seen, asked = some(DECLARED, 20), some(DECLARED, 200, seed=1)

    def metric(codes: Any) -> Any:  # the size of a network decides, its layers add up
        return (2.0 ** codes[:, 0]) * (10 + codes[:, 1:].sum(1))

    correlations = []
    for kind in KINDS:
        proxy = kind(DECLARED, SETTINGS, torch.Generator())
        proxy.fit(seen, metric(seen).log().unsqueeze(0))
        predicted = proxy(DECLARED.encode(asked)).mean((0, 1))
        correlations.append(spearmanr(predicted, metric(asked)).statistic)
    plain, measuring = correlations
    assert plain < 0.9
    assert measuring > 0.98
