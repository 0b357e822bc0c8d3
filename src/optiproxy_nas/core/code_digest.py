"""Digests of source code that follow from what modules import and from what their code means.

Comments, docstrings, blank lines, line endings and the layout of the text do not count; neither do
files that nothing imports. A digest is over the syntax tree, written out in a form that is the same
in every Python version that parses the code alike.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import pkgutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import NamedTuple

DIGITS = 16  # of a module's digest: 64 bits tell versions of one file apart
NOT_FOUND = "source not found"  # in place of the digest of code that cannot be read
PACKAGE = __name__.partition(".")[0]
_FOLDER = Path(__file__).parents[1]
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_STANDARD = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
_IGNORED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_IMPORTERS = frozenset({"import_module", "__import__"})


class _Import(NamedTuple):
    """One import statement; ``level`` counts the dots of ``from ..module import names``."""

    level: int
    module: str
    names: tuple[str, ...]


class _Source(NamedTuple):
    """What is known of one source file; ``exports`` is its ``__all__``."""

    digest: str
    imports: tuple[_Import, ...] = ()
    exports: tuple[str, ...] = ()


def imported_code(roots: Iterable[str]) -> dict[str, str]:
    """Return the digest of each module that ``roots`` are or import, directly or not.

    Imports at any place of a file are followed, ``import_module("a.name")`` too, but not those
    under ``if TYPE_CHECKING``, nor a module whose name is known at run time only. Of the standard
    library and of installed packages (in a ``site-packages`` folder) nothing counts, except of the
    packages that hold the roots. Nothing is imported to find out. A file that is no Python counts
    by its bytes. Of this package, the members of a ``Registry`` and a module's ``__getattr__`` do
    not count: they are for others to choose from.

    Args:
        roots: names of modules: ``{"optiproxy_nas.algorithm.steps", "my_search"}``.

    Returns:
        Module name -> the first 16 hexadecimal digits of a SHA-256, by name. ``NOT_FOUND`` where a
        file cannot be read, and of roots without one, as of a notebook's ``__main__``; other
        modules that cannot be found are left out.
    """
    roots = set(roots)
    modules = _Modules({root.partition(".")[0] for root in roots})
    digests = dict.fromkeys(roots, NOT_FOUND)
    waiting = [name for root in sorted(roots) for name in _with_parents(root)]
    visited: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in visited:
            continue
        visited.add(name)
        source = modules.source(name)
        if source is None:
            continue
        digests[name] = source.digest
        for statement in source.imports:
            waiting += modules.imported(statement, name)
    return dict(sorted(digests.items()))


def digest_of_text(source: str) -> str:
    """Return the digest of Python code.

    Raises:
        SyntaxError: it is none.
    """
    return _of_tree(ast.parse(source), of_package=False).digest


def combined(digests: Mapping[str, str]) -> str:
    """Return one SHA-256 of many digests by name."""
    lines = (f"{name} {digest}" for name, digest in sorted(digests.items()))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@lru_cache(maxsize=1)
def package_digest() -> str:
    """Return a SHA-256 of the text of all modules, presets and templates of the package."""
    total = hashlib.sha256()
    for path in sorted(_FOLDER.rglob("*")):
        relative = path.relative_to(_FOLDER)
        stems = [*relative.parent.parts, path.name.partition(".")[0]]
        if path.suffix in {".py", ".yml", ".j2"} and all(map(str.isidentifier, stems)):
            total.update(relative.as_posix().encode())
            total.update(hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).digest())
    return total.hexdigest()


def package_identity() -> str:
    """Return ``optiproxy-nas 0.5.0 (code 0123456789ab)``, which tells versions apart."""
    return f"optiproxy-nas {metadata.version('optiproxy-nas')} (code {package_digest()[:12]})"


class _Modules:
    """Finds the files of modules that count, without importing them.

    Args:
        packages: top-level names that count wherever they are installed.
    """

    def __init__(self, packages: set[str]) -> None:
        self._packages = packages
        self._spec = cache(self._find)

    def source(self, name: str) -> _Source | None:
        """Return a module's source; None: it does not count, has no file or does not exist."""
        spec = self._spec(name)
        path = spec.origin if spec is not None and spec.has_location else None
        if name == "__main__":  # a script or notebook has no spec
            path = getattr(sys.modules.get(name), "__file__", None)
        if path is None:
            return None
        try:
            stat = os.stat(path)
            of_package = name.partition(".")[0] == PACKAGE
            return _read(Path(path), stat.st_mtime_ns, stat.st_size, of_package)
        except OSError:
            return _Source(NOT_FOUND)

    def imported(self, statement: _Import, importer: str) -> Iterator[str]:
        """Yield the modules that a statement may import; a name of ``from`` may be none."""
        module = statement.module
        if statement.level:
            parts = importer.split(".")
            spec = self._spec(importer)
            is_package = spec is not None and spec.submodule_search_locations is not None
            up = statement.level - is_package
            anchor = ".".join(parts[: len(parts) - up]) if up < len(parts) else ""
            module = f"{anchor}.{module}".strip(".")
        if module:
            yield from _with_parents(module)
            package = self.source(module) if statement.names == ("*",) else None
            names = package.exports if package else statement.names
            yield from (f"{module}.{name}" for name in names)

    def _find(self, name: str) -> ModuleSpec | None:
        parent = name.rpartition(".")[0]
        if not parent:
            return self._find_top(name)
        package = self._spec(parent)
        return _find_below(name, package.submodule_search_locations or ()) if package else None

    def _find_top(self, name: str) -> ModuleSpec | None:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):  # no spec, as of a module that was made by hand
            return None
        if spec is None or name in self._packages:
            return spec
        places = [spec.origin or "", *(spec.submodule_search_locations or ())]
        foreign = any(_INSTALLED.intersection(Path(place).parts) for place in places)
        if name in sys.stdlib_module_names:  # and not a user's file of that name
            foreign |= not places[0].endswith(".py") or places[0].startswith(_STANDARD)
        return None if foreign else spec


def _find_below(name: str, folders: Iterable[str]) -> ModuleSpec | None:
    """Return where folders hold a module (PathFinder wants a namespace's parent imported)."""
    portions: list[str] = []
    for folder in folders:
        finder = pkgutil.get_importer(folder)
        spec = finder.find_spec(name) if finder else None
        if spec is not None and spec.loader is not None:
            return spec
        portions += (spec and spec.submodule_search_locations) or ()
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace if portions else None


def _with_parents(name: str) -> list[str]:
    """Return a module and the packages that are imported with it: ``["a", "a.b", "a.b.c"]``."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


@lru_cache(maxsize=4096)
def _read(path: Path, changed: int, size: int, of_package: bool) -> _Source:
    """Return what is known of a file; ``changed`` and ``size`` tell its versions apart."""
    content = path.read_bytes()
    if path.suffix == ".py":
        try:
            return _of_tree(ast.parse(content), of_package)
        except (SyntaxError, ValueError, RecursionError):
            content = content.replace(b"\r\n", b"\n")
    return _Source(hashlib.sha256(content).hexdigest()[:DIGITS])


def _of_tree(tree: ast.Module, of_package: bool) -> _Source:
    if of_package:
        _leave_out_offers(tree)
    tokens: list[str] = []
    imports: list[_Import] = []
    _write(tree, tokens, imports)
    text = "\n".join(tokens).encode("utf-8", "surrogatepass")
    exports = [
        str(getattr(item, "value", ""))
        for node in tree.body
        if isinstance(node, ast.Assign) and "__all__" in map(_name, node.targets)
        for item in ast.walk(node.value)
    ]
    return _Source(hashlib.sha256(text).hexdigest()[:DIGITS], tuple(imports), tuple(exports))


def _leave_out_offers(tree: ast.Module) -> None:
    """Remove a module's ``__getattr__``, and the members of ``NAME = Registry(kind, members)``."""
    tree.body = [node for node in tree.body if getattr(node, "name", "") != "__getattr__"]
    for node in tree.body:
        call = getattr(node, "value", None)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Registry":
            del call.args[1:]


def _write(node: ast.AST, tokens: list[str], imports: list[_Import]) -> None:
    """Append a tree to ``tokens``, and what it imports to ``imports``.

    Left out are statements without effect (docstrings and other text on its own, ``pass``), what
    stands under ``if TYPE_CHECKING``, and empty fields, in which Python versions differ.
    """
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Call):
        imports += _imports(node)
    ignored = _IGNORED_FIELDS
    if isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
        ignored |= {"body"}
    tokens.append(f"({type(node).__name__}")
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or value == [] or name in ignored:
            continue
        tokens.append(name)
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, ast.AST):
                tokens.append(repr(item))
            elif not _is_idle(item):
                _write(item, tokens, imports)
    tokens.append(")")


def _imports(node: ast.Import | ast.ImportFrom | ast.Call) -> Iterator[_Import]:
    if isinstance(node, ast.ImportFrom):
        yield _Import(node.level, node.module or "", tuple(alias.name for alias in node.names))
    elif isinstance(node, ast.Import):
        yield from (_Import(0, alias.name, ()) for alias in node.names)
    elif node.args and _name(node.func) in _IMPORTERS:
        text = getattr(node.args[0], "value", None)
        if isinstance(text, str):
            module = text.lstrip(".")
            yield _Import(len(text) - len(module), module, ())


def _name(node: ast.expr) -> str:
    """Return the last name of ``name`` or ``module.name``, "" of other expressions."""
    return str(getattr(node, "attr", getattr(node, "id", "")))


def _is_idle(node: ast.AST) -> bool:
    """Return whether a statement does nothing: a docstring, other text on its own, or ``pass``."""
    is_text = isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)
    return is_text or isinstance(node, ast.Pass)
