"""Values of ranges: at equal distances or ratios between two ends."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.validation import finite_number, whole_number

MAX_OPTIONS = 1000
_DIGITS = 6  # significant ones of computed values


def spaced(low: float, high: float, count: int, log: bool = False) -> list[float]:
    """Return ``count`` numbers at equal distances or ratios; see ``Choice.linear`` and ``log``."""
    first, last = finite_number("low", low), finite_number("high", high)
    number = whole_number("count", count, 2)
    if number > MAX_OPTIONS:
        raise too_many()
    check_ends(low, high)
    if log and first <= 0:
        raise ParameterError(
            f"low = {low!r}: a logarithmic range begins above 0. Give a small number, or a linear "
            "range.",
            low=low,
        )
    if first == last:
        raise ParameterError(
            f"low and high are both {low!r}: {number} different values need low < high.", low=low
        )
    shares = [step / (number - 1) for step in range(1, number - 1)]
    if log:
        ends = math.log(first), math.log(last)
        exact = [math.exp(ends[0] * (1 - share) + ends[1] * share) for share in shares]
    else:
        exact = [first * (1 - share) + last * share for share in shares]
    rounded = [first, *(float(f"{value:.{_DIGITS}g}") for value in exact), last]
    values = rounded if sorted(set(rounded)) == rounded else [first, *exact, last]
    if (
        isinstance(low, Integral)
        and isinstance(high, Integral)
        and all(value.is_integer() for value in values)
    ):
        return [int(value) for value in values]
    return values


def whole_end(name: str, value: Any) -> int:
    """Return an end of a range of integers.

    Raises:
        ParameterError: it is no whole number.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    raise ParameterError(
        f"{name} = {value!r:.100}: an end of a range of integers is a whole number. Use a linear "
        "range for others.",
        name=name,
        value=value,
    )


def check_ends(low: Any, high: Any) -> None:
    """Raise ParameterError where ``low`` is above ``high``."""
    if low > high:
        raise ParameterError(
            f"low = {low!r} is above high = {high!r}: give the lower end first.",
            low=low,
            high=high,
        )


def too_many() -> ParameterError:
    """Return the error of more options than a choice can have."""
    return ParameterError(
        f"There are more than {MAX_OPTIONS:,} options or values; that is the most a choice has. "
        "Use larger steps: a search tries few of them.",
        allowed=MAX_OPTIONS,
    )
