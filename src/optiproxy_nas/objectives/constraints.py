"""Bounds on metrics: how they are written, when they hold, and how far a value is from them."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optiproxy_nas.algorithm.archive import COLUMNS
from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY, Benchmark
from optiproxy_nas.benchmarks.source_registry import SOURCES, get_source
from optiproxy_nas.core.errors import (
    ObjectiveError,
    OptiProxyError,
    ParameterError,
    UnknownNameError,
    unknown_name,
)

Values = NDArray[np.float64]

_HOLDS: dict[str, Callable[[Values, float], NDArray[np.bool_]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXT = re.compile(r"\s*(?P<metric>[A-Za-z]\w*)\s*(?P<operator><=|>=|<|>)\s*(?P<bound>\S+)\s*")
_TINY = 1e-12
# What the search maximises, or is judged by, is no cost to bound.
_NOT_COSTS = (VALIDATION_ACCURACY, TEST_ACCURACY, "training_seeds")
# Columns of every archive, which a metric must not overwrite.
_RESERVED = re.compile(r"value|violation|feasibility|predicted.*|code_\d+|" + "|".join(COLUMNS))


class Constraint(NamedTuple):
    """One bound, ``edgegpu_latency_ms < 4``."""

    metric: str
    operator: str  # <, <=, > or >=
    bound: float  # in the unit of the metric's name; positive

    @property
    def sign(self) -> float:
        """1 for an upper bound, -1 for a lower one."""
        return 1.0 if self.operator.startswith("<") else -1.0

    def __str__(self) -> str:
        return f"{self.metric} {self.operator} {repr(self.bound).removesuffix('.0')}"

    def holds(self, values: Values) -> NDArray[np.bool_]:
        """Whether each value [n] keeps the bound; an infinite one (cannot run) never does."""
        return _HOLDS[self.operator](values, self.bound) & np.isfinite(values)

    def excess(self, values: Values) -> Values:
        """How far each value [n] is beyond the bound, in its unit: below 0 inside, +inf where the
        cell cannot run."""
        return np.where(np.isfinite(values), self.sign * (values - self.bound), np.inf)


def parse_constraint(text: str) -> Constraint:
    """A constraint of its text.

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
    if match is None:
        raise wrong("it cannot be read")
    try:
        bound = float(match["bound"])
    except ValueError:
        raise wrong(f"{match['bound']!r} is not a number") from None
    if _RESERVED.fullmatch(match["metric"]):
        raise wrong(f"{match['metric']!r} is a column of the archive itself; name the metric else")
    if not math.isfinite(bound) or bound <= 0:
        raise wrong(f"the bound {match['bound']} is not a positive number")
    return Constraint(match["metric"], match["operator"], bound)


def parse_constraints(texts: str | Iterable[str]) -> tuple[Constraint, ...]:
    """All constraints of a list, or of one text that separates them by semicolons.

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
    """Whether a value can keep both."""
    if lower.bound == upper.bound:
        return "=" in upper.operator and "=" in lower.operator
    return lower.bound < upper.bound


def metrics_of(constraints: Iterable[Constraint]) -> tuple[str, ...]:
    """The constrained metrics, each once, in the order of the constraints."""
    return tuple(dict.fromkeys(constraint.metric for constraint in constraints))


def feasible(constraints: Iterable[Constraint], table: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each row of a table keeps all bounds: [n]."""
    every: NDArray[np.bool_] = np.logical_and.reduce(kept_bounds(constraints, table), axis=0)
    return every


def kept_bounds(constraints: Iterable[Constraint], table: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each row of a table keeps each bound: [C, n]."""
    return np.stack([c.holds(table[c.metric].to_numpy(dtype=np.float64)) for c in constraints])


def violation(constraints: Iterable[Constraint], table: pd.DataFrame) -> Values:
    """How far each row is outside, as a share of the bounds it breaks, added up; 0 inside: [n]."""
    total = np.zeros(len(table))
    for constraint in constraints:
        values = table[constraint.metric].to_numpy(dtype=np.float64)
        # At the bound itself a strict one is broken by nothing, and must count as broken.
        excess = np.maximum(constraint.excess(values) / constraint.bound, _TINY)
        total += np.where(constraint.holds(values), 0.0, excess)
    return total


def check_constraints(constraints: tuple[Constraint, ...], benchmark: Benchmark) -> None:
    """Refuse bounds that the benchmark cannot tell of, and those that none or all keep.

    It looks at the whole table, where there is one, and tells the search nothing but yes or no.

    Raises:
        UnknownNameError: a metric that the benchmark does not hold (the list, the nearest).
        ObjectiveError: a metric with gaps, bounds that every architecture breaks, or one that
            every architecture keeps: most likely its unit is another.
    """
    metrics = metrics_of(constraints)
    held = [metric for metric in benchmark.metrics if metric not in _NOT_COSTS]
    for metric in metrics:
        if metric not in held:
            raise _not_held(metric, held, benchmark)
    table = benchmark.table(metrics)
    if table is None:
        return
    for metric in metrics:
        gaps = int(table[metric].isna().sum())
        if gaps:
            raise ObjectiveError(
                f"Source {benchmark.source!r} does not know {metric} of {gaps} of {len(table)} "
                f"architectures on {benchmark.dataset} (NaN), so it cannot be bounded. Bound "
                "another metric, or mend the file.",
                metric=metric,
                gaps=gaps,
            )
    for constraint in constraints:
        values = table[constraint.metric].to_numpy(dtype=np.float64)
        held_by = constraint.holds(values)
        if not held_by.any() or held_by.all():
            raise _says_nothing(constraint, values, benchmark)
    if not feasible(constraints, table).any():
        raise ObjectiveError(
            "Each of the constraints "
            + ", ".join(f"'{constraint}'" for constraint in constraints)
            + f" can be kept, but no architecture of {benchmark.dataset} in source "
            f"{benchmark.source!r} keeps all of them. Loosen one; no query was made.",
            constraints=[str(constraint) for constraint in constraints],
        )


def _not_held(metric: str, held: list[str], benchmark: Benchmark) -> UnknownNameError:
    """The error for a metric that the benchmark lacks: where it is had, or the nearest name."""
    error = unknown_name("metric", metric, held)
    what = f"what source {benchmark.source!r} holds"
    advice = "" if metric in _NOT_COSTS else _where_held(metric, benchmark)
    if advice:
        message = (
            f"Metric {metric!r} is not among {what} (of those that can be bounded: "
            f"{', '.join(held) or 'none'}). {advice}"
        )
        return UnknownNameError(message, **{**error.data, "suggestion": None})
    return UnknownNameError(f"{error.message} (These are {what}.)", **error.data)


def _where_held(metric: str, benchmark: Benchmark) -> str:
    """How to get a metric that another registered source of the same space holds; "" if none."""
    alone = ""
    further = "".join(f"+{part}" for part in benchmark.source.split("+")[1:])
    for name in SOURCES:
        try:
            source = get_source(name)
            if metric not in source.metrics or source.space != benchmark.space:
                continue
            if not alone:  # in the place of the first part, so that the others' metrics stay
                alone = f"Source {name!r} holds it: use source={get_source(name + further).name}."
            joined = get_source(f"{benchmark.source}+{name}")
        except OptiProxyError:  # not to be joined with this one; or a reader that does not import
            continue
        if benchmark.dataset in joined.datasets:
            return f"Source {name!r} holds it: join it, source={joined.name}."
    return alone


def _says_nothing(constraint: Constraint, values: Values, benchmark: Benchmark) -> ObjectiveError:
    """The error for a bound that no architecture keeps, or that all do, with the metric's range."""
    finite = values[np.isfinite(values)] if np.isfinite(values).any() else values
    held: Mapping[str, float] = {"lowest": float(finite.min()), "highest": float(finite.max())}
    all_keep = bool(constraint.holds(values).all())
    who, what = ("Every", "Tighten it or leave it out") if all_keep else ("No", "Loosen the bound")
    return ObjectiveError(
        f"{who} architecture keeps '{constraint}': {constraint.metric} of {benchmark.dataset} in "
        f"source {benchmark.source!r} goes from {held['lowest']:.4g} to {held['highest']:.4g}. "
        f"{what}, and look at the unit in the metric's name; no query was made.",
        constraint=str(constraint),
        **held,
    )
