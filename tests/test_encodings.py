"""Adjacency and path encodings: exact for cells, the expected indicator for relaxed ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.spaces.base import Encoding, Graph, SearchSpace
from optiproxy_nas.spaces.encodings import (
    path_indicators,
    path_lengths,
    searched_vertices,
    vertex_tokens,
)
from optiproxy_nas.spaces.nb201 import NASBench201
from tiny_space import TinySpace

pytestmark = pytest.mark.usefixtures("global_state")


def path_encoding(space: Any, encoding: Any, longest: Any = None) -> Any:
    return path_indicators(space.graph(encoding), path_lengths(space, longest))


def soft(space: Any, count: int, generator: torch.Generator) -> Any:
    operations = torch.randn(count, space.num_nodes, len(space.operations), generator=generator)
    return Encoding(operations.softmax(-1), torch.rand(count, space.num_edges, generator=generator))


def sequences(choices: Any, lengths: Any) -> Any:
    """Column order: by length, then lexicographic."""
    return [s for length in lengths for s in itertools.product(range(choices), repeat=length)]


def paths_of_string(space: Any, cell: Any) -> Any:
    """Operation sequences on the paths of a NAS-Bench-201 string, by walking from node to node."""
    edges = {}
    for node, block in enumerate(cell.split("+"), start=1):
        for token in block.strip("|").split("|"):
            operation, source = token.split("~")
            edges[int(source), node] = space.operations.index(operation)

    def walk(node: Any, taken: Any) -> Iterator[Any]:
        if node == 3:
            yield taken
        for (source, target), operation in edges.items():
            if source == node:
                yield from walk(target, (*taken, operation))

    return set(walk(0, ()))


codes201 = st.lists(st.integers(0, 4), min_size=6, max_size=6)


@given(code=codes201, longest=st.sampled_from([None, 1, 2, 3, 7]))
def test_paths_of_a_cell_are_those_of_its_string(
    nb201: NASBench201, code: Any, longest: Any
) -> None:
    codes = torch.tensor([code])
    present = paths_of_string(nb201, nb201.to_string(codes)[0])
    columns = sequences(5, [n for n in (1, 2, 3) if n <= (longest or 3)])
    expected = [float(sequence in present) for sequence in columns]
    assert path_encoding(nb201, nb201.encode(codes), longest).tolist() == [expected]


def test_columns_of_nb201(nb201: NASBench201, generator: torch.Generator) -> None:
    """5 + 25 + 125; one path of one and one of three operations, one or two of two."""
    encoding = nb201.encode(nb201.random(200, generator))
    paths = path_encoding(nb201, encoding)
    assert paths.shape == (200, 155)
    one, two, three = (part.sum(-1) for part in paths.split([5, 25, 125], dim=1))
    assert (one == 1).all()
    assert (three == 1).all()
    assert set(two.tolist()) == {1.0, 2.0}
    assert torch.equal(path_encoding(nb201, encoding, longest=2), paths[:, :30])


@pytest.mark.heavy
def test_soft_paths_are_the_expected_indicators(
    nb201: NASBench201, generator: torch.Generator
) -> None:
    """Of a cell whose operations are drawn independently: a sum over all 15,625 cells."""
    encoding = soft(nb201, 1, generator)
    codes = torch.cartesian_prod(*[torch.arange(5)] * 6)
    probability = encoding.operations[0].gather(1, codes.T).prod(0)
    paths = path_encoding(nb201, nb201.encode(codes))
    assert len(torch.unique(paths, dim=0)) == nb201.size
    expected = probability @ paths
    torch.testing.assert_close(path_encoding(nb201, encoding)[0], expected, atol=1e-5, rtol=1e-4)


def test_paths_of_a_space_with_searched_edges(tiny: TinySpace) -> None:
    """All 72 architectures of the tiny space: a, b and a-b, where their edges are there."""
    codes = torch.cartesian_prod(*[torch.arange(n) for n in (3, 3, 2, 2, 2)])
    assert path_lengths(tiny) == (1, 2)
    for code, row in zip(codes.tolist(), path_encoding(tiny, tiny.encode(codes)), strict=True):
        a, b, input_b, a_b, a_output = code
        present: set[tuple[Any, ...]] = {(a,)} if a_output else set()
        present |= {(b,)} if input_b else set()
        present |= {(a, b)} if a_b else set()
        assert row.tolist() == [float(s in present) for s in sequences(3, (1, 2))]


@pytest.mark.heavy
@pytest.mark.parametrize("hard", [True, False])
def test_paths_have_their_slopes_at_corners_too(
    space: SearchSpace, hard: bool, generator: torch.Generator
) -> None:
    encoding = space.encode(space.random(2, generator)) if hard else soft(space, 2, generator)
    fields = [field.double().requires_grad_() for field in encoding]
    assert torch.autograd.gradcheck(
        lambda operations, edges: path_encoding(space, Encoding(operations, edges)), fields
    )


def test_the_slope_of_an_absent_operation_is_what_it_would_add(nb201: NASBench201) -> None:
    """All paths of a cell of zeros have only zeros; a conv1x1 on one edge makes others."""
    encoding = nb201.encode(torch.zeros(1, 6, dtype=torch.int64))
    operations = encoding.operations.requires_grad_()
    paths = path_encoding(nb201, Encoding(operations, encoding.edges))[0]
    column = {sequence: i for i, sequence in enumerate(sequences(5, (1, 2, 3)))}
    for sequence, positions in {
        (2,): [3],  # edge 0->3
        (2, 0): [0, 1],  # 0->1 or 0->2
        (0, 2): [4, 5],  # 1->3 or 2->3
        (0, 2, 0): [2],  # 1->2
    }.items():
        (slope,) = torch.autograd.grad(paths[column[sequence]], operations, retain_graph=True)
        expected = torch.zeros(6)
        expected[positions] = 1
        assert torch.equal(slope[0, :, 2], expected), sequence


def test_vertex_tokens_is_labels_and_incoming_edges(
    space: SearchSpace, generator: torch.Generator
) -> None:
    encoding = space.encode(space.random(5, generator))
    features, adjacency, mask = space.graph(encoding)
    rows = vertex_tokens(space.graph(encoding))
    for n, v in itertools.product(range(5), range(space.num_vertices)):
        expected = torch.cat([features[n, v], adjacency[n, :, v]]) * mask[n, v]
        assert torch.equal(rows[n, v], expected)


def test_vertex_tokens_tells_all_apart(tiny: TinySpace) -> None:
    codes = torch.cartesian_prod(*[torch.arange(n) for n in (3, 3, 2, 2, 2)])
    rows = vertex_tokens(tiny.graph(tiny.encode(codes))).flatten(1)
    assert set(rows.unique().tolist()) == {0.0, 1.0}  # type: ignore[no-untyped-call]
    assert len(torch.unique(rows, dim=0)) == tiny.size


def test_padding_has_no_token(tiny: TinySpace) -> None:
    graph = tiny.graph(tiny.encode(torch.tensor([[0, 1, 1, 1, 1]])))
    present = vertex_tokens(graph)[0].sum(-1) > 0
    assert present.tolist() == [True, True, True, True, False] == (graph.mask[0] > 0).tolist()


def test_searched_vertices(nb201: NASBench201, tiny: TinySpace) -> None:
    assert searched_vertices(nb201) == [1, 2, 3, 4, 5, 6]
    assert searched_vertices(tiny) == [1, 2, 3]  # the output's edges are searched


class ChainSpace:
    """Input, ``nodes`` operations in a row with all shortcuts, output; edges fixed."""

    name, num_edges = "chain", 0

    def __init__(self, nodes: Any, choices: Any, shortcuts: bool = True) -> None:
        self.num_nodes, self.num_vertices = nodes, nodes + 2
        self.operations = tuple(map(str, range(choices)))
        self.num_features = choices + 2
        ones = torch.ones(nodes + 2, nodes + 2)
        self.links = ones.triu(1) if shortcuts else ones.triu(1).tril(1)

    def graph(self, encoding: Any) -> Any:
        count = len(encoding.operations)
        features = torch.nn.functional.pad(encoding.operations, (1, 1, 1, 1))
        features[:, 0, 0] = features[:, -1, -1] = 1
        links = self.links.expand(count, -1, -1)
        return Graph(features, links, torch.ones(count, self.num_vertices))


def Chain(nodes: int, choices: int, shortcuts: bool = True) -> Any:
    return ChainSpace(nodes, choices, shortcuts)


def test_an_edge_from_input_to_output_is_a_path_of_no_operation() -> None:
    space = Chain(2, 3)
    assert path_lengths(space) == (0, 1, 2)
    encoding = Encoding(torch.eye(3)[torch.tensor([[0, 2]])], torch.zeros(1, 0))
    present = path_encoding(space, encoding)[0].nonzero().flatten().tolist()
    columns = sequences(3, (0, 1, 2))
    assert [columns[i] for i in present] == [(), (0,), (2,), (0, 2)]


def test_lengths_without_a_path_have_no_columns() -> None:
    space = Chain(3, 2, shortcuts=False)
    assert path_lengths(space) == (3,)
    encoding = Encoding(torch.eye(2)[torch.tensor([[0, 1, 1]])], torch.zeros(1, 0))
    assert path_encoding(space, encoding)[0].nonzero().flatten().tolist() == [0b011]


def test_too_many_paths_are_refused_with_the_longest_that_fits() -> None:
    with pytest.raises(ParameterError, match=r"longest=4") as caught:
        path_lengths(Chain(8, 9))
    assert caught.value.data["paths"] == sum(9**n for n in range(9))
    assert path_lengths(Chain(8, 9), longest=4) == (0, 1, 2, 3, 4)


def test_no_path_as_short_as_asked_for() -> None:
    with pytest.raises(ParameterError, match="at most 2 operations"):
        path_lengths(Chain(3, 2, shortcuts=False), longest=2)


def test_other_labels_than_input_operations_output_are_refused(
    nb201: NASBench201, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nb201, "num_features", 6, raising=False)
    with pytest.raises(ParameterError, match="6 labels, not 7"):
        path_lengths(nb201)
