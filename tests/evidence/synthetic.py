"""Searches that never happened: results and runs in the schema of a sweep, from given curves."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evidence.collect import Evidence, settings_digest
from evidence.measures import measure
from evidence.sections import Section

OPTIMA = {"cifar10": 91.607, "cifar100": 73.493, "imagenet16-120": 46.767}

# Parameters of a point -> values by query, NaN where the query is not eligible to be the answer.
Curve = Callable[[dict[str, Any]], Sequence[float]]
# The same -> what each query costs.
Costs = Callable[[dict[str, Any]], Any]


def points_of(blocks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every combination of every block, each once."""
    found: dict[str, dict[str, Any]] = {}
    for block in blocks:
        lists = [value if isinstance(value, list) else [value] for value in block.values()]
        for values in itertools.product(*lists):
            point = dict(zip(block, values, strict=True))
            found[run_id_of(point)] = point
    return list(found.values())


def run_id_of(point: dict[str, Any]) -> str:
    return json.dumps(point, sort_keys=True)


def random_walk(point: dict[str, Any]) -> Sequence[float]:
    """A search of its seed: better methods have longer names, and no other sense."""
    name = json.dumps({k: v for k, v in point.items() if k not in ("seed", "budget")})
    rng = np.random.default_rng([sum(map(ord, name)), point["seed"]])
    optimum = OPTIMA[point["dataset"]]
    luck = rng.exponential(1.0, point["budget"]) * 4.0 / (1 + 0.1 * np.arange(point["budget"]))
    values = np.round(optimum - luck, 2)
    found: list[float] = np.where(values > optimum - 0.02, optimum, values).tolist()
    return found


def number_of_all(source: Any, dataset: Any, metrics: Any, architectures: Any) -> Any:
    """Of each architecture, and for each metric, the number of architectures asked for."""
    return {metric: [float(len(architectures))] * len(architectures) for metric in metrics}


def measured_of(*arguments: Any, **settings: Any) -> Any:
    """Measure as the tables do; where something is missing, the test fails that reads it."""
    return measure(*arguments, **settings)


def synthetic(
    sections: Sequence[Section],
    curve: Curve = random_walk,
    told: Any = number_of_all,
    project: Path = Path(),
    costs: Costs = lambda point: np.ones(point["budget"], dtype=int),
    signal: Any = lambda source, dataset, epochs: None,
) -> Evidence:
    """Evidence of all rows of the sections, each search from ``curve``."""
    members, frames, runs = {}, {}, {}
    for section in sections:
        for row in section.rows:
            points = points_of(section.blocks(row))
            members[section.name, row.group, row.label] = frozenset(map(run_id_of, points))
            for point in points:
                run_id = run_id_of(point)
                if run_id not in runs:
                    frames[run_id], runs[run_id] = _search(
                        run_id, point, curve(point), costs(point)
                    )
    return Evidence(
        results=pd.concat(frames.values(), ignore_index=True),
        runs=pd.DataFrame(list(runs.values())),
        members=members,
        project=project,
        told=told,
        signal=signal,
    )


def label_of(point: dict[str, Any]) -> str:
    """The label of the objective of a point."""
    if point.get("objective.name") == "multi_fidelity":
        return "12 then 200 epochs"
    return str(point.get("objective.constraints", ""))


def _search(
    run_id: str, point: dict[str, Any], values: Sequence[float], costs: Sequence[int]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    best = np.fmax.accumulate(np.asarray(values, dtype=float))
    queries = np.arange(1, len(best) + 1)
    optimum = OPTIMA[point["dataset"]]
    about = {
        "run_id": run_id,
        "pipeline": point["pipeline"],
        "method": point["method"],
        "preset": point.get("preset", ""),
        "setting": "",
        "objective": label_of(point),
        "dataset": point["dataset"],
        "source": point["source"],
        "seed": point["seed"],
        "budget": point["budget"],
    }
    results = pd.DataFrame(
        {
            **about,
            "query": queries,
            "spent": np.cumsum(costs)[: len(best)],
            "trials": queries,
            "step": 0,
            "architecture": [f"cell {q}" for q in queries],
            "value": np.nan_to_num(values, nan=10.0),
            "best": best,
        }
    )
    parameters = json.dumps({k: v for k, v in point.items() if k != "pipeline"})
    run = {
        **about,
        "digest": run_id,
        "status": "finished",
        "error": "",
        "queries": len(best),
        "trials": len(best),
        "best_architecture": f"cell {int(np.argmax(np.nan_to_num(values))) + 1}",
        "value": best[-1],
        "test_accuracy": np.nan,
        "optimum": optimum,
        "regret": optimum - best[-1],
        "queries_to_best": int(np.argmax(best)) + 1,
        "seconds": 1.0,
        "cpu_seconds": 1.25,
        "recent_kendall_tau": point.get("tau", np.nan),
        "alarms": "",
        "parameters": parameters,
        "settings": settings_digest(parameters),
    }
    return results, run
