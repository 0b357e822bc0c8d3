"""What earlier runs give a search: leave one dataset out, on tables whose optimum is known.

``python -m evidence.memory --seeds 30`` runs what is missing, ``kedro evidence memory`` writes the
page. The earlier runs of a seed have seeds of their own, and are on the other datasets only. A
search ends at the optimum of its table, which no query can change: that is known to this page, not
to the search. What each did is added to ``data/08_reporting/memory/searches.jsonl`` as it ends.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from evidence import table
from evidence.collect import Evidence
from evidence.pages import Rendered
from evidence.regenerate import choose
from evidence.sections import Section, digest_of
from optiproxy_nas import Search, search
from optiproxy_nas.algorithm import prior
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.report.compare.tables import holm
from optiproxy_nas.report.statistics import median_queries, paired_difference, share

RECORD = Path("data") / "08_reporting" / "memory" / "searches.jsonl"
EARLIER = (
    500  # earlier runs of seed s have the seed s + EARLIER, so that they share no draw with it
)
Values = Mapping[str, Any]


class Case(NamedTuple):
    """A search that is asked for: a task, one way to use earlier runs, and a seed."""

    group: Values  # space, source, queries, direction
    dataset: str
    way: Values  # label, datasets of the earlier runs, how they were made, how they are used
    seed: int

    @property
    def key(self) -> str:
        """What tells it from others in the record; the label of a way does not."""
        named = {name: self.group[name] for name in ("space", "source", "queries")}
        way = {name: it for name, it in self.way.items() if name not in ("label", "adversarial")}
        return json.dumps([named, self.dataset, way, self.seed], sort_keys=True)


class Done(NamedTuple):
    """What a search did."""

    best: Floats  # best value so far by query; from the optimum on it stays
    seconds: float  # of CPU


def render(section: Section, evidence: Evidence) -> Rendered:
    """Texts ``<name>-optimum`` (groups with ``read_at``) and ``<name>-pairs`` (ordered pairs)."""
    options, name = section.options, section.name
    found = run_missing(evidence.project / RECORD, options, options["seeds"])
    texts = {}
    for group in options["groups"]:
        rows = _pairs(group, found) if group.get("pairs") else _optimum(group, found)
        texts[f"{name}-{group['name']}"] = rows
    return Rendered(texts)


def cases(options: Values, seeds: int) -> Iterator[Case]:
    """Return all searches, those of the first seeds first."""
    for seed in range(seeds):
        for group in options["groups"]:
            for dataset in group["datasets"]:
                for way in group["ways"]:
                    for only in _sources(group, dataset, way):
                        yield Case(group, dataset, {**way, "from": only}, seed)


def _sources(group: Values, dataset: str, way: Values) -> list[list[str]]:
    """Return the datasets of the earlier runs: all others, the next one, each by itself, none."""
    others = [it for it in group["datasets"] if it != dataset]
    place = group["datasets"].index(dataset)
    following = [group["datasets"][(place + 1) % len(group["datasets"])]]
    kinds = {"none": [[]], "others": [others], "next": [following], "each": [[it] for it in others]}
    return kinds[way["earlier"]]


@cache
def _benchmark(source: str, dataset: str) -> Benchmark:
    return load_benchmark(source, dataset, complete=True)


@cache
def _earlier(space: str, source: str, dataset: str, method: str, queries: int, seed: int) -> Any:
    """Return the trials of an earlier run."""
    arguments: dict[str, Any] = {"space": space, "source": source}
    arguments |= {"method": method, "budget": queries}
    return search(dataset, seed=seed + EARLIER, **arguments).archive[["architecture", "value"]]


def _spoilt(trials: pd.DataFrame, how: str, seed: int) -> pd.DataFrame:
    """Return trials with values that mislead: negated, or shuffled."""
    values = trials["value"].to_numpy()
    if how == "negated":
        return trials.assign(value=-values)
    return trials.assign(value=np.random.default_rng(seed).permutation(values))


def run(case: Case) -> Done:
    """Search."""
    torch.set_num_threads(1)
    group, way = case.group, case.way
    space, source, queries = group["space"], group["source"], group["queries"]
    benchmark = _benchmark(source, case.dataset)
    known = benchmark.optimum(benchmark.target)
    runs: list[Any] = []
    for dataset in way["from"]:
        made = way.get("method", "optiproxy"), way.get("queries", 100), case.seed
        trials = _earlier(space, source, dataset, *made)
        spoilt = way.get("spoilt")
        runs.append(trials if spoilt is None else _spoilt(trials, spoilt, case.seed))
    runs += way.get("scores", [])
    arguments: dict[str, Any] = {"space": space, "source": source, "budget": queries}
    arguments |= way.get("arguments", {})
    start = time.process_time()
    if way.get("use") == "first":
        best = _best_first(benchmark, runs, queries)
    else:
        if runs:
            arguments["prior"] = runs
        found = search(case.dataset, seed=case.seed, target=known and known[1], **arguments)
        best = found.archive["best"].to_numpy(dtype=np.float64)
    seconds = time.process_time() - start
    return Done(np.append(best, np.full(queries - len(best), best[-1]))[:queries], seconds)


def _sign(benchmark: Benchmark) -> float:
    optimum = benchmark.optimum(benchmark.target)
    worst = benchmark.table([benchmark.target])
    assert optimum is not None
    assert worst is not None
    return 1.0 if optimum[1] == worst[benchmark.target].max() else -1.0


def _best_first(benchmark: Benchmark, runs: Sequence[pd.DataFrame], queries: int) -> Floats:
    """Return the best so far of querying what the earlier runs found best, in their order."""
    sign = _sign(benchmark)
    ranks = pd.concat([it.assign(rank=(-sign * it["value"]).rank()) for it in runs])
    order = ranks.groupby("architecture", sort=False)["rank"].min().sort_values(kind="stable")
    values = benchmark.query(list(order.index[:queries]), benchmark.target)
    return np.asarray(sign * np.maximum.accumulate(sign * values), dtype=np.float64)


def settings_digest(space: str) -> str:
    """Return what tells the settings of a search today from earlier ones."""
    parameters = Search(space=space, budget=50, prior=[_two_trials(space)]).parameters
    values = parameters.model_dump(mode="json", exclude={"seed", "prior"})
    constants = [prior.BELIEF, prior.SCORE_BELIEF, prior.PSEUDO, prior.SAMPLE, prior.FIRST]
    return digest_of([values, dict(parameters.selection), constants])  # type: ignore[attr-defined]


@cache
def _two_trials(space: str) -> pd.DataFrame:
    opened = Search(space=space, budget=50)
    return pd.DataFrame(
        {"architecture": [t.architecture for t in opened.ask(2)], "value": [1.0, 2.0]}
    )


def run_missing(path: Path, options: Values, seeds: int) -> dict[str, Done]:
    """Search what the record lacks, add it as it ends, and return the record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digests = {group["space"]: settings_digest(group["space"]) for group in options["groups"]}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        entry = json.loads(line)
        if entry["settings"] in digests.values():
            found[entry["key"]] = Done(np.array(entry["best"], dtype=float), entry["seconds"])
    missing = [case for case in cases(options, seeds) if case.key not in found]
    for case in tqdm(missing, disable=None):
        found[case.key] = done = run(case)
        entry = {"key": case.key, "settings": digests[case.group["space"]]}
        entry |= {
            "best": [float(f"{it:.8g}") for it in done.best],
            "seconds": round(done.seconds, 2),
        }
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    return found


def _curves(
    group: Values, dataset: str, way: Values, only: list[str], found: Mapping[str, Done]
) -> dict[int, Floats]:
    """Return seed -> best so far, of the seeds that the record has."""
    curves = {}
    for seed in range(1000):
        key = Case(group, dataset, {**way, "from": only}, seed).key
        if key in found:
            curves[seed] = found[key].best
    return curves


def _optimum(group: Values, found: Mapping[str, Done]) -> str:
    """A row a dataset and way: median queries to the optimum, shares, regret, and the test."""
    first, last = group["read_at"]
    lines: list[list[str]] = []
    tests: list[tuple[int, float]] = []
    for dataset in group["datasets"]:
        benchmark = _benchmark(group["source"], dataset)
        known = benchmark.optimum(benchmark.target)
        assert known is not None
        best, sign = known[1], _sign(benchmark)
        cold = _curves(group, dataset, group["ways"][0], [], found)
        for way in group["ways"]:
            (only,) = _sources(group, dataset, way)
            curves = _curves(group, dataset, way, only, found)
            seeds = sorted(cold.keys() & curves.keys())
            if not seeds:
                continue
            ours, base = (np.stack([it[seed] for seed in seeds]) for it in (curves, cold))
            regrets = [sign * (best - it) for it in (ours, base)]
            needed = [_queries(regret) for regret in regrets]
            cells = [table.name_of(dataset), way["label"], str(_trials(way, only)), str(len(seeds))]
            cells += [table.queries(median_queries(needed[0]), group["queries"])]
            cells += [
                table.percent(*share(int((needed[0] <= q).sum()), len(seeds)))
                for q in (first, last)
            ]
            cells += [table.number(float(regrets[0][:, q - 1].mean())) for q in (first, last)]
            if way is group["ways"][0] or len(seeds) < 2:
                lines.append([*cells, "reference", ""])
                continue
            capped = [np.minimum(it, group["queries"] + 1) for it in needed]
            test = paired_difference(*capped)
            tests.append((len(lines), test.p_value))
            lines.append([*cells, f"{test.mean:+.1f} ({test.low:+.1f} to {test.high:+.1f})", ""])
    adjusted = holm([p for _, p in tests]).tolist() if tests else []
    for (row, _), p in zip(tests, adjusted, strict=True):
        lines[row][-1] = table.p_value(float(p))
    head = ["dataset", "learns from", "earlier trials", "seeds", "median queries"]
    head += [f"at the optimum @{q}" for q in (first, last)]
    head += [f"regret @{q}" for q in (first, last)]
    return table.markdown([*head, "queries against cold (95 %)", "p (Holm)"], lines)


def _queries(regret: Floats) -> Floats:
    """Return the queries that each seed needs to regret 0, inf where it never is: [seeds]."""
    reached = regret <= 1e-6  # the record has eight digits
    return np.where(reached.any(1), reached.argmax(1) + 1.0, np.inf)


def _trials(way: Values, only: Sequence[str]) -> int:
    return len(only) * int(way.get("queries", 100))


def _pairs(group: Values, found: Mapping[str, Done]) -> str:
    """A row a way: in how many ordered pairs of datasets the regret is lower than cold."""
    (after,) = group["read_at"]
    lines: list[list[str]] = []
    cold_way = group["ways"][0]
    for way in group["ways"][1:]:
        rows, p_values = [], []
        for dataset in group["datasets"]:
            benchmark = _benchmark(group["source"], dataset)
            known = benchmark.optimum(benchmark.target)
            assert known is not None
            sign, best = _sign(benchmark), known[1]
            cold = _curves(group, dataset, cold_way, [], found)
            for only in _sources(group, dataset, way):
                curves = _curves(group, dataset, way, only, found)
                seeds = sorted(cold.keys() & curves.keys())
                if len(seeds) < 2:
                    continue
                ours, base = (
                    np.array([sign * (best - it[seed][after - 1]) for seed in seeds])
                    for it in (curves, cold)
                )
                test = paired_difference(base, ours)  # above 0: less regret than cold
                ratio = float(ours.mean() / base.mean()) if base.mean() > 0 else 1.0
                rows.append((only[0], dataset, len(seeds), ratio, test))
                p_values.append(test.p_value)
        adjusted = holm(p_values).tolist() if p_values else []
        for (origin, dataset, count, ratio, test), p in zip(rows, adjusted, strict=True):
            better = "less" if test.mean > 0 else "more" if test.mean < 0 else "equal"
            wins = f"{test.wins}/{test.ties}/{test.losses}"
            line = [origin, dataset, way["label"], str(count), f"{ratio:.2f} ({better})", wins]
            lines.append([*line, table.p_value(float(p))])
    head = [
        "from",
        "on",
        "learns by",
        "seeds",
        f"regret @{after} over cold",
        "seeds better/equal/worse",
    ]
    return table.markdown([*head, "p (Holm)"], lines)


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
