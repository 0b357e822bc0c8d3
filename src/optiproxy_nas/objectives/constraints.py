"""Bounds on metrics: how they are written, when they hold, and how far a value is from them."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from optiproxy_nas.core.arrays import Floats, Mask
from optiproxy_nas.core.errors import ParameterError

_HOLDS: dict[str, Callable[[Floats, float], Mask]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXT = re.compile(r"\s*(?P<metric>[A-Za-z]\w*)\s*(?P<operator><=|>=|<|>)\s*(?P<bound>\S+)\s*")
_TINY = 1e-12


class Constraint(NamedTuple):
    """One bound, ``edgegpu_latency_ms < 4``."""

    metric: str
    operator: str  # <, <=, > or >=
    bound: float  # in the unit of the metric's name; positive

    @property
    def sign(self) -> float:
        """Return 1 for an upper bound, -1 for a lower one."""
        return 1.0 if self.operator.startswith("<") else -1.0

    def __str__(self) -> str:
        return f"{self.metric} {self.operator} {repr(self.bound).removesuffix('.0')}"

    def holds(self, values: Floats) -> Mask:
        """Return whether each value [n] keeps the bound; +inf (cannot run) never does."""
        return _HOLDS[self.operator](values, self.bound) & np.isfinite(values)

    def excess(self, values: Floats) -> Floats:
        """Return how far each value [n] is beyond the bound, in its unit: below 0 inside.

        +inf where the architecture cannot run.
        """
        return np.where(np.isfinite(values), self.sign * (values - self.bound), np.inf)


def parse_constraint(text: str) -> Constraint:
    """Return the constraint that a text writes.

    Raises:
        ParameterError: what is wrong with it, and how one is written.
    """

    def wrong(why: str) -> ParameterError:
        return ParameterError(
            f"Constraint {text!r}: {why}. A constraint reads 'metric < bound' (or <=, >, >=): the "
            "metric's name of letters, digits and underscores, the bound a positive number in the "
            "unit that the name ends with, as in 'edgegpu_latency_ms < 4'; several are separated "
            "by semicolons.",
            constraint=text,
        )

    match = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if "," in str(text):
        raise wrong("a comma separates nothing here")
    if isinstance(text, str) and text.strip().isidentifier():
        raise ParameterError(
            f'Quote the whole argument, --params="objective.constraints={text.strip()} <= 12": '
            f"constraint {text!r} ends after the metric, and a shell takes < and > that are not "
            "quoted for files.",
            constraint=text,
        )
    if match is None:
        raise wrong("it cannot be read")
    try:
        bound = float(match["bound"])
    except ValueError:
        raise wrong(f"{match['bound']!r} is not a number") from None
    if not math.isfinite(bound) or bound <= 0:
        raise wrong(f"the bound {match['bound']} is not a positive number")
    return Constraint(match["metric"], match["operator"], bound)


def parse_constraints(texts: str | Iterable[str]) -> tuple[Constraint, ...]:
    """Return all constraints of a list, or of one text that separates them by semicolons.

    Raises:
        ParameterError: none, one that cannot be read, one twice, or two that exclude each other.
    """
    if isinstance(texts, str):
        texts = [text for text in texts.split(";") if text.strip()]
    constraints = tuple(parse_constraint(text) for text in texts)
    if not constraints:
        raise ParameterError(
            "objective.constraints is empty: give at least one, as in 'latency_ms <= 12', or use "
            "objective.name=accuracy."
        )
    seen: dict[tuple[str, str], Constraint] = {}
    for constraint in constraints:
        key = constraint.metric, constraint.operator[0]
        if key in seen:
            raise ParameterError(
                f"Constraints '{seen[key]}' and '{constraint}' bound the same metric from the same "
                "side; keep the tighter one.",
                metric=constraint.metric,
            )
        seen[key] = constraint
    for (metric, side), upper in seen.items():
        lower = seen.get((metric, ">"))
        if side == "<" and lower is not None and not _agree(upper, lower):
            raise ParameterError(
                f"Constraints '{upper}' and '{lower}' exclude each other; drop one of them.",
                metric=metric,
            )
    return constraints


def _agree(upper: Constraint, lower: Constraint) -> bool:
    """Return whether a value can keep both."""
    if lower.bound == upper.bound:
        return "=" in upper.operator and "=" in lower.operator
    return lower.bound < upper.bound


def metrics_of(constraints: Iterable[Constraint]) -> tuple[str, ...]:
    """Return the constrained metrics, each once, in the order of the constraints."""
    return tuple(dict.fromkeys(constraint.metric for constraint in constraints))


def feasible(constraints: Iterable[Constraint], table: pd.DataFrame) -> Mask:
    """Return whether each row of a table keeps all bounds: [n]."""
    every: Mask = np.logical_and.reduce(kept_bounds(constraints, table), axis=0)
    return every


def kept_bounds(constraints: Iterable[Constraint], table: pd.DataFrame) -> Mask:
    """Return whether each row of a table keeps each bound: [C, n]."""
    return np.stack([c.holds(table[c.metric].to_numpy(dtype=np.float64)) for c in constraints])


def violation(constraints: Iterable[Constraint], table: pd.DataFrame) -> Floats:
    """Return how far each row is outside, as shares of the bounds it breaks, added up: [n].

    0 inside; +inf where the architecture cannot run.
    """
    total = np.zeros(len(table))
    for constraint in constraints:
        values = table[constraint.metric].to_numpy(dtype=np.float64)
        # At the bound itself a strict one is broken by nothing, and must count as broken.
        excess = np.maximum(constraint.excess(values) / constraint.bound, _TINY)
        total += np.where(constraint.holds(values), 0.0, excess)
    return total
