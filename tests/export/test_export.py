"""Exporting the answer of a search from Python, and loading it."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from built_problem import Built, WithoutExample
from torch import Tensor, nn

from optiproxy_nas import (
    ArtifactError,
    DataError,
    LatencySettings,
    ParameterError,
    RunningTrial,
    SearchResult,
    load_model,
    search,
)
from optiproxy_nas.export.folder import _digest, without_folders, write_folder
from optiproxy_nas.export.network import largest_difference
from optiproxy_nas.measuring.onnx import onnx_session

RUN: dict[str, Any] = {"budget": 2, "method": "random_search"}
NETWORK = {"model.safetensors", "model.onnx", "check.safetensors"}
SAID = {"architecture.json", "model.json", "README.md", "model.html"}
SHOWN = {"README.md", "model.html"}  # what people read: they may edit it


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "model.json").read_text())
    return found


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchResult, Path]:
    """Return a result whose trials are kept, and the folder of its export."""
    folder = tmp_path_factory.mktemp("searched")
    result = search(problem=Built(), journal=folder / "s.jsonl", **RUN)
    return result, result.export(folder / "model")


@pytest.fixture
def copied(searched: tuple[SearchResult, Path], tmp_path: Path) -> Path:
    """Return a copy of the exported folder."""
    return Path(shutil.copytree(searched[1], tmp_path / "copy"))


def test_the_exported_network_is_the_one_that_was_trained(
    searched: tuple[SearchResult, Path],
) -> None:
    result, folder = searched
    assert names(folder) == NETWORK | SAID
    model = load_model(folder, problem=Built())
    assert not model.training
    checkpoint = folder.parent / "s_trials" / f"{result.best.number:04d}" / "checkpoint.pt"
    for name, tensor in torch.load(checkpoint, weights_only=True)["weights"].items():
        assert torch.equal(model.state_dict()[name], tensor)
    inputs = torch.randn(5, 4)
    session = onnx_session((folder / "model.onnx").read_bytes())
    (output,) = session.run(None, {"input": inputs.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.as_tensor(output), model(inputs))


def test_the_folder_says_what_the_network_is(searched: tuple[SearchResult, Path]) -> None:
    result, folder = searched
    said = facts(folder)
    assert json.loads((folder / "architecture.json").read_text()) == result.best_architecture
    assert (said["value"], said["is_eligible"]) == (result.best_value, True)
    assert said["training"]["trial"] == result.best.number
    assert said["network"]["parameters"] == 4 * 3 + 3 + 2 * 3 + 3 * 2 + 2
    assert said["network"]["flops"] == 2 * (4 * 3 + 3 * 2)
    assert set(said["files"]) == NETWORK | {"architecture.json"}
    card = (folder / "README.md").read_text()
    for text in (f"{result.best_value:.3f}", '"width": 3', *said["files"].values()):
        assert text in card


def test_equal_answers_give_equal_files(
    searched: tuple[SearchResult, Path], tmp_path: Path
) -> None:
    result, folder = searched
    again = result.export(tmp_path / "again")
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {
        p.name: p.read_bytes() for p in folder.iterdir()
    }


@pytest.mark.parametrize("name", sorted(NETWORK | SAID - SHOWN))
def test_an_edited_file_is_refused(name: str, copied: Path) -> None:
    path = copied / name
    path.write_bytes(path.read_bytes().replace(b"3", b"2"))
    with pytest.raises(ArtifactError) as caught:
        load_model(copied, problem=Built())
    assert caught.value.data["path"] == str(path)


@pytest.mark.parametrize("name", sorted(NETWORK | SAID - SHOWN))
def test_a_missing_file_is_refused(name: str, copied: Path) -> None:
    (copied / name).unlink()
    with pytest.raises(DataError, match=name.partition(".")[0]):
        load_model(copied, problem=Built())


def test_a_person_may_add_to_the_card(copied: Path) -> None:
    with (copied / "README.md").open("a") as file:
        file.write("It is used in the lift.\n")
    assert isinstance(load_model(copied, problem=Built()), nn.Module)


def test_a_name_is_imported_where_that_is_allowed_only(copied: Path) -> None:
    with pytest.raises(DataError, match="trusted=True") as caught:
        load_model(copied)
    assert caught.value.data["problem"] == f"{Built.__module__}:Built"
    assert isinstance(load_model(copied, trusted=True), nn.Module)
    assert isinstance(load_model(copied, problem=f"{Built.__module__}:Built"), nn.Module)


class Changed(Built):
    def build(self, architecture: Any) -> nn.Module:
        return nn.Sequential(*super().build(architecture).children(), nn.Tanh())


class Wider(Built):
    def build(self, architecture: Any) -> nn.Module:
        return super().build({"width": 7})


def test_a_build_that_gives_another_network_now_is_refused(copied: Path) -> None:
    with pytest.raises(ArtifactError, match="build changed"):
        load_model(copied, problem=Changed())
    with pytest.raises(DataError, match="do not fit"):
        load_model(copied, problem=Wider())


def test_a_folder_that_holds_something_is_not_written_over(
    searched: tuple[SearchResult, Path], tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(ParameterError):
        searched[0].export(tmp_path)
    problem = Built()
    with pytest.raises(ParameterError):
        search(problem=problem, export=tmp_path, **RUN)
    assert problem.trainings == 0
    assert names(tmp_path) == {"mine"}


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write_folder(tmp_path / "model", {"first": b"1", "no/such/folder": b"2"})
    assert not list(tmp_path.iterdir())


def test_an_older_folder_is_replaced_whole_or_stays(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", {"first": b"1"})
    write_folder(folder, {"second": b"2"}, replace=True)
    assert (names(tmp_path), names(folder)) == ({"model"}, {"second"})
    with pytest.raises(DataError):
        write_folder(folder, {"no/such/folder": b"3"}, replace=True)
    assert (names(tmp_path), names(folder)) == ({"model"}, {"second"})


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("'/home/a b/0003/checkpoint.pt' is bad", "'checkpoint.pt' is bad"),
        ("no /srv/x/y.pt: gone", "no y.pt: gone"),
        ("see https://example.org/a/b, or 3/4 of it", "see https://example.org/a/b, or 3/4 of it"),
    ],
)
def test_the_card_names_no_folders_of_the_machine(text: str, short: str) -> None:
    assert without_folders(text) == short


@pytest.mark.parametrize("size", [1e-2, 1.0, 1e3])
def test_small_outputs_are_compared_as_closely_as_large_ones(size: float) -> None:
    inputs = torch.eye(2)
    tensors = {"input_0": inputs, "output_0": size * inputs}
    model = nn.Linear(2, 2, bias=False)
    model.weight.data = size * torch.eye(2) * 1.01
    assert largest_difference(model, tensors) == pytest.approx(0.01, rel=1e-3)
    model.weight.data = size * torch.eye(2)
    assert largest_difference(model, tensors) == 0


def test_a_copy_of_a_result_has_no_networks(
    searched: tuple[SearchResult, Path], tmp_path: Path
) -> None:
    copy = pickle.loads(pickle.dumps(searched[0]))
    assert copy.best_value == searched[0].best_value
    with pytest.raises(DataError, match="again"):
        copy.export(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_without_a_journal_the_search_itself_exports(tmp_path: Path) -> None:
    result = search(problem=Built(), export=tmp_path / "model", **RUN)
    assert isinstance(load_model(tmp_path / "model", problem=Built()), nn.Module)
    with pytest.raises(DataError, match="journal"):
        result.export(tmp_path / "later")
    assert names(tmp_path) == {"model"}


def test_what_no_problem_has_trained_has_a_card_without_a_network(tmp_path: Path) -> None:
    result = search(space={"depth": [1, 2]}, evaluate=lambda it: it["depth"], **RUN)
    folder = result.export(tmp_path / "model")
    assert names(folder) == SAID
    assert "no network" in (folder / "README.md").read_text()
    with pytest.raises(DataError, match="no network"):
        load_model(folder)


class Broken(Built):
    def evaluate(self, trial: RunningTrial) -> float:
        (trial.folder / "checkpoint.pt").write_text("no weights")
        return 1.0


class BrokenTested(Broken):
    def test(self, trial: RunningTrial) -> Any:
        return len(list(self.trained(trial).parameters()))


@pytest.mark.parametrize("problem", [Broken, BrokenTested])
def test_a_checkpoint_that_does_not_load_is_told_once(
    problem: type[Broken], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    search(problem=problem(), export=tmp_path / "model", **RUN)
    assert "without its network" in caplog.text
    assert caplog.text.count("checkpoint.pt") == 1


def test_a_checkpoint_that_does_not_load_costs_the_network_not_the_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = search(
        problem=Broken(), journal=tmp_path / "s.jsonl", export=tmp_path / "model", **RUN
    )
    assert result.best_value == 1.0
    assert "without its network" in caplog.text
    assert names(tmp_path / "model") == SAID
    assert "checkpoint.pt" in facts(tmp_path / "model")["missing"]["model.safetensors"]
    for name in ("model.json", "README.md"):
        assert str(tmp_path) not in (tmp_path / "model" / name).read_text()
    with pytest.raises(DataError, match=r"checkpoint\.pt"):
        result.export(tmp_path / "again")


class Inexpressible(Built):
    def build(self, architecture: Any) -> nn.Module:
        class Svd(nn.Module):
            def forward(self, inputs: Tensor) -> Tensor:
                values: Tensor = torch.linalg.svd(inputs[:, :, None] * inputs[:, None, :]).S
                return values

        return nn.Sequential(super().build(architecture), Svd())


class Branching(Built):
    def build(self, architecture: Any) -> nn.Module:
        class Branch(nn.Module):
            def forward(self, inputs: Tensor) -> Tensor:
                return inputs * 2 if len(inputs) > 1 else inputs

        return nn.Sequential(super().build(architecture), Branch())


@pytest.mark.parametrize("kind", [Inexpressible, Branching])
def test_what_onnx_cannot_express_is_said_and_the_rest_is_exported(
    kind: type[Built], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    search(problem=kind(), export=tmp_path / "model", **RUN)
    (record,) = [it for it in caplog.records if it.levelno == logging.WARNING]
    assert "model.onnx" in record.message
    assert len(record.message) < 600
    assert names(tmp_path / "model") == SAID | NETWORK - {"model.onnx"}
    assert set(facts(tmp_path / "model")["missing"]) == {"model.onnx"}
    assert isinstance(load_model(tmp_path / "model", problem=kind()), nn.Module)


class Several(Built):
    """Two inputs, nested outputs, a layer that is used twice."""

    def build(self, architecture: Any) -> nn.Module:
        class Tied(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = nn.Embedding(5, 3)
                self.head = nn.Linear(3, 5, bias=False)
                self.head.weight = self.embedding.weight

            def forward(self, tokens: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
                hidden = self.embedding(tokens).mean(dim=1) * scale
                return self.head(hidden), hidden

        return Tied()

    def example_input(self) -> tuple[Tensor, ...]:
        return torch.tensor([[1, 2, 4]]), torch.ones(1, 3)


def test_networks_may_have_several_inputs_and_outputs_and_share_weights(tmp_path: Path) -> None:
    folder = search(problem=Several(), journal=tmp_path / "s", **RUN).export(tmp_path / "model")
    tied: Any = load_model(folder, problem=Several())
    assert tied.head.weight is tied.embedding.weight
    said = facts(folder)
    assert not said["missing"]
    assert [len(said["network"][kind]) for kind in ("input", "output")] == [2, 2]


def test_without_an_example_the_weights_are_exported(tmp_path: Path) -> None:
    result = search(problem=WithoutExample(), journal=tmp_path / "s", **RUN)
    folder = result.export(tmp_path / "model")
    assert names(folder) == SAID | {"model.safetensors"}
    assert isinstance(load_model(folder, problem=WithoutExample()), nn.Module)


class Noisy(Built):
    """Its value is in its weights."""

    def evaluate(self, trial: RunningTrial) -> float:
        model: Any = self.build(trial.architecture)
        model[2].bias.data[:] = torch.rand(1)
        torch.save({"weights": model.state_dict()}, trial.folder / "checkpoint.pt")
        return float(model[2].bias.detach()[0])


def test_of_all_trainings_of_the_answer_the_best_one_is_exported(tmp_path: Path) -> None:
    folder, confirm = tmp_path / "model", {"best": 1, "seeds": 2}
    run = {**RUN, "budget": 4}
    result = search(problem=Noisy(), confirm=confirm, export=folder, **run)
    said, values = facts(folder), [*result.confirmed["values"], result.best.value]
    assert said["value"] == max(values)
    assert said["confirmed"]["values"] == values[:2]
    assert said["confirmed"]["mean"] == result.best_value
    model = load_model(folder, problem=Noisy())
    assert float(model.get_parameter("2.bias").detach()[0]) == max(values)
    card = (folder / "README.md").read_text()
    for number in (result.best_value, result.best.value, max(values)):
        assert f"{number:.4f}" in card


class Bounded(Built):
    objective = {"name": "constrained", "constraints": ["size <= 1"]}  # noqa: RUF012

    def evaluate(self, trial: RunningTrial) -> Any:
        return {"value": super().evaluate(trial), "size": 2}


def test_what_breaks_a_bound_is_exported_as_no_answer(tmp_path: Path) -> None:
    search(problem=Bounded(), export=tmp_path / "model", **RUN)
    assert not facts(tmp_path / "model")["is_eligible"]
    assert "no answer" in (tmp_path / "model" / "README.md").read_text()


class Timed(Built):
    latency = LatencySettings(least_seconds=0.01, seconds=0.1, precision=1.0)


def test_the_exported_network_is_measured_once_more(tmp_path: Path) -> None:
    result = search(problem=Timed(), journal=tmp_path / "s.jsonl", **RUN)
    said = facts(result.export(tmp_path / "model"))["latency"]
    low, high = said["quantile_interval"]
    assert 0 <= low < said["quantile_ms"] < high  # 0 where the machine was busy meanwhile
    assert said["searched_ms"] == result.best.metrics["latency_p90_ms"]
    assert said["machine"]["cores"] >= 1
    card = (tmp_path / "model" / "README.md").read_text()
    assert "ms in the search" in card
    assert f"{said['machine']['cores']} cores; torch on cpu, 1 thread" in card


def test_a_network_that_cannot_be_measured_is_exported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    problem = Timed()
    result = search(problem=problem, journal=tmp_path / "s.jsonl", **RUN)
    impossible = {"precision": 1e-9, "noisy": "fail"}
    problem.latency = Timed.latency.model_copy(update=impossible)
    folder = result.export(tmp_path / "model")
    assert facts(folder)["latency"] == {}
    assert names(folder) == NETWORK | SAID
    assert "once more" in caplog.text


def edited(folder: Path, **changed: Any) -> Path:
    """Change facts of a folder, whose digest is that of the changed ones."""
    found = {**facts(folder), **changed}
    del found["digest"]
    (folder / "model.json").write_text(json.dumps({**found, "digest": _digest(found)}))
    return folder


@pytest.mark.parametrize(
    "changed",
    [
        {"files": {}},
        {"files": []},
        {"missing": None},
        {"missing": {"check.safetensors": "it is not wanted"}, "files": {}},
        {"problem": ["os:system"]},
        {"problem": {"name": ["x"]}},
        {"problem": {"nam": 1}},
        {"problem": None},
    ],
)
def test_a_folder_made_by_others_is_one_error(changed: dict[str, Any], copied: Path) -> None:
    listed = {**facts(copied)["files"], "../other": "0"}
    with pytest.raises(DataError):
        load_model(edited(copied, **changed))
    with pytest.raises(DataError):
        load_model(edited(copied, files=listed), problem=Built())


def test_what_is_no_path_is_refused(searched: tuple[SearchResult, Path]) -> None:
    nothing: Any = None
    for refused in (load_model, searched[0].export):
        with pytest.raises(ParameterError, match="path"):
            refused(nothing)


def test_a_search_with_a_journal_may_export_to_the_same_folder_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"journal": tmp_path / "s.jsonl", "export": tmp_path / "model", **RUN}
    search(problem=Built(), **given)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "model").iterdir()}
    again = Built()
    search(problem=again, **given)
    assert (again.trainings, caplog.records) == (0, [])
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "model").iterdir()}
    for changed in ({"budget": 1}, {"journal": None}):  # of another search, or trained anew
        other = Built()
        with pytest.raises(ParameterError, match="Remove it"):
            search(problem=other, **{**given, **changed})
        assert other.trainings == 0
    edited(tmp_path / "model", value=0.0)
    search(problem=Built(), **given)
    assert "not exported" in caplog.text
