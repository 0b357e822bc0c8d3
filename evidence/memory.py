"""What earlier runs give a search: leave one dataset out, on tables whose optimum is known.

``python -m evidence.memory --seeds 30`` runs what is missing, ``kedro evidence memory`` writes the
page. The earlier runs of a seed have seeds of their own, and are on the other datasets only. A
search ends at the optimum of its table, which no query can change: that is known to this page, not
to the search. What each did is added to the record as it ends (``searched``).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from evidence.collect import Evidence
from evidence.memory_rivals import best_first, forest_run, warm_tpe
from evidence.memory_tables import optimum_table, pairs_table
from evidence.memory_tasks import (
    MOST_SEEDS,
    Case,
    Done,
    Values,
    answers_of,
    benchmark_of,
    cases,
    named,
    sign_of,
    task_arguments,
)
from evidence.pages import Rendered
from evidence.regenerate import choose
from evidence.searched import REPORTING, Entry, Record, shown_searches
from evidence.sections import Section, digest_of
from optiproxy_nas import Search, search
from optiproxy_nas.algorithm import prior
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.spaces import get_space

RECORD = REPORTING / "memory" / "searches.jsonl"
EARLIER = 500  # earlier runs of seed s have the seed s + EARLIER: they share no draw with it
_KEPT: dict[str, pd.DataFrame] = {}  # trials of earlier runs, by what they were made by


def render(section: Section, evidence: Evidence) -> Rendered:
    """Texts ``<name>-optimum`` (groups with ``read_at``) and ``<name>-pairs`` (ordered pairs)."""
    options, name = section.options, section.name

    def find() -> dict[str, Entry]:
        record = run_missing(evidence.project / RECORD, options, options["seeds"])
        return with_answers(options, record)

    entries, data = shown_searches(evidence, find)
    found = {key: Done(**entry) for key, entry in entries.items()}
    texts = {}
    for group in options["groups"]:
        rows = pairs_table(group, found) if group.get("pairs") else optimum_table(group, found)
        texts[f"{name}-{group['name']}"] = rows
    return Rendered(texts, searches=data)


def _earlier(group: Values, task: str, way: Values, seed: int) -> pd.DataFrame:
    """Return the trials of an earlier run; with ``epochs``, of trainings as short."""
    arguments = {"method": way.get("method", "optiproxy"), "budget": way.get("queries", 100)}
    arguments["seed"] = seed + EARLIER
    key = json.dumps([task_arguments(group, task), arguments, way.get("epochs")], sort_keys=True)
    if key not in _KEPT:
        if (epochs := way.get("epochs")) is None:
            found = search(**task_arguments(group, task), **arguments)
        else:
            benchmark = benchmark_of(way["source"], task)

            def short(architecture: str) -> float:
                return float(benchmark.query([architecture], benchmark.target, epochs)[0])

            found = search(evaluate=short, space=group["space"], **arguments)
        _KEPT[key] = found.archive[["architecture", "value"]]
    return _KEPT[key]


def _spoilt(trials: pd.DataFrame, how: str, seed: int) -> pd.DataFrame:
    """Return trials with values that mislead: negated, or shuffled."""
    values = trials["value"].to_numpy()
    if how == "negated":
        return trials.assign(value=-values)
    return trials.assign(value=np.random.default_rng(seed).permutation(values))


def run(case: Case) -> Entry:
    """Search, and return the best value after each query and the CPU seconds."""
    torch.set_num_threads(1)
    group, way, queries = case.group, case.way, case.group["queries"]
    benchmark, optimum = answers_of(group, case.dataset)
    runs: list[Any] = []
    for dataset in way["from"]:
        trials = _earlier(group, dataset, way, case.seed)
        spoilt = way.get("spoilt")
        runs.append(trials if spoilt is None else _spoilt(trials, spoilt, case.seed))
    start = time.process_time()
    if (use := way.get("use")) in ("first", "tpe"):
        sign, space = sign_of(benchmark), get_space(group["space"])
        better = [it.assign(value=sign * it["value"]) for it in runs]

        def query(architectures: Sequence[str]) -> Floats:
            return sign * benchmark.query(architectures, benchmark.target)

        if use == "first":
            values = best_first(better, query, queries)
        else:
            values = warm_tpe(better, space, query, queries, case.seed)
        best = sign * np.maximum.accumulate(values)
    else:
        arguments = {
            **task_arguments(group, case.dataset),
            "budget": queries,
            **way.get("arguments", {}),
        }
        if use == "forest":
            better = [it.assign(value=sign_of(benchmark) * it["value"]) for it in runs]
            forest = forest_run(better, get_space(group["space"]), case.seed)
            runs = [forest.assign(value=sign_of(benchmark) * forest["value"])]
        if runs := [*runs, *way.get("scores", [])]:
            arguments["prior"] = runs
        found = search(**arguments, seed=case.seed, target=optimum)
        best = found.archive["best"].to_numpy(dtype=np.float64)
    seconds = time.process_time() - start
    best = np.append(best, np.full(queries - len(best), best[-1]))[:queries]
    return {"best": best, "seconds": round(seconds, 2)}


def settings_digest(group: Values) -> str:
    """Return what tells the settings of a search today from earlier ones."""
    objective = task_arguments(group, group["datasets"][0]).get("objective")
    arguments: dict[str, Any] = {"space": group["space"], "budget": 50, "objective": objective}
    parameters = Search(**arguments, prior=[_two_trials(group["space"])]).parameters
    values = parameters.model_dump(mode="json", exclude={"seed", "prior"})
    constants = [prior.BELIEF, prior.SCORE_BELIEF, prior.PSEUDO, prior.SAMPLE, prior.FIRST]
    return digest_of([values, dict(parameters.selection), constants])  # type: ignore[attr-defined]


@cache
def _two_trials(space: str) -> pd.DataFrame:
    opened = Search(space=space, budget=50)
    return pd.DataFrame(
        {"architecture": [t.architecture for t in opened.ask(2)], "value": [1.0, 2.0]}
    )


def run_missing(path: Path, options: Values, seeds: int) -> dict[str, Entry]:
    """Search what the record lacks, add it as it ends, and return the record."""
    digests = [(named(group), settings_digest(group)) for group in options["groups"]]

    def settings(key: str) -> str:
        asked = json.loads(key)[0]
        return next((digest for group, digest in digests if group == asked), "of no group")

    record = Record(path, settings)
    found = record.read()
    missing = [case for case in cases(options, seeds) if case.key not in found]
    for case in tqdm(missing, disable=None):
        record.add(case.key, run(case))
    return record.read()


def with_answers(options: Values, found: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the searches that the section shows, with what could be found."""
    shown: dict[str, Entry] = {}
    for case in cases(options, MOST_SEEDS):
        if case.key in found:
            benchmark, optimum = answers_of(case.group, case.dataset)
            answers = {"optimum": optimum, "sign": sign_of(benchmark)}
            shown[case.key] = {**found[case.key], **answers}
    return shown


def main() -> None:
    """Run what is missing."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=None)
    options.add_argument("--record", type=Path, default=RECORD)
    options.add_argument("--groups", nargs="*", help="only these, by their names")
    chosen = options.parse_args()
    (section,) = choose(Path.cwd(), ["memory"])
    values = section.options
    if chosen.groups is not None:
        groups = [it for it in values["groups"] if it["name"] in chosen.groups]
        values = {**values, "groups": groups}
    run_missing(chosen.record, values, chosen.seeds or section.options["seeds"])


if __name__ == "__main__":
    main()
