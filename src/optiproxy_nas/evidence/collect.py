"""The searches behind a section: run what is missing, and hand each row its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optiproxy_nas.benchmarks.base import Metric
from optiproxy_nas.benchmarks.load import load_benchmark
from optiproxy_nas.errors import DataError
from optiproxy_nas.evidence.sections import Block, Row, Section

Key = tuple[str, str, str]  # (section, group, label) of a row

# (source, dataset, architectures) -> test accuracies, or None where the source holds none.
TestAccuracy = Callable[[str, str, Sequence[str]], "list[float] | None"]


def table_test_accuracy(
    source: str, dataset: str, architectures: Sequence[str]
) -> list[float] | None:
    """Test accuracy (%) from the benchmark's table: for reports, after a search."""
    benchmark = load_benchmark(source, dataset)
    if Metric.TEST_ACCURACY not in benchmark.metrics:
        return None
    return [float(v) for v in benchmark.query(list(architectures), Metric.TEST_ACCURACY)]


@dataclass(frozen=True)
class Evidence:
    """What a renderer may look at.

    Attributes:
        results: one row a query, of all rows of all sections; the results schema of ``sweeps``.
        runs: one row a search.
        members: (section, group, label) -> run ids of that row.
        project: the project's folder.
        test_accuracy: read after the search, for the architecture that it would have returned.
    """

    results: pd.DataFrame
    runs: pd.DataFrame
    members: dict[Key, frozenset[str]]
    project: Path = field(default_factory=Path.cwd)
    test_accuracy: TestAccuracy = table_test_accuracy

    def of(self, section: Section, row: Row) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Results and runs of one row."""
        ids = self.members[section.name, row.group, row.label]
        found = [self._places[run_id] for run_id in sorted(ids)]
        return self.results.take(np.concatenate(found)), self.runs[self.runs["run_id"].isin(ids)]

    @cached_property
    def _places(self) -> dict[str, NDArray[np.intp]]:
        """Run id -> its rows of ``results``: of some million, found once."""
        indices = self.results.groupby("run_id").indices
        return {str(run_id): np.asarray(rows) for run_id, rows in indices.items()}


def collect(project: Path, sections: Sequence[Section], **options: Any) -> Evidence:
    """Run the searches of the sections that are not there yet, each once.

    Args:
        project: the project's folder.
        sections: those to render.
        **options: of ``run_sweep`` (name, executor, workers, tracking).

    Raises:
        DataError: searches failed; no table is made of the others.
    """
    from optiproxy_nas.sweeps import plan, run_sweep

    owners, blocks = _grid(sections)
    if not blocks:
        return Evidence(pd.DataFrame(), pd.DataFrame(), {}, project)
    members: dict[Key, set[str]] = {key: set() for key in owners}
    for point in plan(project, blocks):
        for index in point.blocks:
            members[owners[index]].add(point.run_id)
    outcome = run_sweep(project, blocks, **options)
    if outcome.failed:
        first = outcome.failed[0]
        raise DataError(
            f"{len(outcome.failed)} searches failed, and no table is made of a part of them. The "
            f"first, {first.run_id}: {first.error} Mend the cause and call again; what has "
            "finished is kept.",
            failed=[failed.run_id for failed in outcome.failed],
        )
    return Evidence(
        outcome.results,
        outcome.runs,
        {key: frozenset(ids) for key, ids in members.items()},
        project,
    )


def count_searches(project: Path, sections: Sequence[Section]) -> dict[str, int]:
    """Section -> number of its searches; what sections share is counted in each."""
    from optiproxy_nas.sweeps import plan

    owners, blocks = _grid(sections)
    counts = {section.name: 0 for section in sections}
    for point in plan(project, blocks) if blocks else ():
        for name in {owners[index][0] for index in point.blocks}:
            counts[name] += 1
    return counts


def _grid(sections: Sequence[Section]) -> tuple[list[Key], list[Block]]:
    """All blocks of all rows, and whose each is."""
    owned = [
        ((section.name, row.group, row.label), block)
        for section in sections
        for row in section.rows
        for block in section.blocks(row)
    ]
    return [key for key, _ in owned], [block for _, block in owned]
