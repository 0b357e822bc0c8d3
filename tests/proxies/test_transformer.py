"""The transformer proxy against torch's own attention and encoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies import build_proxy
from optiproxy_nas.proxies.transformer import EncoderLayer, Transformer
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.encodings import searched_vertices, vertex_tokens
from optiproxy_nas.spaces.nb201 import NASBench201
from optiproxy_nas.testing import check_proxy

pytestmark = pytest.mark.usefixtures("global_state")


def settings(**values: Any) -> Any:
    small = {"name": "transformer", "hidden": 8, "layers": 3, "members": 2}
    return ProxySettings(**{**load_preset("default")["proxy"], **small, **values})


def affine(layer: Any, member: Any, x: Any) -> Any:
    return x @ layer.weight[member] + layer.bias[member, 0]


def naive_layer(layer: Any, member: Any, tokens: Any, present: Any) -> Any:
    """tokens [n, T, d], present [n, T] bool, one member: torch's attention, head by head."""
    width = tokens.shape[-1]
    normed = layer_norm(tokens, (width,))
    parts = affine(layer.attend, member, normed).split(width, dim=-1)
    size = width // layer.heads
    attention: Any = scaled_dot_product_attention
    heads = [
        attention(*(part[..., h * size : (h + 1) * size] for part in parts), present[:, None])
        for h in range(layer.heads)
    ]
    x = tokens + affine(layer.merge, member, torch.cat(heads, dim=-1))
    inner = torch.tanh(affine(layer.inner, member, layer_norm(x, (width,))))
    return x + affine(layer.outer, member, inner)


def test_it_keeps_the_contract(space: SearchSpace) -> None:
    check_proxy(Transformer, space)


@pytest.mark.parametrize("padded", [False, True])
def test_the_layer_is_scaled_dot_product_attention(
    generator: torch.Generator, padded: bool
) -> None:
    layer = EncoderLayer(3, 6, 8, 2, torch.tanh, generator)
    tokens = torch.randn(3, 4, 5, 6, generator=generator)
    present = torch.ones(4, 5)
    if padded:
        present[1, 3:] = present[2, 0] = 0
    out = layer(tokens, present)
    for member in range(3):
        expected = naive_layer(layer, member, tokens[member], present == 1)
        torch.testing.assert_close(out[member], expected)


def test_without_positions_the_order_of_tokens_does_not_matter(generator: torch.Generator) -> None:
    layer = EncoderLayer(2, 6, 8, 2, torch.tanh, generator)
    tokens = torch.randn(2, 4, 5, 6, generator=generator)
    order = torch.randperm(5, generator=generator)
    out = layer(tokens, torch.ones(4, 5))
    torch.testing.assert_close(layer(tokens[:, :, order], torch.ones(4, 5)), out[:, :, order])


def test_forward_is_an_encoder_over_the_searched_vertices(
    space: SearchSpace, generator: torch.Generator
) -> None:
    proxy: Any = build_proxy(space, settings(), generator, heads=2)
    encoding = space.encode(space.random(5, generator))
    graph = space.graph(encoding)
    vertices = searched_vertices(space)
    assert len(proxy.layers) == 2
    for member in range(2):
        x = affine(proxy.embed, member, vertex_tokens(graph)[:, vertices]) + proxy.position[member]
        for layer in proxy.layers:
            x = naive_layer(layer, member, x, graph.mask[:, vertices] == 1)
        x = layer_norm(x.mean(1), x.shape[-1:])  # no searched vertex of the two spaces is padding
        x = torch.tanh(affine(proxy.hidden, member, x))
        expected = affine(proxy.head, member, x)  # [n, H]
        torch.testing.assert_close(proxy(encoding)[member].T, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("hidden", [1, 2, 7, 64])
def test_any_width_will_do(nb201: NASBench201, generator: torch.Generator, hidden: int) -> None:
    proxy: Any = build_proxy(nb201, settings(hidden=hidden, layers=1), generator)
    assert proxy(nb201.encode(nb201.random(3, generator))).shape == (2, 1, 3)
    assert len(proxy.layers) == 1
