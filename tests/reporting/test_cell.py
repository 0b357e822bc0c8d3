"""The drawing of a cell: labels, what is grey, and where boxes stand."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from optiproxy_nas.report.cell import _in_lines, _live, _order, draw_cell
from optiproxy_nas.report.cell_layout import COLUMN, LINE, Folded, layout
from optiproxy_nas.report.style import FAINT, INK
from optiproxy_nas.spaces.base import Graph
from optiproxy_nas.spaces.nb201 import NASBench201
from optiproxy_nas.spaces.nb301 import NASBench301
from optiproxy_nas.spaces.nbnlp import NASBenchNLP

HALF_DEAD = "|none~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"


def colours(figure: Any) -> Any:
    return {text.get_text(): to_hex(text.get_color()) for text in figure.axes[0].texts}


@pytest.mark.filterwarnings("error")
def test_parts_that_carry_no_signal_are_grey() -> None:
    shown = colours(draw_cell(NASBench201(), HALF_DEAD))
    alive = {label for label, colour in shown.items() if colour == INK}
    assert alive == {"0 input", "skip_connect", "3 output"}
    assert {shown[label] for label in shown.keys() - alive} == {FAINT}


def test_node_labels_caption_the_operations_only() -> None:
    names = [f"edge {number}" for number in range(6)]
    shown = colours(draw_cell(NASBench201(), HALF_DEAD, node_labels=names))
    assert set(names) <= shown.keys()


def test_names_of_features_can_be_given() -> None:
    names = ["in", "zero", "skip", "c1", "c3", "pool", "out"]
    assert {"in", "out", "pool"} <= colours(draw_cell(NASBench201(), HALF_DEAD, names)).keys()


def test_the_graph_of_nb201_is_drawn_without_crossings_from_left_to_right() -> None:
    space = NASBench201()
    graph = space.graph(space.encode(space.from_string([HALF_DEAD])))
    edges = graph.adjacency[0].numpy() > 0.5
    places, routes = layout(edges)
    assert len(set(places)) == 8
    assert all(places[a][0] < places[b][0] for a, b in routes)
    steps = []
    for (a, b), route in routes.items():
        chain = [places[a], *route, places[b]]
        steps += list(pairwise(chain))
    crossings = [
        (one, two)
        for one in steps
        for two in steps
        if one[0][0] == two[0][0] and one[0][1] < two[0][1] and one[1][1] > two[1][1]
    ]
    assert crossings == []


def test_vertices_without_edges_are_not_alive() -> None:
    edges = np.zeros((3, 3), dtype=bool)
    edges[0, 2] = True
    assert _live(edges, np.zeros(3, dtype=bool)).tolist() == [True, False, True]


def test_a_long_graph_goes_on_in_lines_that_fit_a_page() -> None:
    # Two diamonds of six columns joined by one edge, as the two cells of NAS-Bench-301 are.
    chain = [(i, i + 1) for i in range(11)] + [(0, 2), (1, 4), (6, 8), (7, 11)]
    edges = np.zeros((12, 12), dtype=bool)
    edges[tuple(np.transpose(chain))] = True
    places, routes = layout(edges)
    folded = Folded(places, routes)
    assert folded.size[0] == LINE * COLUMN
    assert folded.letters == {5: "a"}
    first, second = (
        {folded.point(places[v])[1] for v in half} for half in (range(6), range(6, 12))
    )
    assert min(first) > max(second)
    assert folded.point(places[6])[0] == folded.point(places[0])[0] == 0
    lines = folded.lines([places[5], *routes[5, 6], places[6]])
    assert [len(line) for line in lines] == [1, 1]


def test_what_fits_one_line_stays_on_it() -> None:
    edges = np.diag(np.ones(LINE, dtype=bool), 1)
    places, routes = layout(edges)
    folded = Folded(places, routes)
    assert folded.letters == {}
    assert folded.size[0] == (LINE + 1) * COLUMN


def test_letters_join_the_lines_of_a_long_cell() -> None:
    class Chain:
        operations = ("activation_leaky_relu", "none")
        num_features = 4
        num_vertices = 22
        vertex_labels = ("input", *20 * ("",), "output")

        def from_string(self, architectures: Any) -> Any:
            return architectures

        def encode(self, codes: Any) -> Any:
            return codes

        def graph(self, encoding: Any) -> Any:
            kinds = torch.eye(4)[[0, *[1] * 20, 3]].unsqueeze(0)
            joined = torch.diag(torch.ones(21), 1).unsqueeze(0)
            return Graph(kinds, joined, torch.ones(1, 22))

    chain: Any = Chain()
    figure = draw_cell(chain, "x")
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert (
        labels.count("a") == labels.count("b") == labels.count("c") == 2
    )  # where it ends, and begins
    assert labels.count("activation_\nleaky_relu") == 20
    assert figure.get_figwidth() <= (LINE + 1) * COLUMN


def test_long_labels_are_split_where_their_words_are() -> None:
    assert _in_lines("conv3x3-bn-relu") == "conv3x3-bn-relu"
    assert _in_lines("activation_leaky_relu") == "activation_\nleaky_relu"
    assert _in_lines("a" * 30) == "a" * 30


def drawn(space: Any, architecture: str) -> Any:
    figure = draw_cell(space, architecture, node_labels=space.node_labels)
    return [text.get_text() for text in figure.axes[0].texts]


def test_both_cells_of_nb301_have_a_title_and_their_own_inputs() -> None:
    space = NASBench301()
    (architecture,) = space.to_string(space.random(1, torch.Generator().manual_seed(0)))
    labels = drawn(space, architecture)
    assert labels.count("normal cell") == labels.count("reduction cell") == 1
    assert labels.count("c_{k-2}") == labels.count("c_{k-1}") == labels.count("output") == 2
    assert set(space.node_labels) <= set(labels)


def test_a_recurrent_cell_names_its_states_and_numbers_the_inputs_of_a_blend() -> None:
    recipe = {
        "node_0": {"op": "linear", "input": ["x", "h_prev_0"]},
        "node_1": {"op": "activation_sigm", "input": ["node_0"]},
        "node_2": {"op": "activation_tanh", "input": ["node_0"]},
        "h_new_0": {"op": "blend", "input": ["node_1", "h_prev_0", "node_2"]},
    }
    labels = drawn(NASBenchNLP(), json.dumps(recipe))
    assert {"x", "h_prev_0", "h_new_0"} <= set(labels)
    assert not {"h_prev_1", "input", "output"} & set(labels)
    assert sorted(text for text in labels if text.isdigit()) == ["1", "2", "3"]
    plain = {**recipe, "h_new_0": {"op": "elementwise_sum", "input": ["node_1", "node_2"]}}
    assert not any(text.isdigit() for text in drawn(NASBenchNLP(), json.dumps(plain)))


def test_only_edges_of_different_weights_have_an_order() -> None:
    weights = np.zeros((4, 4))
    weights[:3, 3] = [0.5, 1.0, 0.75]
    weights[0, 1] = weights[0, 2] = weights[1, 2] = 1
    assert _order(weights) == {(1, 3): "1", (2, 3): "2", (0, 3): "3"}
