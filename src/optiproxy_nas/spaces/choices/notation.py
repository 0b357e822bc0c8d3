"""Architectures of a declared space as JSON objects: written in one spelling, read in any."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optiproxy_nas.core.errors import (
    InvalidArchitectureError,
    ParameterError,
    unknown_name,
)
from optiproxy_nas.spaces.base import check_codes
from optiproxy_nas.spaces.choices.choice import Choice, shown
from optiproxy_nas.spaces.choices.conditions import Condition
from optiproxy_nas.spaces.choices.json_values import plain_value, value_key, value_label, value_text

_LONGEST = 1_000_000  # characters of a text


class Notation:
    """Writes and reads architectures.

    Args:
        choices: of the space.
        conditions: of each choice, by position.
    """

    def __init__(
        self, choices: Mapping[str, Choice], conditions: Sequence[tuple[Condition, ...]]
    ) -> None:
        self._names = list(choices)
        self._options = [choice.options for choice in choices.values()]
        self._conditions = conditions
        self._texts = [
            [f"{value_text(name)}: {value_text(option)}" for option in choice.options]
            for name, choice in choices.items()
        ]
        self._numbers = [
            {value_key(option): number for number, option in enumerate(options, 1)}
            for options in self._options
        ]

    def texts(self, codes: Tensor) -> list[str]:
        """Return codes [n, N] as JSON objects, the choices in declared order."""
        return [
            f"{{{', '.join(t[v - 1] for t, v in zip(self._texts, code, strict=True) if v)}}}"
            for code in codes.tolist()
        ]

    def architectures(self, codes: Tensor) -> list[dict[str, Any]]:
        """Return codes [n, N] as dicts of the choices that exist."""
        return [
            {
                name: _fresh(options[number - 1])
                for name, options, number in zip(self._names, self._options, code, strict=True)
                if number
            }
            for code in codes.tolist()
        ]

    def code(self, architecture: Any) -> list[int]:
        """Return the code [N] of a JSON text or a mapping.

        Raises:
            InvalidArchitectureError: which rule it breaks, and where.
        """
        given = architecture
        if isinstance(architecture, str):
            given = _parsed(architecture)
        if not isinstance(given, Mapping):
            raise _invalid(architecture, "it is no mapping of choices to values")
        for name in given:
            if name not in self._names:
                reason = unknown_name("choice", name, self._names).message.rstrip(".")
                raise _invalid(architecture, reason)
        code: list[int] = []
        for position, name in enumerate(self._names):
            reason = self._why_absent(position, code)
            if reason and name in given:
                raise _invalid(architecture, f"{name!r} does not exist where {reason}: remove it")
            if not reason and name not in given:
                allowed = shown(self._options[position])
                raise _invalid(architecture, f"{name!r} is missing; it is one of {allowed}")
            code.append(0 if reason else self._number(position, given[name], architecture))
        return code

    def _number(self, position: int, value: Any, architecture: Any) -> int:
        name, options = self._names[position], self._options[position]
        try:
            return self._numbers[position][value_key(plain_value(value))]
        except (KeyError, ParameterError):
            raise _invalid(
                architecture, f"{name!r} is {value!r:.100}; it is one of {shown(options)}"
            ) from None

    def _why_absent(self, position: int, code: Sequence[int]) -> str:
        """Return the condition that fails after the choices before ``position``; "" if none."""
        for parent, numbers in self._conditions[position]:
            number = code[parent]
            if number not in numbers:
                name, options = self._names[parent], self._options[parent]
                state = f"is {value_label(options[number - 1])}" if number else "does not exist"
                return f"{name!r} {state}"
        return ""


def check_numbers(codes: Any, choices: Tensor, name: str) -> None:
    """Check the codes of a declared space.

    Args:
        codes: int64 [n, N].
        choices: [N], how many numbers each place of a code can have.
        name: of the space.

    Raises:
        ParameterError: they are no tensor, but architectures, for example; how codes are made.
        ValueError: they have another length, or a number is out of range.
    """
    if not isinstance(codes, Tensor):
        raise ParameterError(
            f"Codes of space {name!r} are a tensor, a row an architecture, not {codes!r:.200} "
            f"({type(codes).__name__}). space.from_string(architectures) makes codes of dicts or "
            "texts; space.to_string(codes) and space.architecture(text) are the way back."
        )
    rule = f"A code of space {name!r} has for each choice an option's number, 0 for none."
    check_codes(codes, choices, rule)


def checked_generator(generator: Any) -> torch.Generator:
    """Return a generator of torch.

    Raises:
        ParameterError: it is none; how one is made.
    """
    if isinstance(generator, torch.Generator):
        return generator
    raise ParameterError(
        f"random draws with a generator of torch, not {generator!r:.100}: "
        "space.random(3, torch.Generator().manual_seed(0)).",
        generator=generator,
    )


def _fresh(option: Any) -> Any:
    """Return an option that a user's function may change."""
    return copy.deepcopy(option) if isinstance(option, list | dict) else option


def _parsed(text: str) -> Any:
    if len(text) > _LONGEST:
        raise _invalid(text, f"it has {len(text):,} characters")
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_constant)
    except InvalidArchitectureError:
        raise
    except (ValueError, RecursionError) as error:
        raise _invalid(text, f"it is no JSON ({error})") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    distinct = dict(pairs)
    if len(distinct) < len(pairs):
        raise ValueError("a name is given twice")
    return distinct


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _invalid(architecture: Any, reason: str) -> InvalidArchitectureError:
    return InvalidArchitectureError(
        f"Not an architecture of this space: {reason}. Given: {architecture!r:.500}. It is a JSON "
        'object, or a dict, of the choices that exist: {"name": value, ...}.',
        architecture=architecture,
        reason=reason,
    )
