from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.core.errors import ParameterError, UnknownNameError
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.execution.registry import EXECUTORS
from optiproxy_nas.methods import METHODS
from optiproxy_nas.objectives import OBJECTIVES
from optiproxy_nas.proxies import PROXIES
from optiproxy_nas.spaces import SPACES, SearchSpace, get_space
from tiny_space import TinySpace

TOOLS = Registry("tool", {"root": "math:sqrt", "gone": "no_such_module:x"})


def test_members_load_by_name_and_strangers_by_path() -> None:
    assert TOOLS.load("root") is math.sqrt
    assert TOOLS.load("math:floor") is math.floor
    assert dict(TOOLS) == {"root": "math:sqrt", "gone": "no_such_module:x"}
    assert TOOLS.check("root") == "root"


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown tool 'rot'\. Did you mean 'root'"):
        TOOLS.load("rot")


@pytest.mark.parametrize("name", ["gone", "math:no_such_thing", "no.such:Thing", "math:"])
def test_what_cannot_be_imported_is_a_parameter_error(name: str) -> None:
    with pytest.raises(ParameterError, match=r"cannot be imported from .*package\.module:Name"):
        TOOLS.load(name)


@pytest.mark.parametrize("name", [":Name", ".relative:Name"])
def test_malformed_paths_are_a_parameter_error(name: str) -> None:
    with pytest.raises(ParameterError):
        TOOLS.load(name)


@pytest.mark.parametrize("registry", [SPACES, PROXIES], ids=["spaces", "proxies"])
def test_every_registered_plug_in_can_be_imported(registry: Any) -> None:
    assert all(callable(registry.load(name)) for name in registry)


def test_a_space_of_a_third_party_needs_no_entry() -> None:
    space = get_space("tiny_space:TinySpace")
    assert isinstance(space, TinySpace)
    assert isinstance(space, SearchSpace)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a distribution of one module with entry points of the tools."""

    def installed(name: str, module: str, text: str, **members: str) -> None:
        metadata = tmp_path / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = "\n".join(f"{member} = {path}" for member, path in members.items())
        (metadata / "entry_points.txt").write_text(f"[optiproxy_nas.tools]\n{lines}\n")
        (tmp_path / f"{module}.py").write_text(text)

    monkeypatch.syspath_prepend(str(tmp_path))
    return installed


def tools() -> Registry:
    return Registry("tool", {"root": "math:sqrt"}, group="optiproxy_nas.tools")


def test_an_installed_package_brings_members(install: Any) -> None:
    install("saws", "saws_module", "class Saw:\n    big = 5\n", saw="saws_module:Saw.big")
    registry = tools()
    assert registry.load("saw") == 5
    assert list(registry) == ["root", "saw"]
    assert len(registry) == 2
    assert registry.plug_ins == {"saw": "saws_module:Saw.big"}
    with pytest.raises(UnknownNameError) as caught:
        registry.load("sow")
    assert caught.value.data["suggestion"] == "saw"


def test_a_built_in_member_wins_over_a_plug_in(install: Any) -> None:
    install("thieves", "thief", "steal = 1\n", root="thief:steal")
    with pytest.warns(UserWarning, match=r"'thieves' .*built-in name.*'thief:steal'"):
        assert dict(tools()) == {"root": "math:sqrt"}
    assert tools().load("root") is math.sqrt


def test_a_name_that_two_packages_claim_is_refused(install: Any) -> None:
    install("one", "one_module", "tool = 1\n", saw="one_module:tool")
    install("two", "two_module", "tool = 2\n", saw="two_module:tool", axe="two_module:tool")
    registry = tools()
    with pytest.raises(ParameterError) as caught:
        registry.load("saw")
    assert caught.value.data["paths"] == ["one_module:tool", "two_module:tool"]
    assert registry.load("axe") == registry.load("two_module:tool") == 2


def test_a_broken_plug_in_does_not_break_the_others(install: Any) -> None:
    install("broken", "broken_module", "raise RuntimeError('no luck')\n", bad="broken_module:x")
    install("saws", "saw_module", "saw = 3\n", saw="saw_module:saw")
    registry = tools()
    assert registry.load("saw") == 3
    with pytest.warns(UserWarning, match=r"'bad'.*'broken'.*no luck"):
        assert registry.load_all() == {"root": math.sqrt, "saw": 3}
    with pytest.raises(ParameterError) as caught:
        registry.load("bad")
    assert caught.value.data["path"] == "broken_module:x"


def test_a_module_and_a_file_are_answered_with_what_to_write(install: Any) -> None:
    install("mine", "my_tools", "saw = 3\n")
    with pytest.raises(UnknownNameError) as caught:
        tools().load("my_tools")
    assert caught.value.data["suggestion"] == "my_tools:CLASS"
    for file in ("src/my_tools.py:saw", "/home/me/src/my_tools.py:saw", "my_tools.py:saw"):
        with pytest.raises(ParameterError) as refused:
            tools().load(file)
        assert refused.value.data["suggestion"] == "my_tools:saw"
        assert tools().load(refused.value.data["suggestion"]) == 3


def test_a_plug_in_that_ends_the_process_is_told(install: Any) -> None:
    install("quitters", "quitter", "raise SystemExit(3)\n", quit="quitter:x")
    with pytest.raises(ParameterError):
        tools().load("quit")


@pytest.mark.parametrize(
    ("load", "name"),
    [
        (METHODS.load, "collections:OrderedDict"),  # a class of another kind
        (METHODS.load, "math:pi"),  # no class
        (OBJECTIVES.load, "optiproxy_nas.methods.random_search:RandomSearch"),
        (get_space, "optiproxy_nas.methods.random_search:RandomSearch"),
        (get_space, "collections:OrderedDict"),
        (PROXIES.load, "collections:OrderedDict"),
        (get_source, "collections:OrderedDict"),
        (EXECUTORS.load, "collections:OrderedDict"),
    ],
)
def test_a_plug_in_of_another_kind_is_refused(load: Any, name: str) -> None:
    with pytest.raises(ParameterError) as caught:
        load(name)
    assert caught.value.data["name"] == name
