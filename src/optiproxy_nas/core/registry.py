"""Plug-ins by name: a table of lazy import paths, or any ``package.module:Name``.

A plug-in (search space, proxy, benchmark source) is one file plus one entry in the table of
its kind; a plug-in of a third party needs no entry: its dotted path is its name.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from optiproxy_nas.core.errors import ParameterError, unknown_name


class Registry(Mapping[str, str]):
    """Maps a name to ``"package.module:attribute"`` and imports it when it is asked for.

    Args:
        kind: what the members are, for messages ("proxy").
        paths: name -> ``"package.module:attribute"``.
    """

    def __init__(self, kind: str, paths: Mapping[str, str]) -> None:
        self.kind = kind
        self._paths = dict(paths)

    def __getitem__(self, name: str) -> str:
        return self._paths[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def check(self, name: str) -> str:
        """Return ``name`` unchanged if it is registered or a dotted path.

        Raises:
            UnknownNameError: with the list and the nearest name.
        """
        if name not in self._paths and ":" not in str(name):
            raise unknown_name(self.kind, name, self._paths)
        return name

    def load(self, name: str) -> Any:
        """Import the plug-in.

        Raises:
            UnknownNameError: the name is not in the table.
            ParameterError: a dotted path cannot be imported.
        """
        path = self._paths.get(self.check(name), name)
        module_name, _, attribute = path.partition(":")
        try:
            return getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise ParameterError(
                f"The {self.kind} {name!r} cannot be imported from {path!r}: {error}. "
                "A dotted path reads 'package.module:Name'.",
                kind=self.kind,
                name=name,
                path=path,
            ) from error
