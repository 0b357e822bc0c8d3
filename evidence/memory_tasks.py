"""The searches of the section on memory: their tasks, the earlier runs of each, and the optima."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.objectives.constraints import parse_constraint

Values = Mapping[str, Any]
MOST_SEEDS = 100


class Case(NamedTuple):
    """A search that is asked for: a task, one way to use earlier runs, and a seed."""

    group: Values  # space, source, queries; "bounded": the dataset, where tasks are bounds
    dataset: str  # or the bound
    way: Values  # label, datasets of the earlier runs, how they were made, how they are used
    seed: int

    @property
    def key(self) -> str:
        """What tells it from others in the record; the label of a way does not."""
        way = {name: it for name, it in self.way.items() if name not in ("label", "adversarial")}
        return json.dumps([named(self.group), self.dataset, way, self.seed], sort_keys=True)


class Done(NamedTuple):
    """What a search did."""

    best: Floats  # best value so far by query; from the optimum on it stays
    seconds: float  # of CPU
    optimum: float  # of the table, within the bound
    sign: float  # 1 where a higher value is better, else -1


def named(group: Values) -> Values:
    """Return what tells the searches of a group from those of others."""
    names = ("space", "source", "queries", "bounded")
    return {name: group[name] for name in names if name in group}


def cases(options: Values, seeds: int) -> Iterator[Case]:
    """Return all searches, those of the first seeds first."""
    for seed in range(seeds):
        for group in options["groups"]:
            for dataset in group["datasets"]:
                for way in group["ways"]:
                    for only in sources_of(group, dataset, way):
                        yield Case(group, dataset, {**way, "from": only}, seed)


def sources_of(group: Values, dataset: str, way: Values) -> list[list[str]]:
    """Return the datasets of the earlier runs: all others, the next one, each by itself, none."""
    others = [it for it in group["datasets"] if it != dataset]
    place = group["datasets"].index(dataset)
    following = [group["datasets"][(place + 1) % len(group["datasets"])]]
    kinds = {"none": [[]], "others": [others], "next": [following], "each": [[it] for it in others]}
    kinds["itself"] = [[dataset]]  # of another fidelity
    return kinds[way["earlier"]]


def task_arguments(group: Values, task: str) -> dict[str, Any]:
    """Return the arguments of a search of a dataset, or under a bound on one."""
    arguments = {"space": group["space"], "source": group["source"]}
    if (dataset := group.get("bounded")) is None:
        return {**arguments, "dataset": task}
    objective = {"name": "constrained", "constraints": [task]}
    return {**arguments, "dataset": dataset, "objective": objective}


@cache
def benchmark_of(source: str, dataset: str) -> Benchmark:
    """Return the whole table of a dataset."""
    return load_benchmark(source, dataset, complete=True)


def sign_of(benchmark: Benchmark) -> float:
    """Return 1 where a higher value is better, else -1."""
    optimum = benchmark.optimum(benchmark.target)
    worst = benchmark.table([benchmark.target])
    assert optimum is not None
    assert worst is not None
    return 1.0 if optimum[1] == worst[benchmark.target].max() else -1.0


@cache
def _optimum_of(source: str, dataset: str, bound: str | None) -> tuple[Benchmark, float]:
    """Return the table of a task, and the best value in it, of those that keep the bound."""
    benchmark = benchmark_of(source, dataset)
    optimum = benchmark.optimum(benchmark.target)
    assert optimum is not None
    if bound is None:
        return benchmark, optimum[1]
    constraint = parse_constraint(bound)
    table = benchmark.table([benchmark.target, constraint.metric])
    assert table is not None
    feasible = table[constraint.holds(table[constraint.metric].to_numpy(dtype=np.float64))]
    return benchmark, float(
        (sign_of(benchmark) * feasible[benchmark.target]).max() * sign_of(benchmark)
    )


def answers_of(group: Values, task: str) -> tuple[Benchmark, float]:
    """Return the table that answers a task of a group, and the best value that can be found."""
    bounded = group.get("bounded")
    return _optimum_of(group["source"], bounded or task, task if bounded else None)
