"""Methods on tables of declared spaces: regret after so many queries, paired by task and seed.

``python -m evidence.tables --workers 2`` runs what is missing, ``kedro evidence tables`` writes the
page. What a search found is added to the record as it ends (``searched``).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from tqdm import tqdm

from evidence import native_tpe, table
from evidence.collect import Evidence
from evidence.pages import Rendered
from evidence.regenerate import choose
from evidence.searched import REPORTING, Entry, Record, only, settings_of, shown_searches
from evidence.sections import Section
from optiproxy_nas import search
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark
from optiproxy_nas.benchmarks.source_registry import families, get_source
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.parameters import Direction
from optiproxy_nas.objectives.constraints import (
    Constraint,
    feasible,
    metrics_of,
    parse_constraints,
)
from optiproxy_nas.report.statistics import paired_difference
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.choices import Space

RECORD = REPORTING / "tables" / "searches.jsonl"
NATIVE = "native_tpe"  # in the place of a method
_CHUNK = 5  # seeds of a task that a process searches one after the other: it reads its table once


Architecture = Mapping[str, Any]


class Search(NamedTuple):
    """One search of a section: a task and a method by what the section says of them."""

    task: Mapping[str, Any]
    arguments: Mapping[str, Any]
    queries: int
    seed: int

    @property
    def key(self) -> str:
        """What tells it from others in the record."""
        return json.dumps(self, sort_keys=True)


def settings_digest(key: str) -> str:
    """Return what tells the settings of a key's search, as they are today, from earlier ones."""
    one = Search(*json.loads(key))
    if one.arguments.get("method") == NATIVE:
        return NATIVE
    arguments = {"space": one.task["space"], "budget": one.queries, **one.arguments}
    objective = _objective(one.task.get("bounds", ()))
    return settings_of(json.dumps({**arguments, "objective": objective}, sort_keys=True))


def _objective(bounds: Sequence[str]) -> dict[str, Any] | None:
    return {"name": "constrained", "constraints": list(bounds)} if bounds else None


@dataclass(frozen=True)
class Task:
    """A dataset of a benchmark whose space is declared, with bounds or without.

    ``best``, ``median`` and ``worst`` are of the table within the bounds; of a surrogate, of the
    table that it was fitted to.
    """

    space: str
    benchmark: Benchmark
    direction: Direction
    bounds: tuple[Constraint, ...]
    best: float
    median: float
    worst: float

    def measure(self, architecture: Architecture) -> dict[str, float]:
        """Return the value of an architecture, and the metrics that are bounded."""
        asked: Any = [architecture]
        names = {"value": self.benchmark.target, **{n: n for n in metrics_of(self.bounds)}}
        return {key: float(self.benchmark.query(asked, name)[0]) for key, name in names.items()}

    def keeps(self, measured: Mapping[str, Any]) -> bool:
        """Return whether what was measured keeps all bounds."""
        return all(bool(bound.holds(measured[bound.metric])) for bound in self.bounds)

    def regret(self, values: Floats) -> Floats:
        """Return values as regrets: 0 the best, 1 the median; NaN (nothing feasible) the worst."""
        found = np.where(np.isnan(values), self.worst, values)
        return np.asarray((self.best - found) / (self.best - self.median))


@lru_cache(maxsize=4)  # of a group: its methods are read one after another
def task(space: str, dataset: str, bounds: tuple[str, ...] = ()) -> Task:
    """Return a task by the name of its space, which is that of its benchmark, and its dataset.

    Raises:
        DataError: its file is not there.
    """
    source = get_source(families()[space].source)
    target, direction = source.contents.target, source.contents.direction
    constraints = parse_constraints(bounds) if bounds else ()
    benchmark = load_benchmark(source.name, dataset)
    # A surrogate lists nothing; the source of the benchmark's name is what it was fitted to.
    listed = benchmark if source.model is None else load_benchmark(space, dataset)
    rows = listed.table([target, *metrics_of(constraints)])
    assert rows is not None
    values = rows[target].to_numpy()
    values = np.sort(values[feasible(constraints, rows)] if constraints else values)
    best, worst = values[[0, -1]] if direction == "minimize" else values[[-1, 0]]
    return Task(
        space,
        benchmark,
        direction,
        constraints,
        float(best),
        float(np.median(values)),
        float(worst),
    )


def _task_of(named: Mapping[str, Any]) -> Task:
    """Return the task that a section names."""
    return task(named["space"], named["dataset"], tuple(named.get("bounds", ())))


def best_so_far(searched: Task, arguments: Mapping[str, Any], seed: int, budget: int) -> Floats:
    """Search a task; return the best feasible value after each query, NaN before: [budget]."""
    if arguments.get("method") == NATIVE:
        rows: Sequence[Mapping[Any, Any]] = native_tpe.search(
            cast("Space", get_space(searched.space)),
            searched.measure,
            searched.bounds,
            searched.direction,
            budget,
            seed,
        )
    else:
        result = search(
            space=searched.space,
            evaluate=searched.measure,
            objective=_objective([str(bound) for bound in searched.bounds]),
            direction=searched.direction,
            budget=budget,
            seed=seed,
            **arguments,
        )
        rows = result.archive.to_dict("records")
    values = np.array([row["value"] if searched.keeps(row) else np.nan for row in rows])
    better = np.fmin if searched.direction == "minimize" else np.fmax
    found = better.accumulate(values)
    return np.pad(found, (0, budget - len(found)), mode="edge")


def run_missing(project: Path, section: Section, workers: int = 1) -> dict[str, Entry]:
    """Search what the record lacks, add it as it ends, and return what the section shows.

    All methods and tasks of a few seeds come first, then those of more seeds.
    """
    options = section.options
    record, queries = Record(project / RECORD, settings_digest), max(options["queries"])
    found = record.read()
    tasks = [one for group in options["groups"].values() for one in group]
    chunks = [
        range(i, min(i + _CHUNK, options["seeds"])) for i in range(0, options["seeds"], _CHUNK)
    ]
    asked = [
        [
            Search(one, entry["arguments"], queries, seed)
            for seed, entry in product(seeds, options["searches"])
        ]
        for seeds, one in product(chunks, tasks)
    ]
    missing = [[one for one in searches if one.key not in found] for searches in asked]
    jobs = [(record, searches) for searches in missing if searches]
    if workers > 1 and jobs:
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            list(tqdm(pool.map(_run, jobs), total=len(jobs), unit="task", disable=None))
    else:
        for job in jobs:
            _run(job)
    return only(record.read(), (one.key for searches in asked for one in searches))


def _run(job: tuple[Record, list[Search]]) -> None:
    """Run searches of one task, and add each to the record."""
    record, searches = job
    torch.set_num_threads(1)
    for one in searches:
        best = best_so_far(_task_of(one.task), one.arguments, one.seed, one.queries)
        record.add(one.key, {"best": best})


def render(section: Section, evidence: Evidence) -> Rendered:
    """Text ``<name>``: a table a group of ``options.groups``, and who is behind the first search.

    Each of ``options.searches`` is read after each number of ``options.queries``, and compared with
    the first in pairs of task and seed.
    """
    found, data = shown_searches(evidence, lambda: run_missing(evidence.project, section))
    groups = section.options["groups"].items()
    texts = [_group(section, found, name, tasks) for name, tasks in groups]
    return Rendered({section.name: "\n\n".join(texts)}, searches=data)


def _group(
    section: Section, found: Mapping[str, Entry], name: str, tasks: Sequence[Mapping[str, Any]]
) -> str:
    """Return a group's table, and the sentence about it."""
    options = section.options
    first, *others = options["searches"]
    regrets = {
        entry["label"]: _regrets(options, found, tasks, entry) for entry in options["searches"]
    }
    lines, not_behind = [], []
    for entry in options["searches"]:
        line = [entry["label"]]
        for place, queries in enumerate(options["queries"]):
            ours, theirs = (100 * regrets[e["label"]][place] for e in (first, entry))
            value = paired_difference(theirs, ours, sign=-1)
            line += [table.number(float(theirs.mean()), 2)]
            line += ["reference" if entry is first else table.difference(value)]
            is_behind = table.shown(value) and value.ahead  # a larger regret
            if queries == options["decisive"] and entry in others and not is_behind:
                not_behind.append(entry["label"])
        lines.append(line)
    head = ["method"]
    for queries in options["queries"]:
        head += [f"regret (%) at {queries}", "difference (95 % interval)"]
    said = (
        f"not shown to be ahead of {', '.join(not_behind)}" if not_behind else "ahead of every one"
    )
    count = len(regrets[first["label"]][0])
    notes = [
        f"At {options['decisive']} queries {first['label']} is {said}. {count} pairs of task and "
        "seed.",
        *{_task_of(one).benchmark.caution for one in tasks} - {""},
    ]
    return table.with_notes(f"**{name}**\n\n{table.markdown(head, lines)}", notes)


def _regrets(
    options: Mapping[str, Any],
    found: Mapping[str, Entry],
    tasks: Sequence[Mapping[str, Any]],
    entry: Mapping[str, Any],
) -> Floats:
    """Return the regrets of a method: [queries, tasks · seeds]."""
    rows, queries = [], max(options["queries"])
    for one in tasks:
        searched = _task_of(one)
        searches = [
            Search(one, entry["arguments"], queries, seed) for seed in range(options["seeds"])
        ]
        curves = [found[search.key]["best"] for search in searches]
        rows.append(
            searched.regret(np.array([[c[q - 1] for q in options["queries"]] for c in curves]))
        )
    return np.concatenate(rows).T


def main() -> None:
    """Run what is missing."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--section", default="tables")
    options.add_argument("--seeds", type=int, default=None)
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args()
    (section,) = choose(Path.cwd(), [chosen.section])
    if chosen.seeds is not None:
        section = section.model_copy(update={"options": {**section.options, "seeds": chosen.seeds}})
    run_missing(Path.cwd(), section, chosen.workers)


if __name__ == "__main__":
    main()
