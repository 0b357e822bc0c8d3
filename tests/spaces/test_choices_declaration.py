"""How choices are declared, and what is refused: one clear message each."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import optiproxy_nas
from optiproxy_nas import Choice, ParameterError, Space, UnknownNameError
from optiproxy_nas.spaces import get_space


def options(choice: Any) -> list[Any]:
    return list(Space({"x": choice, "other": [1, 2]}).choices["x"].options)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (range(1, 4), [1, 2, 3]),
        (np.array([0.5, 2.0]), [0.5, 2.0]),
        ([np.float64(0.5), np.int8(3), np.bool_(True), np.str_("a")], [0.5, 3, True, "a"]),
        (("only one",), ["only one"]),
        (Choice.integers(2, 9, step=3), [2, 5, 8]),
        (Choice.integers(3, 3), [3]),
        (Choice.linear(0, 0.5, 6), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (Choice.linear(0, 1, 3), [0.0, 0.5, 1.0]),
        (Choice.log(1e-4, 1e-1, 4), [0.0001, 0.001, 0.01, 0.1]),
        (Choice.log(16, 256, 5), [16, 32, 64, 128, 256]),
        (Choice.log(1, 1 + 1e-9, 3), [1.0, math.sqrt(1 + 1e-9), 1 + 1e-9]),
        ({"integers": [1, 8], "step": 7}, [1, 8]),
        ({"linear": [0.0, 1.0], "count": 2}, [0.0, 1.0]),
        ({"log": [1, 100], "count": 3, "ordered": True}, [1, 10, 100]),
        ({"options": ["a", None]}, ["a", None]),
    ],
)
def test_options_of_every_form(choice: Any, expected: list[Any]) -> None:
    found = options(choice)
    assert found == pytest.approx(expected) if isinstance(expected[0], float) else expected
    assert [*map(type, found)] == [*map(type, expected)]


def test_ranges_are_ordered_and_lists_only_if_said() -> None:
    choices = Space(
        {"a": [1, 2], "b": Choice.integers(1, 2), "c": {"options": [1, 2], "ordered": True}}
    ).choices
    assert [choice.ordered for choice in choices.values()] == [False, True, True]


@pytest.mark.parametrize(
    ("parent", "when", "expected"),
    [
        ([1, 2, 3], 2, [2]),
        ([1, 2, 3], 2.0, [2]),
        ([1, 2, 3], [3, 1], [1, 3]),
        ([1, 2, 3], (3,), [3]),
        ([1, 2, 3], {3, 2}, [2, 3]),
        ([1, 2, 3], frozenset([1]), [1]),
        ([1, 2, 3], range(2, 4), [2, 3]),
        ([1, 2, 3], np.array([1, 3]), [1, 3]),
        ([1, 2, 3], np.int64(3), [3]),
        (["on", "off"], "on", ["on"]),
        ([None, "batch"], None, [None]),
        ([True, 1.5, 0], True, [True]),
        ([False, 0], 0, [0]),
        ([False, 0], False, [False]),
        ([[3, 3], [5, 5]], [3, 3], [[3, 3]]),
        ([[3, 3], [5, 5]], [[3, 3], [5, 5]], [[3, 3], [5, 5]]),
        ([{"k": 1}, {"k": 2}], {"k": 1.0}, [{"k": 1}]),
    ],
)
def test_conditions_of_every_form(parent: Any, when: Any, expected: list[Any]) -> None:
    space = Space({"p": parent, "c": Choice(["x", "y"], when={"p": when})})
    assert space.choices["c"].when == {"p": expected}
    assert Space(**space.declaration()) == space
    texts = space.to_string(space.random(60, torch.Generator().manual_seed(0)))
    present = [space.architecture(text) for text in texts if '"c"' in text]
    values = [architecture["p"] for architecture in present]
    assert all(
        any(value == kept and type(value) is type(kept) for kept in expected) for value in values
    )
    assert len(values) > 1


class Network:
    """A space as a class."""

    stages = (1, 2)
    width = Choice([16, 32], ordered=True, when={"stages": 2})
    _private = (1, 2)


class Wider(Network):
    depth = Choice.integers(1, 3)


def test_a_class_declares_its_public_attributes_in_order() -> None:
    assert list(Space(Network).choices) == ["stages", "width"]
    assert list(Space(Wider).choices) == ["stages", "width", "depth"]


YAML = """
choices:
  width: {options: [16, 32, 64], ordered: true, when: {stages: [2, 3]}}
  stages: [1, 2, 3]
  lr: {log: [1e-4, 1e-1], count: 4}
  "on": [true, off, light]
  dropout: {linear: [0.0, 0.5], count: 6, when: {width: 64, stages: 3}}
  heads: {integers: [1, 8], step: 1, default: 4}
name: from yaml
"""


def test_yaml_through_omegaconf_in_any_order() -> None:
    config = OmegaConf.create(YAML)
    declared: Any = config
    space = Space.from_declaration(declared)
    assert list(space.choices) == ["stages", "width", "lr", "on", "dropout", "heads"]
    plain: Any = OmegaConf.to_container(config)
    assert space == Space.from_declaration(plain)
    assert space.name == "from yaml"
    assert space.choices["lr"].options == (0.0001, 0.001, 0.01, 0.1)
    assert space.choices["on"].options == (True, False, "light")
    near = space.neighbours(
        space.from_string({"stages": 2, "width": 16, "lr": 0.1, "on": True, "heads": 4})
    )
    assert len(near) == 2 + 1 + 1 + 2 + 2


def two(choice: Callable[[], Any] | Any, name: Any = "x") -> Callable[[], Any]:
    """A space of a choice and another one."""
    return lambda: Space({name: choice() if callable(choice) else choice, "other": [1, 2]})


CIRCLE = {"a": {"options": [1, 2], "when": {"b": 1}}, "b": {"options": [1, 2], "when": {"a": 1}}}
LATER = {"a": Choice([1, 2], when={"b": 1}), "b": [1, 2]}
NEVER = {
    "a": [1, 2],
    "b": Choice([1, 2], when={"a": 1}),
    "c": Choice([1, 2], when={"a": 2, "b": 1}),
}


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (two([]), "Choice 'x': There are no options"),
        (two(lambda: Choice([])), "There are no options"),
        (lambda: Space({}), "There are no choices"),
        (lambda: Space({"x": [1]}), "one architecture"),
        (lambda: Space({"x": [1], "y": Choice(["a"], when={"x": 1})}), "one architecture"),
        (two([1, 2, 1.0]), "1.0 is given twice (1 is equal)"),
        (two(["a", "a"]), "Choice 'x': The option \"a\" is given twice"),
        (two([np.int64(1), 1]), "1 is given twice"),
        (two({1, 2}), "set"),
        (two("abc"), "'abc' is no choice"),
        (two(3), "3 is no choice"),
        (two(lambda: Choice("abc")), "list of values"),
        (two(lambda: Choice([1, 2], ordered="yes")), "ordered = 'yes'"),  # type: ignore[arg-type]
        (two([math.nan, 1]), "nan (float) cannot be a value"),
        (two([1, math.inf]), "inf"),
        (two([torch.nn.ReLU]), "look it up in your training"),
        (two([b"a"]), "bytes"),
        (two([Decimal(1)]), "Decimal"),
        (two([Path("a")]), "cannot be a value"),
        (two([{1: 2}]), "cannot be a value"),
        (two(["\ud800"]), "cannot be a value"),
        (two(range(1001)), "more than 1,000"),
        (two(lambda: Choice.integers(0, 10**9)), "more than 1,000"),
        (two(lambda: Choice.linear(0, 1, 5000)), "more than 1,000"),
        (two(lambda: Choice([1, 2], when={"other": range(10**9)})), "more than 1,000"),
        (two(lambda: Choice.integers(3, 2)), "low = 3 is above high = 2"),
        (two(lambda: Choice.integers(1, 2, step=0)), "step = 0"),
        (two(lambda: Choice.integers(1.5, 2)), "low = 1.5"),  # type: ignore[arg-type]
        (two(lambda: Choice.linear(1, 0, 3)), "above"),
        (two(lambda: Choice.linear(1, 1, 3)), "low < high"),
        (two(lambda: Choice.log(1e-3, 1, 1)), "count = 1"),
        (two(lambda: Choice.log(0, 1, 3)), "above 0"),
        (two(lambda: Choice.log("1e-3", 1, 3)), "low = '1e-3'"),  # type: ignore[arg-type]
        (two(lambda: Choice([1, 2], default=3)), "The default 3 is none of"),
        (two(["1e-3", "1e-2"]), "1.0e-3"),
        (two([16, "32"]), "'32' is a text that reads as a number"),
        (two(lambda: Choice(["8", "16"], ordered=True)), "reads as a number"),
        (two(lambda: Choice([1, "auto"], ordered=True)), "mix numbers and texts"),
        (two([1, 2], name=True), "named True"),
        (two([1, 2], name=""), "named ''"),
        (two([1, 2], name=" "), "named ' '"),
        (two([1, 2], name="a\nb"), "printable"),
        (two({"options": [1, 2], "orderd": True}), "Did you mean 'ordered'"),
        (two({"options": [1, 2], "log": [1, 2]}), "options and log"),
        (two({"ordered": True}), "none of them"),
        (two({"options": [1, 2], "step": 2}), "options takes no step"),
        (two({"integers": [1, 2], "count": 2}), "integers takes no count"),
        (two({"log": [1e-3, 1]}), "needs a count"),
        (two({"log": 3, "count": 3}), "[low, high]"),
        (two({"integers": [1, 2], "ordered": False}), "always ordered"),
        (two({"options": 3}), "list of values"),
        (lambda: Space([1, 2]), "mapping {name: choice}"),
        (lambda: Space({"a": [1, 2]}, name=""), "name = ''"),
        (lambda: Space(LATER), "'a' depends on 'b', which is declared later"),
        (lambda: Space({"a": Choice([1, 2], when={"a": 1})}), "'a' depends on 'a'"),
        (lambda: Space(CIRCLE), "'a' depends on 'b' depends on 'a'"),
        (lambda: Space({"ab": [1], "b": Choice([1, 2], when={"aa": 1})}), "Did you mean 'ab'"),
        (lambda: Space({"a": [1, 2], "b": Choice([1], when={"a": 3})}), "'a' is 3, which is none"),
        (lambda: Space({"a": [1, 2], "b": Choice([1], when={"a": [1, 3]})}), "'a' is 3, which"),
        (lambda: Space({"a": [1, 2], "b": Choice([1], when={"a": []})}), "with no value"),
        (lambda: Space({"a": [True, 2], "b": Choice([1], when={"a": 1})}), "'a' is 1, which"),
        (two(lambda: Choice([1, 2], when=["other"])), "when = ['other']"),  # type: ignore[arg-type]
        (two(lambda: Choice([1, 2], when={True: 1})), "no text"),  # type: ignore[dict-item]
        (lambda: Space(NEVER), "'c' can never exist"),
        (lambda: Space.from_declaration({"choices": CIRCLE}), "'a' depends on 'b' depends on 'a'"),
        (lambda: Space.from_declaration({"choice": {}}), "Did you mean 'choices'"),
        (lambda: Space.from_declaration({}), "There are no choices"),
        (lambda: get_space({"choices": {True: [1, 2]}}), "quote on, off, yes, no"),
    ],
)
def test_what_is_refused(build: Callable[[], Any], says: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(says)):
        build()


def test_messages_about_one_choice_name_it_in_data() -> None:
    for build in (two([]), two([1, 1.0]), two({"log": [0, 1], "count": 3}), lambda: Space(NEVER)):
        with pytest.raises(ParameterError) as raised:
            build()
        assert raised.value.data["choice"] in ("x", "c")


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ParameterError) as caught:
        Space({"x": [endless, 1]})
    assert caught.value.data["choice"] == "x"


def test_conditions_far_from_their_parents_stay_countable() -> None:
    """Thirty switches, and behind them all thirty pairs that need two neighbouring ones."""
    switches = {f"s{i}": [0, 1] for i in range(30)}
    pairs = {f"p{i}": Choice(["a", "b"], when={f"s{i}": 1, f"s{i + 1}": 1}) for i in range(29)}
    space = Space(switches | pairs)
    # Words over {0, 1} where each pair of ones counts twice: a linear recurrence.
    zero, one = 1, 1
    for _ in range(29):
        zero, one = zero + one, zero + 2 * one
    assert space.size == zero + one
    assert set(map(len, space.random(50, torch.Generator().manual_seed(0)))) == {59}


def test_too_entangled_conditions_say_so() -> None:
    switches = {f"s{i}": [0, 1] for i in range(40)}
    tangled = {
        f"p{i}": Choice(["a", "b"], when={f"s{j}": 1 for j in ((7 * i) % 40, (11 * i + 3) % 40, i)})
        for i in range(40)
    }
    with pytest.raises(ParameterError) as caught:
        Space(switches | tangled)
    assert caught.value.data["states"] > 50_000


def test_choice_and_space_are_public_and_readable() -> None:
    assert optiproxy_nas.Choice is Choice
    assert optiproxy_nas.Space is Space
    choice = Choice([1, 2], ordered=True, when={"a": range(2)})
    assert eval(repr(choice)) == choice
    assert hash(eval(repr(choice))) == hash(choice)
    assert choice != Choice([1, 2])
    assert repr(Space({"a": [1, 2]})) == "Space(1 choice, 2 architectures)"


def test_a_mapping_of_nothing_but_choices_declares_a_space() -> None:
    choices = {"a": [1, 2], "b": {"log": [1, 100], "count": 3}, "c": Choice([3], when={"a": 1})}
    assert get_space(choices) == Space(choices)
    with pytest.raises(UnknownNameError) as caught:
        get_space({"choises": {"a": [1, 2]}})
    assert caught.value.data["suggestion"] == "choices"
    with pytest.raises(ParameterError, match=r"Space\(\{"):
        get_space({"name": ["a", "b"], "depth": [1, 2]})
