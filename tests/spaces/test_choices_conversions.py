"""Spaces of ConfigSpace and Optuna: what is translated, and what is refused by its name."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optiproxy_nas import ParameterError, Space

cs = pytest.importorskip("ConfigSpace")
distributions = pytest.importorskip("optuna.distributions")


def configuration_space() -> Any:
    """Parents behind their children, a grandparent, and every kind that is translated."""
    space = cs.ConfigurationSpace(name="mine", seed=0)
    depth = cs.Integer("z_depth", (1, 3), default=2)
    norm = cs.Categorical("norm", ["batch", "group"], default="group")
    groups = cs.OrdinalHyperparameter("a_groups", [2, 4, 8], default_value=4)
    third = cs.Categorical("a_third", [True, False])
    lr = cs.Float("lr", (1e-4, 1e-1), log=True, default=2e-3)
    width = cs.Integer("width", (16, 256), log=True)
    fixed = cs.Constant("epochs", 20)
    space.add([depth, norm, groups, third, lr, width, fixed])
    space.add(
        cs.AndConjunction(
            cs.EqualsCondition(groups, norm, "group"), cs.GreaterThanCondition(groups, depth, 1)
        )
    )
    space.add(cs.InCondition(third, groups, [4, 8]))
    space.add(
        cs.ForbiddenAndConjunction(
            cs.ForbiddenEqualsClause(depth, 3), cs.ForbiddenInClause(width, [16, 256])
        )
    )
    space.add(cs.ForbiddenEqualsClause(lr, 0.05))  # not a value of the grid
    return space


def test_a_configspace_of_every_kind() -> None:
    space = Space.from_configspace(configuration_space(), steps=4)
    assert space.name == "mine"
    choices = space.choices
    assert choices["z_depth"].options == (1, 2, 3)
    assert choices["lr"].options == (0.0001, 0.001, 0.01, 0.1)
    assert choices["lr"].default == 0.001
    assert choices["width"].options == (16, 40, 102, 256)
    assert choices["epochs"].options == (20,)
    assert choices["a_groups"].when == {"z_depth": [2, 3], "norm": ["group"]}
    assert choices["a_third"].when == {"a_groups": [4, 8]}
    assert [name for name, choice in choices.items() if choice.ordered] == [
        name for name in choices if name in ("z_depth", "a_groups", "lr", "width")
    ]
    for text in space.to_string(space.random(200, torch.Generator().manual_seed(0))):
        architecture = space.architecture(text)
        assert not (architecture["z_depth"] == 3 and architecture["width"] in (16, 256))
        assert ("a_third" in architecture) == (architecture.get("a_groups", 2) > 2)
    assert space.declaration()["constraint"] == {
        "forbidden": [{"z_depth": [3], "width": [16, 256]}]
    }
    assert Space(**space.declaration()) == space


def test_valid_configurations_of_both_are_the_same() -> None:
    theirs = cs.ConfigurationSpace(seed=0)
    stages = cs.Categorical("stages", [1, 2, 3])
    theirs.add(stages)
    for i in (2, 3):
        width = cs.OrdinalHyperparameter(f"width_{i}", [16, 32])
        theirs.add(width)
        theirs.add(cs.InCondition(width, stages, list(range(i, 4))))
    ours = Space.from_configspace(theirs)
    found = {tuple(sorted(dict(c).items())) for c in theirs.sample_configuration(300)}
    texts = set(ours.to_string(ours.random(300, torch.Generator().manual_seed(0))))
    assert {tuple(sorted(ours.architecture(text).items())) for text in texts} == found
    assert ours.size == len(found) == 1 + 2 + 4


def added(*parts: Any) -> Any:
    space = cs.ConfigurationSpace()
    space.add([cs.Integer("a", (1, 9)), cs.Integer("b", (1, 9)), cs.Float("c", (0, 1))])
    for part in parts:
        space.add(part(space) if callable(part) else part)
    return space


@pytest.mark.parametrize(
    ("space", "says"),
    [
        (
            lambda: added(cs.NormalFloatHyperparameter("n", 0, 1, lower=-1, upper=1)),
            "'n': it is a N",
        ),
        (lambda: added(cs.Categorical("w", [1, 2], weights=[1, 2])), "'w': it has weights"),
        (
            lambda: added(
                lambda s: cs.OrConjunction(
                    cs.EqualsCondition(s["c"], s["a"], 1), cs.EqualsCondition(s["c"], s["b"], 1)
                )
            ),
            "joined by 'and'",
        ),
        (
            lambda: added(lambda s: cs.EqualsCondition(s["a"], s["c"], 0.123)),
            "'c' has no such option; raise steps",
        ),
        (lambda: added(lambda s: cs.ForbiddenLessThanRelation(s["a"], s["b"])), "forbidden clause"),
        (lambda: {"a": 1}, "ConfigurationSpace, not a dict"),
    ],
)
def test_what_configspace_has_and_a_declared_space_has_not(space: Any, says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        Space.from_configspace(space())


def test_optuna_distributions() -> None:
    space = Space.from_optuna(
        {
            "activation": distributions.CategoricalDistribution(["relu", None, 0.5]),
            "layers": distributions.IntDistribution(1, 4),
            "units": distributions.IntDistribution(16, 128, step=16),
            "width": distributions.IntDistribution(1, 1000, log=True),
            "lr": distributions.FloatDistribution(1e-5, 1e-1, log=True),
            "dropout": distributions.FloatDistribution(0.0, 0.5, step=0.1),
            "momentum": distributions.FloatDistribution(0.9, 0.9),
        },
        steps=5,
    )
    assert {name: list(choice.options) for name, choice in space.choices.items()} == {
        "activation": ["relu", None, 0.5],
        "layers": [1, 2, 3, 4],
        "units": [16, 48, 80, 96, 128],  # of its grid
        "width": [1, 6, 32, 178, 1000],
        "lr": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
        "dropout": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
        "momentum": [0.9],
    }
    assert not space.choices["activation"].ordered
    assert space.choices["lr"].ordered


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"x": 3}, "'x': it is a int"),
        ([3], "mapping"),
        ({"x": distributions.FloatDistribution(0, 1)}, "steps = 1"),
    ],
)
def test_what_is_no_optuna_distribution(given: Any, says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        Space.from_optuna(given, steps=1)
