"""Deprecation of public names: a warning for one minor version before they are removed."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def deprecated(
    *, since: str, removed: str, instead: str
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a public function or class as one that goes.

    Calling it warns (``FutureWarning``, which Python shows to users), naming the version that
    removes it and what to use instead. A test of the suite fails once that version is reached and
    the name is still there.

    Args:
        since: version that deprecated it, such as "0.2.0".
        removed: version that removes it, a later minor one.
        instead: what to call in its place.

    Raises:
        ValueError: ``removed`` is no later minor version than ``since``.
    """
    if release(removed)[:2] <= release(since)[:2]:
        raise ValueError(f"removed={removed!r} must be a later minor version than since={since!r}")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        message = (
            f"{function.__qualname__} is deprecated since {since} and goes in {removed}: "
            f"use {instead}."
        )

        @functools.wraps(function)
        def warned(*args: P.args, **kwargs: P.kwargs) -> R:
            warnings.warn(message, FutureWarning, stacklevel=2)
            return function(*args, **kwargs)

        warned.__deprecated_until__ = removed  # type: ignore[attr-defined]
        return warned

    return decorate


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version: ``0.2.0`` -> (0, 2, 0)."""
    return tuple(map(int, version.split(".")))
