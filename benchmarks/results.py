"""``python -m benchmarks.results``: run every search behind docs/results.md and write its tables.

Searches that are in the cache (``data/08_reporting/evidence.jsonl``, keyed by parameters and
code) are not run again, so an interrupted call goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "data" / "08_reporting" / "evidence.jsonl"
PAGE = ROOT / "docs" / "results.md"
DATASETS = {"cifar10": 100, "cifar100": 100, "imagenet16-120": 280}
NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16-120": "ImageNet16-120"}


@dataclass(frozen=True)
class Search:
    """One search to run: everything that decides it."""

    dataset: str
    budget: int
    seed: int
    preset: str = "default"
    source: str = "v1_0"
    overrides: dict[str, Any] = field(default_factory=dict, hash=False)

    def key(self) -> str:
        """Digest of the search and of the code that runs it."""
        from optiproxy_nas.manifest import code_digest

        text = json.dumps([self.__dict__, code_digest()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def run(search: Search) -> dict[str, Any]:
    """Best value after each query, and the table's optimum (asked for after the search)."""
    from optiproxy_nas import search as run_search
    from optiproxy_nas.benchmarks import Metric
    from optiproxy_nas.benchmarks.load import load_benchmark

    result = run_search(
        search.dataset,
        budget=search.budget,
        seed=search.seed,
        preset=search.preset,
        source=search.source,
        **search.overrides,
    )
    benchmark = load_benchmark(search.source, search.dataset)
    _, optimum = benchmark.optimum(Metric.VALIDATION_ACCURACY)
    test = None
    if Metric.TEST_ACCURACY in benchmark.metrics:
        test = float(benchmark.query([result.best_architecture], Metric.TEST_ACCURACY)[0])
    curve = result.archive["best"].tolist()
    return {"key": search.key(), "curve": curve, "optimum": optimum, "test": test}


def run_all(searches: Iterable[Search], workers: int) -> dict[str, dict[str, Any]]:
    """Run what the cache lacks, in ``workers`` processes; all results by key."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    lines = CACHE.read_text().splitlines() if CACHE.exists() else []
    done = {row["key"]: row for row in map(json.loads, lines)}
    missing = [search for search in searches if search.key() not in done]
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit torch's locks
    with ProcessPoolExecutor(workers, spawn) as pool, CACHE.open("a") as cache:
        futures = [pool.submit(run, search) for search in missing]
        for future in tqdm(as_completed(futures), total=len(futures), desc="searches"):
            row = future.result()
            done[row["key"]] = row
            cache.write(json.dumps(row) + "\n")
            cache.flush()
    return done


def summary_row(searches: Sequence[Search], done: dict[str, dict[str, Any]], at: int) -> list[str]:
    """Mean, sd, 95 % interval of the mean (bootstrap), share at the optimum (with its Wilson
    interval), median queries to it, mean regret."""
    rows = [done[search.key()] for search in searches]
    best = np.array([row["curve"][at - 1] for row in rows])
    optimum = rows[0]["optimum"]
    hits = [np.flatnonzero(np.array(row["curve"][:at]) >= optimum - 1e-9) for row in rows]
    reached = [int(hit[0]) + 1 if len(hit) else None for hit in hits]
    share = np.mean([value is not None for value in reached])
    queries = np.median([np.inf if value is None else value for value in reached])
    chance = binomtest(sum(value is not None for value in reached), len(rows)).proportion_ci(
        method="wilson"
    )
    draws = np.random.default_rng(0).choice(best, (10_000, len(best))).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return [
        f"{best.mean():.3f}",
        f"{best.std(ddof=1):.3f}",
        f"{low:.3f} to {high:.3f}",
        f"{share:.0%} ({chance.low:.0%} to {chance.high:.0%})",
        f"{queries:.0f}" if np.isfinite(queries) else f"> {at}",
        f"{max(optimum - best.mean(), 0):.3f}",
    ]


HEAD = ["mean", "sd", "95 % interval", "at the optimum", "median queries to it", "mean regret"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def presets(seeds: dict[str, int], source: str) -> tuple[list[Search], Any]:
    """The presets on all three datasets; with ``source`` the paper's tables or the embedded one."""
    groups = [
        (preset, dataset, [Search(dataset, budget, s, preset, source) for s in range(count)])
        for preset, count in seeds.items()
        for dataset, budget in DATASETS.items()
    ]

    def render(done: dict[str, dict[str, Any]]) -> str:
        rows = []
        for preset, dataset, searches in groups:
            for at in (100, 192, 280):
                if at <= DATASETS[dataset]:
                    values = summary_row(searches, done, at)
                    rows.append([NAMES[dataset], str(at), preset, str(len(searches)), *values])
        return table(["dataset", "queries", "preset", "seeds", *HEAD], rows)

    return [search for group in groups for search in group[2]], render


ABLATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "no graph statistics (plain MLP)": {"proxy": {"name": "mlp"}},
    "no gradient search (candidates uniform)": {"selection": {"exploration": 1.0}},
    "one group (K = 1)": {"gradient": {"groups": 1}},
    "one member (no ensemble, so no optimism)": {"proxy": {"members": 1}},
    "no optimism (mean)": {"selection": {"acquisition": "mean"}},
    "with exploration (ε = 0.2)": {"selection": {"exploration": 0.2}},
    "with local moves (3 best)": {"selection": {"local_moves": 3}},
    "twins queried too": {"selection": {"skip_twins": False}},
    "no bootstrap weights": {"fit": {"bootstrap": False}},
    "standardised targets": {"fit": {"targets": "standardised"}},
    "groups kept from step to step": {"gradient": {"warm_start": True}},
    "B = 10": {"selection": {"batch": 10}},
}


HARD = ("cifar10", "imagenet16-120")  # CIFAR-100 is found by nearly every variant


def ablation(seeds: int) -> tuple[list[Search], Any]:
    """``default`` with one thing changed, 100 queries, on the two datasets that tell them apart."""
    groups = {
        (name, dataset): [Search(dataset, 100, seed, overrides=overrides) for seed in range(seeds)]
        for name, overrides in ABLATIONS.items()
        for dataset in HARD
    }

    def render(done: dict[str, dict[str, Any]]) -> str:
        rows = []
        for name in ABLATIONS:
            row = [name]
            for dataset in HARD:
                mean, _, _, share, queries, _ = summary_row(groups[name, dataset], done, 100)
                row += [mean, share, queries]
            rows.append(row)
        columns = ("mean", "at the optimum", "median queries")
        head = ["setting"] + [f"{NAMES[d]} {what}" for d in HARD for what in columns]
        return table(head, rows)

    return [search for group in groups.values() for search in group], render


PAPER = {  # quoted from Table 1: mean of 10 seeds
    ("cifar10", 100): "91.61",
    ("cifar100", 100): "73.49",
    ("imagenet16-120", 100): "46.64",
    ("imagenet16-120", 192): "46.69",
    ("imagenet16-120", 280): "46.77",
}


def headline(seeds: int) -> tuple[list[Search], Any]:
    """The README's table: the default preset beside the paper's figures."""

    def render(done: dict[str, dict[str, Any]]) -> str:
        rows = []
        for (dataset, at), quoted in PAPER.items():
            searches = [Search(dataset, DATASETS[dataset], seed) for seed in range(seeds)]
            mean, _, _, share, queries, _ = summary_row(searches, done, at)
            rows.append([NAMES[dataset], str(at), share, queries, mean, quoted])
        head = ["at the optimum", "median queries to it", "mean", "the paper's mean (quoted)"]
        return table(["dataset", "queries", *head], rows)

    return [
        Search(dataset, budget, seed)
        for dataset, budget in DATASETS.items()
        for seed in range(seeds)
    ], render


def write_section(path: Path, name: str, text: str) -> None:
    """Replace what stands between the page's markers of this section."""
    page = path.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    if start not in page or end not in page:
        sys.exit(f"{path} lacks the markers {start} and {end}")
    before, rest = page.split(start, 1)
    after = rest.split(end, 1)[1]
    path.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8")


def main() -> None:
    """Run and render all sections, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "sections", nargs="*", help="headline, presets, embedded, ablation (default: all)"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=100, help="of the default preset")
    parser.add_argument("--ablation-seeds", type=int, default=10)
    arguments = parser.parse_args()
    available = {
        "headline": lambda: headline(arguments.seeds),
        "presets": lambda: presets({"default": arguments.seeds, "paper": 10}, "v1_0"),
        "embedded": lambda: presets({"default": arguments.seeds}, "embedded"),
        "ablation": lambda: ablation(arguments.ablation_seeds),
    }
    for name in arguments.sections or available:
        if name not in available:
            parser.error(f"unknown section {name!r}; there are {', '.join(available)}")
        searches, render = available[name]()
        page = ROOT / "README.md" if name == "headline" else PAGE
        write_section(page, name, render(run_all(searches, arguments.workers)))
        print(f"{page.relative_to(ROOT)}: section {name} written")


if __name__ == "__main__":
    main()
