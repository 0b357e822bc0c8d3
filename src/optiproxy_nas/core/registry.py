"""Plug-ins by name: built-in ones, those of installed packages, and ``package.module:Name``.

A plug-in of this package is one file plus one entry in the registry of its kind. An installed
package brings its own by an entry point in the registry's group, for instance::

    [project.entry-points."optiproxy_nas.spaces"]
    my_space = "my_package.spaces:MySpace"

A plug-in without any entry is named by its dotted path. Nothing is imported before it is loaded.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import PureWindowsPath
from types import ModuleType
from typing import Any

from optiproxy_nas.core.errors import OptiProxyError, ParameterError, UnknownNameError, unknown_name
from optiproxy_nas.core.random_streams import isolated


class Registry(Mapping[str, str]):
    """Map a name to ``"package.module:attribute"`` and import it when it is asked for.

    Built-in members come first, then those of installed packages by name. The entry points are
    read once, at the first look-up. A plug-in that clashes with a built-in member is left out with
    a warning; a name that two packages claim is refused when it is loaded. Both can be named by
    their dotted paths.

    Args:
        kind: what the members are, for messages ("proxy").
        paths: name -> ``"package.module:attribute"`` of the built-in members.
        group: the entry-point group whose members are added; "" for none.
        base: the class that every member is a subclass of; None: members are checked elsewhere.
    """

    def __init__(
        self, kind: str, paths: Mapping[str, str], group: str = "", base: type | None = None
    ) -> None:
        self.kind = kind
        self.group = group
        self.base = base
        self._built_in = dict(paths)

    @cached_property
    def plug_ins(self) -> Mapping[str, str]:
        """Name -> path of the members that installed packages bring, sorted by name."""
        return {name: _path(found[0]) for name, found in self._claims.items()}

    @cached_property
    def _claims(self) -> Mapping[str, list[EntryPoint]]:
        """Every name that installed packages claim, with the entry points that claim it."""
        claims: dict[str, list[EntryPoint]] = {}
        if not self.group:
            return claims
        for point in sorted(entry_points(group=self.group), key=lambda p: (p.name, p.value)):
            if point.name in self._built_in:
                warnings.warn(
                    f"{_owner(point)} brings a {self.kind} {point.name!r}, which is a built-in "
                    f"name: it is left out. Name it by its path, {_path(point)!r}.",
                    stacklevel=2,
                )
            elif all(point.value != other.value for other in claims.get(point.name, [])):
                claims.setdefault(point.name, []).append(point)
        return claims

    def __getitem__(self, name: str) -> str:
        return self._built_in[name] if name in self._built_in else self.plug_ins[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        yield from self.plug_ins

    def __len__(self) -> int:
        return len(self._built_in) + len(self.plug_ins)

    def check(self, name: str) -> str:
        """Return ``name`` unchanged if it is registered or a dotted path.

        Raises:
            UnknownNameError: with the list and the nearest name.
            ParameterError: it is no text, or the path of a file.
        """
        if not isinstance(name, str):
            raise ParameterError(
                f"The {self.kind} is given as {name!r}; it is given by its name, one of "
                f"{', '.join(self)}, or as 'package.module:Name'.",
                kind=self.kind,
            )
        if name in self:
            return name
        module, _, attribute = name.partition(":")
        if "/" in module or "\\" in module or module.endswith(".py"):
            suggestion = f"{_module_of(module)}:{attribute or 'CLASS'}"
            raise ParameterError(
                f"The {self.kind} {name!r} is given by a file; write {suggestion!r}: the module, "
                "as it is imported, and the name in it.",
                kind=self.kind,
                name=name,
                suggestion=suggestion,
            )
        if not attribute and _is_module(name):
            raise UnknownNameError(
                f"Unknown {self.kind} {name!r}. There is a module of that name: write "
                f"'{name}:CLASS', with the name in it.",
                kind=self.kind,
                name=name,
                allowed=sorted(self),
                suggestion=f"{name}:CLASS",
            )
        if ":" not in name:
            raise unknown_name(self.kind, name, self, ", or yours as 'package.module:Name'")
        return name

    def load(self, name: str) -> Any:
        """Import the plug-in.

        Raises:
            UnknownNameError: the name is not registered.
            ParameterError: it is no text, cannot be imported, is no subclass of ``base``, or two
                installed packages claim the name.
        """
        path = self.get(self.check(name), name)
        claims = [] if name in self._built_in else self._claims.get(name, [])
        if len(claims) > 1:
            owners = " and ".join(f"{_owner(point)} ({_path(point)})" for point in claims)
            raise ParameterError(
                f"The {self.kind} {name!r} is ambiguous: {owners} bring one of that name. Name it "
                "by its path.",
                kind=self.kind,
                name=name,
                paths=[_path(point) for point in claims],
            )
        module_name, _, attribute = path.partition(":")
        try:
            # A module may make tensors when it is imported; asked for again, it is only looked up.
            with nullcontext() if module_name in sys.modules else isolated():
                member = importlib.import_module(module_name)
                for part in attribute.split("."):
                    member = getattr(member, part)
                    if isinstance(member, ModuleType):
                        raise TypeError(f"{part} is a module")
        except OptiProxyError:  # a package that it needs is not installed, say
            raise
        except (Exception, SystemExit) as error:  # a third party's module can raise anything
            owner = f", which {_owner(claims[0])} brings," if claims else ""
            raise ParameterError(
                f"The {self.kind} {name!r}{owner} cannot be imported from {path!r}: {error}. "
                "A dotted path reads 'package.module:Name'.",
                kind=self.kind,
                name=name,
                path=path,
            ) from error
        if self.base and not (isinstance(member, type) and issubclass(member, self.base)):
            raise ParameterError(
                f"The {self.kind} {name!r} is {member!r}; it must be a subclass of "
                f"{self.base.__module__}.{self.base.__qualname__}.",
                kind=self.kind,
                name=name,
                path=path,
            )
        return member

    def load_all(self) -> dict[str, Any]:
        """Import every member; plug-ins that cannot be imported are left out with a warning.

        Raises:
            ParameterError: a built-in member cannot be imported.
        """
        members = {}
        for name in self:
            try:
                members[name] = self.load(name)
            except ParameterError as error:
                if name in self._built_in:
                    raise
                warnings.warn(error.message, stacklevel=2)
        return members


def _module_of(file: str) -> str:
    """Return the dotted name of a module from the path of its file, of which ``src`` is no part."""
    path = PureWindowsPath(file)  # it splits at both kinds of slash
    parts = [*path.parts[:-1], path.name.removesuffix(".py")]
    if "src" in parts:
        parts = parts[parts.index("src") + 1 :]
    return ".".join(parts if not path.anchor and ".." not in parts else parts[-1:])


def _is_module(name: str) -> bool:
    """Return whether a module of that name could be imported, other than Python's."""
    if not name.isidentifier() or name in sys.stdlib_module_names:
        return False
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # ``__main__`` has none
        return False


def _path(point: EntryPoint) -> str:
    return f"{point.module}:{point.attr}"


def _owner(point: EntryPoint) -> str:
    return f"package {point.dist.name!r}" if point.dist else "an installed package"
