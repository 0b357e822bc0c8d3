"""Which searches by several workers a section asks for, and the record of what they did."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from evidence.searched import REPORTING, Entry, Record, only, settings_of
from evidence.simulated import Cluster, Simulated, load_task, simulate

RECORD = REPORTING / "workers" / "searches.jsonl"
MOST_SEEDS = 100


class Cell(NamedTuple):
    """Searches that differ in their seed only, by what the section says of them.

    Attributes:
        task: ``space`` and ``dataset``; ``preset`` of OptiProxy-NAS, if not that which fits.
        method: ``arguments`` of the search, ``synchronous`` and ``proposal_seconds``.
        cluster: of :class:`~evidence.simulated.Cluster`, without the workers.
        workers: their number.
    """

    task: Mapping[str, Any]
    method: Mapping[str, Any]
    cluster: Mapping[str, Any]
    workers: int


@dataclass(frozen=True)
class Simulation:
    """One search of a cell."""

    cell: Cell
    queries: int
    seed: int

    @property
    def key(self) -> str:
        """What tells it from others in the record; labels do not."""
        task, method, cluster, workers = self.cell
        asked = {
            "task": [task["space"], task["dataset"]],
            "method": _without_label(method),
            "cluster": _without_label(cluster),
            "workers": workers,
            "queries": self.queries,
            "seed": self.seed,
        }
        return json.dumps(asked, sort_keys=True)

    def run(self) -> Simulated:
        """Simulate it."""
        torch.set_num_threads(1)
        task, method, cluster, workers = self.cell
        return simulate(
            load_task(task["space"], task["dataset"]),
            method["arguments"],
            Cluster(workers, **_without_label(cluster)),
            self.queries,
            self.seed,
            synchronous=method.get("synchronous", False),
            proposal_seconds=method.get("proposal_seconds", 0.0),
        )


def _without_label(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides a search: labels, and where a variant is run, do not."""
    return {name: values[name] for name in values if name not in ("label", "only")}


def cells_of(options: Mapping[str, Any], task: Mapping[str, Any]) -> list[Cell]:
    """Return the cells of a task: each variant with its methods and numbers of workers.

    A variant is of all methods, workers and tasks unless its ``only`` names fewer: ``methods`` and
    ``tasks`` by their labels, ``workers`` by their numbers.
    """
    cells = []
    for variant in options["variants"]:
        only = variant.get("only", {})
        if task["label"] not in only.get("tasks", [task["label"]]):
            continue
        for method in options["methods"]:
            if method["label"] not in only.get("methods", [method["label"]]):
                continue
            if "preset" in task and method["arguments"].get("method") == "optiproxy":
                arguments = {**method["arguments"], "preset": task["preset"]}
                method = {**method, "arguments": arguments}
            for workers in only.get("workers", options["workers"]):
                if workers > 1 or not method.get("synchronous"):
                    cells.append(Cell(task, method, variant, workers))
    return cells


def simulations(options: Mapping[str, Any], seeds: int) -> Iterator[Simulation]:
    """Return all searches, those of the first seed first."""
    for seed in range(seeds):
        for task in options["tasks"]:
            if seed < min(seeds, task.get("most_seeds", seeds)):
                for cell in cells_of(options, task):
                    yield Simulation(cell, options["queries"], seed)


def settings_digest(key: str) -> str:
    """Return what tells the settings of a key's search, as they are today, from earlier ones."""
    asked = json.loads(key)
    arguments = {"space": asked["task"][0], "budget": asked["queries"]}
    return settings_of(json.dumps(arguments | asked["method"]["arguments"], sort_keys=True))


def add(record: Record, key: str, did: Simulated) -> None:
    """Add a search to the record."""
    times = {"busy": round(did.busy, 5), "cpu_seconds": round(did.cpu_seconds, 2)}
    record.add(key, {**did._asdict(), "at": np.round(did.at, 2), **times})


def run_missing(
    path: Path, options: Mapping[str, Any], seeds: int, processes: int = 1
) -> dict[str, Entry]:
    """Search what the record lacks, add it as it ends, and return what the record has."""
    record = Record(path, settings_digest)
    found = record.read()
    missing = [one for one in simulations(options, seeds) if one.key not in found]
    for key, did in tqdm(_run(missing, processes), total=len(missing), disable=None):
        add(record, key, did)
    return only(record.read(), (one.key for one in simulations(options, MOST_SEEDS)))


def _run(searches: Sequence[Simulation], processes: int) -> Iterator[tuple[str, Simulated]]:
    """Run searches in their order, one or several at a time."""
    if processes == 1 or not searches:
        for one in searches:
            yield one.key, one.run()
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from pool.map(_key_and_result, searches)


def _key_and_result(search: Simulation) -> tuple[str, Simulated]:
    return search.key, search.run()
