"""The LSTM proxy against torch.nn.LSTM, one member at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies import build_proxy
from optiproxy_nas.proxies.lstm import LSTM, LSTMLayer
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.encodings import searched_vertices, vertex_tokens
from optiproxy_nas.spaces.nb201 import NASBench201
from optiproxy_nas.testing import check_proxy

pytestmark = pytest.mark.usefixtures("global_state")


def settings(**values: Any) -> Any:
    small = {"name": "lstm", "hidden": 6, "layers": 3, "members": 2}
    return ProxySettings(**{**load_preset("default")["proxy"], **small, **values})


def reference(layer: Any, member: Any) -> Any:
    """torch.nn.LSTM with the weights of one member."""
    _, inputs, gates = layer.inputs.weight.shape
    lstm: Any = torch.nn.LSTM(inputs, gates // 4, batch_first=True, device="meta").to_empty(
        device="cpu"
    )
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(layer.inputs.weight[member].T)
        lstm.weight_hh_l0.copy_(layer.recurrent.weight[member].T)
        lstm.bias_ih_l0.copy_(layer.inputs.bias[member, 0])
        lstm.bias_hh_l0.zero_()
    return lstm


def test_it_keeps_the_contract(space: SearchSpace) -> None:
    check_proxy(LSTM, space)


def test_the_layer_is_one_torch_lstm_a_member(generator: torch.Generator) -> None:
    layer = LSTMLayer(3, 5, 4, generator)
    tokens = torch.randn(3, 7, 6, 5, generator=generator)
    out = layer(tokens, torch.ones(7, 6))
    for member in range(3):
        _, (state, _) = reference(layer, member)(tokens[member])
        torch.testing.assert_close(out[member], state[0])


def test_padding_passes_the_state_on(generator: torch.Generator) -> None:
    """Padding between and after tokens, other in each row, is as if it were not there."""
    layer = LSTMLayer(2, 5, 4, generator)
    mask = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]])
    tokens = torch.randn(2, 3, 4, 5, generator=generator)
    out = layer(tokens, mask)
    for row in range(3):
        kept = tokens[:, row : row + 1, mask[row] == 1]
        alone = layer(kept, torch.ones(kept.shape[1:3]))
        torch.testing.assert_close(out[:, row : row + 1], alone)


def test_forward_reads_the_searched_vertices_in_order(
    space: SearchSpace, generator: torch.Generator
) -> None:
    proxy: Any = build_proxy(space, settings(), generator, heads=2)
    encoding = space.encode(space.random(5, generator))
    tokens = vertex_tokens(space.graph(encoding))[:, searched_vertices(space)]
    for member in range(2):
        _, (state, _) = reference(proxy.recurrent, member)(tokens)
        x = state[0]
        for dense in proxy.dense:
            x = torch.tanh(x @ dense.weight[member] + dense.bias[member, 0])
        expected = x @ proxy.head.weight[member] + proxy.head.bias[member, 0]  # [n, H]
        torch.testing.assert_close(proxy(encoding)[member].T, expected)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers_count_the_recurrent_one(
    nb201: NASBench201, generator: torch.Generator, layers: int
) -> None:
    proxy: Any = build_proxy(nb201, settings(layers=layers), generator)
    assert len(proxy.dense) == layers - 1


def test_it_remembers_at_first(generator: torch.Generator) -> None:
    """Jozefowicz et al. (2015): the forget gate's bias starts around 1, the others around 0."""
    layer: Any = LSTMLayer(40, 16, 25, generator)
    bias = layer.inputs.bias.detach().reshape(40, 4, 25).mean((0, 2))
    torch.testing.assert_close(bias, torch.tensor([0.0, 1, 0, 0]), atol=0.02, rtol=0)
