"""One finished run as a comparison sees it, whatever store it was read from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optiproxy_nas.algorithm.search_parameters import OPTIPROXY
from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.benchmarks.sources import Source
from optiproxy_nas.core.errors import ArtifactError, OptiProxyError
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.report.compare.objective import objective_of_text

NEEDED = ("order", "architecture", "value")
SEARCH_CODE, PACKAGE_CODE = "code.search_sha256", "code.sha256"


@dataclass(frozen=True)
class ComparedRun:
    """A run: what decided it, where it came from, what it found.

    Args:
        run_id: our id.
        reference: its id in the store.
        parameters: flat and as text, ``{"proxy.hidden": "64"}``; seed, budget, dataset and space
            are among them.
        tags: commit, digests and versions, as the store keeps them.
        summary: the facts computed after the search; ``target`` (the metric that was maximised),
            ``caution``, ``optimum``, ``best_architecture``, ``test_accuracy`` and ``margins``
            (metric -> distance to its bound) are used where they are there.
        archive: one row a query: order (from 0), architecture, value (of the target); and
            ``best`` (NaN while nothing was eligible) and ``spent`` or the objective's own columns,
            where the value alone does not tell them.
        table: SHA-256 of the benchmark table that it read, "" if it was not recorded.

    Raises:
        ArtifactError: the archive lacks a column, is empty, or holds values that are not finite;
            the objective is not known here.
    """

    run_id: str
    reference: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    summary: Mapping[str, Any]
    archive: pd.DataFrame = field(repr=False)
    table: str = ""

    def __post_init__(self) -> None:
        problem = ""
        missing = [name for name in NEEDED if name not in self.archive]
        absent = [n for n in ("space", "dataset", "seed", "budget") if n not in self.parameters]
        if missing:
            problem = f"its archive lacks the columns {', '.join(missing)}"
        elif absent:
            problem = f"its parameters lack {', '.join(absent)}"
        elif self.archive.empty:
            problem = "its archive is empty"
        elif not np.isfinite(self.archive["value"].to_numpy(dtype=np.float64)).all():
            problem = "its archive holds values that are not finite"
        elif self.objective.label and not {"best", "spent"} <= self._columns:
            problem = "its archive does not say what was spent, or what was best, by query"
        elif not (self.parameters["seed"].isdigit() and self.parameters["budget"].isdigit()):
            problem = "its seed or budget is not a whole number"
        if problem:
            raise ArtifactError(
                f"Run {self.run_id!r} cannot be compared: {problem}. It was written by something "
                "else or damaged; leave it out, or run it again.",
                run_id=self.run_id,
            )

    @cached_property
    def objective(self) -> Objective:
        """What it searched for."""
        return objective_of_text(self.parameters, self.run_id)

    @property
    def _columns(self) -> set[str]:
        """Of the archive, with what the objective can tell from them."""
        columns = set(self.archive.columns)
        return columns | ({"spent"} if set(self.objective.columns) <= columns else set())

    @property
    def space(self) -> str:
        """Its search space."""
        return self.parameters["space"]

    @property
    def dataset(self) -> str:
        """Its dataset."""
        return self.parameters["dataset"]

    @property
    def source(self) -> str:
        """Its benchmark source, "" where it has none."""
        return self.parameters.get("source", "")

    @property
    def seed(self) -> int:
        """Its random seed."""
        return int(self.parameters["seed"])

    @property
    def budget(self) -> int:
        """Its budget, in the objective's unit."""
        return int(self.parameters["budget"])

    @property
    def is_optiproxy(self) -> bool:
        """Its kind of method: the baselines' code is no part of the digest of its search code.

        So digests of the two kinds always differ. (The oldest runs name no method.)
        """
        return self.parameters.get("method", OPTIPROXY) == OPTIPROXY

    @property
    def target(self) -> str:
        """The metric that it maximised: as it says, else that of its source."""
        known = self.summary.get("target")
        return str(known or (self._source.target if self._source else VALIDATION_ACCURACY))

    @property
    def caution(self) -> str:
        """What is told wherever its values are shown."""
        known = self.summary.get("caution")
        return str(known or (self._source.caution if self._source else ""))

    @cached_property
    def _source(self) -> Source | None:
        """What is registered here under its source's name; a plug-in may not be installed."""
        try:
            return get_source(self.source)
        except OptiProxyError:
            return None

    @property
    def optimum(self) -> float | None:
        """The best value of the whole table, where the run was told it after its search."""
        value = self.summary.get("optimum")
        return None if value is None or math.isnan(value) else float(value)

    @cached_property
    def archive_by_query(self) -> pd.DataFrame:
        """The archive in query order, with ``spent`` (so far) and ``best`` (so far, eligible)."""
        archive = self.archive.sort_values("order", ignore_index=True)
        told: dict[str, Any] = {}
        if "spent" not in archive:
            told["spent"] = self.objective.costs(archive).cumsum()
        if "best" not in archive:
            told["best"] = archive["value"].cummax()
        return archive.assign(**told)

    @property
    def eligible(self) -> pd.DataFrame:
        """Queries that may be the answer; only those that were it, where nothing else is told."""
        archive = self.archive_by_query
        if set(self.objective.columns) <= set(archive):
            return archive[self.objective.eligible(archive)]
        return archive[archive["best"].notna() & (archive["best"] != archive["best"].shift())]

    @property
    def answer(self) -> float:
        """The best eligible value, NaN where there is none."""
        return float(self.archive_by_query["best"].iloc[-1])

    def curve(self, budget: int) -> NDArray[np.float64]:
        """Best so far after spending 1..``budget``: [budget], NaN while nothing is eligible.

        A search that stopped early keeps its last value.
        """
        archive = self.archive_by_query
        made = np.searchsorted(archive["spent"], np.arange(1, budget + 1), side="right")
        best = np.concatenate([[np.nan], archive["best"].to_numpy(dtype=np.float64)])
        return best[made]


def codes_of(runs: Sequence[ComparedRun]) -> list[str]:
    """A digest of each run's code, "" where none is recorded; compare it within one kind only.

    Of the code that decides a search where all runs of a kind have it, else of the whole package.
    """
    named = {
        own: all(SEARCH_CODE in run.tags for run in runs if run.is_optiproxy == own)
        for own in (True, False)
    }
    names = [SEARCH_CODE if named[run.is_optiproxy] else PACKAGE_CODE for run in runs]
    return [run.tags.get(name, "") for name, run in zip(names, runs, strict=True)]


@dataclass(frozen=True)
class FoundRuns:
    """What a store gave for one selection.

    Args:
        runs: the finished ones, oldest first.
        selection: what was asked for, in words.
        unfinished: how many more matched that have not finished.
        incomplete: ids of those that had finished without an archive or a summary.
    """

    runs: tuple[ComparedRun, ...]
    selection: str
    unfinished: int = 0
    incomplete: tuple[str, ...] = ()
