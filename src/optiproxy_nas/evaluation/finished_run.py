"""Finished runs as they are read back, whatever they were read from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY, Benchmark
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.core.arrays import Floats, Integers, Mask, Tensors
from optiproxy_nas.core.errors import ArtifactError, OptiProxyError
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.objectives.trial_order import STOPPED
from optiproxy_nas.spaces import space_label

COLUMNS = ("order", "architecture", "value")  # that every archive has
PARAMETERS = ("space", "dataset", "seed", "budget")  # that every run has


@dataclass(frozen=True)
class FinishedRun:
    """A finished run of any method: what decided it, where it came from, what it found.

    Args:
        run_id: our id.
        parameters: what decided the search, nested as in its manifest.
        summary: the facts computed after the search; ``target`` (the metric that was searched for),
            ``caution``, ``optimum``, ``best_architecture``, ``test_accuracy`` and ``margins``
            (metric -> distance to its bound) are used where they are there.
        archive: one row a query: order (from 0), architecture, value (of the target); and
            ``best`` (NaN while nothing was eligible) and ``spent`` or the objective's own columns,
            where the value alone does not tell them.
        table: SHA-256 of the benchmark table that the run read, "" if it was not recorded.
        tags: commit, digests of the code and versions of libraries.
        modules: digest of each module that the search imports, where it was recorded.
        reference: the id in the store, where a store other than the run's folder was read.
        workers: of an asynchronous search; with several, its seed alone does not decide it.

    Raises:
        ArtifactError: the archive lacks a column, is empty, or holds values that are not finite;
            a parameter is missing or no whole number; the objective is not known here.
    """

    run_id: str
    parameters: Mapping[str, Any]
    summary: Mapping[str, Any]
    archive: pd.DataFrame = field(repr=False)
    table: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    reference: str = ""
    workers: int = 1

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ArtifactError(
                f"Run {self.run_id!r} cannot be compared: {problem}. It was written by something "
                "else or damaged; leave it out, or run it again.",
                run_id=self.run_id,
            )

    def _problem(self) -> str:
        """Return what makes the run unusable, "" if nothing does."""
        columns = [name for name in COLUMNS if name not in self.archive]
        parameters = [name for name in PARAMETERS if name not in self.parameters]
        if columns:
            return f"its archive lacks the columns {', '.join(columns)}"
        if parameters:
            return f"its parameters lack {', '.join(parameters)}"
        if self.archive.empty:
            return "its archive is empty"
        if not np.isfinite(self.archive["value"].to_numpy(dtype=np.float64)).all():
            return "its archive holds values that are not finite"
        needed = {"best", "spent"} if self.objective.label else set()
        if not needed <= set(self.archive) | ({"spent"} if self._has_own_columns else set()):
            return "its archive does not say what was spent, or what was best, by query"
        if not all(isinstance(self.parameters[name], int) for name in ("seed", "budget")):
            return "its seed or budget is not a whole number"
        return ""

    @cached_property
    def objective(self) -> Objective:
        """What it searched for; plain accuracy where the parameters name none."""
        try:
            return resolve_objective(self.parameters.get("objective"))
        except OptiProxyError as error:
            raise ArtifactError(
                f"Run {self.run_id!r} cannot be compared: its objective is not known here "
                f"({error.message}). It is of another version of the project or of a plug-in that "
                "is not installed; leave it out.",
                run_id=self.run_id,
            ) from error

    @property
    def _has_own_columns(self) -> bool:
        """Whether the archive has the objective's own columns, which a sweep's tables lack."""
        return set(self.objective.columns) <= set(self.archive)

    @cached_property
    def settings(self) -> dict[str, str]:
        """The parameters, and several workers, flat and as text: ``{"proxy.hidden": "64"}``."""
        workers = {"workers": self.workers} if self.workers > 1 else {}
        return {name: str(value) for name, value in flatten({**self.parameters, **workers}).items()}

    @property
    def space(self) -> str:
        """Its search space, by a name that no other one has."""
        return space_label(self.parameters["space"])

    @property
    def dataset(self) -> str:
        """Its dataset."""
        return str(self.parameters["dataset"])

    @property
    def source(self) -> str:
        """Its benchmark source, or its problem; "" where it has none."""
        if (problem := self.parameters.get("problem")) is not None:
            return problem if isinstance(problem, str) else json.dumps(problem, sort_keys=True)
        return str(self.parameters.get("source", ""))

    @property
    def seed(self) -> int:
        """Its random seed."""
        return int(self.parameters["seed"])

    @property
    def budget(self) -> int:
        """Its budget, in the objective's unit."""
        return int(self.parameters["budget"])

    @property
    def target(self) -> str:
        """The metric that it searched for: as it says, else that of its source."""
        recorded = self.summary.get("target")
        return str(
            recorded or (self._source.contents.target if self._source else VALIDATION_ACCURACY)
        )

    @property
    def caution(self) -> str:
        """The sentence to be shown wherever its values are shown."""
        recorded = self.summary.get("caution")
        return str(recorded or (self._source.contents.caution if self._source else ""))

    @cached_property
    def _source(self) -> Source | None:
        """What is registered here under its source's name; a plug-in may not be installed."""
        try:
            return get_source(self.source)
        except OptiProxyError:
            return None

    @property
    def failed_trials(self) -> int:
        """How many trials failed; they are charged, and not in the archive."""
        return int(self.summary.get("failed_trials") or 0)

    @property
    def optimum(self) -> float | None:
        """The best value of the whole table, where the run was told it after its search."""
        value = self.summary.get("optimum")
        return None if value is None or math.isnan(value) else float(value)

    @cached_property
    def archive_by_query(self) -> pd.DataFrame:
        """The archive in query order, with ``spent`` (so far) and ``best`` (so far, eligible)."""
        archive = self.archive.sort_values("order", ignore_index=True)
        missing: dict[str, Any] = {}
        if "spent" not in archive:
            missing["spent"] = (
                self.objective.price.costs(archive).cumsum() + self._spent_on_failures
            )
        if "best" not in archive:
            missing["best"] = self.objective.order.better.accumulate(archive["value"])
        return archive.assign(**missing)

    @property
    def _spent_on_failures(self) -> Integers:
        """What the failed trials before each query were charged: [n]."""
        spent = np.zeros(len(self.archive), dtype=np.int64)
        for trial in self.summary.get("failures") or ():
            spent[int(trial["after"]) :] += int(trial["cost"])
        return spent

    @property
    def eligible(self) -> pd.DataFrame:
        """Queries that may be the answer; only those that once were it, where no more is known."""
        archive = self.archive_by_query
        is_whole = "stopping" not in self.parameters or STOPPED in archive
        if self._has_own_columns and is_whole:
            return archive[self.objective.order.eligible(archive)]
        return archive[archive["best"].notna() & (archive["best"] != archive["best"].shift())]

    @property
    def answer(self) -> float:
        """The best eligible value, NaN where there is none."""
        return float(self.archive_by_query["best"].iloc[-1])

    @property
    def confirmed(self) -> float | None:
        """The confirmed mean of the answer; NaN where that breaks a bound; None: not confirmed."""
        if not self.summary.get("confirmations"):
            return None
        is_answer = self.summary.get("feasible") is not False
        return float(self.summary["confirmed_value"]) if is_answer else math.nan

    def curve(self, budget: int) -> Floats:
        """Return the best value so far after spending 1..``budget``: [budget].

        NaN while nothing is eligible. A search that stopped early keeps its last value.
        """
        archive = self.archive_by_query
        queries = np.searchsorted(archive["spent"], np.arange(1, budget + 1), side="right")
        best = np.concatenate([[np.nan], archive["best"].to_numpy(dtype=np.float64)])
        return np.asarray(best[queries], dtype=np.float64)


class FoundRuns(NamedTuple):
    """What a store holds for one selection."""

    runs: tuple[FinishedRun, ...]  # oldest first
    selection: str  # what was asked for, in words
    unfinished: int = 0  # how many more matched that have not finished
    incomplete: tuple[str, ...] = ()  # ids of those without an archive or a summary
    unchecked: tuple[str, ...] = ()  # ids of what was read and has no digest in the store
    older: int = 0  # how many more matched before these, where only the last were asked for


class SearchHistory(NamedTuple):
    """What a finished search by OptiProxy-NAS left at each step 1..S, to be diagnosed."""

    run_id: str
    parameters: SearchParameters
    archive: pd.DataFrame  # D, one row a query
    weights: dict[int, Tensors]  # θ* by step
    logits: dict[int, Tensors]  # (α, β) after the search epochs, by step
    traces: dict[int, Tensors]  # of the search epochs, by step
    benchmark: Benchmark  # what the run's queries were answered from
    # Of an asynchronous search, step -> rows of D that its proxy was fitted on: the first so many.
    # {}: on all of the steps before.
    fitted_rows: Mapping[int, int] = MappingProxyType({})

    @property
    def steps(self) -> list[int]:
        """Those whose proxy is kept: 1..S."""
        return sorted(self.weights)

    def is_fitted(self, step: int) -> Mask:
        """Return which rows of the archive [n] the step's proxy was fitted on."""
        if step in self.fitted_rows:
            return np.arange(len(self.archive)) < self.fitted_rows[step]
        return self.archive["step"].to_numpy() < step

    def archive_before(self, step: int) -> pd.DataFrame:
        """Return the archive that the step's proxy was fitted on."""
        return self.archive[self.is_fitted(step)]
