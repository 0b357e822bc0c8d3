"""Grids: which values each parameter of a sweep takes, as text or Python values.

A block maps dotted parameter names to values and stands for their product; a sweep is the union of
its blocks. A value is a scalar, a list, or text: ``5``, ``cifar10,cifar100``, the half-open range
``0:100`` or ``0:100:10``, and commas between any of these.
"""

from __future__ import annotations

import itertools
import math
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from optiproxy_nas.core.bounded_files import LIMITS, BoundedLoader
from optiproxy_nas.core.errors import DataError, ParameterError
from optiproxy_nas.core.fields import read_value
from optiproxy_nas.pipelines.parameter_fields import names_of_texts

MOST = 100_000  # points; more is a typing error
_KEY = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")
_RANGE = re.compile(r"^(-?\d+):(-?\d+)(?::(-?\d+))?$")
_LIKE_A_RANGE = re.compile(r"^[-+.\d]*:|:[-+.\d]*$")  # my_module:Class is none


class Block(NamedTuple):
    """A product of values."""

    pipeline: str | None  # None: the sweep's
    values: dict[str, Sequence[Any]]  # dotted name -> its values, at least one

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(len(values) for values in self.values.values())


def parse_text(name: str, text: str, is_text: bool = False) -> Sequence[Any]:
    """Return the values that a text stands for, at least one.

    Args:
        name: of the parameter.
        text: as written.
        is_text: whether the values of the parameter are text; then nothing is a number or a range.

    Raises:
        ParameterError: a part is empty, or reads like a range and is none.
    """
    if not is_text and _RANGE.match(text.strip()):
        return _range(name, text.strip())  # not made into a list: it may be long
    parts = [part.strip() for part in text.split(",")]
    if "" in parts:
        raise ParameterError(
            f"The grid's {name!r} = {text!r} lacks a value. Values are separated by one comma: "
            f"{name}=1,2,3.",
            name=name,
        )
    return [
        value
        for part in parts
        for value in (
            _range(name, part)
            if not is_text and _LIKE_A_RANGE.search(part)
            else [read_value(part, is_text)]
        )
    ]


def parse_block(block: Mapping[str, Any]) -> Block:
    """Return a block of Python values or text, dotted or nested.

    Raises:
        ParameterError: no parameter, a name that is none or occurs twice, or no value for one.
    """
    if not isinstance(block, Mapping):
        raise ParameterError(
            f"A block of a grid maps parameters to values; this is {block!r}.", block=repr(block)
        )
    values = flat_block(block)
    pipeline = values.pop("pipeline", None)
    if not values:
        raise ParameterError(
            "The grid is empty: it names no parameter. Give at least one, as in seed=0:10."
        )
    for name in values:
        if not _KEY.match(name):
            raise ParameterError(f"{name!r} in the grid is no parameter's name.", name=name)
    deciding = ("method", "objective", "objective.name")
    texts = names_of_texts({n: _values(n, values[n], True) for n in deciding if n in values})
    return Block(
        None if pipeline is None else str(pipeline),
        {name: _values(name, value, name in texts) for name, value in values.items()},
    )


def parse_arguments(arguments: Iterable[str]) -> dict[str, Any]:
    """Return ``["dataset=cifar10,cifar100", "seed=0:100"]`` as one block.

    Raises:
        ParameterError: an argument is not NAME=VALUES, or a name is given twice.
    """
    block: dict[str, Any] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not name.strip():
            raise ParameterError(
                f"{argument!r} is not NAME=VALUES, as in seed=0:10 or dataset=cifar10,cifar100.",
                argument=argument,
            )
        if name.strip() in block:
            raise _given_twice(name.strip())
        block[name.strip()] = text
    return block


def flat_block(block: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a block with dotted names: ``{"fit": {"lr": 1}}`` becomes ``{"fit.lr": 1}``.

    Raises:
        ParameterError: a name is given twice, once dotted and once nested.
    """
    flat: dict[str, Any] = {}
    for key, value in block.items():
        name = f"{prefix}{key}"
        found = flat_block(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
        if twice := flat.keys() & found.keys():
            raise _given_twice(min(twice))
        flat |= found
    return flat


def expand(block: Block) -> Iterator[dict[str, Any]]:
    """Yield every point of a block, by dotted name; the last parameter changes fastest."""
    for values in itertools.product(*block.values.values()):
        yield dict(zip(block.values, values, strict=True))


def check_size(blocks: Sequence[Block]) -> int:
    """Return the number of points, if it is sensible.

    Raises:
        ParameterError: none, or more than ``MOST``.
    """
    size = sum(block.size for block in blocks)
    if size == 0:
        raise ParameterError("The grid is empty: it has no blocks.")
    if size > MOST:
        raise ParameterError(
            f"The grid has {size} points; at most {MOST} make a sweep. Is a range too long?",
            size=size,
        )
    return size


def bad_range(name: str, text: str) -> ParameterError:
    """Return the error for a text with colons that is no range, or an empty one."""
    return ParameterError(
        f"The grid's {name!r} = {text!r} is not a range of integers with a value in it. Ranges "
        "are half-open: 0:100 is 0 to 99, 0:100:10 takes every tenth.",
        name=name,
        text=text,
    )


def _given_twice(name: str) -> ParameterError:
    return ParameterError(
        f"{name!r} is given twice; its values are separated by commas.", name=name
    )


def _values(name: str, value: Any, is_text: bool) -> Sequence[Any]:
    if isinstance(value, str):
        return parse_text(name, value, is_text)
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        return [_plain(value)]
    items = [
        item
        for part in value
        for item in (parse_text(name, part, is_text) if isinstance(part, str) else [_plain(part)])
    ]
    if not items:
        raise ParameterError(f"The grid's {name!r} has no value.", name=name)
    return items


def _plain(value: Any) -> Any:
    """Return a scalar, NumPy's as Python's."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    raise ParameterError(f"{value!r} in the grid is no scalar, list of scalars or text.")


def _range(name: str, text: str) -> range:
    match = _RANGE.match(text)
    if match is None or int(match[3] or 1) == 0:
        raise bad_range(name, text)
    values = range(int(match[1]), int(match[2]), int(match[3] or 1))
    if not values:
        raise bad_range(name, text)
    return values


class _Loader(BoundedLoader):
    """Reads all scalars as text, since YAML reads 10:20 as the number 620; no key twice."""

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
    """Return the blocks of a YAML file: a list of mappings, or one mapping.

    Raises:
        DataError: the file cannot be read or is no YAML.
        ParameterError: it holds something else, or a name twice in one mapping.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe has no end
            raise yaml.YAMLError("it is no regular file")
        if path.stat().st_size > LIMITS.text:
            raise yaml.YAMLError(f"it has more than {LIMITS.text} bytes")
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, Loader=_Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
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
    """Return the blocks of a file, each with what the command line gives, which wins.

    Raises:
        ParameterError: a block names another pipeline than the command line.
    """
    combined = []
    for index, block in enumerate(blocks, 1):
        flat = flat_block(block)
        check_pipeline(given.get("pipeline"), flat.get("pipeline"), f"block {index} of the file")
        combined.append({**flat, **given})
    return combined


def check_pipeline(given: str | None, other: Any, where: str) -> None:
    """Refuse two pipelines for the same points.

    Raises:
        ParameterError: they differ.
    """
    if given is not None and other is not None and str(other) != given:
        raise ParameterError(
            f"The command line says pipeline {given!r}, and {where} says {str(other)!r}. Leave "
            "out one of them.",
            given=given,
            other=str(other),
        )
