"""Read declarations: mappings of choices, classes, and the JSON or YAML form of a whole space."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from optiproxy_nas.core.errors import ParameterError, unknown_name
from optiproxy_nas.spaces.choices.choice import Choice

_KINDS: dict[str, tuple[str, ...]] = {  # of a choice -> the further keys that it takes
    "options": (),
    "integers": ("step",),
    "linear": ("count",),
    "log": ("count",),
}
_COMMON = ("ordered", "when", "default")
_FORMS = (
    "A choice is a Choice, a list of options, or a mapping: {options: [...], ordered: true}, "
    "{integers: [low, high], step: 1}, {linear: [low, high], count: 5} or {log: [low, high], "
    "count: 5}, each with when and default if needed."
)


def read_space(declaration: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``Space`` for a declaration, choices behind those they depend on.

    Files are written by hand and by programs, so their order need not be that of the conditions.
    A mapping of nothing but choices is their declaration, too.

    Raises:
        ParameterError: unknown keys, no choices, conditions in a circle, or as ``Choice``.
    """
    allowed = ("choices", "constraint", "name")
    if all(key not in allowed and _looks_like_choice(value) for key, value in declaration.items()):
        declaration = {"choices": declaration}
    if "choices" in declaration or not any(map(_looks_like_choice, declaration.values())):
        for key in declaration:
            if key not in allowed:
                raise unknown_name("part", key, allowed, where="of a declared space")
    if "choices" not in declaration:
        raise ParameterError(
            "A declared space needs choices: {name: [options], ...}, or, with a constraint or a "
            "name beside them, {choices: {name: [options], ...}, constraint: ..., name: ...}. "
            "Choices that are called so themselves are given as Space({...}).",
            allowed=list(allowed),
        )
    return {**declaration, "choices": in_order(read_choices(declaration["choices"]))}


def read_choices(choices: Any) -> dict[str, Choice]:
    """Return the choices of a mapping or class, in its order.

    Raises:
        ParameterError: a name or a choice cannot be used; which, and what is allowed.
    """
    if inspect.isclass(choices):
        choices = _of_class(choices)
    if not isinstance(choices, Mapping):
        raise ParameterError(
            f"The choices are given as {choices!r:.100}; they are a mapping {{name: choice}}, or a "
            f"class whose attributes are choices. {_FORMS}",
            choices=choices,
        )
    if not choices:
        raise ParameterError(
            f"There are no choices: {{'depth': [1, 2, 3]}} is one. {_FORMS}", choices={}
        )
    return {_checked_name(name): _named(name, choice) for name, choice in choices.items()}


def in_order(choices: Mapping[str, Choice]) -> dict[str, Choice]:
    """Return choices behind those they depend on, else in the given order.

    Raises:
        ParameterError: choices depend on each other in a circle.
    """
    ordered: dict[str, Choice] = {}
    waiting = dict(choices)
    while waiting:
        ready = (
            name
            for name, choice in waiting.items()
            if all(parent in ordered or parent not in choices for parent in choice.when)
        )
        name = next(ready, None)
        if name is None:
            circle = _circle(waiting)
            raise ParameterError(
                f"The conditions are a circle: {' depends on '.join(map(repr, circle))}. Leave one "
                "of them away.",
                choice=circle[0],
                circle=circle,
            )
        ordered[name] = waiting.pop(name)
    return ordered


def _circle(choices: Mapping[str, Choice]) -> list[str]:
    """Return a path from a choice back to itself; each one depends on the next."""
    path = [next(iter(choices))]
    while path[-1] not in path[:-1]:
        path.append(next(parent for parent in choices[path[-1]].when if parent in choices))
    return path[path.index(path[-1]) :]


def _of_class(kind: type) -> dict[str, Any]:
    """Return the public attributes of a class, those of its bases first."""
    attributes: dict[str, Any] = {}
    for base in reversed(kind.__mro__[:-1]):
        attributes |= {name: v for name, v in vars(base).items() if not name.startswith("_")}
    return attributes


def _checked_name(name: Any) -> str:
    if isinstance(name, str) and name.strip() and name.isprintable():
        return str(name)
    hint = " In YAML, quote on, off, yes, no and numbers." if not isinstance(name, str) else ""
    raise ParameterError(
        f"A choice is named {name!r:.100}; a name is a text of printable characters.{hint}",
        choice=name,
    )


def _named(name: str, choice: Any) -> Choice:
    """Return a choice; a message about it begins with its name."""
    try:
        return _read(choice)
    except ParameterError as error:
        data = {**error.data, "choice": name}
        raise type(error)(f"Choice {name!r}: {error.message}", **data) from error.__cause__


def _looks_like_choice(value: Any) -> bool:
    """Return whether a value is a choice, rather than a part of a space's declaration."""
    if isinstance(value, Mapping):
        return any(kind in value for kind in _KINDS)
    return isinstance(value, Choice | Sequence | np.ndarray) and not isinstance(value, str)


def _read(choice: Any) -> Choice:
    if isinstance(choice, Choice):
        return choice
    if isinstance(choice, Mapping):
        return _of_mapping(choice)
    if isinstance(choice, Sequence | np.ndarray | set | frozenset) and not isinstance(choice, str):
        return Choice(choice)
    raise ParameterError(f"{choice!r:.100} is no choice. {_FORMS}", value=choice)


def _of_mapping(mapping: Mapping[Any, Any]) -> Choice:
    kinds = [kind for kind in _KINDS if kind in mapping]
    all_keys = {*_KINDS, *_COMMON, *(key for further in _KINDS.values() for key in further)}
    for key in mapping:
        if key not in all_keys:
            raise unknown_name("key", key, all_keys, where="of a choice")
    if len(kinds) != 1:
        given = " and ".join(kinds) if kinds else "none of them"
        raise ParameterError(
            f"It gives {given}; a choice has exactly one of {', '.join(_KINDS)}. {_FORMS}",
            given=kinds,
            allowed=list(_KINDS),
        )
    (kind,) = kinds
    settings = {key: value for key, value in mapping.items() if key != kind}
    if kind != "options" and settings.pop("ordered", True) is not True:
        raise ParameterError(
            f"A range ({kind}) is always ordered: leave ordered away, or list the options.",
            given=kind,
        )
    for key in settings:
        if key not in (*_KINDS[kind], *_COMMON):
            raise ParameterError(
                f"{kind} takes no {key}; with it go {', '.join((*_KINDS[kind], *_COMMON))}.",
                key=key,
                allowed=[*_KINDS[kind], *_COMMON],
            )
    if kind == "options":
        return Choice(mapping[kind], **settings)
    ends = mapping[kind]
    if isinstance(ends, str) or not isinstance(ends, Sequence) or len(ends) != 2:
        raise ParameterError(
            f"{kind} is given as {ends!r:.100}; it is a list of two numbers, [low, high].",
            value=ends,
        )
    if "count" in _KINDS[kind] and "count" not in settings:
        raise ParameterError(
            f"{kind} needs a count, how many values there are: {{{kind}: {list(ends)}, count: 5}}.",
            given=kind,
        )
    build: Callable[..., Choice] = getattr(Choice, kind)
    return build(*ends, **settings)
