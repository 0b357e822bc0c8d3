from __future__ import annotations

import math

import pytest

from optiproxy_nas.core.errors import ParameterError, UnknownNameError
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.proxies import PROXIES
from optiproxy_nas.spaces import SPACES, SearchSpace, get_space
from tiny_space import TinySpace

TOOLS = Registry("tool", {"root": "math:sqrt", "gone": "no_such_module:x"})


def test_members_load_by_name_and_strangers_by_path():
    assert TOOLS.load("root") is math.sqrt
    assert TOOLS.load("math:floor") is math.floor
    assert dict(TOOLS) == {"root": "math:sqrt", "gone": "no_such_module:x"}
    assert TOOLS.check("root") == "root"


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"Unknown tool 'rot'\. Did you mean 'root'"):
        TOOLS.load("rot")


@pytest.mark.parametrize("name", ["gone", "math:no_such_thing", "no.such:Thing", "math:"])
def test_what_cannot_be_imported_is_a_parameter_error(name):
    with pytest.raises(ParameterError, match=r"cannot be imported from .*package\.module:Name"):
        TOOLS.load(name)


@pytest.mark.parametrize("name", [":Name", ".relative:Name"])
def test_malformed_paths_are_a_parameter_error(name):
    with pytest.raises(ParameterError):
        TOOLS.load(name)


@pytest.mark.parametrize("registry", [SPACES, PROXIES], ids=["spaces", "proxies"])
def test_every_registered_plug_in_can_be_imported(registry):
    assert all(callable(registry.load(name)) for name in registry)


def test_a_space_of_a_third_party_needs_no_entry():
    space = get_space("tiny_space:TinySpace")
    assert isinstance(space, TinySpace)
    assert isinstance(space, SearchSpace)
