"""Every registered method: conformance, settings, dependencies, and better than chance."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas.algorithm.candidates import sample_random
from optiproxy_nas.core.errors import ParameterError, UnknownNameError
from optiproxy_nas.core.random_streams import torch_generator
from optiproxy_nas.evaluation.function_evaluator import batched
from optiproxy_nas.evaluation.loop import run_method
from optiproxy_nas.methods import METHODS, Unavailable, build_method
from optiproxy_nas.methods.memory import Memory
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.nb201 import NASBench201
from optiproxy_nas.testing import check_method
from tiny_space import TinySpace

NEEDS = {"gaussian_process": "botorch", "tpe": "optuna"}
QUICK: dict[str, Any] = {
    "bananas": {"epochs": 20, "batch": 5},
    "gaussian_process": {"iterations": 2, "random": 20, "batch": 4},
    "optiproxy": {
        "initial_samples": 8,
        "proxy": {"hidden": 8, "layers": 2, "members": 2},
        "fit": {"epochs": 5, "first_epochs": 5, "batch_size": 8},
        "gradient": {"groups": 4, "epochs": 4},
        "selection": {"batch": 5, "samples": 24, "skip_twins": False},
    },
}


def load(name: str) -> Any:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    return METHODS.load(name)


@pytest.mark.heavy
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("space", ["nb201", "tiny_space:TinySpace"])
def test_methods_conform(name: Any, space: str) -> None:
    load(name)
    check_method(name, get_space(space), settings=QUICK.get(name))


@pytest.mark.parametrize("name", METHODS)
def test_methods_say_what_they_follow(name: Any) -> None:
    assert any(character.isdigit() for character in load(name).reference), "no year"


@pytest.mark.parametrize("name", METHODS)
def test_unknown_settings_are_refused(name: Any, nb201: NASBench201) -> None:
    load(name)
    with pytest.raises(ParameterError, match="Unknown parameter 'colour'"):
        build_method(name, nb201, {"colour": "red"}, 10, 0)


def test_an_unknown_method_is_named_with_the_nearest(nb201: NASBench201) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'bananas'"):
        build_method("banana", nb201, {}, 10, 0)


@pytest.mark.parametrize(("name", "package"), NEEDS.items())
def test_a_missing_package_is_one_clear_error(
    name: Any, package: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for loaded in [f"optiproxy_nas.methods.{name}", *sys.modules]:
        if loaded.startswith((f"optiproxy_nas.methods.{name}", f"{package}.")):
            monkeypatch.delitem(sys.modules, loaded, raising=False)
    with pytest.raises(ParameterError, match=r'pip install "optiproxy-nas\[baselines\]"') as caught:
        METHODS.load(name)
    assert caught.value.data["package"] == package


@pytest.mark.parametrize("name", METHODS)
def test_all_begin_with_the_initial_sample_of_optiproxy(name: Any, nb201: NASBench201) -> None:
    load(name)
    nothing = Unavailable(torch.empty(0, 6, dtype=torch.int64), pd.DataFrame(), 0)
    codes = build_method(name, nb201, {}, 100, seed=4).ask(nothing).codes
    count = min(5, len(codes))
    first = sample_random(nb201, 10, torch_generator(4, 0, "initial-sample"))
    assert torch.equal(codes[:count], first[:count])


@pytest.mark.heavy
@pytest.mark.parametrize("name", sorted({*METHODS} - {"random_search", "optiproxy"}))
def test_methods_beat_random_search(name: Any, nb201: NASBench201) -> None:
    """On a smooth objective, in both of two seeds, by the mean of the last queries."""
    load(name)
    weights = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))

    @batched
    def evaluate(names: Any) -> Any:
        chosen = nb201.encode(nb201.from_string(names)).operations * weights
        return 80 + chosen.sum((-1, -2)).double().numpy()

    def late(method: str, seed: int) -> Any:
        built = build_method(method, nb201, QUICK.get(method, {}), 60, seed)
        return run_method(nb201, evaluate, built, 60)[0]["value"].tail(20).mean()

    for seed in range(2):
        assert late(name, seed) > late("random_search", seed) + 0.5


def test_memory_hands_out_each_architecture_once_and_knows_what_it_was_told(
    tiny: TinySpace,
) -> None:
    memory = Memory(tiny, 0)
    drawn = memory.random(5)
    memory.add(drawn, np.stack([np.ones(5), np.arange(5.0)]))
    memory.add(drawn.flip(0), np.ones((2, 5)))  # told again: the first value stays
    assert memory.values.tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(memory.best(2), drawn[[4, 3]])
    others = memory.random(100)  # all that is left
    assert len(others) == 67
    assert len(set(tiny.identify(torch.cat([drawn, others])))) == 72
    assert torch.equal(memory.unseen(torch.cat([others[:1], drawn, others[:2]])), others[:2])
    assert np.isnan(memory.value_of(others[:1])).all()
    assert memory.value_of(drawn[2:3]) == [2.0]
