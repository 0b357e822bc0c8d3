from __future__ import annotations

import math

import pytest
import torch

from optiproxy_nas.parameters import ProxySettings
from optiproxy_nas.proxies import Proxy, build_proxy
from optiproxy_nas.proxies.base import EnsembleLinear
from optiproxy_nas.proxies.mlp import MLP

pytestmark = pytest.mark.usefixtures("global_state")


@pytest.mark.parametrize("bias", [True, False])
def test_ensemble_linear_is_one_linear_a_member(bias, generator):
    layer = EnsembleLinear(3, 4, 2, generator, bias=bias)
    x = torch.randn(3, 5, 4, generator=generator)
    out = layer(x)
    assert out.shape == (3, 5, 2)
    for member in range(3):
        linear = torch.nn.Linear(4, 2, bias=bias, device="meta").to_empty(device="cpu")
        with torch.no_grad():
            linear.weight.copy_(layer.weight[member].T)
            if bias:
                linear.bias.copy_(layer.bias[member, 0])
        torch.testing.assert_close(out[member], linear(x[member]))


def test_ensemble_linear_starts_as_torch_linear_does(generator):
    layer = EnsembleLinear(50, 16, 30, generator)
    bound = 1 / math.sqrt(16)
    for values in (layer.weight, layer.bias):
        assert values.abs().max() <= bound
        assert float(values.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_build_proxy_takes_a_class_of_a_third_party(tiny, generator):
    settings = ProxySettings(name="optiproxy_nas.proxies.mlp:MLP", hidden=3, layers=1, members=2)
    proxy = build_proxy(tiny, settings, generator)
    assert isinstance(proxy, MLP)
    assert isinstance(proxy, Proxy)


def test_mlp_is_the_stretched_vector_through_silu_layers(tiny, generator):
    mlp = MLP(tiny, ProxySettings(name="mlp", hidden=4, layers=2, members=2), generator)
    encoding = tiny.encode(tiny.random(3, generator))
    for member in range(2):
        for row in range(3):
            x = torch.cat([encoding.operations[row].flatten(), encoding.edges[row]])
            for layer in mlp.hidden:
                x = x @ layer.weight[member] + layer.bias[member, 0]
                x = x / (1 + torch.exp(-x))
            expected = x @ mlp.head.weight[member] + mlp.head.bias[member, 0]
            torch.testing.assert_close(mlp(encoding)[member, row : row + 1], expected)
