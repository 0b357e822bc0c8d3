"""Searches whose values are noisy, broken, tied or distorted: what is lost of the true value.

A search sees the distorted value of each architecture, and its answer is the best by that; its
regret is that of the answer's true value. A value is distorted once, as one training would be, so
that two queries of an architecture tell nothing new. All in this process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import scipy

from evidence import table
from evidence.collect import Evidence
from evidence.pages import Rendered
from evidence.searched import Entry, shown_searches
from evidence.sections import Section
from optiproxy_nas import search
from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.random_streams import numpy_generator
from optiproxy_nas.report.statistics import paired_difference

Values = Mapping[str, Any]
BROKEN = -1e9  # what a training that diverged may report

# Kind -> function of true values [n], its size, and a generator that gives the values seen [n].
DISTORTIONS: Mapping[str, Callable[[Floats, float, np.random.Generator], Floats]] = {
    "noise": lambda values, size, draws: values + size * draws.standard_normal(len(values)),
    "broken": lambda values, size, draws: np.where(
        draws.random(len(values)) < size, BROKEN, values
    ),
    "constant": lambda values, size, _: np.full_like(values, size),
    "rounded": lambda values, size, _: np.round(values / size) * size,
    "exponential": lambda values, size, _: np.exp(values / size),
    "rank": lambda values, size, _: size * scipy.stats.rankdata(values),
    "scaled": lambda values, size, _: size * values,
}


class Problem(NamedTuple):
    """A table: its architectures, and their true values, of which more is better."""

    architectures: list[str]
    values: Floats


def problem(source: str, dataset: str) -> Problem:
    """Return the whole table of a dataset."""
    benchmark = load_benchmark(source, dataset)
    rows = benchmark.table([benchmark.target])
    if rows is None:
        raise ValueError(f"{source} cannot be listed")
    return Problem(rows["architecture"].tolist(), rows[benchmark.target].to_numpy(np.float64))


def distorted(values: Floats, kind: str, size: float, seed: int) -> Floats:
    """Return the values [n] that a search with ``seed`` sees of true values [n]."""
    return DISTORTIONS[kind](values, size, numpy_generator(seed, 0, f"evidence-{kind}"))


def regrets(
    searched: Problem, seen: Floats, arguments: Mapping[str, Any], seed: int, budgets: list[int]
) -> list[float]:
    """Return the regret of the answer after each number of queries, in the unit of true values.

    Args:
        searched: the table.
        seen: what the search sees of each architecture [n].
        arguments: of the search.
        seed: of the search.
        budgets: numbers of queries.
    """
    rows = {name: row for row, name in enumerate(searched.architectures)}
    result = search(
        space="nb201",
        evaluate=lambda architecture: float(seen[rows[architecture]]),
        budget=max(budgets),
        seed=seed,
        **arguments,
    )
    queried = np.array([rows[name] for name in result.archive["architecture"]])
    answers = [queried[np.argmax(seen[queried[:budget]])] for budget in budgets]
    return [float(searched.values.max() - searched.values[row]) for row in answers]


def render(section: Section, evidence: Evidence) -> Rendered:
    """Text ``<name>``: regret of the answer, in pairs of seed.

    ``options.searches`` are run with each of ``options.distortions`` and ``options.seeds`` seeds;
    the first is what the others are compared with, at each of ``options.budgets``.
    """
    found, data = shown_searches(evidence, lambda: _measure(section.options))
    return Rendered({section.name: _table(section.options, found)}, searches=data)


def _measure(options: Mapping[str, Any]) -> dict[str, Entry]:
    """Return the regret after each number of queries of each search."""
    searched = problem(options["source"], options["dataset"])
    found: dict[str, Entry] = {}
    for kind, entry, seed in _asked(options):
        seen = distorted(searched.values, kind["kind"], kind["size"], seed)
        of_search = regrets(searched, seen, entry["arguments"], seed, options["budgets"])
        named = zip(map(_at, options["budgets"]), of_search, strict=True)
        found[_key(kind, entry, seed)] = dict(named)
    return found


def _asked(
    options: Mapping[str, Any],
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any], int]]:
    return product(options["distortions"], options["searches"], range(options["seeds"]))


def _key(distortion: Mapping[str, Any], entry: Mapping[str, Any], seed: int) -> str:
    return json.dumps([distortion["label"], entry["label"], seed])


def _at(budget: int) -> str:
    return f"regret_{budget}"


def _table(options: Mapping[str, Any], entries: Mapping[str, Entry]) -> str:
    searches, budgets = options["searches"], options["budgets"]
    of_all = [
        [entries[_key(*asked)][_at(budget)] for budget in budgets] for asked in _asked(options)
    ]
    shape = (len(options["distortions"]), len(searches), options["seeds"], len(budgets))
    lines = []
    for distortion, found in zip(
        options["distortions"], np.array(of_all).reshape(shape), strict=True
    ):
        for row, entry in enumerate(searches):
            cells = []
            for at in range(len(budgets)):
                cells.append(table.number(float(found[row, :, at].mean())))
                if row:
                    # The others against the first: above 0, the first is ahead.
                    compared = paired_difference(found[row, :, at], found[0, :, at], sign=-1.0)
                    text = table.difference(compared)
                    cells.append(f"**{text}**" if compared.low > 0 or compared.high < 0 else text)
                else:
                    cells.append("reference")
            lines.append([distortion["label"] if not row else "", entry["label"], *cells])
    head = ["values seen", "search"]
    for budget in budgets:
        head += [f"regret at {budget}", "difference (95 % interval)"]
    return table.markdown(head, lines)
