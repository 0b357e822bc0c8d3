"""The drawing of a cell: labels, what is grey, and where boxes stand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex

from optiproxy_nas.reporting.cell import _layout, _live, draw_cell
from optiproxy_nas.reporting.style import FAINT, INK
from optiproxy_nas.spaces.nb201 import NASBench201

HALF_DEAD = "|none~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"


def colours(figure):
    return {text.get_text(): to_hex(text.get_color()) for text in figure.axes[0].texts}


@pytest.mark.filterwarnings("error")
def test_parts_that_carry_no_signal_are_grey():
    shown = colours(draw_cell(NASBench201(), HALF_DEAD))
    alive = {label for label, colour in shown.items() if colour == INK}
    assert alive == {"input", "skip_connect", "output"}
    assert {shown[label] for label in shown.keys() - alive} == {FAINT}


def test_node_labels_caption_the_operations_only():
    names = [f"edge {number}" for number in range(6)]
    shown = colours(draw_cell(NASBench201(), HALF_DEAD, node_labels=names))
    assert set(names) <= shown.keys()


def test_names_of_features_can_be_given():
    names = ["in", "zero", "skip", "c1", "c3", "pool", "out"]
    assert {"in", "out", "pool"} <= colours(draw_cell(NASBench201(), HALF_DEAD, names)).keys()


def test_the_graph_of_nb201_is_drawn_without_crossings_from_left_to_right():
    space = NASBench201()
    graph = space.graph(space.encode(space.from_string([HALF_DEAD])))
    edges = graph.adjacency[0].numpy() > 0.5
    places, routes = _layout(edges)
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


def test_vertices_without_edges_are_not_alive():
    edges = np.zeros((3, 3), dtype=bool)
    edges[0, 2] = True
    assert _live(edges, np.zeros(3, dtype=bool)).tolist() == [True, False, True]
