"""The GAT proxy against Veličković et al. (2018), Eq. 1-4: one vertex and neighbour at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies import build_proxy
from optiproxy_nas.proxies.base import weighted_softmax
from optiproxy_nas.proxies.gat import GAT, GATLayer
from optiproxy_nas.spaces.base import Graph, SearchSpace
from optiproxy_nas.spaces.nb201 import NASBench201
from optiproxy_nas.testing import check_proxy

pytestmark = pytest.mark.usefixtures("global_state")


def settings(**values: Any) -> Any:
    small = {"name": "gat", "hidden": 6, "layers": 2, "members": 2}
    return ProxySettings(**{**load_preset("default")["proxy"], **small, **values})


@pytest.mark.parametrize("hidden", [1, 7])
def test_any_width_will_do(nb201: NASBench201, generator: torch.Generator, hidden: int) -> None:
    proxy: Any = build_proxy(nb201, settings(hidden=hidden), generator)
    assert proxy(nb201.encode(nb201.random(3, generator))).shape == (2, 1, 3)


def test_it_keeps_the_contract(space: SearchSpace) -> None:
    check_proxy(GAT, space)


def naive_layer(layer: Any, member: Any, vertices: Any, adjacency: Any) -> Any:
    """vertices [V, in], adjacency [V, V] -> [V, 2 h]: predecessors' head, then successors'."""
    outputs = layer.a.shape[-1]
    heads = []
    for head, links in enumerate((adjacency.T, adjacency)):
        columns = slice(head * outputs, (head + 1) * outputs)
        projected = vertices @ layer.project.weight[member, :, columns]
        to, of = layer.a[member, :, head]
        rows = []
        for i in range(len(vertices)):
            weights = []
            for j in range(len(vertices)):
                score = float(to @ projected[i] + of @ projected[j])
                score = score if score > 0 else 0.2 * score
                weights.append((float(links[i, j]) + (i == j)) * math.exp(score))
            mixed = sum(w * projected[j] for j, w in enumerate(weights)) / sum(weights)
            rows.append(torch.tanh(mixed + layer.project.bias[member, 0, columns]))
        heads.append(torch.stack(rows))
    return torch.cat(heads, dim=-1)


@pytest.mark.parametrize("hard", [True, False])
def test_forward_is_graph_attention(
    space: SearchSpace, hard: bool, generator: torch.Generator
) -> None:
    proxy: Any = build_proxy(space, settings(), generator, heads=2)
    encoding = space.encode(space.random(3, generator))
    if not hard:
        encoding = type(encoding)(encoding.operations * 0.6 + 0.1, encoding.edges * 0.6 + 0.1)
    graph = space.graph(encoding)
    with torch.no_grad():
        for member in range(2):
            for row in range(3):
                x = graph.features[row]
                for layer in proxy.layers:
                    x = naive_layer(layer, member, x, graph.adjacency[row])
                x = x[graph.mask[row] == 1].mean(0)
                x = torch.tanh(x @ proxy.hidden.weight[member] + proxy.hidden.bias[member, 0])
                expected = x @ proxy.head.weight[member] + proxy.head.bias[member, 0]
                torch.testing.assert_close(proxy(encoding)[member, :, row], expected)


class Renumbered:
    """A space whose graph has its vertices in another order."""

    def __init__(self, space: Any, order: Any) -> None:
        self.space, self.order = space, order

    def __getattr__(self, name: Any) -> Any:
        return getattr(self.space, name)

    def graph(self, encoding: Any) -> Any:
        features, adjacency, mask = self.space.graph(encoding)
        order = self.order
        return Graph(features[:, order], adjacency[:, order][:, :, order], mask[:, order])


@given(order=st.permutations(range(8)))
def test_the_order_of_the_vertices_does_not_matter(nb201: NASBench201, order: Any) -> None:
    cells = nb201.encode(nb201.random(4, torch.Generator().manual_seed(1)))
    one, other = (
        GAT(space, settings(), torch.Generator().manual_seed(0))(cells)
        for space in (nb201, Renumbered(nb201, list(order)))
    )
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@given(
    scores=st.lists(st.floats(-40, 40), min_size=4, max_size=4),
    chosen=st.lists(st.booleans(), min_size=4, max_size=4).filter(any),
)
def test_weighted_softmax_is_the_softmax_over_what_is_chosen(scores: Any, chosen: Any) -> None:
    weights = weighted_softmax(torch.tensor(scores), torch.tensor(chosen).float())
    rest = torch.tensor([s if c else -math.inf for s, c in zip(scores, chosen, strict=True)])
    torch.testing.assert_close(weights, torch.softmax(rest, -1), atol=1e-6, rtol=1e-4)


def test_weighted_softmax_has_a_slope_where_there_is_no_edge() -> None:
    """d/dA of A e^s / Σ A e^s, by hand: scores 0, A = (1, 0) gives (-1, 1)."""
    weights = torch.tensor([1.0, 0.0], requires_grad=True)
    (slope,) = torch.autograd.grad(weighted_softmax(torch.zeros(2), weights)[0], weights)
    assert slope.tolist() == [0, -1]


def test_large_scores_stay_finite(generator: torch.Generator) -> None:
    layer = GATLayer(1, 3, 2, torch.tanh, generator)
    vertices = 1e4 * torch.randn(1, 1, 4, 3, generator=generator)
    vertices.requires_grad_()
    out = layer(vertices, torch.eye(4).expand(1, 2, 4, 4))
    (slope,) = torch.autograd.grad(out.sum(), vertices)
    assert torch.isfinite(out).all()
    assert torch.isfinite(slope).all()
