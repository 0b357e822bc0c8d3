"""What changes the digest of code, and what does not."""

import os
import time

import pytest

from optiproxy_nas.core.code_digest import combined, imported_code, source_digest

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
def lab(tmp_path, monkeypatch):
    """A user's own code, with a plug-in module ``mysearch``."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def write(path, content):
    """Write a file, later than before for the clock of the file system."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    later = max(time.time_ns(), before + 1)
    os.utime(path, ns=(later, later))


def test_all_own_code_that_is_imported_counts(lab):
    assert list(imported_code(["mysearch"])) == IMPORTED


def test_nothing_is_imported_to_find_out(lab):
    write(lab / "mylab" / "__init__.py", "raise RuntimeError('imported')\n")
    assert list(imported_code(["mysearch"])) == IMPORTED


def test_code_that_is_not_imported_does_not_count(lab):
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
def test_stray_files_do_not_count(lab, name):
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
def test_what_does_nothing_does_not_count(lab, change):
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
def test_a_changed_module_is_named(lab, name, content):
    before = imported_code(["mysearch"])
    write(lab / name, content)
    after = imported_code(["mysearch"])
    module = name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    assert {key for key in after if after[key] != before[key]} == {module}
    assert combined(after) != combined(before)


def test_a_changed_import_brings_other_code(lab):
    write(lab / "mylab" / "model.py", "from mylab import unrelated\n")
    found = imported_code(["mysearch"])
    assert "mylab.unrelated" in found
    assert "mylab.data" not in found


def test_installed_packages_count_only_as_roots(lab):
    assert not any(name.startswith("numpy") for name in imported_code(["mysearch"]))
    found = imported_code(["iniconfig"])
    assert "iniconfig" in found


def test_modules_that_are_missing_are_left_out(lab):
    assert imported_code(["nowhere.at_all", "nowhere", "mylab.absent"]).keys() == {"mylab"}


def test_what_a_package_offers_lazily_is_for_others(lab):
    lazy = "def __getattr__(name):\n    from mylab import unrelated\n\n    return unrelated\n"
    write(lab / "mylab" / "__init__.py", lazy)
    assert "mylab.unrelated" not in imported_code(["mysearch"])


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
def test_other_code_has_another_digest(one, other):
    assert source_digest(one) != source_digest(other)


def test_the_digest_does_not_change_with_the_version_of_python():
    """As recorded with Python 3.11; 3.12 brought fields of its own."""
    text = "class A(B):\n    def f(self, *x: int) -> str:\n        return f'{x!r:>{1}} {2}'\n"
    assert source_digest(text) == "e0e0074acb051911"
