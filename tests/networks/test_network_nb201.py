"""NAS-Bench-201 cells as networks: sizes as published."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optiproxy_nas import build_network
from optiproxy_nas.measuring.sizes import flops, parameters
from optiproxy_nas.spaces.nb201 import OPERATIONS, NASBench201

SPACE = NASBench201()
TINY: dict[str, Any] = {"channels": 4, "cells": 1, "stages": 2, "input_channels": 1}
# A convolution of k by k on each of 5 cells of 16, 32 and 64 channels, with its normalisation.
OF_ONE_EDGE = [0, 0, *(sum(5 * (k * k * c * c + 2 * c) for c in (16, 32, 64)) for k in (1, 3)), 0]
WITHOUT_CELLS = 73_306


def text(*operations: str) -> str:
    return SPACE.to_string(torch.tensor([[OPERATIONS.index(name) for name in operations]]))[0]


def counted(codes: Tensor) -> Tensor:
    """Parameters of cells [n, 6]."""
    return WITHOUT_CELLS + torch.tensor(OF_ONE_EDGE)[codes].sum(-1)


def test_parameters_of_built_networks_are_the_sum_over_the_edges() -> None:
    one_of_each = SPACE.random(4, torch.Generator().manual_seed(1))
    codes = torch.cat([torch.arange(5).unsqueeze(1).repeat(1, 6), one_of_each])
    built = [parameters(build_network(cell)) for cell in SPACE.to_string(codes)]
    assert built == counted(codes).tolist()


def test_parameters_of_all_cells_are_those_of_the_table(ingested: Any) -> None:
    table = ingested.table("embedded")
    rows = table[table["dataset"] == "cifar10"]
    assert len(rows) == 15_625
    counts = counted(SPACE.from_string(rows["architecture"].tolist())).double().numpy()
    assert abs(counts - 1e6 * rows["parameters_millions"].to_numpy()).max() < 0.1


def test_flops_are_two_for_each_multiplication_and_addition() -> None:
    # A stage has the same work as the one before: four times the weights, a quarter of the pixels.
    convolutions = 6 * 5 * 3 * (9 * 16 * 16 * 32 * 32)
    blocks = 2 * (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32) * 16 * 16
    rest = 9 * 3 * 16 * 32 * 32 + 64 * 10
    network = build_network(text(*6 * ["nor_conv_3x3"]))
    example = torch.zeros(1, 3, 32, 32)
    assert flops(network, example) == 2 * (convolutions + blocks + rest)
    assert network.training


def test_a_cell_sums_what_its_edges_give() -> None:
    network: Any = build_network(text(*6 * ["skip_connect"]), **TINY)
    cell = network.layers[0]
    inputs = torch.randn(2, 4, 8, 8)
    assert torch.equal(cell(inputs), 4 * inputs)  # x, x + x, x + x + 2 x
