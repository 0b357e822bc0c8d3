"""What changes the digest of code, and what does not."""

import importlib.util
import os
import re
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from optiproxy_nas.core import code_digest
from optiproxy_nas.core.code_digest import NOT_FOUND, combined, imported_code

SEARCH = '''"""A search."""

from mylab import model
from mylab.trees import *


class Search:
    """Searches."""

    rate = 0.5

    def propose(self):
        from mylab import lazy

        return model.grow(self.rate), lazy.VALUE
'''
MODEL = """import math

import numpy

from . import data

def grow(x):
    return x
"""
TREES = """from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mylab import typed
"""
FILES = {
    "mysearch.py": SEARCH,
    "mylab/__init__.py": "NAME = 'lab'\n",
    "mylab/model.py": MODEL,
    "mylab/data.py": "PATH = 'here'\n",
    "mylab/trees.py": TREES,
    "mylab/lazy.py": "VALUE = 1\n",
    "mylab/typed.py": "X = 1\n",
    "mylab/unrelated.py": "X = 1\n",
}
IMPORTED = ["mylab", "mylab.data", "mylab.lazy", "mylab.model", "mylab.trees", "mysearch"]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A user's own code, with a plug-in module ``mysearch``."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def write(path: Any, content: Any) -> None:
    """Write a file, later than before for the clock of the file system."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    later = max(time.time_ns(), before + 1)
    os.utime(path, ns=(later, later))


def test_all_own_code_that_is_imported_counts(lab: Any) -> None:
    assert list(imported_code(["mysearch"])) == IMPORTED


def test_nothing_is_imported_to_find_out(lab: Any) -> None:
    write(lab / "mylab" / "__init__.py", "raise RuntimeError('imported')\n")
    assert list(imported_code(["mysearch"])) == IMPORTED


def test_code_that_is_not_imported_does_not_count(lab: Any) -> None:
    before = imported_code(["mysearch"])
    write(lab / "mylab" / "unrelated.py", "X = 2\n")
    write(lab / "mylab" / "typed.py", "X = 2\n")
    assert imported_code(["mysearch"]) == before


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints/mysearch-checkpoint.py",
        "._mysearch.py",
        "mysearch.py~",
        ".#mysearch.py",
        "mylab/__pycache__/model.py",
        "mylab/model.py.orig",
        "mylab/notes.txt",
    ],
)
def test_stray_files_do_not_count(lab: Any, name: str) -> None:
    before = imported_code(["mysearch"])
    (lab / name).parent.mkdir(exist_ok=True)
    write(lab / name, "VALUE = 3\n")
    assert imported_code(["mysearch"]) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace('"""Searches."""', '"""Searches well."""'),
        lambda text: text.replace('    """Searches."""\n', ""),
        lambda text: "# A comment.\n" + text,
        lambda text: text.replace("rate = 0.5", "rate = 0.50  # of learning"),
        lambda text: text.replace("model.grow(self.rate)", "model.grow(\n    self.rate,\n)"),
        lambda text: "\ufeff" + text,
    ],
    ids=["CRLF", "docstring", "no docstring", "comment", "trailing comment", "layout", "BOM"],
)
def test_what_does_nothing_does_not_count(lab: Any, change: Any) -> None:
    before = imported_code(["mysearch"])
    write(lab / "mysearch.py", change(SEARCH))
    assert imported_code(["mysearch"]) == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mysearch.py", SEARCH.replace("0.5", "0.6")),
        ("mylab/__init__.py", "NAME = 'labor'\n"),
        ("mylab/data.py", "PATH = 'there'\n"),
        ("mylab/lazy.py", "VALUE = '1'\n"),
        ("mylab/lazy.py", "VALUE = 1 +\n"),  # no Python: by its bytes
        ("mylab/lazy.py", b"\xff\xfe"),
    ],
)
def test_a_changed_module_is_named(lab: Any, name: str, content: Any) -> None:
    before = imported_code(["mysearch"])
    write(lab / name, content)
    after = imported_code(["mysearch"])
    module = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    assert {key for key in after if after[key] != before[key]} == {module}
    assert combined(after) != combined(before)


def test_a_changed_import_brings_other_code(lab: Any) -> None:
    write(lab / "mylab" / "model.py", "from mylab import unrelated\n")
    found = imported_code(["mysearch"])
    assert "mylab.unrelated" in found
    assert "mylab.data" not in found


def test_installed_packages_count_only_as_roots(lab: Any) -> None:
    assert not any(name.startswith("numpy") for name in imported_code(["mysearch"]))
    found = imported_code(["iniconfig"])
    assert "iniconfig" in found


def test_roots_that_are_missing_are_told_and_imports_left_out(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = imported_code(["nowhere.at_all", "nowhere", "mylab.absent", "mylab"])
    missing = {name for name, digest in found.items() if digest == NOT_FOUND}
    assert missing == {"nowhere.at_all", "nowhere", "mylab.absent"}
    assert found.keys() - missing == {"mylab"}

    write(lab / "mylab" / "model.py", "import nowhere\nfrom mylab import absent\n")
    assert NOT_FOUND not in imported_code(["mysearch"]).values()

    monkeypatch.setitem(sys.modules, "by_hand", ModuleType("by_hand"))
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # as in a notebook
    assert imported_code(["by_hand", "__main__"]) == dict.fromkeys(
        ["__main__", "by_hand"], NOT_FOUND
    )


def test_namespace_packages_are_followed_to_any_depth(lab: Any) -> None:
    for name in ("outer/inner/deep/leaf.py", "outer/inner/other.py"):
        path = lab / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, "X = 1\n")
    write(
        lab / "mylab" / "model.py",
        "from outer.inner import deep, other\nfrom outer.inner.deep import leaf\n",
    )
    assert {"outer.inner.deep.leaf", "outer.inner.other"} <= imported_code(["mysearch"]).keys()
    assert imported_code(["outer.inner.deep.leaf"]).keys() == {"outer.inner.deep.leaf"}
    assert "outer" not in sys.modules

    (lab / "mylab" / "folder").mkdir()
    write(lab / "mylab" / "folder" / "inside.py", "X = 1\n")
    write(lab / "mylab" / "model.py", "from mylab import folder\nfrom mylab.folder import inside\n")
    assert "mylab.folder.inside" in imported_code(["mysearch"])


def test_own_files_with_names_of_the_standard_library_count(lab: Any) -> None:
    """``this`` is a module that no program has imported, so that Python finds the user's first."""
    write(lab / "this.py", "X = 1\n")
    assert "this" not in sys.modules
    assert imported_code(["this"]).keys() == {"this"}
    write(lab / "mylab" / "model.py", "import this, json, _json, sys\n")
    found = imported_code(["mysearch"])
    assert "this" in found
    assert not {"json", "_json", "sys"} & found.keys()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("model", "import importlib\nX = importlib.import_module('mylab.unrelated')\n"),
        (
            "model",
            "from importlib import import_module\nX = import_module('.unrelated', __package__)\n",
        ),
        ("model", "__import__('mylab.unrelated')\n"),
        ("__init__", "def __getattr__(name):\n    from mylab import unrelated\n"),
        (
            "model",
            "class A:\n    def __getattr__(self, name):\n        from mylab import unrelated\n",
        ),
        ("trees", "from mylab.shelf import *\n"),
    ],
)
def test_code_that_is_imported_in_other_ways_counts(lab: Any, file: Any, text: Any) -> None:
    (lab / "mylab" / "shelf").mkdir()
    (lab / "mylab" / "shelf" / "__init__.py").write_text("__all__ = ['book', 'NAME']\nNAME = 'a'\n")
    (lab / "mylab" / "shelf" / "book.py").write_text("from mylab import unrelated\n")
    before = imported_code(["mysearch"])
    assert "mylab.unrelated" not in before
    write(lab / "mylab" / f"{file}.py", text)
    assert "mylab.unrelated" in imported_code(["mysearch"])


OFFERS = """from mylab.registry import Registry

TOOLS = Registry("tool", {"one": "mylab.one:One"}, group="mylab.tools")
DEFAULT = "one"


def __getattr__(name):
    from mylab import unrelated

    return unrelated
"""


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda text: text.replace("},", ', "two": "mylab.two:Two"},'), False),
        (lambda text: text.replace("return unrelated", "return unrelated.X"), False),
        (lambda text: text.replace('DEFAULT = "one"', 'DEFAULT = "two"'), True),
        (lambda text: text.replace('"tool"', '"instrument"'), True),
    ],
)
def test_what_this_package_offers_is_for_others_to_choose_from(
    lab: Any, monkeypatch: pytest.MonkeyPatch, change: Any, counts: Any
) -> None:
    monkeypatch.setattr(code_digest, "PACKAGE", "mylab")
    write(lab / "mylab" / "__init__.py", OFFERS)
    before = imported_code(["mysearch"])
    assert "mylab.unrelated" not in before
    write(lab / "mylab" / "__init__.py", change(OFFERS))
    assert (imported_code(["mysearch"]) != before) == counts


@pytest.mark.parametrize(
    "module", ["methods", "objectives", "proxies", "spaces", "benchmarks.source_registry"]
)
def test_an_entry_more_in_a_registry_does_not_count(
    lab: Any, monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    monkeypatch.setattr(code_digest, "PACKAGE", "mylab")
    spec = importlib.util.find_spec(f"optiproxy_nas.{module}")
    assert spec is not None
    assert spec.origin is not None
    text = Path(spec.origin).read_text(encoding="utf-8")
    more = re.sub(r"(Registry\(\s*\"[a-z ]+\",\s*\{)", r'\1"new": "new:New", ', text)
    assert more != text
    write(lab / "mylab" / "lazy.py", text)
    before = imported_code(["mylab.lazy"])
    write(lab / "mylab" / "lazy.py", more)
    assert imported_code(["mylab.lazy"]) == before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 1.0"),
        ("x = '1'", "x = b'1'"),
        ("f(a, b)", "f((a, b))"),
        ("if a:\n    b\nc", "if a:\n    b\n    c"),
        ("def f(a, *, b): ...", "def f(a, b): ..."),
        ("x: int = 1", "x = 1"),
        ("a = [[1], 2]", "a = [[1, 2]]"),
    ],
)
def test_other_code_has_another_digest(lab: Any, one: Any, other: Any) -> None:
    write(lab / "one.py", one)
    write(lab / "other.py", other)
    found = imported_code(["one", "other"])
    assert found["one"] != found["other"]


def test_the_digest_does_not_change_with_the_version_of_python(lab: Any) -> None:
    """As recorded with Python 3.11; 3.12 brought fields of its own."""
    text = "class A(B):\n    def f(self, *x: int) -> str:\n        return f'{x!r:>{1}} {2}'\n"
    write(lab / "one.py", text)
    assert imported_code(["one"]) == {"one": "e0e0074acb051911"}
