"""Values of options: what JSON can write, when two are equal, and how they are shown.

1 and 1.0 are equal, as in JSON; True and 1 are not. Scalars and arrays of NumPy become Python's.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optiproxy_nas.core.errors import ParameterError

_DEEPEST = 20  # lists in lists
_LARGEST = 2**1023  # of integers: about what a float can hold
_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?")
_ALLOWED = (
    "Allowed are what JSON can write: texts, finite numbers, true and false, null, and lists and "
    "mappings of these. Name anything else by a text, and look it up in your training."
)


def plain_value(value: Any, depth: int = 0) -> Any:
    """Return a value as plain Python: None, bool, int, float, str, list or dict.

    Raises:
        ParameterError: JSON cannot write it.
    """
    if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0:
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= _LARGEST:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, str) and _is_unicode(value):
        return str.__str__(value)
    if depth < _DEEPEST:
        if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
            return {str(name): plain_value(inner, depth + 1) for name, inner in value.items()}
        if isinstance(value, Sequence | np.ndarray) and not isinstance(
            value, str | bytes | bytearray | memoryview
        ):
            return [plain_value(inner, depth + 1) for inner in value]
    raise ParameterError(
        f"{value!r:.100} ({type(value).__name__}) cannot be a value of a choice. {_ALLOWED}",
        value=value,
    )


def value_key(value: Any) -> str:
    """Return a text that is equal for equal plain values."""
    return json.dumps(_normal(value), sort_keys=True)


def one_or_several(values: list[Any], options: Sequence[Any]) -> list[Any]:
    """Return values that name options; a list that is itself an option is one of them.

    A list whose values are all options names these, though.
    """
    keys = set(map(value_key, options))
    several = bool(values) and all(value_key(value) in keys for value in values)
    return [values] if not several and value_key(values) in keys else values


def value_text(value: Any) -> str:
    """Return a plain value in JSON, as it stands in an architecture."""
    return json.dumps(value, ensure_ascii=False)


def value_label(value: Any) -> str:
    """Return a plain value for figures and tables: a text without quotation marks."""
    is_plain = isinstance(value, str) and value.isprintable() and value.strip()
    return value if is_plain else value_text(value)


def is_number(value: Any) -> bool:
    """Return whether a plain value is a number, which a bool is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def reads_as_number(value: Any, exponent: bool = False) -> bool:
    """Return whether a value is a text such as "64"; with ``exponent`` only one such as "1e-3"."""
    match = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    return match is not None and not (exponent and match[2] is None)


def _normal(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_normal(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _normal(inner) for name, inner in value.items()}
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
