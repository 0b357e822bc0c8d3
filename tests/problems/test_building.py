"""A problem that builds networks: what is refused before any training, and checkpoints."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from built_problem import Built
from torch import Tensor, nn

from optiproxy_nas import DataError, ParameterError, Problem, RunningTrial, search
from optiproxy_nas.methods import resolve_method
from optiproxy_nas.pipelines.own_problem import check_problem
from optiproxy_nas.problems.building import checked_build, has_build, has_example, tensors_in
from optiproxy_nas.problems.resolution import with_problem


class OtherSpace(Built):
    def build(self, architecture: Any) -> nn.Module:
        return nn.Linear(4, architecture["depth"])


class NoModule(Built):
    def build(self, architecture: Any) -> Any:
        return lambda inputs: inputs


class OtherInput(Built):
    def example_input(self) -> Tensor:
        return torch.ones(1, 5)


class NotFinite(Built):
    def example_input(self) -> Tensor:
        return torch.full((1, 4), float("nan"))


class NoBatch(Built):
    def example_input(self) -> Tensor:
        return torch.ones(4)


class NoExample(Built):
    def example_input(self) -> Tensor:
        raise OSError("no data")


class GivesNothing(Built):
    def build(self, architecture: Any) -> nn.Module:
        class Silent(nn.Module):
            def forward(self, inputs: Tensor) -> None:
                return None

        return Silent()


class Exits(Built):
    def build(self, architecture: Any) -> nn.Module:
        class Ending(nn.Module):
            def forward(self, inputs: Tensor) -> None:
                sys.exit("no GPU")

        return Ending()


WRONG = [Exits, OtherSpace, NoModule, OtherInput, NotFinite, NoBatch, NoExample, GivesNothing]


@pytest.mark.parametrize("kind", WRONG)
def test_networks_that_disagree_with_space_or_example_are_refused_before_any_training(
    kind: type[Built], tmp_path: Path
) -> None:
    problem = kind()
    with pytest.raises(ParameterError) as caught:
        search(problem=problem, budget=2, method="random_search", journal=tmp_path / "a.journal")
    assert kind.__name__ in caught.value.message
    assert "\n" not in caught.value.message
    assert problem.trainings == 0
    assert not list(tmp_path.iterdir())


def test_a_run_refuses_them_before_it_leaves_anything() -> None:
    values = with_problem({"problem": f"{__name__}:OtherInput"})
    parameters = resolve_method({**values, "method": "random_search", "seed": 0, "budget": 2})
    with pytest.raises(ParameterError, match="shape"):
        check_problem(parameters)


def test_a_network_is_checked_without_a_trace() -> None:
    state = torch.get_rng_state()
    model = checked_build(Built(), {"width": 3})
    assert not model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert has_build(Built())
    assert has_example(Built())


def test_a_problem_need_not_build() -> None:
    class Plain(Problem):
        space, target = Built.space, Built.target

    assert not has_build(Plain())
    assert not has_example(Plain())


def test_outputs_may_be_nested() -> None:
    one = torch.ones(1)
    assert len(tensors_in({"a": one, "b": (one, [one, None])})) == 3


def running(folder: Path, width: int = 3) -> RunningTrial:
    return RunningTrial(number=0, architecture={"width": width}, folder=folder)


def test_the_trained_network_has_the_weights_that_the_training_left(tmp_path: Path) -> None:
    problem, trial = Built(), running(tmp_path)
    problem.evaluate(trial)
    model = problem.trained(trial)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["weights"]
    assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, saved[name])


def absent(path: Path) -> None:
    path.unlink()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def of_text(path: Path) -> None:
    path.write_text("weights")


def with_code(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weights": print}, protocol=2))


def of_other_keys(path: Path) -> None:
    torch.save({"model": {}}, path)


def of_other_shapes(path: Path) -> None:
    torch.save({"weights": Built().build({"width": 2}).state_dict()}, path)


@pytest.mark.parametrize(
    "damage", [absent, truncated, of_text, with_code, of_other_keys, of_other_shapes]
)
def test_a_checkpoint_that_does_not_load_is_named(damage: Any, tmp_path: Path) -> None:
    problem, trial = Built(), running(tmp_path)
    problem.evaluate(trial)
    damage(path := tmp_path / "checkpoint.pt")
    with pytest.raises(DataError) as caught:
        problem.trained(trial)
    assert caught.value.data["path"] == str(path)
    assert "\n" not in caught.value.message
    assert ("trained(trial)" in caught.value.message) is (damage is absent)
    assert ("size mismatch" in caught.value.message) is (damage is of_other_shapes)
