"""NAS-Bench-101: pruning, validity, one code a cell, notation and neighbours."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from optiproxy_nas.core.errors import InvalidArchitectureError
from optiproxy_nas.spaces import Encoding, Logits
from optiproxy_nas.spaces.nb101 import NASBench101
from optiproxy_nas.spaces.nb101.isomorphism import (
    INNER,
    MAX_EDGES,
    OPERATIONS,
    PAIRS,
    canonicalise,
    is_valid,
    keys,
    on_paths,
)

SPACE = NASBench101()
C3, C1, POOL = range(3)
# Any numbers that a code may have, most of them not canonical, some of them no valid cell.
raw_codes = st.lists(
    st.tuples(
        st.lists(st.integers(0, 2), min_size=5, max_size=5),
        st.lists(st.integers(0, 1), min_size=21, max_size=21),
    ).map(lambda parts: [*parts[0], *parts[1]]),
    min_size=1,
    max_size=6,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def matrix_of(code: torch.Tensor) -> np.ndarray:
    matrix = np.zeros((7, 7), dtype=int)
    matrix[np.triu_indices(7, 1)] = code[INNER:].numpy()
    return matrix


def vertices_on_paths(matrix: np.ndarray) -> list[int]:
    """By listing all paths, as a check on the product formulas."""
    used: set[int] = set()
    for length in range(6):
        for inner in itertools.combinations(range(1, 6), length):
            path = (0, *inner, 6)
            if all(matrix[i, j] for i, j in itertools.pairwise(path)):
                used |= set(path)
    return sorted(used)


@given(raw_codes)
def test_pruning_keeps_what_is_on_a_path(rows: Any) -> None:
    codes = torch.tensor(rows)
    edges, vertices = on_paths(codes[:, INNER:].float())
    for code, kept, used, valid in zip(codes, edges, vertices, is_valid(codes), strict=True):
        matrix = matrix_of(code)
        expected = vertices_on_paths(matrix)
        inside = np.zeros((7, 7), dtype=int)
        inside[np.ix_(expected, expected)] = matrix[np.ix_(expected, expected)]
        assert kept.tolist() == inside[np.triu_indices(7, 1)].tolist()
        assert used.tolist() == [float(v in {0, 6, *expected}) for v in range(7)]
        assert bool(valid) == (bool(expected) and inside.sum() <= MAX_EDGES)


@given(raw_codes)
def test_spellings_of_a_cell_have_one_code_and_one_hash(rows: Any) -> None:
    codes = torch.tensor(rows)
    codes = codes[is_valid(codes)]
    plain = canonicalise(codes)
    assert torch.equal(canonicalise(plain), plain)
    assert bool(is_valid(plain).all()) or not len(plain)
    spelt = SPACE.isomorphic(codes, seeded())
    # What is on no path may be anything.
    unused = on_paths(spelt[:, INNER:].float())[1][:, 1:-1] == 0
    spelt[:, :INNER][unused] = 2
    assert torch.equal(canonicalise(spelt), plain)
    assert SPACE.hashes(canonicalise(spelt)) == SPACE.hashes(plain)
    assert SPACE.identify(spelt) == SPACE.identify(codes) == SPACE.canonical(codes)
    assert SPACE.to_string(spelt) == SPACE.to_string(codes)


def test_keys_and_hashes_tell_the_same_cells_apart(generator: torch.Generator) -> None:
    """On all cells of up to four vertices, and on random ones."""
    matrices = list(itertools.product([0, 1], repeat=6))
    codes = torch.zeros(len(matrices) * 9, 26, dtype=torch.int64)
    columns = [INNER + PAIRS.index(p) for p in ((0, 1), (0, 2), (0, 6), (1, 2), (1, 6), (2, 6))]
    for row, (bits, a, b) in enumerate(itertools.product(matrices, range(3), range(3))):
        codes[row, columns] = torch.tensor(bits)
        codes[row, :2] = torch.tensor([a, b])
    codes = canonicalise(codes[is_valid(codes)])
    sizes = on_paths(codes[:, INNER:].float())[1].sum(1)
    distinct = {size: len(keys(codes[sizes == size]).unique()) for size in (2, 3, 4)}  # type: ignore[no-untyped-call]
    assert distinct == {2: 1, 3: 6, 4: 84}
    for cells in (codes, SPACE.random(1500, generator)):
        pairs = set(zip(SPACE.identify(cells), SPACE.hashes(cells), strict=True))
        assert len(pairs) == len({key for key, _ in pairs}) == len({h for _, h in pairs})


def test_the_hash_of_the_best_cell_of_the_benchmark() -> None:
    best = SPACE.from_string(
        ["conv3x3+conv1x1+maxpool3x3+conv3x3+conv3x3/110011.01000.0010.100.10.1"]
    )
    assert SPACE.hashes(best) == ["02e5a0247bbdcf2860b7e96f74961594"]


def test_a_string_read_by_hand() -> None:
    (code,) = SPACE.from_string(["conv3x3+maxpool3x3/101.11.1"]).tolist()
    edges = {pair for pair, bit in zip(PAIRS, code[INNER:], strict=True) if bit}
    assert edges == {(0, 1), (0, 6), (1, 2), (1, 6), (2, 6)}
    assert code[:2] == [C3, POOL]
    ((matrix, names),) = SPACE.to_nasbench(torch.tensor([code]))
    assert matrix == [[0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert names == ["input", "conv3x3-bn-relu", "maxpool3x3", "output"]
    assert SPACE.from_string([]).shape == (0, 26)
    assert SPACE.from_string(["/1"]).tolist() == [[0] * 10 + [1] + [0] * 15]
    assert SPACE.to_string(SPACE.from_string(["/1"])) == ["/1"]


@pytest.mark.parametrize(
    "spelling",
    [
        "conv3x3-bn-relu+maxpool3x3/101.11.1",  # long names
        "conv3x3+maxpool3x3/0101.0011.0001.0000",  # the whole matrix
        "conv3x3+maxpool3x3+conv1x1/1011.111.01.0",  # vertex 3 feeds nothing
        "conv1x1+conv3x3+maxpool3x3/0101.011.11.1",  # nothing feeds vertex 1
    ],
)
def test_other_spellings_are_understood(spelling: str) -> None:
    assert SPACE.to_string(SPACE.from_string([spelling])) == ["conv3x3+maxpool3x3/101.11.1"]


@pytest.mark.parametrize(
    ("string", "reason"),
    [
        ("conv3x3/10.0", "no path from input to output"),
        ("/0", "no path from input to output"),
        ("conv3x3+conv3x3+conv3x3/1111.111.11.1", "10 edges on paths, more than 9"),
        ("conv3x3/010.101.000", "edge from vertex 1 to vertex 0, on or below the diagonal"),
        ("conv3x3/010.011.000", "edge from vertex 1 to vertex 1, on or below .* no cycle"),
        ("conv5x5/10.1", "unknown operation 'conv5x5'"),
        ("/11.1", "0 inner operations for a matrix of 3 vertices"),
        (
            "+".join(["conv3x3"] * 6) + "/1000000.100000.10000.1000.100.10.1",
            "8 vertices on paths, more than 7",
        ),
        ("conv3x3/1.11", "row 0 has 1 entries; in a cell of 3 vertices it has 2"),
        ("conv3x3/12.1", "rows of 0 and 1"),
        ("conv3x3", "needs '/'"),
        ("", "needs '/'"),
        (7, "it is not a string"),
    ],
)
def test_invalid_strings_say_which_rule_they_break(string: Any, reason: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=reason) as caught:
        SPACE.from_string(["/1", string])
    assert caught.value.data["architecture"] == string
    assert "at most 9 edges" in str(caught.value)


def test_more_than_seven_vertices_are_no_rule_where_they_lead_nowhere() -> None:
    wide = "+".join(["conv3x3"] * 6) + "/1000001.100000.10000.1000.100.10.0"
    assert SPACE.to_string(SPACE.from_string([wide])) == ["/1"]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (([[0, 1], [0, 0]], ["output", "input"]), "begin with 'input'"),
        (([[0, 2], [0, 0]], ["input", "output"]), "other entries than 0 and 1"),
        (([[0, 1]], ["input", "output"]), r"shape \(1, 2\)"),
        (([[0, 1], [1, 0]], ["input", "output"]), "from vertex 1 to vertex 0"),
        (([[0, 0], [0, 0]], ["input", "output"]), "no path"),
    ],
)
def test_invalid_matrices_say_which_rule_they_break(cell: Any, reason: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=reason):
        SPACE.from_nasbench([cell])


def test_matrices_round_trip(generator: torch.Generator) -> None:
    codes = SPACE.random(200, generator)
    assert torch.equal(SPACE.from_nasbench(SPACE.to_nasbench(codes)), codes)
    assert torch.equal(SPACE.from_string(SPACE.to_string(codes)), codes)


def test_codes_out_of_range_are_refused() -> None:
    for column, value in ((0, 3), (0, -1), (7, 2)):
        code = SPACE.from_string(["/1"])
        code[0, column] = value
        with pytest.raises(ValueError, match="five operations of 0-2"):
            SPACE.to_string(code)


def test_discrete_and_relaxed_graphs_meet(generator: torch.Generator) -> None:
    """Dead ends fade out of the graph as their edges do; the output stays the last vertex."""
    code = SPACE.from_string(["conv3x3+maxpool3x3/101.11.1"])
    hard = SPACE.encode(code)
    column = PAIRS.index((0, 2))
    for strength in (0.5, 0.1, 1e-3, 0.0):
        edges = hard.edges.clone()
        edges[0, PAIRS.index((1, 2))] = strength  # the only way to vertex 2
        graph = SPACE.graph(Encoding(hard.operations, edges))
        assert graph.mask[0, 2] == pytest.approx(strength, abs=1e-6)
        assert graph.features[0, 2].sum() == pytest.approx(strength, abs=1e-6)
        assert graph.adjacency[0, 2, 6] == pytest.approx(strength, abs=1e-6)
        assert graph.features[0, 6].tolist() == [0, 0, 0, 0, 1]
    # Two half-sure ways in are one of three quarters.
    edges[0, PAIRS.index((1, 2))] = edges[0, column] = 0.5
    assert SPACE.graph(Encoding(hard.operations, edges)).mask[0, 2] == pytest.approx(0.75)


def test_the_graph_of_a_spelling_is_the_same_graph_in_another_order(
    generator: torch.Generator,
) -> None:
    codes = SPACE.random(64, generator)
    spelt = SPACE.isomorphic(codes, generator)
    assert (spelt != codes).any(1).float().mean() > 0.5
    for one, two in zip(codes, spelt, strict=True):
        first, second = (SPACE.graph(SPACE.encode(code.unsqueeze(0))) for code in (one, two))
        labels = [
            torch.cat([graph.features[0], graph.adjacency[0].T @ graph.features[0]], 1)
            for graph in (first, second)
        ]
        assert sorted(map(tuple, labels[0].tolist())) == sorted(map(tuple, labels[1].tolist()))


def test_random_draws_as_the_benchmark_does(generator: torch.Generator) -> None:
    """Uniform matrices, invalid ones thrown away: the share of each number of vertices."""
    drawn = torch.cat(
        [
            torch.randint(0, 3, (4000, 5), generator=generator),
            torch.randint(0, 2, (4000, 21), generator=generator),
        ],
        1,
    )
    drawn = drawn[is_valid(drawn)]

    def sizes(codes: torch.Tensor) -> torch.Tensor:
        return torch.bincount(on_paths(codes[:, INNER:].float())[1].sum(1).long(), minlength=8)

    expected = sizes(drawn).double()[2:7]
    found = sizes(SPACE.random(4000, generator)).double()[2:7]
    assert chisquare(found, expected / expected.sum() * found.sum()).pvalue > 1e-4


def test_rejection_is_bounded_and_counted(generator: torch.Generator) -> None:
    alpha = torch.zeros(2, 5, 3)
    full = torch.full((2, 21), 40.0)  # all 21 edges: never valid
    drawn = SPACE.sample(Logits(alpha, full), 5, generator)
    assert drawn.codes.shape == (10, 26)
    assert bool(is_valid(drawn.codes).all())
    assert drawn.rejected >= 2 * 6 * 10  # the rounds that follow the logits alone give nothing
    easy = SPACE.sample(Logits(alpha, torch.full((2, 21), -1.0)), 5, generator)
    assert 0 < easy.rejected < drawn.rejected


def test_samples_follow_each_groups_logits(generator: torch.Generator) -> None:
    codes = SPACE.random(3, generator)
    hard = SPACE.encode(codes)
    drawn = SPACE.sample(Logits(40 * hard.operations, 80 * hard.edges - 40), 4, generator)
    assert torch.equal(drawn.codes, codes.repeat_interleave(4, dim=0))
    assert drawn.group.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert drawn.rejected == 0


@given(raw_codes)
def test_neighbours_differ_by_one_change(rows: Any) -> None:
    codes = torch.tensor(rows)
    codes = canonicalise(codes[is_valid(codes)])[:2]
    near = SPACE.neighbours(codes)
    assert bool(is_valid(near).all()) or not len(near)
    assert torch.equal(near, canonicalise(near))
    for code in codes:
        own = SPACE.neighbours(code.unsqueeze(0))
        assert len(own.unique(dim=0)) == len(own)  # type: ignore[no-untyped-call]
        used = int(on_paths(code[None, INNER:].float())[1].sum())
        changed = [code.clone() for _ in range(2 * (used - 2) + 21)]
        for row in range(2 * (used - 2)):
            changed[row][row // 2] = (changed[row][row // 2] + 1 + row % 2) % 3
        for column in range(21):
            changed[2 * (used - 2) + column][INNER + column] ^= 1
        cells = torch.stack(changed)
        expected = set(SPACE.identify(cells[is_valid(cells)])) - set(SPACE.identify(code[None]))
        found = set(SPACE.identify(own))
        assert expected <= found
        # The rest has one vertex and two edges more,
        # or an edge between vertices that the code has in the other order.
        rest = own[[key not in expected for key in SPACE.identify(own)]]
        edges, vertices = on_paths(rest[:, INNER:].float())
        more = torch.stack([vertices.sum(1) - used, edges.sum(1) - code[INNER:].sum()], 1)
        assert set(map(tuple, more.tolist())) <= {(1, 2), (0, 1)}


@pytest.mark.heavy
def test_what_a_change_takes_away_another_brings_back(generator: torch.Generator) -> None:
    """Also where the loss of an edge leaves a vertex unused, if it had one edge in and one out."""

    def size(codes: torch.Tensor) -> torch.Tensor:
        edges, vertices = on_paths(codes[:, INNER:].float())
        return torch.stack([edges.sum(1), vertices.sum(1)], 1)

    shrunk = 0
    for code in SPACE.random(40, generator):
        near = SPACE.neighbours(code[None])
        lost = size(code[None]) - size(near)
        others = near[(lost[:, 0] <= 2) & (lost[:, 1] <= 1)]
        # A cell is listed once among the neighbours of each.
        returns = SPACE.identify(SPACE.neighbours(others)).count(SPACE.identify(code[None])[0])
        assert returns == len(others)
        shrunk += int((lost[:, 1] == 1).sum())
    assert shrunk > 0


def test_drawing_names_every_vertex_and_what_it_feeds() -> None:
    lines = [line.split() for line in SPACE.draw("conv3x3+maxpool3x3/101.11.1").splitlines()]
    assert lines == [
        ["0", "input", "->", "1", "3"],
        ["1", "conv3x3-bn-relu", "->", "2", "3"],
        ["2", "maxpool3x3", "->", "3"],
        ["3", "output"],
    ]


def test_names_are_the_benchmarks() -> None:
    assert OPERATIONS == ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
    assert SPACE.size == 423_624
