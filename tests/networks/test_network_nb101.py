"""NAS-Bench-101 cells as networks: the channels of vertices, parameters as published."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE
from optiproxy_nas.benchmarks.readers.nb101_table import codes_of
from optiproxy_nas.measuring.sizes import parameters
from optiproxy_nas.networks.nb101 import Cell, NB101Network, NB101Skeleton, vertex_channels
from optiproxy_nas.spaces.nb101 import NASBench101
from optiproxy_nas.spaces.nb101.isomorphism import INNER, PAIRS

SPACE = NASBench101()
SKELETON = NB101Skeleton()


def counted(code: Tensor) -> int:
    with torch.device("meta"):
        return parameters(NB101Network(SKELETON, code))


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ([(0, 6)], {6: 128}),
        ([(0, 1), (1, 6)], {1: 128, 6: 128}),
        # 128 = 43 + 43 + 42 of the vertices that feed the output; vertex 1 feeds two of them.
        (
            [(0, 1), (1, 2), (1, 4), (2, 6), (0, 3), (3, 6), (4, 6)],
            {1: 43, 2: 43, 3: 43, 4: 42, 6: 128},
        ),
        (
            [(0, 1), (1, 5), (0, 2), (2, 6), (0, 3), (3, 6), (5, 6)],
            {1: 42, 2: 43, 3: 43, 5: 42, 6: 128},
        ),
    ],
)
def test_channels_of_vertices(edges: Any, expected: Any) -> None:
    assert vertex_channels(128, edges) == expected


def test_a_cell_cuts_concatenates_and_adds_the_projected_input() -> None:
    edges = [(0, 1), (0, 6), (1, 2), (1, 6), (2, 6)]  # 7 = 4 + 3 channels
    cell = Cell(2, 7, dict.fromkeys(range(1, 6), "conv1x1-bn-relu"), edges).eval()
    images = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first = cell.vertices["1"](cell.projections["1"](images))
        second = cell.vertices["2"](first[:, :3])
        expected = torch.cat([first, second], 1) + cell.projections["6"](images)
        assert torch.equal(cell(images), expected)
    assert sorted(cell.projections) == ["1", "6"]


def test_vertices_on_no_path_have_no_weights() -> None:
    code = SPACE.from_string(["conv3x3/11.1"])[0]
    with_dead_end = code.clone()
    with_dead_end[INNER + PAIRS.index((0, 3))] = 1
    assert counted(with_dead_end) == counted(code)


@pytest.mark.heavy
def test_parameters_are_those_of_the_table() -> None:
    folder = os.environ.get(DATA_DIRECTORY_VARIABLE)
    path = Path(folder or "") / "nb101" / "nb101_table.npz"
    if not folder or not path.is_file():
        pytest.skip(f"{DATA_DIRECTORY_VARIABLE} has no nb101/nb101_table.npz")
    names = ("num_vertices", "edge_bits", "ops", "params")
    rows = np.random.default_rng(0).choice(423_624, 24, replace=False)
    with np.load(path) as archive:
        table = {name: archive[name][rows] for name in names}
    codes = codes_of(table)
    differing = [row for row, code in enumerate(codes) if counted(code) != table["params"][row]]
    # Where three vertices share the channels, the table may have those of another order.
    assert len(differing) <= 2
    for row in differing:
        orders = SPACE.isomorphic(codes[row].repeat(8, 1), torch.Generator().manual_seed(0))
        different = {tuple(code) for code in orders.tolist()}
        assert table["params"][row] in {counted(torch.tensor(code)) for code in different}
