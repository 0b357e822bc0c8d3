"""Public names are deprecated for a minor version, with a warning, before they go."""

from __future__ import annotations

import importlib
import pkgutil
from importlib import metadata

import pytest

import optiproxy_nas
from optiproxy_nas.core.deprecation import deprecated, release


def test_a_call_warns_with_version_and_replacement_and_returns_the_result() -> None:
    @deprecated(since="0.2.0", removed="0.3.0", instead="g(x)")
    def double(x: int) -> int:
        """Return 2x."""
        return 2 * x

    with pytest.warns(FutureWarning, match=r"double.*0\.3\.0.*g\(x\)") as caught:
        assert double(3) == 6
    assert caught[0].filename == __file__  # the caller's line, not the helper's
    assert double.__doc__ == "Return 2x."


@pytest.mark.parametrize("removed", ["0.2.0", "0.2.9", "0.1.0"])
def test_it_stays_for_a_minor_version_at_least(removed: str) -> None:
    with pytest.raises(ValueError, match="later minor version"):
        deprecated(since="0.2.0", removed=removed, instead="g")


def overdue(version: str) -> list[str]:
    """Return the public names of the package that a version should not have any more."""
    found = []
    packages = [optiproxy_nas.__name__, "optiproxy_nas.testing", "optiproxy_nas.methods"]
    packages += [f"optiproxy_nas.{it.name}" for it in pkgutil.iter_modules(optiproxy_nas.__path__)]
    for name in sorted(set(packages) - {"optiproxy_nas.__main__"}):
        module = importlib.import_module(name)
        for attribute in getattr(module, "__all__", vars(module)):
            until = getattr(getattr(module, attribute), "__deprecated_until__", None)
            if until is not None and release(version) >= release(until):
                found.append(f"{name}.{attribute}")
    return found


def test_what_this_version_removes_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert overdue(metadata.version("optiproxy-nas")) == []
    old = deprecated(since="0.1.0", removed="0.2.0", instead="search")(lambda: None)
    monkeypatch.setattr(optiproxy_nas, "search", old)
    assert overdue("0.2.0") == ["optiproxy_nas.search"]
