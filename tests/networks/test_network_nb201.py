"""NAS-Bench-201 cells as networks: sizes as published, operations, the relaxed network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from optiproxy_nas import build_network
from optiproxy_nas.measuring.sizes import flops, parameters
from optiproxy_nas.networks import relaxed_network
from optiproxy_nas.spaces.nb201 import OPERATIONS, NASBench201

SPACE = NASBench201()
TINY = {"channels": 4, "cells": 1, "stages": 2, "input_channels": 1}
IMAGES = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
# A convolution of k by k on each of 5 cells of 16, 32 and 64 channels, with its normalisation.
OF_ONE_EDGE = [0, 0, *(sum(5 * (k * k * c * c + 2 * c) for c in (16, 32, 64)) for k in (1, 3)), 0]
WITHOUT_CELLS = 73_306


def text(*operations: str) -> str:
    return SPACE.to_string(torch.tensor([[OPERATIONS.index(name) for name in operations]]))[0]


def counted(codes: Tensor) -> Tensor:
    """Parameters of cells [n, 6]."""
    return WITHOUT_CELLS + torch.tensor(OF_ONE_EDGE)[codes].sum(-1)


def test_parameters_of_built_networks_are_the_sum_over_the_edges():
    one_of_each = SPACE.random(4, torch.Generator().manual_seed(1))
    codes = torch.cat([torch.arange(5).unsqueeze(1).repeat(1, 6), one_of_each])
    built = [parameters(build_network(cell)) for cell in SPACE.to_string(codes)]
    assert built == counted(codes).tolist()


def test_parameters_of_all_cells_are_those_of_the_table(ingested):
    table = ingested.table("embedded")
    rows = table[table["dataset"] == "cifar10"]
    assert len(rows) == 15_625
    counts = counted(SPACE.from_string(rows["architecture"].tolist())).double().numpy()
    assert abs(counts - 1e6 * rows["parameters_millions"].to_numpy()).max() < 0.1


def test_flops_are_two_for_each_multiplication_and_addition():
    # A stage has the same work as the one before: four times the weights, a quarter of the pixels.
    convolutions = 6 * 5 * 3 * (9 * 16 * 16 * 32 * 32)
    blocks = 2 * (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32) * 16 * 16
    rest = 9 * 3 * 16 * 32 * 32 + 64 * 10
    network = build_network(text(*6 * ["nor_conv_3x3"]))
    example = torch.zeros(1, 3, 32, 32)
    assert flops(network, example) == 2 * (convolutions + blocks + rest)
    assert network.training


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_is_trained(operation):
    network = build_network(text(operation, *5 * ["skip_connect"]), **TINY)
    loss = nn.functional.cross_entropy(network(IMAGES), torch.tensor([0, 1, 2]))
    torch.autograd.backward(loss)
    assert all(bool(torch.isfinite(tensor.grad).all()) for tensor in network.parameters())


def test_a_cell_sums_what_its_edges_give():
    network = build_network(text(*6 * ["skip_connect"]), **TINY)
    cell = network.layers[0]
    inputs = torch.randn(2, 4, 8, 8)
    assert torch.equal(cell(inputs), 4 * inputs)  # x, x + x, x + x + 2 x


def test_the_relaxed_network_is_the_discrete_one_at_the_corners():
    relaxed = relaxed_network("nb201", **TINY).eval()
    codes = SPACE.random(5, torch.Generator().manual_seed(2))
    with torch.no_grad():
        for cell, operations in zip(
            SPACE.to_string(codes), SPACE.encode(codes).operations, strict=True
        ):
            expected = relaxed.discrete(cell).eval()(IMAGES)
            assert torch.allclose(relaxed(IMAGES, operations), expected, atol=1e-5)


def test_gradient_reaches_the_weights_of_operations():
    operations = torch.full((6, 5), 0.2, requires_grad=True)
    torch.autograd.backward(relaxed_network("nb201", **TINY)(IMAGES, operations).square().sum())
    assert operations.grad is not None
    assert bool((operations.grad[:, 1:] != 0).all())  # "none" gives zeros, whatever its weight
