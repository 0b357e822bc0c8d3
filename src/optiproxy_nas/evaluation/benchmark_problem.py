"""A benchmark as the problem of an objective: whether it can answer, its answers, its optimum.

All of it follows from the objective's ``metrics``, ``bounds`` and ``fidelities``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY, Benchmark
from optiproxy_nas.benchmarks.source_registry import SOURCES, get_source
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import (
    MetricUnavailableError,
    ObjectiveError,
    OptiProxyError,
    UnknownNameError,
    unknown_name,
)
from optiproxy_nas.core.numbers import TIE
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.evaluation.function_evaluator import Evaluate, batched
from optiproxy_nas.objectives.base import Fidelity, Objective
from optiproxy_nas.objectives.constraints import Constraint, feasible

# What the search maximises, or is judged by, is no cost to bound.
_NOT_COSTS = (VALIDATION_ACCURACY, TEST_ACCURACY, "training_seeds")


def check_benchmark(objective: Objective, benchmark: Benchmark) -> None:
    """Refuse what the benchmark cannot answer, before any query.

    It looks at the whole table, where there is one, and tells the search nothing but yes or no.

    Raises:
        UnknownNameError: a metric that the benchmark does not hold (the list, the nearest).
        ObjectiveError: a metric with gaps, bounds that every architecture breaks, or one that
            every architecture keeps: most likely its unit is another. Or full training is another
            number of epochs, or cannot go on from the low fidelity.
        MetricUnavailableError: a number of epochs that the benchmark does not hold: which there
            are, and what to fetch.
    """
    if objective.metrics:
        _check_metrics(objective.metrics, objective.bounds, benchmark)
    if objective.fidelities:
        _check_fidelities(objective.fidelities, benchmark)


def evaluator_of(objective: Objective, benchmark: Benchmark) -> Evaluate:
    """Return what a search gets of a benchmark: a function that a user could have written."""
    return batched(partial(_ask, benchmark, objective.metrics))


@isolated()
def _ask(
    benchmark: Benchmark,
    metrics: tuple[str, ...],
    architectures: Sequence[str],
    epochs: int | None = None,
) -> Any:
    values: Floats = benchmark.query(architectures, benchmark.target, epochs)
    if not metrics:
        return values
    return {"value": values} | {name: benchmark.query(architectures, name) for name in metrics}


def whole_table(objective: Objective, benchmark: Benchmark) -> pd.DataFrame | None:
    """Return all architectures with ``value`` and the objective's metrics, fully trained.

    For checks before a search and reports after it; None where they cannot be listed.
    """
    table = benchmark.table([benchmark.target, *objective.metrics])
    if table is None:
        return None
    table = table.rename(columns={benchmark.target: "value"})
    return table.assign(**objective.price.full_columns(len(table)))


def optimum(objective: Objective, benchmark: Benchmark) -> float | None:
    """Return the best eligible value of all; for reports after a search, never in one.

    None where the architectures cannot be listed.
    """
    table = whole_table(objective, benchmark)
    if table is None:
        return None
    eligible = np.where(objective.order.eligible(table), table["value"], np.nan)
    return float(objective.order.better.reduce(eligible))


def regret_of(value: float, optimum: float) -> float:
    """Return how far a value is from the best of all, at least 0."""
    distance = abs(optimum - value)
    return 0.0 if distance < TIE else distance


def _check_metrics(
    metrics: tuple[str, ...], bounds: tuple[Constraint, ...], benchmark: Benchmark
) -> None:
    """Refuse metrics that the benchmark lacks, and bounds that none or all keep."""
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
    for constraint in bounds:
        values = table[constraint.metric].to_numpy(dtype=np.float64)
        held_by = constraint.holds(values)
        if not held_by.any() or held_by.all():
            raise _says_nothing(constraint, values, benchmark)
    if bounds and not feasible(bounds, table).any():
        raise ObjectiveError(
            "Each of the constraints "
            + ", ".join(f"'{constraint}'" for constraint in bounds)
            + f" can be kept, but no architecture of {benchmark.dataset} in source "
            f"{benchmark.source!r} keeps all of them. Loosen one; no query was made.",
            constraints=[str(constraint) for constraint in bounds],
        )


def _not_held(metric: str, held: list[str], benchmark: Benchmark) -> UnknownNameError:
    """Return the error for a metric that the benchmark lacks: who holds it, or the nearest name."""
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
    """Return how to get a metric that another source of the same space holds; "" if none does."""
    alone = ""
    further = "".join(f"+{name}" for name in benchmark.source.split("+")[1:])
    for name in SOURCES:
        try:
            source = get_source(name)
            if metric not in source.contents.metrics or source.family.space != benchmark.space:
                continue
            if not alone:  # in the place of the first part, so that the others' metrics stay
                alone = f"Source {name!r} holds it: use source={get_source(name + further).name}."
            joined = get_source(f"{benchmark.source}+{name}")
        except OptiProxyError:  # not to be joined with this one; or a reader that does not import
            continue
        if benchmark.dataset in joined.datasets:
            return f"Source {name!r} holds it: join it, source={joined.name}."
    return alone


def _says_nothing(constraint: Constraint, values: Floats, benchmark: Benchmark) -> ObjectiveError:
    """Return the error for a bound that none or all keep, with the metric's range."""
    runs = values[np.isfinite(values)] if np.isfinite(values).any() else values
    lowest, highest = float(runs.min()), float(runs.max())
    all_keep = bool(constraint.holds(values).all())
    who, what = ("Every", "Tighten it or leave it out") if all_keep else ("No", "Loosen the bound")
    return ObjectiveError(
        f"{who} architecture keeps '{constraint}': {constraint.metric} of {benchmark.dataset} in "
        f"source {benchmark.source!r} goes from {lowest:.4g} to {highest:.4g}. "
        f"{what}, and look at the unit in the metric's name; no query was made.",
        constraint=str(constraint),
        lowest=lowest,
        highest=highest,
    )


def _check_fidelities(fidelities: tuple[Fidelity, ...], benchmark: Benchmark) -> None:
    """Refuse numbers of epochs that the benchmark does not hold, or does not go on from."""
    *lower, full = fidelities
    for fidelity in lower:
        _check_held(fidelity, benchmark, full=False)
    trained = benchmark.epochs[-1]
    if full.epochs in benchmark.epochs and full.epochs != trained:
        raise ObjectiveError(
            f"objective.{full.setting} = {full.epochs}, but source {benchmark.source!r} is fully "
            f"trained after {trained} epochs: {_last(full.setting, trained)}."
        )
    _check_held(full, benchmark, full=True)
    if full.continues and not benchmark.continues:
        raise ObjectiveError(
            f"objective.continues is on, but in source {benchmark.source!r} the training for "
            f"{lower[-1].epochs} epochs is a schedule of its own, from which full training "
            "cannot go on. Leave it off."
        )


def _last(setting: str, epochs: int) -> str:
    """Return how the setting of full training should be."""
    if setting == "rungs":
        return f"the last of objective.rungs must be {epochs}"
    return f"objective.{setting}={epochs}"


def _check_held(fidelity: Fidelity, benchmark: Benchmark, full: bool) -> None:
    """Raise the benchmark's own error, which knows what to fetch, with the setting's name."""
    held = benchmark.epochs
    if fidelity.epochs in held:
        return
    setting = f"objective.{fidelity.setting}"
    if full:
        hint = f" It is fully trained after {held[-1]} epochs: {_last(fidelity.setting, held[-1])}."
    elif len(held) == 1:
        hint = " It has one fidelity, and this objective needs two."
    else:
        fitting = [str(number) for number in held if number < held[-1]]
        some = ", ".join(fitting) if len(fitting) < 10 else f"{fitting[0]} to {fitting[-1]}"
        hint = f" What fits {setting}: {some}."
    try:
        benchmark.query([], benchmark.target, fidelity.epochs)
    except MetricUnavailableError as error:
        message = f"{setting} = {fidelity.epochs}: {error.message}{hint}"
        raise type(error)(message, **error.data) from None
