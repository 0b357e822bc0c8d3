"""Cost and rank correlation of a proxy, on a target that is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from evidence.proxies import count_flops, measure_proxy
from optiproxy_nas.core.errors import SamplingError
from optiproxy_nas.core.parameters import FitSettings, ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies import PROXIES
from optiproxy_nas.spaces.nb201 import NASBench201
from tiny_space import TinySpace

pytestmark = pytest.mark.usefixtures("global_state")

FIT = FitSettings(**{**load_preset("default")["fit"], "first_epochs": 60})


def proxy(**values: Any) -> Any:
    small = {"name": "mlp", "hidden": 16, "layers": 2, "members": 2}
    return ProxySettings(**{**load_preset("default")["proxy"], **small, **values})


class Spy:
    """Counts conv3x3; remembers what it was asked."""

    def __init__(self, answer: Any = lambda a: 50 + 5 * a.count("nor_conv_3x3")) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def __call__(self, architectures: Any) -> Any:
        self.asked.append(list(architectures))
        return np.array([self.answer(a) for a in architectures], dtype=float)


@pytest.mark.parametrize("name", PROXIES)
def test_every_proxy_learns_to_count(nb201: NASBench201, name: Any) -> None:
    measured = measure_proxy(nb201, Spy(), proxy(name=name), FIT, 0, train=60, held_out=100)
    assert measured["proxy"] == name
    # 60 cells show each of the 125 longest paths about once in two: little to learn counts from.
    assert measured["spearman"] > (0.3 if "path" in name else 0.7)
    assert 0 < measured["kendall_tau"] <= 1
    assert measured["fit_seconds"] > 0


def test_a_proxy_cannot_tell_what_is_random(nb201: NASBench201) -> None:
    values = iter(np.random.default_rng(0).normal(size=1000).tolist())
    measured = measure_proxy(nb201, Spy(lambda _: next(values)), proxy(), FIT, 0, 60, 400)
    assert abs(measured["spearman"]) < 0.2


def test_all_proxies_of_a_seed_have_the_same_split(nb201: NASBench201) -> None:
    spies = [Spy(), Spy(), Spy()]
    for spy, name, seed in zip(spies, ("mlp", "gcn", "mlp"), (0, 0, 1), strict=True):
        short = FIT.model_copy(update={"first_epochs": 1})
        measure_proxy(nb201, spy, proxy(name=name), short, seed, 5, 7)
    one, other, next_seed = (spy.asked for spy in spies)
    assert one == other
    assert one != next_seed
    assert len(one) == 1
    assert len(set(one[0])) == 12


def test_the_held_out_part_is_not_fitted(nb201: NASBench201) -> None:
    """Other held-out values change the correlations only."""
    asked = Spy()
    measure_proxy(nb201, asked, proxy(), FIT, 0, 60, 100)
    held_out = set(asked.asked[0][60:])
    turned = Spy(lambda a: asked.answer(a) * (-1 if a in held_out else 1))
    one, other = (measure_proxy(nb201, spy, proxy(), FIT, 0, 60, 100) for spy in (Spy(), turned))
    assert other["kendall_tau"] == pytest.approx(-one["kendall_tau"])
    assert other["spearman"] == pytest.approx(-one["spearman"])


def test_a_constant_target_has_no_correlation(nb201: NASBench201) -> None:
    measured = measure_proxy(nb201, Spy(lambda _: 1.0), proxy(), FIT, 0, 10, 10)
    assert math.isnan(measured["kendall_tau"])
    assert math.isnan(measured["spearman"])


def test_parameters_and_flops_of_an_mlp(nb201: NASBench201) -> None:
    """Members (30·16 + 16·16 + 16) weights and so many multiply-adds, each two operations."""
    measured = measure_proxy(nb201, Spy(), proxy(members=3), FIT, 0, 10, 10)
    weights = 30 * 16 + 16 * 16 + 16
    assert measured["parameters"] == 3 * (weights + 16 + 16 + 1)
    assert measured["flops"] == 3 * 2 * weights


def test_flops_are_of_one_architecture_a_code(nb201: NASBench201) -> None:
    class Two(nn.Module):
        def forward(self, encoding: Any) -> Any:
            flat = encoding.operations.flatten(1)
            return (flat @ torch.ones(30, 4)) @ torch.ones(4, 1)

    codes = torch.zeros(3, 6, dtype=torch.int64)
    assert count_flops(Two(), nb201, codes[:1]) == 2 * (30 * 4 + 4)
    assert count_flops(Two(), nb201, codes) == 3 * 2 * (30 * 4 + 4)


def test_a_small_space_says_that_it_is_too_small(tiny: TinySpace) -> None:
    with pytest.raises(SamplingError, match="72 of 1100"):
        measure_proxy(tiny, Spy(), proxy(), FIT, 0)
