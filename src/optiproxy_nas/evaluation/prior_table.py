"""The trials of all earlier runs as one table, what it says of each run, and its fitted means.

One row a trial, with columns ``run`` (from 0), ``name``, ``kind`` (``run``, or ``score`` of a
zero-cost function), ``code_0`` ... (-1: unknown), ``value`` (in the direction of this search),
metrics of its objective, ``error`` (of a failed trial, which has no value), and ``same_dataset``:
whether the run was on the dataset that is searched.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.core.arrays import Tensors
from optiproxy_nas.core.errors import DataError, ParameterError
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.evaluation.prior_matching import codes_of
from optiproxy_nas.evaluation.prior_sources import RUN, SCORE, EarlierRun
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.problems import VALUE
from optiproxy_nas.proxies.prior_mean import UNKNOWN, EarlierTrials, fit_prior
from optiproxy_nas.proxies.targets import make_targets
from optiproxy_nas.spaces.base import SearchSpace

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error

MOST = 10  # runs that guide a search: more would cost more time than the search itself


def prior_table(
    runs: Sequence[EarlierRun],
    space: SearchSpace,
    objective: Objective,
    target: str,
    dataset: str = "",
) -> pd.DataFrame:
    """Return the prior's trials: those of at most ``MOST`` runs, each run once.

    Args:
        runs: the earlier runs, oldest first.
        space: of the search.
        objective: of the search.
        target: the metric that is searched for, with its unit; ``value``: not said.
        dataset: of the search, as of :func:`~.prior_sources.dataset_of`.

    Raises:
        ParameterError: there is none, or one is of another space, or has fewer than two complete
            trials.
    """
    if not runs:
        raise ParameterError(
            "prior names no earlier run but this one, or is an empty sequence. Name one that has "
            "finished, or leave prior out."
        )
    found: dict[str, tuple[EarlierRun, dict[str, Any]]] = {}
    for run in runs:
        columns = _trials_of(run, space, objective, target)
        complete = int(np.isfinite(columns["value"]).sum())
        digest = _digest({"kind": [run.kind] * len(columns["value"]), **columns})
        if digest in found:
            _log.warning(
                "prior = %s: the trials of an earlier run again; they count once.", run.name
            )
            continue
        if not run.finished:
            _log.warning("prior = %s: not finished; its %d trials count.", run.name, complete)
        found[digest] = run, columns
    kept = list(found.values())[-MOST:]
    if len(found) > len(kept):
        _log.warning(
            "prior: of %d runs the last %d are used, as each costs time in every step. Name those "
            "that shall be.",
            len(found),
            len(kept),
        )
    rows = [len(columns["value"]) for _, columns in kept]
    of_runs: dict[str, Any] = {
        "name": _distinct([run.name for run, _ in kept]),
        "kind": [run.kind for run, _ in kept],
        "same_dataset": [bool(dataset) and run.dataset == dataset for run, _ in kept],
        "run": range(len(kept)),
    }
    repeated = {name: np.repeat(values, rows) for name, values in of_runs.items()}
    trials = {name: np.concatenate([it[name] for _, it in kept]) for name in kept[0][1]}
    order = ["name", "kind", *trials, "same_dataset", "run"]
    return pd.DataFrame({**repeated, **trials})[order]


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names of which no two are equal: ``a``, ``a (2)``."""
    found: list[str] = []
    for name in names:
        places = count(2)
        other = name
        while other in found:
            other = f"{name} ({next(places)})"
        found.append(other)
    return found


def prior_facts(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return name, kind, trials, whether its dataset is the search's, and SHA-256 of each run."""
    return [
        {
            "name": str(rows["name"].iloc[0]),
            "kind": str(rows["kind"].iloc[0]),
            "trials": int(rows["value"].notna().sum()),
            "failed": int(rows["value"].isna().sum()),
            "sha256": trials_digest(rows),
            **_data_facts(rows),
        }
        for _, rows in table.groupby("run", sort=True)
    ]


def _data_facts(rows: pd.DataFrame) -> dict[str, bool]:
    """Return {"same_dataset": True} of a run on the dataset that is searched, else nothing."""
    is_same = "same_dataset" in rows and bool(rows["same_dataset"].iloc[0])  # older tables: no
    return {"same_dataset": True} if is_same else {}


def prior_lines(table: pd.DataFrame) -> tuple[str, ...]:
    """Return a line on each run: its name, how many trials it had, and their digest."""
    return tuple(
        f"{it['name']} ({it['trials']} {'scores' if it['kind'] == SCORE else 'trials'}"
        + (f", {it['failed']} failed" if it["failed"] else "")
        + (", of this dataset" if it.get("same_dataset") else "")
        + f", SHA-256 {it['sha256'][:12]})"
        for it in prior_facts(table)
    )


def digests_of_lines(lines: Iterable[str]) -> list[str]:
    """Return the digests that :func:`prior_lines` ends with: what a run is, whatever its name."""
    return [line.rpartition("SHA-256 ")[2].removesuffix(")") for line in lines]


def trials_digest(rows: pd.DataFrame) -> str:
    """Return the SHA-256 of a run's rows, but for what depends on the search."""
    columns = sorted(str(name) for name in rows if name not in ("run", "name", "same_dataset"))
    return _digest({name: rows[name].tolist() for name in columns})


def _digest(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return the SHA-256 of columns, in the order of their names, as a CSV file."""
    names = sorted(columns)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*(map(_cell, columns[name]) for name in names), strict=True))
    return hashlib.sha256(text.getvalue().encode()).hexdigest()


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.17g}"
    return "" if value is None else str(value)


def fitted_prior(
    space: SearchSpace, table: pd.DataFrame, objective: Objective, targets: str
) -> Tensors:
    """Return the tensors that guide a search, of :func:`~.prior_mean.fit_prior`.

    Args:
        space: of the search.
        table: the prior's trials.
        objective: of the search.
        targets: the target transformation (``FitSettings.targets``).
    """
    names = [f"code_{place}" for place in range(space.code_length)]
    numbers, values = table["run"].to_numpy(), table["value"].to_numpy(dtype=np.float64)
    codes = torch.from_numpy(table[names].to_numpy(dtype=np.int64, copy=True))
    runs, scores = [], []
    for run in np.unique(numbers):
        rows = np.flatnonzero((numbers == run) & ~np.isnan(values))
        complete = table.iloc[rows].reset_index(drop=True)
        is_score = complete["kind"].iloc[0] == SCORE
        name = "rank" if is_score else targets
        runs.append(EarlierTrials(codes[rows], _targets(objective, complete, name, is_score)))
        scores.append(is_score)
    with isolated():
        return fit_prior(space, runs, scores)


def _targets(objective: Objective, table: pd.DataFrame, name: str, is_score: bool) -> Tensor:
    """Return targets [H, n]: of all heads where a run has all metrics, else of the value."""
    metrics = objective.metrics
    if metrics and not is_score and table[list(metrics)].notna().to_numpy().all():
        return objective.task.targets(table.assign(step=0), name)
    values = table["value"].to_numpy(dtype=np.float64)
    goodness = values if is_score else objective.order.sign * values
    targets = torch.full((objective.task.heads, len(table)), torch.nan)
    targets[0] = make_targets(goodness, name)
    return targets


def _trials_of(
    run: EarlierRun, space: SearchSpace, objective: Objective, target: str
) -> dict[str, Any]:
    """Return a run's trials as columns of the prior's: codes, value, metrics and error."""
    trials = run.trials.loc[:, ~run.trials.columns.duplicated()].reset_index(drop=True)
    values, sign = _values(run, trials, objective, target)
    codes = codes_of(run, trials, space).numpy()
    errors = trials["error"].tolist() if "error" in trials else [None] * len(trials)
    errors = [text if isinstance(text, str) else "" for text in errors]
    failed = np.array([text != "" for text in errors], dtype=bool)
    values = np.where(failed | ~np.isfinite(values), np.nan, sign * values)
    found = {f"code_{place}": column for place, column in enumerate(codes.T)}
    found["value"] = values
    for metric in objective.metrics:
        given = pd.to_numeric(trials[metric], "coerce") if metric in trials else np.nan
        found[metric] = np.broadcast_to(np.asarray(given, dtype=np.float64), values.shape)
    found["error"] = np.array(errors, dtype=object)
    is_over = failed | np.isfinite(values)
    if "state" in trials:
        is_over &= ~trials["state"].isin(["waiting", "running"]).to_numpy()
    is_over &= (codes != UNKNOWN).any(1)
    if "epochs" in trials and trials["epochs"].notna().any():  # a rung's values compare
        rung = trials["epochs"].mode().iloc[-1]
        is_over &= (trials["epochs"] == rung).to_numpy()
    first: dict[bytes, int] = {}
    for row in np.flatnonzero(is_over):
        first.setdefault(codes[row].tobytes(), int(row))
    rows = list(first.values())
    complete = int(np.isfinite(values[rows]).sum())
    if complete < 2:
        raise ParameterError(
            f"prior = {run.name}: {complete} complete trials of a finite value; an earlier run "
            "needs two at least. Leave it out.",
            run=run.name,
        )
    return {name: column[rows] for name, column in found.items()}


def _values(
    run: EarlierRun, trials: pd.DataFrame, objective: Objective, target: str
) -> tuple[Any, float]:
    """Return the values [n] of a run's trials, and the sign that turns them to this search's.

    Where a run searched for something else and has this search's metric too, it is that metric.
    """
    name, sign = target.partition(" [")[0], 1.0
    column = VALUE if VALUE in trials else name
    if run.kind == RUN and name != VALUE and name in trials and not _is_same(run.target, name):
        column = name
    elif run.direction and run.kind == RUN and run.direction != objective.direction:
        sign = -1.0
    if column not in trials:
        names = ", ".join(map(str, trials.columns))
        raise DataError(
            f"prior = {run.name}: no column {VALUE!r}"
            + (f" or {name!r}" if name != VALUE else "")
            + f" among {names:.200}.",
            run=run.name,
        )
    return pd.to_numeric(trials[column], "coerce").to_numpy(dtype=np.float64), sign


def _is_same(target: str, name: str) -> bool:
    return target.partition(" [")[0] in ("", VALUE, name)
