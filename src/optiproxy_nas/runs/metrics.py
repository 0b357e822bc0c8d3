"""Metrics of a run for an experiment store: by query, by step and at its end.

Pure functions of the archive, the diagnostics and the summary. They know the columns that every
objective has; whatever else is numeric there goes to the store under its own name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from optiproxy_nas.evaluation.status import Status
from optiproxy_nas.objectives.base import COLUMNS, Objective

Metrics = Mapping[str, float | None]
MARGIN = "final/margin_"
GIVEN = frozenset({"seed", "budget"})  # of the summary: given to the run, not found by it


def query_metrics(
    archive: pd.DataFrame, objective: Objective, target: str, first: int = 0
) -> Iterator[tuple[int, Metrics]]:
    """Yield (query from 1, metrics) of the archive's rows from row ``first`` on.

    The value goes by the name of the benchmark's ``target``, the best so far by ``best_<target>``.

    Where the objective has columns of its own, ``ineligible_queries`` counts those so far that
    cannot be the answer (infeasible, or not fully trained); where a query does not cost one,
    ``spent_<unit>`` is what was spent so far. Metrics that are not finite are for the store to
    leave out.
    """
    extra_columns = [
        name
        for name in archive
        if name not in COLUMNS
        and not str(name).startswith("code_")
        and pd.api.types.is_numeric_dtype(archive[name])
    ]
    columns = {target: archive["value"], f"best_{target}": archive["best"]}
    columns |= {str(name): archive[name] for name in extra_columns}
    eligible, costs = objective.order.eligible(archive), objective.price.costs(archive)
    if extra_columns:
        columns["ineligible_queries"] = pd.Series(np.cumsum(~eligible))
    if not (costs == 1).all():
        columns[f"spent_{objective.price.unit}"] = pd.Series(np.cumsum(costs))
    for row in range(first, len(archive)):
        values = {name: column.iloc[row] for name, column in columns.items()}
        yield int(archive["order"].iloc[row]) + 1, values


def regret_metrics(archive: pd.DataFrame, optimum: float | None) -> Iterator[tuple[int, Metrics]]:
    """Yield (query from 1, distance of the best so far to the optimum), where both are known."""
    if optimum is not None:
        for query, best in zip(archive["order"] + 1, archive["best"], strict=True):
            yield int(query), {"regret": abs(optimum - best)}


def improvements(archive: pd.DataFrame, target: str) -> Iterator[tuple[int, Metrics]]:
    """Yield (query from 1, best so far) where it improves and at the last query."""
    improved = archive["best"].diff() != 0  # NaN in the first row, and where nothing is known
    shown = archive[improved | (archive["order"] == len(archive) - 1)]
    for query, best in zip(shown["order"] + 1, shown["best"], strict=True):
        yield int(query), {f"best_{target}": best}


def step_metrics(values: Mapping[Any, Any]) -> Metrics:
    """Return every number of a step's diagnostics as ``step/<name>``."""
    return {f"step/{name}": value for name, value in _numbers(values).items() if name != "step"}


def node_seconds(node: str, seconds: float) -> tuple[int, Metrics]:
    """Return (step, ``seconds/<kind>``) of a node; 0 outside the steps."""
    namespace, _, kind = node.rpartition(".")
    step = int(namespace.removeprefix("step_")) if namespace.startswith("step_") else 0
    return step, {f"seconds/{kind}": seconds}


def final_metrics(summary: Mapping[str, Any]) -> Metrics:
    """Return every number of the summary as ``final/<name>``, margins as ``final/margin_<metric>``.

    Of a metric that is bounded on both sides, the margin to the nearer bound.
    """
    values = {
        f"final/{name.partition(' [')[0]}": v
        for name, v in _numbers(summary).items()
        if name not in GIVEN
    }
    for prefix, key in (("final/", "metrics"), ("final/test_", "test")):
        values |= {f"{prefix}{n}": v for n, v in _numbers(summary.get(key) or {}).items()}
    return values | {f"{MARGIN}{metric}": margin for metric, margin in margins(summary).items()}


def trial_metrics(trials: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[int, Metrics]]:
    """Yield (place from 1, metrics) of each attempt of a journal's table, in its order."""
    for place, row in enumerate(trials.to_dict("records"), start=1):
        failed = isinstance(row["error"], str) and bool(row["error"])
        values = {"failed": failed, "seconds": row["seconds"], **{n: row[n] for n in names}}
        yield place, {f"trial/{name}": value for name, value in values.items()}


def status_metrics(status: Status) -> tuple[int, Metrics]:
    """Return (trials that are over, metrics) of an asynchronous search as it goes on."""
    names = ("busy", "waiting", "complete", "failed", "best", "idle_share")
    values = {f"workers/{name}": getattr(status, name) for name in names}
    return status.complete + status.failed, values


def margins(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the answer's distance to the nearer bound of each bounded metric, where known."""
    nearest: dict[str, float] = {}
    for bound in summary.get("constraints") or ():
        if (margin := bound["margin"]) is not None:
            metric = bound["metric"]
            nearest[metric] = min(float(margin), nearest.get(metric, float("inf")))
    return nearest


def _numbers(values: Mapping[Any, Any]) -> dict[str, float]:
    """Return the numbers among values, truth as 0 and 1."""
    return {
        str(name): float(value)
        for name, value in values.items()
        if isinstance(value, Real | np.bool_)
    }
