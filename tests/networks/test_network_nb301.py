"""DARTS cells as networks: sizes as published, reduction cells, drop-path."""

from __future__ import annotations

from typing import Any

import torch

from optiproxy_nas import build_network
from optiproxy_nas.measuring.sizes import parameters
from optiproxy_nas.networks.nb301 import FactorizedReduce
from optiproxy_nas.spaces.nb301 import NASBench301

SPACE = NASBench301()
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)
TINY = {"channels": 4, "cells": 1, "stages": 2, "input_channels": 1}
IMAGES = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_parameters_are_those_that_darts_prints_for_its_best_cells() -> None:
    with torch.device("meta"):
        small = build_network(DARTS_V2, "nb301", channels=36, cells=6)  # 20 cells
        large = build_network(
            DARTS_V2, "nb301", channels=48, cells=4, stem="imagenet", classes=1000
        )
    assert parameters(small) == 3_349_342
    assert parameters(large) == 4_718_752


def test_a_reduction_cell_halves_the_side_and_doubles_the_channels() -> None:
    network: Any = build_network(DARTS_V2, "nb301", **TINY).eval()
    shapes = []
    for cell in network.layers:
        cell.register_forward_hook(lambda cell, inputs, output: shapes.append([*output.shape[1:]]))
    with torch.no_grad():
        network(IMAGES)
    assert shapes == [[16, 8, 8], [32, 4, 4], [32, 4, 4]]  # normal, reduction, normal
    assert network.are_reductions == [False, True, False]


def test_the_skeleton_of_the_benchmark_has_eight_cells() -> None:
    with torch.device("meta"):
        network: Any = build_network(DARTS_V2, "nb301")
    assert [number for number, one in enumerate(network.are_reductions) if one] == [2, 5]
    assert len(network.are_reductions) == 8


def test_an_odd_side_is_halved_and_rounded_up() -> None:
    assert FactorizedReduce(4, 6)(torch.randn(2, 4, 7, 5)).shape == (2, 6, 4, 3)


def test_outputs_are_dropped_in_training_only_and_only_where_it_is_asked_for() -> None:
    torch.manual_seed(0)
    network: Any = build_network(DARTS_V2, "nb301", **TINY)
    with torch.no_grad():
        assert torch.equal(network(IMAGES), network(IMAGES))
        network.drop_path = 0.5
        assert not torch.equal(network(IMAGES), network(IMAGES))
        network.eval()
        assert torch.equal(network(IMAGES), network(IMAGES))
    assert build_network(DARTS_V2, "nb301", **TINY, drop_path=0.2).drop_path == 0.2
