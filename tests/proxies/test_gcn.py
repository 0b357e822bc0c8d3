"""The GCN proxy against a naive Eq. 3: one member, one graph, one vertex at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from optiproxy_nas.core.parameters import ProxySettings
from optiproxy_nas.presets import load_preset
from optiproxy_nas.proxies import build_proxy
from optiproxy_nas.proxies.gcn import GCN, AveragedLayer, normalise
from optiproxy_nas.spaces import Encoding, Graph, Logits
from optiproxy_nas.spaces.base import SearchSpace
from optiproxy_nas.spaces.nb201 import NASBench201
from tiny_space import TinySpace


def settings(**values: Any) -> Any:
    small = {"name": "gcn", "hidden": 7, "layers": 2, "members": 3}
    return ProxySettings(**{**load_preset("paper")["proxy"], **small, **values})


def make(space: Any, seed: int = 0, heads: int = 1, **values: Any) -> Any:
    gcn: Any = GCN(space, settings(**values), torch.Generator().manual_seed(seed), heads)
    with torch.no_grad():  # so that the affine part of the layer normalisation matters
        for layer in gcn.layers:
            layer.scale.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(seed))
            layer.shift.uniform_(-1.0, 1.0, generator=torch.Generator().manual_seed(seed + 1))
    return gcn


def soft(space: Any, count: int, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    alpha = torch.randn(count, space.num_nodes, len(space.operations), generator=generator)
    beta = torch.randn(count, space.num_edges, generator=generator)
    return space.relax(Logits(alpha, beta), 0.7, generator, "logistic")


def gelu(x: Any) -> Any:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def naive_layer(layer: Any, member: Any, vertices: Any, adjacency: Any) -> Any:
    """Eq. 3 with self-loops and row sums (Wen et al. 2020): vertices [V, in], adjacency [V, V]."""
    size = len(adjacency)
    rows = []
    for v in range(size):
        ahead = [(w, float(adjacency[v, w]) + (v == w)) for w in range(size)]
        behind = [(w, float(adjacency[w, v]) + (v == w)) for w in range(size)]
        sides = []
        for neighbours, linear in ((ahead, layer.forwards), (behind, layer.backwards)):
            total = sum(weight for _, weight in neighbours)
            mean = sum(vertices[w] * weight / total for w, weight in neighbours)
            sides.append(gelu(mean @ linear.weight[member]))
        x = torch.cat(sides) @ layer.merge.weight[member] + layer.merge.bias[member, 0]
        x = (x - x.mean()) / torch.sqrt(x.var(correction=0) + 1e-5)
        rows.append(x * layer.scale[member, 0] + layer.shift[member, 0])
    return torch.stack(rows)


def naive(gcn: Any, graph: Any, member: Any, row: Any) -> Any:
    vertices = graph.features[row]
    for layer in gcn.layers:
        vertices = naive_layer(layer, member, vertices, graph.adjacency[row])
    real = [v for v in range(len(vertices)) if graph.mask[row, v] == 1]
    pooled = sum(vertices[v] for v in real) / len(real)
    hidden = gelu(pooled @ gcn.hidden.weight[member] + gcn.hidden.bias[member, 0])
    return hidden @ gcn.head.weight[member] + gcn.head.bias[member, 0]  # [H]


@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_forward_is_equation_3(
    space: SearchSpace, layers: int, hard: bool, generator: torch.Generator
) -> None:
    gcn = make(space, heads=2, layers=layers).eval()
    encoding = space.encode(space.random(4, generator)) if hard else soft(space, 4)
    with torch.no_grad():
        graph, predictions = space.graph(encoding), gcn(encoding)
        expected = [
            torch.stack([naive(gcn, graph, e, row) for row in range(4)], -1) for e in range(3)
        ]  # of each member [H, n]
    torch.testing.assert_close(predictions, torch.stack(expected), atol=1e-5, rtol=1e-5)
    assert predictions.std() > 1e-3


class Relabelled:
    """A space whose vertices are listed in another order, or followed by padding of any content."""

    def __init__(self, space: Any, order: Any = None, padding: int = 0) -> None:
        self.space, self.padding = space, padding
        self.order = torch.arange(space.num_vertices) if order is None else order
        self.num_features = space.num_features
        self.num_vertices = space.num_vertices + padding

    def graph(self, encoding: Any) -> Any:
        features, adjacency, mask = self.space.graph(encoding)
        features, mask = features[:, self.order], mask[:, self.order]
        adjacency = adjacency[:, self.order][:, :, self.order]
        rubbish = torch.full((len(features), self.padding, features.shape[-1]), 9.0)
        return Graph(
            torch.cat([features, rubbish], 1),
            torch.nn.functional.pad(adjacency, (0, self.padding, 0, self.padding)),
            torch.nn.functional.pad(mask, (0, self.padding)),
        )


def test_the_order_of_vertices_does_not_matter(
    space: SearchSpace, generator: torch.Generator
) -> None:
    order = torch.randperm(space.num_vertices, generator=generator)
    assert not torch.equal(order, order.sort().values)
    encoding = soft(space, 5)
    torch.testing.assert_close(
        make(space)(encoding), make(Relabelled(space, order))(encoding), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("padding", [1, 4])
def test_padding_vertices_do_not_matter(space: SearchSpace, padding: int) -> None:
    encoding = soft(space, 5)
    torch.testing.assert_close(
        make(space)(encoding), make(Relabelled(space, padding=padding))(encoding),
        atol=1e-5, rtol=1e-5,
    )  # fmt: skip


def test_each_direction_of_an_edge_matters(tiny: TinySpace) -> None:
    gcn = make(tiny)
    code = torch.tensor([[0, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 0, 1, 0], [0, 1, 0, 0, 1]])
    assert len(gcn(tiny.encode(code))[0, 0].unique()) == 4
    with torch.no_grad():
        whole = gcn(tiny.encode(code))
        for direction in ("forwards", "backwards"):
            for layer in gcn.layers:
                getattr(layer, direction).weight.zero_()
            assert not torch.isclose(gcn(tiny.encode(code)), whole).any()


def test_normalise_gives_rows_of_sum_one_with_a_self_loop() -> None:
    adjacency = torch.tensor([[[0.0, 1.0, 0.5], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]])
    expected = [[0.4, 0.4, 0.2], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]]
    torch.testing.assert_close(normalise(adjacency)[0], torch.tensor(expected))


@pytest.mark.parametrize("members", [1, 4])
def test_parameter_count_of_the_papers_size(nb201: NASBench201, members: int) -> None:
    """148,321 a member at hidden 144: the paper says 139.7K; its published code has 148.2K.

    A layer: two directions h·in, merge 2h·h + h, scale and shift 2h. Head: h·h + h and h + 1. The
    published code leaves out the two biases of the head (h + 1 = 145): 148,176.
    """
    gcn = make(nb201, hidden=144, members=members)
    h, width = 144, 7
    layers = (2 * h * width) + (2 * h * h) + 2 * (2 * h * h + h + 2 * h)
    assert layers + (h * h + h) + (h + 1) == 148_321
    assert sum(weight.numel() for weight in gcn.parameters()) == 148_321 * members


def test_gradient_is_that_of_finite_differences(space: SearchSpace) -> None:
    gcn = make(space, hidden=5).double()
    encoding = soft(space, 2)
    inputs = [field.double().requires_grad_() for field in encoding]
    if not space.num_edges:
        inputs[1] = inputs[1].detach()
    assert torch.autograd.gradcheck(lambda *fields: gcn(Encoding(*fields)), inputs)


@pytest.mark.parametrize("name", ["gcn", "mlp"])
@pytest.mark.usefixtures("global_state")
def test_members_are_the_networks_they_would_be_alone(
    space: SearchSpace, name: str, generator: torch.Generator
) -> None:
    """Member e of an ensemble computes what a lone network with its weights computes."""
    ensemble: Any = build_proxy(space, settings(name=name), generator)
    encoding = soft(space, 6)
    together = ensemble(encoding)
    for member in range(3):
        alone: Any = build_proxy(space, settings(name=name, members=1), torch.Generator())
        weights = ensemble.state_dict().items()
        alone.load_state_dict({key: value[member : member + 1] for key, value in weights})
        torch.testing.assert_close(alone(encoding)[0], together[member])


def test_the_activation_is_the_one_that_is_asked_for(nb201: NASBench201) -> None:
    encoding = soft(nb201, 6)
    assert not torch.equal(make(nb201, activation="relu")(encoding), make(nb201)(encoding))


def naive_averaged(layer: Any, member: Any, vertices: Any, adjacency: Any) -> Any:
    """Eq. 1 and 2 of the appendix, with self-loops and row sums: vertices [V, in]."""
    loops = adjacency + torch.eye(len(adjacency))
    reverse = adjacency.T + torch.eye(len(adjacency))
    sides = [
        torch.relu((a / a.sum(1, keepdim=True)) @ vertices @ linear.weight[member])
        for a, linear in zip((loops, reverse), layer.maps, strict=False)
    ]
    return sum(sides) / len(sides)


@pytest.mark.parametrize(("name", "directions"), [("gcn_one_way", 1), ("gcn_averaged", 2)])
def test_averaged_layers_are_equations_1_and_2_of_the_appendix(
    space: SearchSpace, name: str, directions: int, generator: torch.Generator
) -> None:
    gcn: Any = build_proxy(space, settings(name=name, activation="relu"), generator).eval()
    encoding = soft(space, 4)
    graph = space.graph(encoding)
    assert all(len(layer.maps) == directions for layer in gcn.layers)
    for member in range(3):
        for row in range(4):
            vertices = graph.features[row]
            for layer in gcn.layers:
                vertices = naive_averaged(layer, member, vertices, graph.adjacency[row])
            mask = graph.mask[row].unsqueeze(-1)
            pooled = (vertices * mask).sum(0) / mask.sum()
            hidden = torch.relu(pooled @ gcn.hidden.weight[member] + gcn.hidden.bias[member, 0])
            expected = hidden @ gcn.head.weight[member] + gcn.head.bias[member, 0]
            torch.testing.assert_close(gcn(encoding)[member, :, row], expected)


def test_one_way_messages_come_from_successors_only(
    tiny: TinySpace, generator: torch.Generator
) -> None:
    """An edge added into a vertex changes only its source's sum, in the second layer too."""
    one_way: Any = build_proxy(tiny, settings(name="gcn_one_way", layers=1), generator)
    vertices = torch.eye(3).expand(3, 1, 3, 3)
    edge = torch.zeros(1, 3, 3)
    edge[0, 0, 2] = 1
    layer = AveragedLayer(3, 3, 4, 1, torch.relu, generator)
    with torch.no_grad():
        without = layer(vertices, normalise(torch.zeros(1, 3, 3)))
        with_edge = layer(vertices, *one_way.matrices(edge))
    changed = (with_edge != without).any(-1)[:, 0]
    assert changed.tolist() == [[True, False, False]] * 3
