"""NAS-Bench-NLP: recipes in and out, the grammar, what is drawn, graphs, neighbours."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

import networkx as nx
import pandas as pd
import pytest
import torch

from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE
from optiproxy_nas.core.errors import InvalidArchitectureError
from optiproxy_nas.spaces.base import Encoding, Logits
from optiproxy_nas.spaces.nbnlp import NASBenchNLP
from optiproxy_nas.spaces.nbnlp.code_rows import code_bytes, remember_rows
from optiproxy_nas.spaces.nbnlp.grammar import (
    NODES,
    OPERATIONS,
    canonical,
    complete,
    pack,
    unpack,
)
from optiproxy_nas.spaces.nbnlp.graph import one_hot

SPACE = NASBenchNLP()
LINEAR_XH = {"op": "linear", "input": ["x", "h_prev_0"]}
SIMPLE = {"h_new_0": {"op": "activation_tanh", "input": ["a"]}, "a": LINEAR_XH}
GRU = {
    "r": LINEAR_XH,
    "r_act": {"op": "activation_sigm", "input": ["r"]},
    "z": LINEAR_XH,
    "z_act": {"op": "activation_sigm", "input": ["z"]},
    "rh": {"op": "elementwise_prod", "input": ["r_act", "h_prev_0"]},
    "h_tilde": {"op": "linear", "input": ["x", "rh"]},
    "h_tilde_act": {"op": "activation_tanh", "input": ["h_tilde"]},
    "h_new_0": {"op": "blend", "input": ["z_act", "h_prev_0", "h_tilde_act"]},
}
LSTM = {
    **{f"{gate}": LINEAR_XH for gate in "ijfo"},
    **{f"{g}_act": {"op": "activation_sigm", "input": [g]} for g in "ifo"},
    "j_act": {"op": "activation_tanh", "input": ["j"]},
    "h_new_1_kept": {"op": "elementwise_prod", "input": ["f_act", "h_prev_1"]},
    "h_new_1_added": {"op": "elementwise_prod", "input": ["i_act", "j_act"]},
    "h_new_1": {"op": "elementwise_sum", "input": ["h_new_1_kept", "h_new_1_added"]},
    "h_new_1_act": {"op": "activation_tanh", "input": ["h_new_1"]},
    "h_new_0": {"op": "elementwise_prod", "input": ["h_new_1_act", "o_act"]},
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def codes_of(*recipes: dict[str, Any]) -> torch.Tensor:
    return SPACE.from_string([json.dumps(recipe) for recipe in recipes])


def labelled(text: str) -> nx.DiGraph:
    """A recipe as networkx sees it: names of plain nodes do not count, places of blends do."""
    recipe, found = json.loads(text), nx.DiGraph()
    for name, node in recipe.items():
        state = name if re.fullmatch(r"h_new_\d", name) else ""
        found.add_node(name, label=f"{node['op']} {state}")
        for place, source in enumerate(node["input"]):
            if source not in recipe:
                found.add_node(source, label=source)
            found.add_edge(source, name, label=str(place) if node["op"] == "blend" else "")
    return found


def same(one: str, other: str) -> bool:
    match = nx.algorithms.isomorphism
    same: bool = nx.is_isomorphic(
        labelled(one),
        labelled(other),
        node_match=match.categorical_node_match("label", ""),
        edge_match=match.categorical_edge_match("label", ""),
    )
    return same


@pytest.mark.parametrize("recipe", [SIMPLE, GRU, LSTM])
def test_known_cells_come_out_as_they_went_in(recipe: dict[str, Any]) -> None:
    text = json.dumps(recipe)
    (out,) = SPACE.to_string(SPACE.from_string([text]))
    assert same(text, out)
    assert out == json.dumps(json.loads(out), sort_keys=True)
    assert torch.equal(SPACE.from_string([out]), SPACE.from_string([text]))


@pytest.mark.heavy
def test_all_published_recipes_come_out_as_they_went_in() -> None:
    own = os.environ.get(DATA_DIRECTORY_VARIABLE)
    path = Path(own or "nowhere") / "nbnlp" / "nbnlp_unique_recipes.csv"
    if not path.is_file():
        pytest.skip(f"{DATA_DIRECTORY_VARIABLE} has no nbnlp/: no published recipes here")
    recipes = list(pd.read_csv(path)["recipe"])
    codes = SPACE.from_string(recipes)
    out = SPACE.to_string(codes)
    assert len(recipes) == 4322
    assert all(map(same, recipes[::8], out[::8]))
    # networkx' own hash tells as many recipes apart.
    hashes = {
        nx.weisfeiler_lehman_graph_hash(
            labelled(text), node_attr="label", edge_attr="label", iterations=5
        )
        for text in recipes
    }
    assert len(set(SPACE.identify(codes))) == len(set(out)) == len(hashes) == 3776
    for seed in range(3):
        written = SPACE.isomorphic(codes, generator(seed))
        assert (written != codes).any(1).float().mean() > 0.9
        assert SPACE.identify(written) == SPACE.identify(codes)
    # Their graphs are exact, though two of them read in an unusual way.
    graph = SPACE.graph(SPACE.encode(codes))
    nodes = [len(json.loads(recipe)) for recipe in recipes]
    states = (unpack(codes).outputs > 0).sum(1).tolist()
    assert graph.mask.sum(1).tolist() == [1 + n + 2 * s for n, s in zip(nodes, states, strict=True)]
    reads = [sum(len(node["input"]) for node in json.loads(recipe).values()) for recipe in recipes]
    edges = (graph.adjacency > 0).sum((1, 2)).tolist()
    assert edges == [r + s for r, s in zip(reads, states, strict=True)]


def test_names_and_the_order_of_sums_do_not_matter_but_that_of_blends_does() -> None:
    renamed = {
        "h_new_0": {"op": "activation_tanh", "input": ["other"]},
        "other": {"op": "linear", "input": ["h_prev_0", "x"]},
    }
    assert len(set(SPACE.identify(codes_of(SIMPLE, renamed)))) == 1
    swapped = {**GRU, "h_new_0": {"op": "blend", "input": ["z_act", "h_tilde_act", "h_prev_0"]}}
    gate = {**GRU, "h_new_0": {"op": "blend", "input": ["h_prev_0", "z_act", "h_tilde_act"]}}
    assert len(set(SPACE.identify(codes_of(GRU, swapped, gate)))) == 3


def test_second_and_third_state_exchanged_compute_the_same() -> None:
    def three(first: str, second: str) -> dict[str, Any]:
        return {
            "h_new_0": {"op": "linear", "input": ["x", "h_prev_0"]},
            f"h_new_{first}": {"op": "linear", "input": ["x", f"h_prev_{second}"]},
            f"h_new_{second}": {"op": "linear", "input": ["h_prev_0", f"h_prev_{first}"]},
        }

    codes = codes_of(three("1", "2"), three("2", "1"))
    assert len(set(SPACE.identify(codes))) == 2
    assert len(set(SPACE.canonical(codes))) == 1


def chain(length: int) -> dict[str, Any]:
    recipe = {"n0": LINEAR_XH}
    for i in range(1, length - 1):
        recipe[f"n{i}"] = {"op": "linear", "input": [f"n{i - 1}", "x"]}
    return {**recipe, "h_new_0": {"op": "linear", "input": [f"n{length - 2}", "x"]}}


def test_the_largest_published_size_fits_and_no_more() -> None:
    assert codes_of(chain(NODES)).shape == (1, SPACE.code_length)
    with pytest.raises(InvalidArchitectureError, match=r"17 nodes.*at most 16"):
        codes_of(chain(NODES + 1))


def with_node(name: str, operation: str, *inputs: str) -> dict[str, Any]:
    return {**SIMPLE, name: {"op": operation, "input": list(inputs)}}


BROKEN = [
    ("nonsense", None, "not JSON"),
    ("[]", None, "not a mapping"),
    ('{"h_new_0": 1}', "h_new_0", "not a mapping of 'op' and 'input'"),
    ('{"a": {"op": "linear"}, "a": {"op": "linear"}}', None, "'a' occurs twice"),
    (with_node("a", "conv", "x"), "a", "operation 'conv'"),
    (with_node("a", "absent"), "a", "operation 'absent'"),
    (with_node("a", "linear", "x"), "a", "takes 2 or 3 inputs, not 1"),
    (with_node("a", "blend", "h_prev_0", "a"), "a", "takes 3 inputs, not 2"),
    (with_node("a", "linear", "x", "x"), "a", "an input twice"),
    (with_node("a", "elementwise_sum", "x", "h_prev_0"), "a", "only linear nodes can"),
    (with_node("a", "linear", "x", "h_prev_1"), "a", "no node makes h_new_1"),
    (with_node("a", "linear", "x", "h_prev_7"), "a", "no node makes h_new_7"),
    (with_node("a", "linear", "x", "b"), "a", "reads 'b'"),
    (with_node("a", "linear", "x", "h_new_0"), None, "lies on a cycle"),
    (with_node("dead", "activation_tanh", "a"), "dead", "no path to a new hidden state"),
    (with_node("x", "activation_tanh", "a"), "x", "name of an input"),
    (with_node("h_new_2", "activation_tanh", "a"), None, "numbered from 0"),
    (with_node("h_new_1", "activation_tanh", "a"), None, "no node reads h_prev_1"),
    (with_node("h_new_" + 5000 * "1", "activation_tanh", "a"), None, "h_new_11111111111111..."),
    (with_node("h_new_01", "activation_tanh", "a"), None, "h_new_0, h_new_01; there must be"),
    (with_node("h_new_\u0661", "activation_tanh", "a"), None, "numbered from 0"),
    ({"h_new_00": LINEAR_XH}, None, "the hidden states h_new_00;"),
    ({"a": LINEAR_XH}, None, r"\(none\)"),
    ({"h_new_0": {"op": "activation_tanh", "input": ["h_prev_0"]}}, None, "no node reads x"),
    (None, None, "not a string"),
]


@pytest.mark.parametrize(("recipe", "node", "reason"), BROKEN)
def test_a_broken_rule_is_named_with_its_node(recipe: object, node: object, reason: str) -> None:
    text = json.dumps(recipe) if isinstance(recipe, dict) else recipe
    with pytest.raises(InvalidArchitectureError, match=reason) as caught:
        SPACE.from_string([json.dumps(SIMPLE), text])  # type: ignore[list-item]
    if node is not None:
        assert caught.value.data["node"] == node


def test_what_is_drawn_is_valid_and_looks_like_the_published_recipes() -> None:
    codes = SPACE.random(2000, generator())
    # The parser checks every rule anew, and independently.
    assert torch.equal(SPACE.from_string(SPACE.to_string(codes)), codes)
    cells = unpack(codes)
    sizes = (cells.operations > 0).sum(1).double()
    assert sizes.mean() == pytest.approx(7.2, abs=0.6)
    assert sizes.std() == pytest.approx(2.5, abs=0.6)
    shares = torch.bincount(cells.operations.flatten(), minlength=8)[1:].double()
    published = torch.tensor([0.459, 0.040, 0.047, 0.047, 0.135, 0.135, 0.137])
    assert (shares / shares.sum() - published).abs().max() < 0.04
    states = (cells.outputs > 0).double().mean(0)
    assert states.tolist() == pytest.approx([1, 0.63, 0.17], abs=0.06)
    # The habits of the benchmark's generator: activations read linear nodes, linear ones do not.
    reads = {
        (node["op"].partition("_")[0], recipe.get(source, {"op": source})["op"].partition("_")[0])
        for recipe in map(json.loads, SPACE.to_string(codes[:300]))
        for node in recipe.values()
        for source in node["input"]
    }
    assert {source for operation, source in reads if operation == "activation"} == {"linear"}
    assert not reads & {("linear", "linear"), ("linear", "blend"), ("linear", "elementwise")}


@pytest.mark.parametrize("sharpness", [1.0, 10.0, 1000.0])
def test_any_logits_give_valid_recipes_and_rejections_are_counted(sharpness: float) -> None:
    alpha = sharpness * torch.randn(20, NODES, len(OPERATIONS), generator=generator(1))
    beta = sharpness * torch.randn(20, SPACE.num_edges, generator=generator(2))
    drawn = SPACE.sample(Logits(alpha, beta), 10, generator(3))
    assert torch.equal(SPACE.from_string(SPACE.to_string(drawn.codes)), drawn.codes)
    assert drawn.group.tolist() == [k for k in range(20) for _ in range(10)]
    assert drawn.rejected > 0


def test_logits_that_allow_no_valid_recipe_end_with_one_all_the_same() -> None:
    alpha = torch.full((2, NODES, len(OPERATIONS)), -1e4)
    alpha[..., 0] = 1e4  # all absent
    drawn = SPACE.sample(Logits(alpha, torch.zeros(2, SPACE.num_edges)), 5, generator())
    assert bool(complete(unpack(drawn.codes)).all())
    assert drawn.rejected >= 10


def test_an_unusual_recipe_is_drawn_where_the_logits_insist() -> None:
    codes = codes_of(LSTM, GRU)
    hard = SPACE.encode(codes)
    drawn = SPACE.sample(Logits(60 * hard.operations, 60 * hard.edges), 4, generator())
    assert torch.equal(drawn.codes, codes.repeat_interleave(4, 0))


def test_the_graph_of_a_gru() -> None:
    codes = codes_of(GRU)
    features, adjacency, mask = (part[0] for part in SPACE.graph(SPACE.encode(codes)))
    (recipe,) = map(json.loads, SPACE.to_string(codes))
    plain = sorted((n for n in recipe if n.startswith("node")), key=lambda n: int(n[5:]))
    assert "h_new_0" in recipe
    assert len(plain) == 7
    vertex = {"x": 0, "h_prev_0": 1, **{n: 4 + i for i, n in enumerate([*plain, "h_new_0"])}}
    expected = torch.zeros(23, 23)
    for name, node in recipe.items():
        for place, source in enumerate(node["input"]):
            weight = (1, 0.75, 0.5)[place] if node["op"] == "blend" else 1
            expected[vertex[source], vertex[name]] = weight
    expected[vertex["h_new_0"], 20] = 1
    assert torch.equal(adjacency, expected)
    present = torch.zeros(23)
    present[[*vertex.values(), 20]] = 1
    assert torch.equal(mask, present)
    assert features[0].tolist() == [1] + 9 * [0]
    assert features[1].tolist() == [1] + 8 * [0] + [0.75]
    assert features[20].tolist() == [0.75] + 8 * [0] + [1]
    for name, node in recipe.items():
        assert features[vertex[name]].argmax() == 1 + OPERATIONS.index(node["op"])


def test_a_soft_graph_forgets_what_leads_nowhere() -> None:
    # Half of node 1 reads node 0; the state is made by node 2 alone, which reads neither.
    hard = SPACE.encode(codes_of(SIMPLE))
    operations, edges = hard.operations.clone(), hard.edges.clone()
    operations[0, 2] = torch.tensor([0.5, 0.5, 0, 0, 0, 0, 0, 0])
    graph = SPACE.graph(Encoding(operations, edges))
    assert graph.mask[0, 4 + 2] == 0  # half present, but nothing reads it
    assert torch.equal(graph.mask[0, 4:6], torch.ones(2))


def test_neighbours_are_one_change_away() -> None:
    near = {SPACE.to_string(code[None])[0] for code in SPACE.neighbours(codes_of(SIMPLE))}

    def canonical(recipe: dict[str, Any]) -> str:
        return SPACE.to_string(codes_of(recipe))[0]

    product = {"op": "elementwise_prod", "input": ["a", "h_prev_0"]}
    layer = {
        "c": {"op": "activation_tanh", "input": ["a"]},
        "b": {"op": "linear", "input": ["c", "x"]},
        "h_new_0": {"op": "activation_tanh", "input": ["b"]},
    }
    for expected in (
        {**SIMPLE, "h_new_0": {"op": "activation_sigm", "input": ["a"]}},  # another operation
        {**SIMPLE, "h_new_0": product},  # one with an input more
        {"h_new_0": LINEAR_XH},  # another node makes the state; the dead one goes
        {**SIMPLE, **layer},  # a layer more
    ):
        assert canonical(expected) in near
    assert canonical(SIMPLE) not in near
    # Every change can be taken back or led further: the walk reaches a larger recipe.
    codes = codes_of(SIMPLE)
    for _ in range(12):
        near_codes = SPACE.neighbours(codes)
        sizes = (unpack(near_codes).operations > 0).sum(1)
        codes = near_codes[sizes.argmax()][None]
    assert (unpack(codes).operations > 0).sum() >= 14


@pytest.mark.heavy
def test_neighbours_stay_within_the_grammar() -> None:
    codes = SPACE.random(10, generator(5))
    near = SPACE.neighbours(torch.cat([codes, codes_of(LSTM, GRU)]))
    assert torch.equal(SPACE.from_string(SPACE.to_string(near)), near)
    assert 40 < len(near) / 12 < 400


def test_the_graph_of_a_code_is_the_relaxed_graph_at_its_corner() -> None:
    """Also of codes that are no valid recipe: without a gradient it is computed by numbers."""
    choices = [8] * 16 + [5 + node for node in range(16) for _ in range(3)] + [17] * 3
    wild = (torch.rand(300, 67, generator=generator()) * torch.tensor(choices)).long()
    wild[:, 64].clamp_(min=1)
    cells = unpack(torch.cat([SPACE.random(50, generator()), wild]))
    operations = torch.nn.functional.one_hot(cells.operations, 8).float()
    discrete = SPACE.graph(Encoding(operations, one_hot(cells)))
    relaxed = SPACE.graph(Encoding(operations.requires_grad_(), one_hot(cells)))
    for one, other in zip(discrete, relaxed, strict=True):
        assert torch.equal(one, other)


def test_a_drawing_has_one_line_a_node() -> None:
    lines = SPACE.draw(json.dumps(GRU)).splitlines()
    assert len(lines) == len(GRU)
    assert max(map(len, lines)) <= 78
    assert re.fullmatch(r" h_new_0 = blend\(node_\d, h_prev_0, node_\d\)", lines[-1])


@pytest.mark.heavy
def test_two_threads_share_the_cache_of_canonical_codes() -> None:
    """The cache is emptied all the time, by either thread while the other one reads it."""
    codes = SPACE.random(60, generator())
    written = SPACE.isomorphic(codes, generator())

    @remember_rows(limit=40)
    def canonical_rows(codes: torch.Tensor) -> list[bytes]:
        return code_bytes(pack(canonical(unpack(codes))))

    wrong: list[object] = []

    def ask(seed: int) -> None:
        stream = generator(seed)
        try:
            for _ in range(300):
                rows = torch.randint(0, len(codes), (20,), generator=stream)
                if canonical_rows(written[rows]) != code_bytes(codes[rows]):
                    wrong.append(rows)
        except Exception as error:
            wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
