"""NAS-Bench-201: notation, wiring, twins and neighbours."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from optiproxy_nas.core.errors import InvalidArchitectureError
from optiproxy_nas.spaces import Logits
from optiproxy_nas.spaces.nb201 import EDGES, NASLIB_EDGES, NASLIB_OPERATIONS, NASBench201

SPACE = NASBench201()
NONE, SKIP, C1, C3, POOL = range(5)
ALL = torch.tensor(list(itertools.product(range(5), repeat=6)))
cells = st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=1, max_size=8)

# The best validation accuracy of CIFAR-10 (v1.0 tables).
BEST = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
)


@given(cells)
def test_strings_round_trip(rows: Any) -> None:
    codes = torch.tensor(rows)
    assert torch.equal(SPACE.from_string(SPACE.to_string(codes)), codes)


@given(cells)
def test_naslib_tuples_round_trip(rows: Any) -> None:
    codes = torch.tensor(rows)
    assert torch.equal(SPACE.from_naslib(SPACE.to_naslib(codes)), codes)


def test_a_string_read_by_hand() -> None:
    assert SPACE.from_string([BEST]).tolist() == [[C3, C3, C3, SKIP, C3, C1]]
    assert SPACE.to_string(torch.tensor([[NONE, SKIP, C1, C3, POOL, NONE]])) == [
        "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    ]
    assert SPACE.from_string([]).shape == (0, 6)


def test_naslib_orders_edges_and_operations_otherwise() -> None:
    """The trap: positions 2 and 3 of NASLib's tuple are edges (1,4) and (2,3)."""
    assert NASLIB_EDGES == ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    assert NASLIB_OPERATIONS == (
        "skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3",
    )  # fmt: skip
    # NASLib numbers: skip 0, none 1, 3x3 2, 1x1 3, pool 4.
    assert SPACE.from_naslib([(0, 1, 2, 3, 4, 0)]).tolist() == [[SKIP, NONE, C1, C3, POOL, SKIP]]
    assert SPACE.to_naslib(SPACE.from_string([BEST])) == [(2, 2, 0, 2, 2, 3)]


@pytest.mark.parametrize("indices", [(0, 1, 2), (0, 0, 0, 0, 0, 5), (0, 0, 0, 0, 0, -1), ()])
def test_bad_naslib_tuples_are_refused(indices: Any) -> None:
    with pytest.raises(InvalidArchitectureError, match="six operation indices of 0-4"):
        SPACE.from_naslib([indices])


@pytest.mark.parametrize(
    ("string", "reason"),
    [
        ("", "1 node blocks joined by"),
        ("|none~0|+|none~0|none~1|", "2 node blocks joined by"),
        ("|none~0|+|none~0|+|none~0|none~1|none~2|", r"node 2 needs 2 input\(s\)"),
        ("|none~0|+|none~0|none~1|none~2|+|none~0|none~1|none~2|", "node 2 needs 2"),
        ("none~0+|none~0|none~1|+|none~0|none~1|none~2|", "node 1 needs 1 .*got 'none~0'"),
        ("|none~0|+|none~1|none~0|+|none~0|none~1|none~2|", "input 0 of node 2 must read 'op~0'"),
        ("|none|+|none~0|none~1|+|none~0|none~1|none~2|", "input 0 of node 1 must read"),
        ("|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|", "unknown operation 'conv'"),
        ("|None~0|+|none~0|none~1|+|none~0|none~1|none~2|", "unknown operation 'None'"),
        (7, "it is not a string"),
    ],
)
def test_invalid_strings_say_what_is_wrong(string: Any, reason: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=reason) as caught:
        SPACE.from_string([BEST, string])
    assert caught.value.data["architecture"] == string
    assert "nor_conv_3x3" in str(caught.value)


@pytest.mark.parametrize("bar", ["||none~0||", "|none~00|", "|none~٠|", "|none~0\n|"])
def test_each_architecture_has_one_spelling(bar: str) -> None:
    with pytest.raises(InvalidArchitectureError):
        SPACE.from_string([f"{bar}+|none~0|none~1|+|none~0|none~1|none~2|"])


def test_adjacency_is_exactly_the_line_graph_of_the_cell(nb201: NASBench201) -> None:
    graph = nb201.graph(nb201.encode(ALL[:3]))
    wires = {0: {1, 2, 4}, 1: {3, 5}, 2: {6}, 3: {6}, 4: {7}, 5: {7}, 6: {7}, 7: set()}
    for adjacency in graph.adjacency:
        assert {row: set(adjacency[row].nonzero()[:, 0].tolist()) for row in range(8)} == wires
    assert set(graph.adjacency.unique().tolist()) == {0.0, 1.0}  # type: ignore[no-untyped-call]


def test_the_vertex_of_an_edge_carries_its_operation() -> None:
    """Vertex p holds code position p - 1; the edges that end where its edge starts feed it."""
    graph = SPACE.graph(SPACE.encode(torch.tensor([[0, 1, 2, 3, 4, 0]])))
    assert graph.features[0].argmax(-1).tolist() == [0, 1, 2, 3, 4, 5, 1, 6]
    assert (graph.features.sum(-1) == 1).all()
    for a, b in itertools.product(range(6), repeat=2):
        assert bool(graph.adjacency[0, a + 1, b + 1]) == (EDGES[a][1] == EDGES[b][0])
    assert graph.mask.tolist() == [[1.0] * 8]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        # Edge (1,2) is none, so what leaves node 2 for (2,3) and (2,4) computes nothing.
        ([NONE, C3, C1, SKIP, C3, POOL], [NONE, C3, NONE, SKIP, NONE, POOL]),
        # Nothing enters the output from node 3: its inputs do not matter.
        ([C3, C1, POOL, SKIP, C3, NONE], [C3, NONE, C3, SKIP, C3, NONE]),
        # A skip contracts two nodes: conv on (1,4) or on (2,4) after a skip on (1,2).
        ([SKIP, NONE, NONE, C3, NONE, NONE], [SKIP, NONE, NONE, NONE, C3, NONE]),
        # Conv then skip through node 2, or through node 3.
        ([C3, NONE, NONE, NONE, SKIP, NONE], [NONE, C3, NONE, NONE, NONE, SKIP]),
        # Sums do not care for order: conv + pool at the output, by either way.
        ([SKIP, NONE, NONE, C3, POOL, NONE], [SKIP, NONE, NONE, POOL, C3, NONE]),
        # Nothing reaches the output at all.
        ([C3, C3, C3, NONE, NONE, NONE], [NONE] * 6),
    ],
)
def test_hand_made_twins(one: Any, two: Any) -> None:
    first, second = SPACE.canonical(torch.tensor([one, two]))
    assert first == second


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([C3, NONE, NONE, NONE, C1, NONE], [C1, NONE, NONE, NONE, C3, NONE]),  # order of a chain
        ([NONE, NONE, NONE, SKIP, NONE, NONE], [SKIP, NONE, NONE, SKIP, SKIP, NONE]),  # x, x + x
        ([NONE, NONE, NONE, C3, NONE, NONE], [NONE, NONE, NONE, POOL, NONE, NONE]),
        ([SKIP, NONE, NONE, NONE, C3, NONE], [C3, NONE, NONE, NONE, C3, NONE]),  # skip is no conv
        # conv(x + x) is not conv(x) + conv(x)
        ([SKIP, SKIP, SKIP, NONE, NONE, C3], [SKIP, NONE, NONE, C3, C3, NONE]),
    ],
)
def test_hand_made_strangers(one: Any, two: Any) -> None:
    first, second = SPACE.canonical(torch.tensor([one, two]))
    assert first != second


def test_canonical_agrees_with_really_computing_every_cell() -> None:
    """4,930 functions in 15,625 cells: operations replaced by random maps with f(0) = 0."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 3, 3, generator=generator, dtype=torch.float64)

    def apply(choice: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        outcomes = torch.stack([x * 0, x, *(torch.sin(x @ matrix) for matrix in maps)])
        return outcomes[choice, torch.arange(len(x))]

    nodes = [torch.randn(3, generator=generator, dtype=torch.float64).expand(len(ALL), 3)]
    for target in (1, 2, 3):
        inputs = [(i, source) for i, (source, to) in enumerate(EDGES) if to == target]
        terms = (apply(ALL[:, i], nodes[source]) for i, source in inputs)
        nodes.append(sum(terms, torch.tensor(0.0)))
    computed = (nodes[3] * 1e9).round().long().tolist()
    functions = SPACE.canonical(ALL)
    assert len(set(functions)) == 4930
    assert len({tuple(row) for row in computed}) == 4930
    assert len(set(zip(functions, map(tuple, computed), strict=True))) == 4930


def test_each_cell_is_its_own_row_of_the_table() -> None:
    identities: list[Any] = SPACE.identify(ALL)
    assert sorted(identities) == list(range(5**6)) == identities
    assert len(set(SPACE.to_string(ALL))) == SPACE.size == 5**6


@given(cells)
def test_neighbours_are_24_distinct_at_distance_one(rows: Any) -> None:
    codes = torch.tensor(rows)
    near = SPACE.neighbours(codes).reshape(len(rows), 24, 6)
    assert ((near != codes.unsqueeze(1)).sum(-1) == 1).all()
    assert near.min() >= 0
    assert near.max() <= 4
    for moves in near:
        assert len(moves.unique(dim=0)) == 24


def test_random_cells_are_uniform(generator: torch.Generator) -> None:
    codes = SPACE.random(20_000, generator)
    for position in codes.T:
        assert chisquare(torch.bincount(position, minlength=5)).pvalue > 1e-3
    pairs = torch.bincount(codes[:, 0] * 5 + codes[:, 5], minlength=25)
    assert chisquare(pairs).pvalue > 1e-3


def test_samples_name_their_group(generator: torch.Generator) -> None:
    alpha = torch.full((3, 6, 5), -40.0)
    for group in range(3):
        alpha[group, :, group] = 40.0
    drawn = SPACE.sample(Logits(alpha, torch.zeros(3, 0)), 4, generator)
    assert drawn.group.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert torch.equal(drawn.codes, drawn.group.unsqueeze(1).expand(12, 6))


def test_drawing_shows_every_operation_where_it_belongs() -> None:
    lines = [line.split() for line in SPACE.draw(BEST).splitlines()]
    assert lines[0][-4:] == ["1", "2", "3", "output"]
    assert lines[1:] == [
        ["0", "input", "nor_conv_3x3", "nor_conv_3x3", "skip_connect"],
        ["1", "nor_conv_3x3", "nor_conv_3x3"],
        ["2", "nor_conv_1x1"],
    ]
