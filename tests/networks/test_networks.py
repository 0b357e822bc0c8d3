"""Networks of all cell spaces: operations, relaxed networks, refused settings and inputs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optiproxy_nas import InvalidArchitectureError, ParameterError, UnknownNameError, build_network
from optiproxy_nas.measuring.sizes import flops
from optiproxy_nas.networks import NETWORKS, CellNetwork, relaxed_network
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.nb101.isomorphism import PAIRS

TINY: dict[str, Any] = {"channels": 6, "cells": 1, "stages": 2, "input_channels": 1}
IMAGES = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
SPACES = sorted(NETWORKS)
SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"


def made_of(space: str, operation: str) -> str:
    """An architecture all of whose operations are that one."""
    kind = get_space(space)
    code = torch.zeros(1, kind.code_length, dtype=torch.int64)
    code[:, : kind.num_nodes] = kind.operations.index(operation)
    if space == "nb101":  # a chain of two vertices, with a bypass
        for pair in ((0, 1), (1, 2), (2, 6), (0, 6)):
            code[:, kind.num_nodes + PAIRS.index(pair)] = 1
    return kind.to_string(code)[0]


def loss(network: CellNetwork, *weights: Tensor | None) -> Tensor:
    return nn.functional.cross_entropy(network(IMAGES, *weights), torch.tensor([0, 1, 2]))


@pytest.mark.parametrize(
    ("space", "operation"), [(name, one) for name in SPACES for one in get_space(name).operations]
)
def test_each_operation_is_trained(space: str, operation: Any) -> None:
    network = build_network(made_of(space, operation), space, **TINY)
    torch.autograd.backward(loss(network))
    for tensor in network.parameters():
        assert tensor.grad is not None
        assert bool(torch.isfinite(tensor.grad).all())


@pytest.mark.heavy
@pytest.mark.parametrize("space", SPACES)
def test_a_relaxed_network_is_the_discrete_one_at_the_corners(space: str) -> None:
    torch.manual_seed(0)
    relaxed, kind = relaxed_network(space, **TINY).double(), get_space(space)
    images = IMAGES.double()
    for cell in kind.to_string(kind.random(3, torch.Generator().manual_seed(1))):
        corner = kind.encode(kind.from_string([cell]))
        discrete = relaxed.discrete(cell)
        for training in (True, False):
            with torch.no_grad():
                expected = discrete.train(training)(images)
                found = relaxed.train(training)(images, corner.operations[0], corner.edges[0])
            assert torch.allclose(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("space", SPACES)
def test_gradient_reaches_the_weights_of_operations_and_edges(space: str) -> None:
    kind = get_space(space)
    generator = torch.Generator().manual_seed(0)
    operations = torch.rand(kind.num_nodes, len(kind.operations), generator=generator)
    edges = torch.rand(kind.num_edges, generator=generator)
    weights = [operations.requires_grad_(), edges.requires_grad_()]
    torch.autograd.backward(loss(relaxed_network(space, **TINY), *weights))
    named = torch.tensor([name != "none" for name in kind.operations])  # which gives only zeros
    assert operations.grad is not None
    assert bool((operations.grad[:, named] != 0).all())
    if kind.num_edges:
        assert edges.grad is not None
        assert bool((edges.grad != 0).all())


@pytest.mark.parametrize("space", SPACES)
def test_stages_halve_the_side_and_a_stem_for_large_images_halves_it_more(
    space: str,
) -> None:
    cell = made_of(space, get_space(space).operations[-1])
    settings = TINY | {"stages": 3, "stem": "imagenet", "classes": 4}
    network = build_network(cell, space, **settings).eval()
    side = network.skeleton.least_side
    assert side == (32 if space == "nb301" else 16)
    with torch.no_grad():
        assert network(torch.zeros(1, 1, side, side)).shape == (1, 4)
        assert network(torch.zeros(1, 1, side + 5, side + 3)).shape == (1, 4)  # odd sides, too


@pytest.mark.parametrize("space", SPACES)
def test_no_weights_are_drawn_where_a_network_is_built_on_no_device(space: str) -> None:
    cell = made_of(space, get_space(space).operations[0])
    with torch.device("meta"):
        network = build_network(cell, space)
    assert all(tensor.is_meta for tensor in network.parameters())


@pytest.mark.parametrize(
    ("architecture", "space", "settings", "error", "data"),
    [
        ("|skip~0|", "nb201", {}, InvalidArchitectureError, {"architecture": "|skip~0|"}),
        (SKIPS, "nb102", {}, UnknownNameError, {"suggestion": "nb101"}),
        (SKIPS, "nb201", {"channels": -8}, ParameterError, {"errors": 1}),
        (SKIPS, "nb201", {"channels": "16"}, ParameterError, {"errors": 1}),
        (SKIPS, "nb201", {"stem": "none"}, ParameterError, {"errors": 1}),
        (SKIPS, "nb201", {"width": 16}, ParameterError, {"errors": 1}),
        (SKIPS, "nb201", {"drop_path": 0.2}, ParameterError, {"errors": 1}),
    ],
)
def test_what_no_network_can_be_is_refused(
    architecture: Any, space: str, settings: Any, error: Any, data: Any
) -> None:
    with pytest.raises(error) as raised:
        build_network(architecture, space, **settings)
    assert raised.value.data.items() >= data.items()


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 1, 8, 1), (1, 8, 8), (8, 8)])
def test_images_of_other_channels_or_too_small_are_refused(shape: Any) -> None:
    network = build_network(SKIPS, **TINY)
    for use in (network, lambda images: flops(network, images)):
        with pytest.raises(ParameterError) as raised:
            use(torch.zeros(shape))
        assert raised.value.data == {"shape": [*shape], "input_channels": 1, "least_side": 2}


def test_an_example_of_which_any_network_makes_nothing_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"\[2, 5\]"):
        flops(nn.Linear(4, 3), torch.zeros(2, 5))


def test_weights_of_another_shape_are_refused() -> None:
    relaxed, discrete = relaxed_network("nb201", **TINY), build_network(SKIPS, **TINY)
    for network, weights in (
        (relaxed, None),
        (relaxed, torch.zeros(5, 6)),
        (discrete, torch.zeros(6, 5)),
    ):
        with pytest.raises(ParameterError) as raised:
            network(IMAGES, weights)
        assert raised.value.data["name"] == "operations"
    with pytest.raises(ParameterError) as raised:
        relaxed(IMAGES, torch.zeros(6, 5), torch.ones(6))
    assert raised.value.data["name"] == "edges"
    with pytest.raises(ParameterError):
        discrete.discrete(SKIPS)


def test_the_page_about_networks_says_what_is() -> None:
    page = Path(__file__).parents[2] / "docs" / "networks.md"
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, page.name, "exec"), names)
    assert names["parameters"](names["network"]) == 587_386
    assert names["scores"].shape == (4, 10)
    assert names["found"].skeleton == names["small"].skeleton
