"""NAS-Bench-301: topologies, wiring, other spellings, genotypes and neighbours."""

from __future__ import annotations

import ast
import itertools
from collections import namedtuple
from typing import Any

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from optiproxy_nas.core.errors import InvalidArchitectureError
from optiproxy_nas.spaces import Encoding, Logits
from optiproxy_nas.spaces.nb301 import OPERATIONS, Genotype, NASBench301  # type: ignore[attr-defined]
from optiproxy_nas.spaces.nb301.darts_cell import PAIRS

SPACE = NASBench301()
CHOICES = [7] * 16 + [1, 3, 6, 10] * 2
codes_of_cells = st.lists(
    st.tuples(*(st.integers(0, choices - 1) for choices in CHOICES)), min_size=1, max_size=6
)
TOPOLOGIES = set(itertools.product(range(1), range(3), range(6), range(10)))

# The cells of the DARTS paper as its authors published them; inputs are not sorted.
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
MAX, AVG, SKIP, S3, S5, D3, D5 = range(7)
DARTS_V2_CODE = [
    S3, S3, S3, S3, SKIP, S3, SKIP, D3, MAX, MAX, MAX, SKIP, MAX, SKIP, MAX, SKIP,
    0, 0, 0, 1, 0, 2, 1, 4,
]  # fmt: skip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inputs_of(code: Any) -> Any:
    """Operation by input of each node, of both cells: [{input: operation}, ...]."""
    nodes = []
    for cell in range(2):
        for node in range(4):
            pair = PAIRS[node][code[16 + 4 * cell + node]]
            first = 8 * cell + 2 * node
            nodes.append(dict(zip(pair, code[first : first + 2], strict=True)))
    return nodes


def test_size() -> None:
    assert SPACE.size == (180 * 7**8) ** 2


def test_all_180_topologies_of_both_cells_are_drawn() -> None:
    """The published code reaches 18: node 3 takes (0, 1), nodes 4 and 5 never the node before."""
    published = {
        tuple(pairs.index(pair) for pairs, pair in zip(PAIRS, chosen, strict=True))
        for chosen in itertools.product(
            [(0, 1)],
            [(0, 1)],
            itertools.combinations(range(3), 2),
            itertools.combinations(range(4), 2),
        )
    }
    logits = Logits(torch.zeros(1, 16, 7), torch.zeros(1, 40))
    for codes in (SPACE.random(4000, generator()), SPACE.sample(logits, 4000, generator()).codes):
        for first in (16, 20):
            assert set(map(tuple, codes[:, first : first + 4].tolist())) == TOPOLOGIES
    assert len(TOPOLOGIES) == 180
    assert len(published) == 18
    assert published < TOPOLOGIES


def test_relaxed_draws_reach_all_topologies_too() -> None:
    logits = Logits(torch.zeros(4000, 16, 7), torch.zeros(4000, 40))
    edges = SPACE.relax(logits, 0.5, generator(), "logistic").edges.reshape(4000, 2, 20)
    found = torch.stack([part.argmax(-1) for part in edges.split([1, 3, 6, 10], -1)], -1)  # type: ignore[no-untyped-call]
    assert {tuple(row) for row in found.reshape(-1, 4).tolist()} == TOPOLOGIES


@pytest.mark.parametrize("exploration", [0.0, 0.4])
def test_pairs_are_drawn_from_the_softmax_of_their_node(exploration: float) -> None:
    logits = Logits(torch.zeros(1, 16, 7), torch.randn(1, 40, generator=generator(3)))
    codes = SPACE.sample(logits, 5000, generator(), exploration).codes
    groups = logits.beta.reshape(2, 20).split([1, 3, 6, 10], -1)  # type: ignore[no-untyped-call]
    for node, cell in itertools.product((1, 2, 3), (0, 1)):
        choices = len(PAIRS[node])
        expected = (1 - exploration) * groups[node][cell].softmax(-1) + exploration / choices
        counts = torch.bincount(codes[:, 16 + 4 * cell + node], minlength=choices)
        assert chisquare(counts, 5000 * expected.double() / expected.double().sum()).pvalue > 1e-3


def test_noise_of_edges_does_not_matter() -> None:
    logits = Logits(torch.zeros(2, 16, 7), torch.zeros(2, 40))
    one, two = (SPACE.relax(logits, 0.7, generator(), noise) for noise in ("logistic", "gumbel"))
    assert torch.equal(one.edges, two.edges)


def test_the_merged_graph_by_hand() -> None:
    code = SPACE.from_string([DARTS_V2])
    graph = SPACE.graph(SPACE.encode(code))
    edges = {(int(a), int(b)) for a, b in graph.adjacency[0].nonzero()}
    # Vertices: inputs 0, 1; slots 2, 3 of node 2, 4, 5 of 3, 6, 7 of 4, 8, 9 of 5; output 10.
    normal = {(0, 2), (1, 3), (0, 4), (1, 5), (0, 6), (1, 7), (0, 8), (2, 9), (3, 9)}
    # From 11 on: node 3 takes 1 and node 2, node 4 takes 0 and node 2, node 5 takes 1 and node 2.
    reduction = {(11, 13), (12, 14), (12, 15), (13, 16), (14, 16), (11, 17), (13, 18), (14, 18)}
    reduction |= {(12, 19), (13, 20), (14, 20)}
    outputs = {(slot, 10) for slot in range(2, 10)} | {(slot, 21) for slot in range(13, 21)}
    assert edges == normal | reduction | outputs | {(10, 11), (10, 12)}
    labels = graph.features[0].argmax(-1).tolist()
    operations = [operation + 1 for operation in DARTS_V2_CODE[:16]]
    assert labels == [0, 0, *operations[:8], 8, 0, 0, *operations[8:], 8]
    assert graph.features.sum() == 22
    assert graph.mask.sum() == 22


def test_soft_edges_are_marginals_of_the_pairs() -> None:
    edges = torch.rand(1, 2, 20, generator=generator())
    edges = torch.cat([part.softmax(-1) for part in edges.split([1, 3, 6, 10], -1)], -1).flatten(1)  # type: ignore[no-untyped-call]
    operations = torch.full((1, 16, 7), 1 / 7)
    soft = SPACE.graph(Encoding(operations, edges)).adjacency
    corners = SPACE.graph(Encoding(operations.expand(40, 16, 7), torch.eye(40))).adjacency
    fixed = SPACE.graph(Encoding(operations, torch.zeros(1, 40))).adjacency
    expected = fixed + (edges.reshape(40, 1, 1) * (corners - fixed)).sum(0)
    assert torch.allclose(soft, expected, atol=1e-6)
    # Every slot has one input; a node that serves as one enters through both of its slots.
    weights = torch.ones(22)
    weights[[*range(2, 10), *range(13, 21)]] = 0.5
    arriving = weights @ soft[0]
    slots = [*range(2, 10), *range(13, 21)]
    assert torch.allclose(arriving[slots], torch.ones(16), atol=1e-6)


@given(codes_of_cells)
def test_strings_genotypes_and_compacts_round_trip(rows: Any) -> None:
    codes = torch.tensor(rows)
    assert torch.equal(SPACE.from_string(SPACE.to_string(codes)), codes)
    assert torch.equal(SPACE.from_genotype(SPACE.to_genotype(codes)), codes)
    assert torch.equal(SPACE.from_naslib(SPACE.to_naslib(codes)), codes)


def test_a_published_genotype() -> None:
    code = SPACE.from_string([DARTS_V2])
    assert code.tolist() == [DARTS_V2_CODE]
    written = SPACE.to_string(code)[0]
    assert written.startswith("Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ")
    assert "('skip_connect', 0), ('sep_conv_3x3', 1), ('skip_connect', 0)" in written  # sorted
    assert written.endswith("reduce_concat=range(2, 6))")
    assert torch.equal(SPACE.from_string([written]), code)
    other = namedtuple("other", "normal normal_concat reduce reduce_concat")
    (call,) = (node for node in ast.walk(ast.parse(DARTS_V2)) if isinstance(node, ast.Call))
    fields: dict[Any, Any] = {
        keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords
    }
    assert torch.equal(SPACE.from_genotype([other(**fields)]), code)
    assert torch.equal(SPACE.from_genotype([Genotype(**fields)]), code)


def test_naslibs_compact_form_in_both_layouts() -> None:
    flat = [[(0, 3), (1, 5), (0, 1), (2, 1), (0, 3), (1, 3), (1, 3), (3, 2)]] * 2
    nested = [[cell[2 * node : 2 * node + 2] for node in range(4)] for cell in flat]
    code = SPACE.from_naslib([flat])
    assert code.tolist() == [[S3, D3, AVG, AVG, S3, S3, S3, SKIP] * 2 + [0, 1, 0, 5] * 2]
    assert torch.equal(SPACE.from_naslib([nested]), code)
    assert SPACE.to_naslib(code) == [tuple(map(tuple, flat))]


def edited(old: str, new: str) -> str:
    assert old in DARTS_V2
    return DARTS_V2.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (edited("sep_conv_3x3", "sep_conv_7x7"), "node 2 of cell normal has the unknown operation"),
        (edited("sep_conv_3x3", "none"), "unknown operation 'none'"),
        (edited("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"), "node 5 of cell normal has input 5"),
        (edited("('dil_conv_3x3', 2)", "('dil_conv_3x3', -1)"), "comes before it, 0 to 4"),
        (edited("('dil_conv_3x3', 2)", "('dil_conv_3x3', 1.0)"), "has input 1.0"),
        (edited("('dil_conv_3x3', 2)", "('dil_conv_3x3', True)"), "has input True"),
        (edited("('dil_conv_3x3', 2)", "('dil_conv_3x3', 0)"), "node 5 .* takes input 0 twice"),
        (edited(", ('dil_conv_3x3', 2)", ""), "cell normal has 7 pairs; it takes 8"),
        (edited("('dil_conv_3x3', 2)", "('dil_conv_3x3',)"), "not a pair"),
        (edited("normal_concat=[2, 3, 4, 5]", "normal_concat=range(3, 6)"), "normal_concat is"),
        (edited("normal_concat=[2, 3, 4, 5]", "normal_concat=range(10**30)"), "normal_concat is"),
        (edited("reduce_concat=[2, 3, 4, 5]", "reduce_concat=[2, 3, 4, 5, 6]"), "reduce_concat is"),
        (edited(", reduce_concat=[2, 3, 4, 5]", ""), "each of normal, normal_concat, reduce"),
        (edited("normal_concat=[2, 3, 4, 5]", "normal=[]"), "cannot be read|each of"),
        (edited("normal_concat=[2, 3, 4, 5]", "normal_concat=print(1)"), "no plain list"),
        (edited("('dil_conv_3x3', 2)", "__import__('os')"), "normal is no plain list"),
        ("Cell" + DARTS_V2, r"it is not Genotype\(...\)"),
        ("os.Genotype()", r"it is not Genotype\(...\)"),
        ("Genotype", r"it is not Genotype\(...\)"),
        ("Genotype(", "cannot be read"),
        ("\0", "cannot be read"),
        ("(" * 9_000, "cannot be read"),
        ("x" * 20_000, "20000 characters"),
        ("", "cannot be read"),
        (None, "it is not a string"),
    ],
)
def test_a_string_that_breaks_a_rule_says_which(text: Any, reason: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=reason) as caught:
        SPACE.from_string([text])
    assert caught.value.data["reason"]


@pytest.mark.parametrize(
    "compact", [None, [], [[(0, 3)] * 8], [[(0, 7), (1, 1)] * 4] * 2, [[(0, 1.5)] * 8] * 2, [3, 4]]
)
def test_another_compact_form_is_refused(compact: Any) -> None:
    with pytest.raises(InvalidArchitectureError, match="NAS-Bench-301"):
        SPACE.from_naslib([compact])


def test_an_object_without_the_fields_is_refused() -> None:
    with pytest.raises(InvalidArchitectureError, match="no normal_concat, reduce, reduce_concat"):
        SPACE.from_genotype([namedtuple("Half", "normal")([])])


def labelled_graph(code: Any, cell: Any) -> Any:
    """A cell as networkx sees it: nodes are feature maps, edges have the operations."""
    graph = nx.DiGraph()
    graph.add_nodes_from((i, {"kind": min(i, 2)}) for i in range(6))
    for node, inputs in enumerate(inputs_of(code)[4 * cell : 4 * cell + 4], start=2):
        for source, operation in inputs.items():
            graph.add_edge(source, node, operation=operation)
    return graph


def isomorphic_by_networkx(one: Any, two: Any) -> Any:
    return all(
        nx.is_isomorphic(
            labelled_graph(one, cell),
            labelled_graph(two, cell),
            node_match=lambda a, b: a == b,
            edge_match=lambda a, b: a == b,
        )
        for cell in range(2)
    )


@pytest.mark.heavy
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_canonical_is_graph_isomorphism(seed: Any, operations: Any) -> None:
    """With few operations many cells are isomorphic, also where no permutation was applied."""
    codes = SPACE.random(12, generator(seed))
    codes[:, :16] %= operations
    codes[:, 8:16], codes[:, 20:] = codes[:, :8], codes[:, 16:20]
    codes[:, 16:18] = 0
    codes = torch.cat([codes, SPACE.isomorphic(codes[:4], generator(seed))])
    functions = SPACE.canonical(codes)
    for (i, one), (j, two) in itertools.combinations(enumerate(codes.tolist()), 2):
        assert (functions[i] == functions[j]) == isomorphic_by_networkx(one, two)


def test_other_spellings_are_other_rows_of_the_benchmark_but_the_same_graph() -> None:
    codes = SPACE.random(200, generator(5))
    other = SPACE.isomorphic(codes, generator())
    assert SPACE.canonical(other) == SPACE.canonical(codes)
    differ = [a != b for a, b in zip(SPACE.identify(codes), SPACE.identify(other), strict=True)]
    assert sum(differ) > 180  # few cells are chains, which are written in one way only
    one, two = (SPACE.graph(SPACE.encode(c)) for c in (codes, other))
    for row in range(20):
        graphs = []
        for graph in (one, two):
            built = nx.DiGraph([(int(a), int(b)) for a, b in graph.adjacency[row].nonzero()])
            nx.set_node_attributes(
                built, dict(enumerate(graph.features[row].argmax(-1).tolist())), "label"
            )
            graphs.append(built)
        assert nx.is_isomorphic(*graphs, node_match=lambda a, b: a == b)


def test_a_chain_has_one_spelling_and_parallel_nodes_24() -> None:
    chain = [*[S3] * 16, *[0, 2, 5, 9] * 2]  # each node takes the two before it
    parallel = [S3, S3, S3, S5, S3, D3, S3, D5] * 2 + [0] * 8
    codes = torch.tensor([chain] * 50 + [parallel] * 500)
    spelt = SPACE.isomorphic(codes, generator())
    assert spelt[:50].tolist() == [chain] * 50
    normal = set(map(tuple, spelt[50:, :8].tolist()))
    assert len(normal) == 23
    assert tuple(parallel[:8]) not in normal


@settings(max_examples=20, deadline=None)
@given(codes_of_cells)
def test_neighbours_have_another_operation_or_input(rows: Any) -> None:
    codes = torch.tensor(rows)
    near = SPACE.neighbours(codes).reshape(len(codes), 120, 24)
    for code, others in zip(codes.tolist(), near.tolist(), strict=True):
        kinds = []
        for other in others:
            changed = [
                (a, b) for a, b in zip(inputs_of(code), inputs_of(other), strict=True) if a != b
            ]
            assert len(changed) == 1
            before, after = changed[0]
            kept = before.items() & after.items()
            assert len(kept) == 1
            if before.keys() != after.keys():  # the operation goes to the new input
                assert sorted(before.values()) == sorted(after.values())
            kinds.append(before.keys() == after.keys())
        assert sum(kinds) == 96
        assert len(set(map(tuple, others))) == 120
    back = SPACE.neighbours(near[0]).reshape(120, 120, 24)
    assert (back == codes[0]).all(-1).any(-1).all()


def test_random_is_uniform() -> None:
    codes = SPACE.random(3000, generator(1))
    for position, choices in enumerate(CHOICES):
        if choices > 1:
            counts = torch.bincount(codes[:, position], minlength=choices)
            assert chisquare(counts).pvalue > 1e-4


def test_drawing() -> None:
    drawn = SPACE.draw(DARTS_V2).splitlines()
    assert drawn[0] == "normal cell: output = all four nodes"
    assert drawn[4] == "  node 5 = skip_connect(c_{k-2})  + dil_conv_3x3(node 2)"
    longest = max(OPERATIONS, key=len)
    assert len(longest) == 12
    assert max(map(len, drawn)) <= 78
