"""Declared spaces and their architectures as text, at most 78 columns wide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optiproxy_nas.spaces.choices.choice import Choice
from optiproxy_nas.spaces.choices.json_values import is_number, value_key, value_label

WIDTH = 78
_NAME = 24  # columns, at most
_OPTIONS = 30  # columns that conditions leave, at least
_MOST = 12  # options of a choice that are listed


def space_table(title: str, choices: Mapping[str, Choice]) -> str:
    """Return a table of choices: name, options and when each exists, below a title."""
    names = [_short(name, _NAME) for name in choices]
    conditions = [_condition(choice, choices) for choice in choices.values()]
    name_width = max(len(name) for name in [*names, "choice"])
    room = WIDTH - name_width - 2
    if any(conditions):
        room = max(room - 2 - max(map(len, conditions)), _OPTIONS)
    options = [_listed(choice, room) for choice in choices.values()]
    width = max(len(text) for text in [*options, "options"])
    rows = [("choice", "options", "exists when" if any(conditions) else "")]
    rows += zip(names, options, conditions, strict=True)
    lines = [f"{n:<{name_width}}  {o:<{width}}  {c}".rstrip() for n, o, c in rows]
    return "\n".join(_short(line, WIDTH) for line in [title, *lines])


def architecture_table(architecture: Mapping[str, Any], choices: Mapping[str, Choice]) -> str:
    """Return one line for each choice that exists: its name, its value, and all its options."""
    names = {name: _short(name, _NAME) for name in architecture}
    values = {name: _short(value_label(value), 20) for name, value in architecture.items()}
    name_width, value_width = (max(map(len, part.values())) for part in (names, values))
    lines = []
    for name, value in architecture.items():
        room = WIDTH - name_width - value_width - 4
        scale = _scale(choices[name].options, value, room)
        lines.append(
            f"{names[name]:<{name_width}}  {values[name]:<{value_width}}  {scale}".rstrip()
        )
    return "\n".join(lines)


def size_line(choices: int, size: int | None, most: int) -> str:
    """Return how many choices and architectures there are.

    Args:
        choices: N.
        size: the valid architectures, None where a constraint leaves their number open.
        most: the architectures without the constraint.
    """
    count = f"{choices} choice{'s' * (choices > 1)}"
    if size is None:
        return f"{count}, {_amount(most)} architectures before the constraint"
    of_all = f" of {_amount(most)}" if size < most else ""
    return f"{count}, {_amount(size)}{of_all} architectures"


def _amount(number: int) -> str:
    """Return a number of any size, rounded from a million on."""
    if number < 1_000_000:
        return f"{number:,}"
    exponent = int(math.log10(number))
    exponent -= 10**exponent > number  # rounded up; Python writes no number of 4300 digits
    return f"{number // 10 ** (exponent - 1) / 10:.1f}·10^{exponent}"


def _scale(options: Sequence[Any], chosen: Any, room: int) -> str:
    """Return the options with the chosen one in brackets, or its number where they are too long."""
    key = value_key(chosen)
    keys = [value_key(option) for option in options]
    number = keys.index(key)
    labels = [value_label(option) for option in options]
    labels[number] = f"[{labels[number]}]"
    text = " ".join(labels)
    return text if len(text) <= room else f"{number + 1} of {len(options)}"


def _listed(choice: Choice, room: int) -> str:
    """Return all options, or as many as there is room for, the last one and their number."""
    labels = [value_label(option) for option in choice.options]
    separator = " < " if choice.ordered else ", "
    every = separator.join(labels)
    if len(labels) <= _MOST and len(every) <= room:
        return every
    for first in range(min(len(labels) - 2, _MOST - 1), 0, -1):
        text = f"{separator.join([*labels[:first], '...', labels[-1]])} ({len(labels)})"
        if len(text) <= room:
            return text
    return _short(every, room)


def _condition(choice: Choice, choices: Mapping[str, Choice]) -> str:
    fulfilled = []
    for parent, values in choice.when.items():
        options = list(choices[parent].options)
        first = options.index(values[0])
        in_a_row = options[first : first + len(values)] == values and len(values) > 2
        if in_a_row and all(map(is_number, values)):
            text = f"{value_label(values[0])} to {value_label(values[-1])}"
        else:
            text = " or ".join(map(value_label, values))
        fulfilled.append(f"{parent} = {text}")
    return " and ".join(fulfilled)


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
