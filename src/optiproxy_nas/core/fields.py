"""The fields of typed parameters by dotted name, and how the text of a value is read.

A command line and the file of a grid give text. Whether ``007`` is a number or a name follows from
the type of the field that it is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from copy import copy
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"[-+]?[0-9]+")
SWITCH = "true or false"
INTEGER = "an integer"
_SCALARS = {
    frozenset({int}): INTEGER,
    frozenset({float}): "a number",
    frozenset({int, float}): "a number",
    frozenset({bool}): SWITCH,
}
_WORDS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


def fields_of(model: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """Return the fields of a model, those of models in it as ``fit.lr``, in their order."""
    fields: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        if inner := model_in(field):
            found = fields_of(inner, f"{prefix}{name}.")
            for part in found if is_optional(field) else ():  # without it they are nothing, too
                found[part] = copy(found[part])
                found[part].default = None
            fields |= found
        else:
            fields[f"{prefix}{name}"] = field
    return fields


def model_in(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model that a field holds, or may hold; None: it holds a plain value."""
    models = [
        kind
        for kind in (field.annotation, *get_args(field.annotation))
        if isinstance(kind, type) and issubclass(kind, BaseModel)
    ]
    return models[0] if len(models) == 1 else None


def text_names(fields: Iterable[tuple[str, FieldInfo]]) -> frozenset[str]:
    """Return the names of the fields whose values are text, or a list of texts."""
    return frozenset(name for name, field in fields if _types(field, in_lists=True) == {str})


def scalar_kind(field: FieldInfo, in_lists: bool = False) -> str:
    """Return ``INTEGER``, "a number" or ``SWITCH`` of a field of such (or null) only, else "".

    Args:
        field: of a model.
        in_lists: whether it may hold lists of such; a field that reads its lists by itself is "".
    """
    if in_lists and any(isinstance(rule, BeforeValidator) for rule in field.metadata):
        return ""
    return _SCALARS.get(frozenset(_types(field, in_lists)), "")


def is_optional(field: FieldInfo) -> bool:
    """Return whether a field may hold nothing, ``null``."""
    return NoneType in _leaves(field.annotation)


def described(field: FieldInfo) -> str:
    """Return what a field is and what values it can have: ``neurons of a layer (≥ 1)``."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    limits = [
        f"{sign}\N{NO-BREAK SPACE}{getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in signs.items()
        if getattr(rule, name, None) is not None
    ]
    if get_origin(field.annotation) is Literal:
        limits = [", ".join(map(str, get_args(field.annotation)))]
    allowed = f"({', '.join(limits)})" if limits else ""
    return f"{field.description or ''} {allowed}".strip()


def read_value(text: str, is_text: bool = False) -> Any:
    """Return the number, boolean or None that a text writes, else the text itself.

    ``null`` is None, as in a YAML file; ``1_0``, ``nan`` and ``inf`` are no numbers.

    Args:
        text: as written.
        is_text: whether the value is a text: then neither ``007`` nor ``on`` is read as else.
    """
    text = text.strip()
    if is_text:
        return None if text == "null" else text
    if _NUMBER.fullmatch(text):
        return int(text) if _INTEGER.fullmatch(text) else float(text)
    return None if text.lower() == "null" else _WORDS.get(text.lower(), text)


def _types(field: FieldInfo, in_lists: bool = False) -> set[type]:
    """Return the types of a field's values, ``in_lists`` those of a list's items; None left out."""
    return set(_leaves(field.annotation, in_lists)) - {NoneType}


def _leaves(annotation: Any, in_lists: bool = False) -> Iterator[type]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from map(type, arguments)
    elif origin in (Union, UnionType) or (in_lists and origin in (list, tuple)):
        for argument in arguments:
            if argument is not ...:
                yield from _leaves(argument, in_lists)
    elif isinstance(annotation, type) and issubclass(annotation, PurePath):
        yield str
    else:
        yield annotation if isinstance(annotation, type) else object
