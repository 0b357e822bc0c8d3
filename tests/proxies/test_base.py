from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.errors import ProxyError
from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies import Proxy, build_proxy
from optiproxy_nas.proxies.base import EnsembleLinear
from optiproxy_nas.proxies.mlp import MLP
from optiproxy_nas.spaces.nb201 import NASBench201
from tiny_space import TinySpace

pytestmark = pytest.mark.usefixtures("global_state")


@pytest.mark.parametrize("bias", [True, False])
def test_ensemble_linear_is_one_linear_a_member(bias: bool, generator: torch.Generator) -> None:
    layer: Any = EnsembleLinear(3, 4, 2, generator, bias=bias)
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


def test_ensemble_linear_starts_as_torch_linear_does(generator: torch.Generator) -> None:
    layer: Any = EnsembleLinear(50, 16, 30, generator)
    bound = 1 / math.sqrt(16)
    for values in (layer.weight, layer.bias):
        assert values.abs().max() <= bound
        assert float(values.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)


def settings(**values: Any) -> Any:
    return ProxySettings(**{**load_preset("paper")["proxy"], **values})


def test_build_proxy_takes_a_class_of_a_third_party(
    tiny: TinySpace, generator: torch.Generator
) -> None:
    chosen = settings(name="optiproxy_nas.proxies.mlp:MLP", hidden=3, layers=1, members=2)
    proxy = build_proxy(tiny, chosen, generator)
    assert isinstance(proxy, MLP)
    assert isinstance(proxy, Proxy)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("silu", lambda x: x / (1 + torch.exp(-x))),
        ("relu", lambda x: x * (x > 0)),
        ("tanh", lambda x: 1 - 2 / (torch.exp(2 * x) + 1)),
        ("gelu", lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))),
    ],
)
def test_mlp_is_the_stretched_vector_through_its_layers(
    tiny: TinySpace, generator: torch.Generator, name: str, activation: Any, heads: int
) -> None:
    mlp: Any = MLP(tiny, settings(hidden=4, layers=2, members=2, activation=name), generator, heads)
    encoding = tiny.encode(tiny.random(3, generator))
    for member in range(2):
        for row in range(3):
            x = torch.cat([encoding.operations[row].flatten(), encoding.edges[row]])
            for layer in mlp.hidden:
                x = activation(x @ layer.weight[member] + layer.bias[member, 0])
            expected = x @ mlp.head.weight[member] + mlp.head.bias[member, 0]  # [H]
            torch.testing.assert_close(mlp(encoding)[member, :, row], expected)


def test_mlp_activations_keep_their_size_from_layer_to_layer(
    nb201: NASBench201, generator: torch.Generator
) -> None:
    """N(0, 2 / active inputs): of a one-hot encoding one input a node is active, not M."""
    mlp = MLP(nb201, settings(hidden=400, layers=3, members=4, activation="relu"), generator)
    encoding = nb201.encode(nb201.random(64, generator))
    x = encoding.operations.flatten(1).expand(4, 64, 30)
    with torch.no_grad():
        for layer in mlp.hidden:
            x = layer(x)
            assert float(x.std()) == pytest.approx(math.sqrt(2), rel=0.15)
            x = torch.relu(x)
        assert float(mlp.head(x).std()) == pytest.approx(1.0, rel=0.3)


def test_a_proxy_that_does_not_fit_into_memory_is_told_so(
    nb201: NASBench201, make_parameters: Callable[..., SearchParameters]
) -> None:
    settings = make_parameters(proxy={"name": "mlp", "hidden": 10**9}).proxy
    with pytest.raises(ProxyError, match=r"does not fit into memory.*proxy\.hidden"):
        build_proxy(nb201, settings, torch.Generator())
