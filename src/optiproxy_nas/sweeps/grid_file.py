"""Grids in YAML files, and what the command line adds to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from optiproxy_nas.core.errors import DataError, ParameterError
from optiproxy_nas.sweeps.grid import flat_block


class _Loader(yaml.BaseLoader):
    """All scalars as text, since YAML itself reads 10:20 as the number 620; no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # refused below
            if key.value in seen:
                raise ParameterError(
                    f"{key.value!r} is given twice, the second time in line "
                    f"{key.start_mark.line + 1} of {self.name}; its values are separated by "
                    "commas, and another product is another block.",
                    name=key.value,
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_blocks(path: Path) -> list[dict[str, Any]]:
    """The blocks of a YAML file: a list of mappings, or one mapping.

    Raises:
        DataError: the file cannot be read or is no YAML.
        ParameterError: it holds something else, or a name twice in one mapping.
    """
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, Loader=_Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"The grid {path} cannot be read: {error}.", path=str(path)) from error
    blocks = [content] if isinstance(content, Mapping) else content
    if not isinstance(blocks, list) or not all(isinstance(block, Mapping) for block in blocks):
        raise ParameterError(
            f"The grid {path} is not a list of blocks, each a mapping of parameters to values.",
            path=str(path),
        )
    if not blocks:
        raise ParameterError(f"The grid {path} is empty.", path=str(path))
    return [dict(block) for block in blocks]


def with_given(blocks: Iterable[Mapping[str, Any]], given: Mapping[str, Any]) -> list[Any]:
    """The blocks of a file, each with what is given on the command line, which wins.

    Raises:
        ParameterError: a block names another pipeline than the command line.
    """
    combined = []
    for index, block in enumerate(blocks, 1):
        flat = flat_block(block)
        check_pipeline(given.get("pipeline"), flat.get("pipeline"), f"block {index} of the file")
        combined.append({**flat, **given})
    return combined


def check_pipeline(given: str | None, own: Any, where: str) -> None:
    """Refuse two pipelines for the same points.

    Raises:
        ParameterError: they differ.
    """
    if given is not None and own is not None and str(own) != given:
        raise ParameterError(
            f"The command line says pipeline {given!r}, and {where} says {str(own)!r}. Leave out "
            "one of them.",
            given=given,
            own=str(own),
        )
