"""A declared space is a search space: conformance, counts, draws, relaxation, neighbours."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from declarations import enumerated, spaces
from hypothesis import given, settings
from scipy.stats import chisquare

from optiproxy_nas import Choice, InvalidArchitectureError, ParameterError, Space
from optiproxy_nas.spaces.base import Logits
from optiproxy_nas.spaces.choices.json_values import value_text
from optiproxy_nas.testing import check_search_space


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(stages: int = 3) -> Space:
    """Stages, and a width and a norm of each stage that exists; group sizes of one norm only."""
    return Space(
        {
            "stages": list(range(1, stages + 1)),
            "lr": Choice([1e-3, 3e-3, 1e-2], ordered=True),
            **{
                name: choice
                for i in range(1, stages + 1)
                for name, choice in {
                    f"width_{i}": Choice(
                        [16, 32, 64], ordered=True, when={"stages": range(i, stages + 1)}
                    ),
                    f"norm_{i}": Choice(
                        [None, "batch", "group"], when={"stages": range(i, stages + 1)}
                    ),
                    f"groups_{i}": Choice([2, 4], when={f"norm_{i}": "group"}),
                }.items()
            },
        }
    )


SPACE = network()


@given(spaces())
@settings(max_examples=5)
def test_random_declarations_pass_the_conformance_checks(space: Space) -> None:
    check_search_space(space)


def test_a_space_with_grandparents_passes_the_conformance_checks() -> None:
    check_search_space(SPACE)


def few_widths(architecture: dict[str, Any]) -> bool:
    return bool(sum(architecture.get(f"width_{i}", 0) for i in (1, 2, 3)) <= 96)


def test_a_constrained_space_passes_the_conformance_checks() -> None:
    check_search_space(Space(SPACE.choices, constraint=few_widths))


@given(spaces())
@settings(max_examples=15)
def test_size_and_listing_are_the_enumeration(space: Space) -> None:
    texts = [value_text(architecture) for architecture in enumerated(space.choices)]
    assert space.size == len(set(texts)) == len(texts)
    assert sorted(space.to_string(space.from_string(texts))) == sorted(texts)


@pytest.mark.heavy
def test_closed_form_counts() -> None:
    per_stage = 3 * (1 + 1 + 2)
    assert SPACE.size == 3 * sum(per_stage**stages for stages in (1, 2, 3))
    assert Space({f"c{i}": list(range(10)) for i in range(40)}).size == 10**40
    big = Space(
        {"depth": range(1, 61)}
        | {f"op {i}": Choice(list("abcde"), when={"depth": range(i, 61)}) for i in range(1, 61)}
    )
    assert big.size == sum(5**depth for depth in range(1, 61))
    codes = big.random(100, generator())
    assert len(set(big.identify(codes))) == 100
    assert torch.equal(big.from_string(big.to_string(codes)), codes)


SMALL = Space(
    {
        "a": [1, 2, 3],
        "b": Choice(["x", "y"], when={"a": [2, 3]}),
        "c": Choice([0.1, 0.2, 0.4], ordered=True, when={"a": 3, "b": "y"}),
        "d": [True, False],
    }
)


def test_random_and_exploration_1_are_uniform() -> None:
    count = 2000
    logits = Logits(4 * torch.randn(2, 4, 4, generator=generator()), torch.zeros(2, 0))
    explored = SMALL.sample(logits, count // 2, generator(1), exploration=1.0).codes
    for codes in (SMALL.random(count, generator(2)), explored):
        _, counts = torch.unique(codes, dim=0, return_counts=True)
        assert len(counts) == SMALL.size == 2 * (1 + 2 + 1 + 3)
        assert chisquare(counts.numpy()).pvalue > 1e-3


def test_samples_follow_the_logits_and_the_relaxation_has_their_limit() -> None:
    groups, count = 3, 3000
    logits = Logits(torch.randn(groups, 4, 4, generator=generator()), torch.zeros(groups, 0))
    drawn = SMALL.sample(logits, count, generator(1))
    frequency = SMALL.encode(drawn.codes).operations.reshape(groups, count, 4, 4).mean(1)
    many = Logits(logits.alpha.repeat_interleave(count, 0), torch.zeros(groups * count, 0))
    cold = SMALL.relax(many, 1e-3, generator(2), "logistic").operations
    assert torch.allclose(cold.reshape(groups, count, 4, 4).mean(1), frequency, atol=0.04)
    soft = torch.softmax(logits.alpha.masked_fill(~SMALL.allowed, -torch.inf), -1)
    exists = soft[:, 0, 3] * soft[:, 1, 2]  # a = 3, b = y
    assert torch.allclose(1 - frequency[:, 2, 0], exists, atol=0.04)


def test_exploration_mixes_the_share_among_architectures_with_the_same_beginning() -> None:
    logits = Logits(torch.zeros(1, 4, 4), torch.zeros(1, 0))
    logits.alpha[:, 0, 1] = 40.0  # a = 1, which 2 of 14 architectures have
    drawn = SMALL.sample(logits, 4000, generator(), exploration=0.5)
    share = float((drawn.codes[:, 0] == 1).double().mean())
    assert share == pytest.approx(0.5 + 0.5 * 2 / 14, abs=0.03)


def test_relaxed_corners_are_the_encoding_and_gradients_reach_parents() -> None:
    codes = SMALL.from_string([value_text(a) for a in enumerated(SMALL.choices)])
    alpha = (40.0 * SMALL.encode(codes).operations).requires_grad_()
    relaxed = SMALL.relax(Logits(alpha, torch.zeros(len(codes), 0)), 0.1, generator(), "logistic")
    assert torch.allclose(relaxed.operations, SMALL.encode(codes).operations, atol=1e-4)
    alpha = torch.zeros(1, 4, 4, requires_grad=True)
    relaxed = SMALL.relax(Logits(alpha, torch.zeros(1, 0)), 0.7, generator(), "logistic")
    relaxed.operations[0, 2, 0].backward()  # type: ignore[no-untyped-call]  # how absent c is
    assert alpha.grad is not None
    assert (alpha.grad[0, :2].abs().sum(-1) > 0).all()
    assert (alpha.grad[0, 2:] == 0).all()


def neighbours(space: Space, architecture: dict[str, Any]) -> list[dict[str, Any]]:
    near = space.neighbours(space.from_string(architecture))
    return [json.loads(text) for text in space.to_string(near)]


def test_neighbours_of_ordered_categorical_and_conditional_choices() -> None:
    assert neighbours(SMALL, {"a": 1, "d": True}) == [
        {"a": 2, "b": "x", "d": True},  # b begins to exist, with its default
        {"a": 3, "b": "x", "d": True},
        {"a": 1, "d": False},
    ]
    assert neighbours(SMALL, {"a": 3, "b": "y", "c": 0.1, "d": True}) == [
        {"a": 1, "d": True},
        {"a": 2, "b": "y", "d": True},
        {"a": 3, "b": "x", "d": True},
        {"a": 3, "b": "y", "c": 0.2, "d": True},  # not 0.4, which is no neighbour of 0.1
        {"a": 3, "b": "y", "c": 0.1, "d": False},
    ]
    assert {"a": 3, "b": "y", "c": 0.2, "d": True} in neighbours(
        SMALL, {"a": 3, "b": "x", "d": True}
    )  # the middle one
    tight = Space(SMALL.choices, constraint=lambda a: a["a"] < 3)
    assert neighbours(tight, {"a": 1, "d": True}) == [
        {"a": 2, "b": "x", "d": True},
        {"a": 1, "d": False},
    ]


def test_features_are_thermometers_of_ordered_choices_and_one_hot_rows_of_others() -> None:
    space = Space({"a": [1, 2], "b": Choice.integers(1, 4, when={"a": 2})})
    features = space.features(space.encode(space.from_string([{"a": 2, "b": 3}, {"a": 1}])))
    assert features.tolist() == [[0, 1, 1, 1, 1, 0], [1, 0, 0, 0, 0, 0]]  # a, b exists, >= 2, 3, 4


def test_features_by_kind_count_what_layers_have_in_common() -> None:
    layers = {
        f"width_{i}": Choice([8, 16, 32], ordered=True, when={"depth": range(i, 4)})
        for i in (1, 2, 3)
    }
    space = Space({"depth": [1, 2, 3], **layers, "act_1": ["relu", "tanh"], "act_2": [1, 2]})
    codes = space.random(50, torch.Generator().manual_seed(0))
    encoding = space.encode(codes)
    blocks = space.features_by_kind(encoding)
    assert [block.shape[1] for block in blocks] == [3, 9, 2, 2, 3]  # act_2 has other options
    ungrouped = torch.cat(blocks[:4], 1).sort(1).values
    assert torch.equal(ungrouped, space.features(encoding).sort(1).values)
    widths = codes[:, 1:4]
    counts = [(widths >= least).sum(1) for least in (1, 2, 3)]
    assert blocks[4].tolist() == torch.stack(counts, 1).tolist()


def test_architectures_are_plain_dicts_that_an_evaluation_may_change() -> None:
    space = Space({"kernel": [[3, 3], [5, 5]], "head": [{"units": 4}, None], "x": [True, 1.5]})
    text = '{"kernel": [3, 3], "head": {"units": 4}, "x": true}'
    architecture = space.architecture(text)
    assert architecture == {"kernel": [3, 3], "head": {"units": 4}, "x": True}
    architecture["kernel"].append(3)
    architecture["head"]["units"] = 5
    assert space.to_string(space.from_string(text)) == [text]
    assert space.architecture(text)["kernel"] == [3, 3]


def test_texts_are_read_in_any_spelling() -> None:
    texts = ['{"d": true, "a": 1}', ' {"a":1.0,"d":true}\n', '{"a": 1e0, "d": true}']
    assert space_texts(texts) == ['{"a": 1, "d": true}'] * 3
    assert SMALL.to_string(SMALL.from_string({"a": 1, "d": True})) == ['{"a": 1, "d": true}']
    assert space_texts([{"a": np.int64(1), "d": np.bool_(True)}]) == ['{"a": 1, "d": true}']


def space_texts(architectures: list[Any]) -> list[str]:
    return SMALL.to_string(SMALL.from_string(architectures))


@pytest.mark.parametrize(
    ("architecture", "says"),
    [
        ('{"a": 1, "d": 1}', "'d' is 1; it is one of true, false"),
        ('{"a": 1}', "'d' is missing"),
        ('{"a": 1, "b": "x", "d": true}', "'b' does not exist where 'a' is 1: remove it"),
        ('{"a": 1, "c": 0.1, "d": true}', "'c' does not exist where 'a' is 1"),
        ('{"a": 2, "b": "y", "c": 0.1, "d": true}', "'c' does not exist where 'a' is 2"),
        ('{"a": 2, "d": true}', "'b' is missing; it is one of"),
        ('{"a": 1, "d": true, "dd": 1}', "Did you mean 'd'"),
        ('{"a": 1, "a": 1, "d": true}', "twice"),
        ('{"a": NaN, "d": true}', "NaN"),
        ('{"a": 1, "d": true', "no JSON"),
        ("[1]", "no mapping"),
        ("[" * 100_000, "no JSON"),
        (7, "no mapping"),
        ({"a": object(), "d": True}, "'a' is"),
        ({1: 1}, "Unknown choice 1"),
    ],
)
def test_what_is_no_architecture(architecture: Any, says: str) -> None:
    with pytest.raises(InvalidArchitectureError, match="(?s)" + says) as raised:
        SMALL.from_string([architecture])
    assert raised.value.data["architecture"] == architecture


def test_a_constraint_rejects_architectures_that_are_read() -> None:
    space = Space(SMALL.choices, constraint=lambda a: a["a"] < 3)
    with pytest.raises(InvalidArchitectureError) as caught:
        space.from_string({"a": 3, "b": "x", "d": True})
    assert caught.value.data["reason"] == "constraint"


def test_equal_declarations_are_equal_spaces() -> None:
    again = Space(json.loads(json.dumps(SPACE.declaration()))["choices"])
    assert again == SPACE
    assert hash(again) == hash(SPACE)
    assert pickle.loads(pickle.dumps(SPACE)) == SPACE
    assert Space(SPACE.choices, name="other") != SPACE
    assert Space({"a": [1, 2]}) != Space({"a": [2, 1]})
    assert Space({"a": [1, 2]}) != Space({"a": Choice([1, 2], ordered=True)})
    assert Space({"a": [1, 2]}) == Space({"a": {"options": (1, 2)}})


@given(spaces())
@settings(max_examples=15)
def test_declarations_are_json_and_survive_it(space: Space) -> None:
    declaration = json.loads(json.dumps(space.declaration()))
    again = Space.from_declaration(declaration)
    assert again == space == Space(**declaration)
    assert again.declaration() == declaration


def test_a_declared_space_has_no_graph_and_says_which_proxies_do() -> None:
    with pytest.raises(ParameterError, match="mlp"):
        SMALL.graph(SMALL.encode(SMALL.random(2, generator())))


@given(spaces())
@settings(max_examples=15)
def test_drawings_are_at_most_78_columns(space: Space) -> None:
    drawn = space.draw(space.to_string(space.random(1, generator()))[0])
    assert max(map(len, (str(space) + "\n" + drawn).split("\n"))) <= 78


def test_long_names_and_options_are_cut_in_drawings() -> None:
    space = Space({"n" * 100: ["v" * 200, "w"], "k": Choice(range(500), when={"n" * 100: "w"})})
    lines = space.describe().split("\n")
    assert max(map(len, lines)) <= 78
    assert len(lines) == 4
    assert "2 choices, 501 architectures" in lines[0]
    architecture: Any = {"n" * 100: "v" * 200}
    assert max(map(len, space.draw(architecture).split("\n"))) <= 78


def test_numbers_that_no_code_has() -> None:
    codes = SMALL.random(2, generator())
    codes[1, 0] = 4
    for method in (SMALL.encode, SMALL.identify, SMALL.neighbours, SMALL.to_string):
        with pytest.raises(ValueError, match="Place 0 of code 1 is 4; it can be 0 to 3"):
            method(codes)


@pytest.mark.parametrize("given", [{"stages": 1}, "stages", [[1, 2]], None])
def test_architectures_in_the_place_of_codes_are_refused_with_what_makes_codes(given: Any) -> None:
    for method in (SPACE.neighbours, SPACE.to_string, SPACE.identify, SPACE.encode):
        with pytest.raises(ParameterError, match="from_string"):
            method(given)


def test_random_without_a_generator_says_how_one_is_made() -> None:
    given: Any
    for given in ((3,), (3, 0)):
        with pytest.raises(ParameterError, match="manual_seed"):
            SPACE.random(*given)
