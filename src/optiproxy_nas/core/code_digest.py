"""Digests of source code that follow from what modules import and from what their code means.

Comments, docstrings, blank lines, line endings and the layout of the text do not count; neither do
files that nothing imports. A digest is over the syntax tree, written out in a form that is the same
in every Python version that parses the code alike.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import NamedTuple

DIGITS = 16  # of a module's digest: 64 bits tell versions of one file apart
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_IGNORED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


class _Import(NamedTuple):
    """One import statement; ``level`` counts the dots of ``from ..module import names``."""

    level: int
    module: str
    names: tuple[str, ...]


class _Source(NamedTuple):
    """What is known of one source file."""

    digest: str
    imports: tuple[_Import, ...]


def imported_code(roots: Iterable[str]) -> dict[str, str]:
    """Return the digest of each module that ``roots`` are or import, directly or not.

    Imports at any place of a file are followed, but not those under ``if TYPE_CHECKING`` nor in a
    module's ``__getattr__`` (what it offers is for others to import). Of the standard library and
    of installed packages (in a ``site-packages`` folder) nothing counts, except of the packages
    that hold the roots. Nothing is imported to find out. A file that is no Python counts by its
    bytes. A module that cannot be found is left out.

    Args:
        roots: names of modules: ``{"optiproxy_nas.algorithm.steps", "my_search"}``.

    Returns:
        Module name -> the first 16 hexadecimal digits of a SHA-256, by name.
    """
    roots = set(roots)
    modules = _Modules({root.partition(".")[0] for root in roots})
    digests: dict[str, str] = {}
    waiting = [name for root in sorted(roots) for name in _with_parents(root)]
    visited: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in visited:
            continue
        visited.add(name)
        path = modules.file(name)
        if path is None:
            continue
        try:
            stat = path.stat()
            source = _read(path, stat.st_mtime_ns, stat.st_size)
        except OSError:
            digests[name] = "unreadable"
            continue
        digests[name] = source.digest
        is_package = path.stem == "__init__"
        for statement in source.imports:
            waiting += _imported(statement, name, is_package)
    return dict(sorted(digests.items()))


def combined(digests: Mapping[str, str]) -> str:
    """Return one SHA-256 of many digests by name."""
    lines = (f"{name} {digest}" for name, digest in sorted(digests.items()))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def source_digest(text: str) -> str:
    """Return the digest of Python source by its syntax tree.

    Raises:
        SyntaxError: it is no Python.
    """
    return _of_tree(ast.parse(text)).digest


class _Modules:
    """Finds the files of modules that count, without importing them.

    Args:
        packages: top-level names that count wherever they are installed.
    """

    def __init__(self, packages: set[str]) -> None:
        self._packages = packages
        self._spec = cache(self._find)

    def file(self, name: str) -> Path | None:
        """Return the file of a module; None: it does not count, has no file or does not exist."""
        if name == "__main__":  # a script or notebook has no spec
            path = getattr(sys.modules.get(name), "__file__", None)
            return None if path is None else Path(path)
        spec = self._spec(name)
        return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None

    def _find(self, name: str) -> ModuleSpec | None:
        parent, _, _ = name.rpartition(".")
        if not parent:
            return self._find_top(name)
        package = self._spec(parent)
        if package is None or package.submodule_search_locations is None:
            return None
        return PathFinder.find_spec(name, list(package.submodule_search_locations))

    def _find_top(self, name: str) -> ModuleSpec | None:
        if name in sys.stdlib_module_names:
            return None
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):  # no spec, as of a module that was made by hand
            return None
        if spec is None or name in self._packages:
            return spec
        places = [spec.origin or "", *(spec.submodule_search_locations or ())]
        installed = any(_INSTALLED.intersection(Path(place).parts) for place in places)
        return None if installed else spec


def _with_parents(name: str) -> list[str]:
    """Return a module and the packages that are imported with it: ``["a", "a.b", "a.b.c"]``."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _imported(statement: _Import, importer: str, is_package: bool) -> Iterator[str]:
    """Yield the modules that a statement may import; a name of ``from`` may be none."""
    module = statement.module
    if statement.level:
        parts = importer.split(".")
        up = statement.level - is_package
        anchor = ".".join(parts[: len(parts) - up]) if up < len(parts) else ""
        module = f"{anchor}.{module}".strip(".")
    if not module:
        return
    yield from _with_parents(module)
    yield from (f"{module}.{name}" for name in statement.names if name != "*")


@lru_cache(maxsize=4096)
def _read(path: Path, changed: int, size: int) -> _Source:
    """Return what is known of a file; ``changed`` and ``size`` tell its versions apart."""
    content = path.read_bytes()
    if path.suffix == ".py":
        try:
            return _of_tree(ast.parse(content))
        except (SyntaxError, ValueError, RecursionError):
            content = content.replace(b"\r\n", b"\n")
    return _Source(hashlib.sha256(content).hexdigest()[:DIGITS], ())


def _of_tree(tree: ast.Module) -> _Source:
    tokens: list[str] = []
    imports: list[_Import] = []
    _write(tree, tokens, imports)
    digest = hashlib.sha256("\n".join(tokens).encode("utf-8", "surrogatepass")).hexdigest()
    return _Source(digest[:DIGITS], tuple(imports))


def _write(node: ast.AST, tokens: list[str], imports: list[_Import] | None) -> None:
    """Append a tree to ``tokens``, and its import statements to ``imports`` unless None.

    Left out are statements without effect (docstrings and other text on its own, ``pass``), and
    empty fields, in which Python versions differ.
    """
    if isinstance(node, ast.Import | ast.ImportFrom) and imports is not None:
        imports += _statements(node)
    never_run = isinstance(node, ast.If) and _is_type_checking(node.test)
    never_run |= isinstance(node, ast.FunctionDef) and node.name == "__getattr__"
    tokens.append(f"({type(node).__name__}")
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or value == [] or name in _IGNORED_FIELDS:
            continue
        tokens.append(name)
        below = None if never_run and name == "body" else imports
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, ast.AST):
                tokens.append(repr(item))
            elif not _is_idle(item):
                _write(item, tokens, below)
    tokens.append(")")


def _statements(node: ast.Import | ast.ImportFrom) -> list[_Import]:
    names = tuple(alias.name for alias in node.names)
    if isinstance(node, ast.Import):
        return [_Import(0, name, ()) for name in names]
    return [_Import(node.level, node.module or "", names)]


def _is_type_checking(test: ast.expr) -> bool:
    """Return whether a condition is ``TYPE_CHECKING`` or ``typing.TYPE_CHECKING``."""
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


def _is_idle(node: ast.AST) -> bool:
    """Return whether a statement does nothing: a docstring, other text on its own, ``pass``."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.Pass)
