"""Constraints between choices: valid architectures only, at a bounded cost; bad ones refused."""

from __future__ import annotations

import copy
import json
import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from optiproxy_nas import Choice, ParameterError, SamplingError, Space
from optiproxy_nas.spaces import get_space, space_parameter
from optiproxy_nas.spaces.base import Logits

CHOICES: dict[str, Any] = {
    "depth": [1, 2, 3],
    "width": Choice([8, 16, 32], ordered=True),
    "norm": Choice(["batch", None], when={"depth": [2, 3]}),
}
LARGE = {f"c{i}": list(range(10)) for i in range(10)}


def small(architecture: dict[str, Any]) -> bool:
    return bool(architecture["depth"] * architecture["width"] <= 32)


def never(architecture: dict[str, Any]) -> bool:
    return False


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def logits(space: Space, groups: int = 2) -> Logits:
    return Logits(
        torch.zeros(groups, space.num_nodes, len(space.operations)), torch.zeros(groups, 0)
    )


def test_only_valid_architectures_are_drawn_counted_and_near() -> None:
    space = Space(CHOICES, constraint=small)
    assert space.size == 3 + 4 + 2
    codes = space.random(1800, generator())
    _, counts = torch.unique(codes, dim=0, return_counts=True)
    assert len(counts) == 9
    assert chisquare(counts.numpy()).pvalue > 1e-3
    drawn = space.sample(logits(space), 50, generator())
    for each in (codes, drawn.codes, space.neighbours(codes[:20])):
        assert all(small(space.architecture(text)) for text in space.to_string(each))
    assert drawn.rejected > 0
    assert drawn.group.tolist() == [0] * 50 + [1] * 50
    assert "9 of 15 architectures" in str(space)


def test_a_group_whose_logits_are_invalid_explores() -> None:
    space = Space(CHOICES, constraint=small)
    alpha = logits(space, 1).alpha
    alpha[0, 0, 3] = alpha[0, 1, 3] = 40.0  # depth 3, width 32
    drawn = space.sample(Logits(alpha, torch.zeros(1, 0)), 20, generator())
    assert len(drawn.codes) == 20
    assert drawn.rejected > 20


def test_a_large_space_with_a_constraint_has_no_size_and_is_drawn_from_uniformly() -> None:
    space = Space(LARGE, constraint=lambda a: a["c0"] == a["c1"])
    assert space.size is None
    codes = space.random(1000, generator())
    assert (codes[:, 0] == codes[:, 1]).all()
    assert chisquare(torch.bincount(codes[:, 0])[1:].numpy()).pvalue > 1e-3
    assert "before the constraint" in repr(space)


def test_one_architecture_in_a_thousand_is_found() -> None:
    space = Space(LARGE, constraint=lambda a: a["c0"] == a["c1"] == a["c2"] == a["c3"])
    assert len(space.random(3, generator())) == 3
    drawn = space.sample(logits(space, 3), 4, generator())
    assert len(drawn.codes) == 12
    assert drawn.rejected > 100
    assert (drawn.codes[:, 0] == drawn.codes[:, 3]).all()


def test_none_in_a_large_space_ends_with_the_share() -> None:
    space = Space(LARGE, constraint=never)
    with pytest.raises(SamplingError, match="accepts 0") as raised:
        space.random(3, generator())
    assert raised.value.data["share"] == 0
    assert raised.value.data["draws"] <= 30_000


@pytest.mark.parametrize(
    ("constraint", "left"), [(never, "none of 15"), (lambda a: a["depth"] * a["width"] == 8, "one")]
)
def test_fewer_than_two_in_a_small_space_are_refused(constraint: Any, left: str) -> None:
    with pytest.raises(ParameterError, match=f"leaves {left}"):
        Space(CHOICES, constraint=constraint)


@pytest.mark.parametrize("choices", [CHOICES, LARGE], ids=["small", "large"])
def test_what_raises_or_returns_no_bool_is_said_when_it_is_declared(choices: Any) -> None:
    with pytest.raises(ParameterError, match=r"raises KeyError: 'norm_7'.*get\(name\)") as raised:
        Space(choices, constraint=lambda a: a["norm_7"])
    assert isinstance(raised.value.__cause__, KeyError)
    assert "{" in raised.value.data["architecture"]
    with pytest.raises(ParameterError, match="returns 1 for"):
        Space(choices, constraint=lambda a: 1)
    with pytest.raises(ParameterError, match="returns None for"):
        Space(choices, constraint=lambda a: None)
    Space(choices, constraint=lambda a: np.bool_(True))  # does not raise


def test_a_constraint_may_change_what_it_gets() -> None:
    def spoils(architecture: dict[str, Any]) -> bool:
        architecture["k"].append(1)
        return bool(architecture.pop("x") < 3)

    space = Space({"k": [[1], [2]], "x": [1, 2, 3]}, constraint=spoils)
    assert space.size == 4
    assert sorted(space.to_string(space.random(50, generator())))[0] == '{"k": [1], "x": 1}'


@pytest.mark.parametrize("constraint", [3, "small", ["a"], {"forbid": []}, {"forbidden": [1]}])
def test_what_is_no_constraint(constraint: Any) -> None:
    with pytest.raises(ParameterError, match=r"package\.module:function"):
        Space(CHOICES, constraint=constraint)


def test_a_function_is_declared_by_its_path() -> None:
    space = Space(CHOICES, constraint=small)
    declaration = space.declaration()
    assert declaration["constraint"] == f"{__name__}:small"
    again = Space.from_declaration(declaration)
    assert again == space
    assert hash(again) == hash(space)
    assert again != Space(CHOICES)
    assert pickle.loads(pickle.dumps(space)) == copy.deepcopy(space) == space
    with pytest.raises(ParameterError) as caught:
        Space(CHOICES, constraint="nowhere.at_all:small")
    assert caught.value.data["path"] == "nowhere.at_all:small"


def test_functions_without_a_path_work_but_cannot_be_declared() -> None:
    for constraint in (lambda a: a["depth"] < 3, partial(small)):
        space = Space(CHOICES, constraint=constraint)
        assert len(space.random(5, generator())) == 5
        assert space == Space(CHOICES, constraint=constraint)
        assert space != Space(CHOICES, constraint=lambda a: True)
        with pytest.raises(ParameterError, match="top of a module"):
            space.declaration()


def test_forbidden_combinations_are_declared_as_data() -> None:
    forbidden = [{"depth": [1, 2], "width": 32}, {"norm": [None], "width": [8, 16]}]
    space = Space(CHOICES, constraint={"forbidden": forbidden})
    assert space.size == 15 - 3 - 4
    again = Space(**space.declaration())
    assert again == space
    assert again.declaration() == space.declaration()
    assert pickle.loads(pickle.dumps(space)) == space
    for clause, says in (
        ({"depht": 1}, "Did you mean 'depth'"),
        ({"depth": 4}, "names 4 of choice 'depth'"),
    ):
        with pytest.raises(ParameterError, match=says):
            Space(CHOICES, constraint={"forbidden": [clause]})


def test_options_that_are_lists_are_forbidden_alone_or_several() -> None:
    choices = {"kernel": [[3, 3], [5, 5], [7, 7]], "x": [1.0, 2]}
    for given, left in (([3, 3], 5), ([[3, 3], [5, 5]], 4)):
        space = Space(choices, constraint={"forbidden": [{"kernel": given, "x": 1}]})
        assert space.size == left
        assert Space(**space.declaration()) == space


def test_a_search_may_have_any_function_as_its_constraint() -> None:
    limit = 3
    space = Space(CHOICES, constraint=lambda a: a["depth"] < limit)
    parameter = json.loads(json.dumps(space_parameter(space)))
    found = get_space(parameter)
    assert found.size == space.size == 6 + 3
    assert space_parameter(found) == parameter
    elsewhere = {**parameter, "constraint": parameter["constraint"] + "0"}
    with pytest.raises(ParameterError, match="another process"):
        get_space(elsewhere)
