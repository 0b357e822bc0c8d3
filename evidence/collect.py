"""The searches behind a section: run what is missing, and hand each row its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from evidence.sections import Block, Row, Section, digest_of
from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import DataError

CONSTRAINTS = "objective.constraints"  # of a block
# Percentage points: accuracies of the v1.0 tables differ by at most 2e-7, which is rounding, or by
# at least 6e-4.
NOISE = 1e-5
TOP = 100  # architectures that are "the best"

Key = tuple[str, str, str]  # (section, group, label) of a row
Owned = tuple[Key, Row, Block]

# (source, dataset, epochs of a brief training) -> how good a signal that is (``signal``).
SignalOf = Callable[[str, str, int], "Signal | None"]
# (source, dataset, metrics, architectures) -> {metric: values}, of the metrics that it tells.
Told = Callable[[str, str, Sequence[str], Sequence[str]], "dict[str, list[float]]"]


def told_by_benchmark(
    source: str, dataset: str, metrics: Sequence[str], architectures: Sequence[str]
) -> dict[str, list[float]]:
    """Metrics from the benchmark itself: for reports, after a search."""
    benchmark = load_benchmark(source, dataset)
    asked, known = list(architectures), [name for name in metrics if name in benchmark.metrics]
    return {name: [float(v) for v in benchmark.query(asked, name)] for name in known}


class Signal(NamedTuple):
    """Validation accuracy after few epochs, set against that after full training."""

    place: int  # of the architecture that is best after full training, from 1
    size: int  # architectures
    spearman: float  # rank correlation over all
    spearman_top: float  # over the ``TOP`` that are best after full training


def signal_of(brief: Floats, full: Floats) -> Signal:
    """The signal of accuracies [n] after few epochs and [n] after all."""
    best = int(np.argmax(full))
    top = np.argsort(-full, kind="stable")[:TOP]
    return Signal(
        place=1 + int((brief > brief[best]).sum()),
        size=len(full),
        spearman=float(spearmanr(brief, full).statistic),
        spearman_top=float(spearmanr(brief[top], full[top]).statistic),
    )


def table_signal(source: str, dataset: str, epochs: int) -> Signal | None:
    """The signal of ``epochs`` of training in a benchmark; None where it cannot be listed."""
    benchmark = load_benchmark(source, dataset)
    table = benchmark.table([VALIDATION_ACCURACY])
    if table is None or epochs not in benchmark.epochs:
        return None
    brief = benchmark.query(table["architecture"].tolist(), VALIDATION_ACCURACY, epochs)
    return signal_of(np.asarray(brief), table[VALIDATION_ACCURACY].to_numpy(dtype=np.float64))


@dataclass(frozen=True)
class Evidence:
    """What a renderer may look at.

    Attributes:
        results: one row a query, of all rows of all sections; the results schema of ``sweeps``.
        runs: one row a search, of the runs schema of ``sweeps``, and ``settings``, a digest of its
            parameters, dataset, seed and budget apart.
        members: (section, group, label) -> run ids of that row.
        project: the project's folder.
        told: read after the search, for the architecture that it would have returned.
        signal: read from the whole table after the searches, to explain what they found.
        stored: the file of a section that searches by itself (``searched``), if nothing is to be
            searched.
    """

    results: pd.DataFrame
    runs: pd.DataFrame
    members: dict[Key, frozenset[str]]
    project: Path = field(default_factory=Path.cwd)
    told: Told = told_by_benchmark
    signal: SignalOf = table_signal
    stored: bytes | None = None

    def of(self, section: Section, row: Row) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Results and runs of one row."""
        ids = self.members[section.name, row.group, row.label]
        found = [self._places[run_id] for run_id in sorted(ids)]
        return self.results.take(np.concatenate(found)), self.runs[self.runs["run_id"].isin(ids)]

    def cautions(self, section: Section) -> list[str]:
        """What is told wherever values of the section's searches are shown, each once."""
        rows = [(section.name, row.group, row.label) for row in section.rows]
        ids = frozenset[str]().union(*(self.members.get(key, frozenset()) for key in rows))
        if not ids:
            return []
        sources = self.runs["source"][self.runs["run_id"].isin(ids)].unique()
        found = [get_source(str(source)).contents.caution for source in sources]
        return [caution for caution in dict.fromkeys(found) if caution]

    @cached_property
    def _places(self) -> dict[str, NDArray[np.intp]]:
        """Run id -> its rows of ``results``: of some million, found once."""
        indices = self.results.groupby("run_id").indices
        return {str(run_id): np.asarray(rows) for run_id, rows in indices.items()}


def metric_of(runs: pd.DataFrame) -> str:
    """What searches of one source maximised."""
    return get_source(str(runs["source"].iloc[0])).contents.target


def caution_of(runs: pd.DataFrame) -> str:
    """What is told wherever values of that source are shown."""
    return get_source(str(runs["source"].iloc[0])).contents.caution


# What may differ between the searches of one setting.
_OWN = frozenset({"dataset", "seed", "budget"})


def settings_digest(parameters: str) -> str:
    """Return what tells a run's parameters (JSON) from others, dataset, seed and budget apart."""
    return digest_of({k: v for k, v in json.loads(parameters).items() if k not in _OWN})


def collect(project: Path, sections: Sequence[Section], **options: Any) -> Evidence:
    """Run the searches of the sections that are not there yet, each once.

    Args:
        project: the project's folder.
        sections: those to render.
        **options: of ``run_sweep`` (name, executor, workers, tracking).

    Raises:
        DataError: searches failed; no table is made of the others.
    """
    grid = _grid(sections)
    if not grid:
        return Evidence(pd.DataFrame(), pd.DataFrame(), {}, project)
    results, runs, ids = _run(project, [block for _, _, block in grid], options)
    regret = runs.set_index("run_id")["regret"]
    open_ids = {i: {r for r in ids[i] if not regret[r] <= NOISE} for i in _extended(grid)}  # or NaN
    longer = [
        (i, block) for i, short in open_ids.items() for block in _longer(grid[i], runs, short)
    ]
    members: dict[Key, set[str]] = {}
    for index, (key, _, _) in enumerate(grid):
        members.setdefault(key, set()).update(ids[index] - open_ids.get(index, set()))
    if longer:
        if options.get("name"):  # another grid, so another sweep
            options = {**options, "name": f"{options['name']}-extended"}
        more_results, more_runs, more = _run(project, [block for _, block in longer], options)
        for (index, _), found in zip(longer, more, strict=True):
            members[grid[index][0]] |= found
        results = pd.concat([results, more_results]).drop_duplicates(["run_id", "query"])
        runs = pd.concat([runs, more_runs]).drop_duplicates("run_id")
    return Evidence(
        results.reset_index(drop=True),
        runs.assign(settings=runs["parameters"].map(settings_digest)).reset_index(drop=True),
        {key: frozenset(found) for key, found in members.items()},
        project,
    )


def _run(
    project: Path, blocks: list[Block], options: dict[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame, list[set[str]]]:
    """One sweep: its tables, and the run ids of each block."""
    from optiproxy_nas.sweeps import run_sweep

    outcome = run_sweep(project, blocks, replace=True, **options)
    ids: list[set[str]] = [set() for _ in blocks]
    for point in outcome.points:
        for index in point.blocks:
            ids[index].add(point.run_id)
    if outcome.failed:
        first = outcome.failed[0]
        raise DataError(
            f"{len(outcome.failed)} searches failed, and no table is made of a part of them. The "
            f"first, {first.run_id}: {first.error} Mend the cause and call again; what has "
            "finished is kept.",
            failed=[failed.run_id for failed in outcome.failed],
        )
    return outcome.results, outcome.runs, ids


def _extended(grid: Sequence[Owned]) -> list[int]:
    """The blocks whose searches are to go on until the optimum or a larger budget."""
    return [index for index, (_, row, _) in enumerate(grid) if row.extend is not None]


def _longer(owned: Owned, runs: pd.DataFrame, short: set[str]) -> list[Block]:
    """The block with the larger budget, for the searches that have not reached the optimum."""
    _, row, block = owned
    unfinished = runs[runs["run_id"].isin(short)]
    longer = []
    for (dataset, objective), seeds in unfinished.groupby(["dataset", "objective"])["seed"]:
        values = {"dataset": str(dataset), "seed": sorted(map(int, seeds)), "budget": row.extend}
        if CONSTRAINTS in block:  # the label of that objective is its constraints
            values[CONSTRAINTS] = str(objective)
        longer.append({**block, **values})
    return longer


def count_searches(project: Path, sections: Sequence[Section]) -> dict[str, int]:
    """Section -> number of its searches; what sections share is counted in each. Ingests nothing.

    Without those that ``extend`` adds, which are known only after the others.
    """
    from optiproxy_nas.sweeps import resolve

    grid = _grid(sections)
    counts = {section.name: 0 for section in sections}
    for point in resolve(project, [block for _, _, block in grid]) if grid else ():
        for name in {grid[index][0][0] for index in point.blocks}:
            counts[name] += 1
    return counts


def _grid(sections: Sequence[Section]) -> list[Owned]:
    """All blocks of all rows, each with its owner."""
    return [
        ((section.name, row.group, row.label), row, block)
        for section in sections
        for row in section.rows
        for block in section.blocks(row)
    ]
