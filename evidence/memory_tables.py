"""The tables of the section on memory: queries to the optimum, and ordered pairs of datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evidence import table
from evidence.memory_tasks import MOST_SEEDS, Case, Done, Values, sources_of
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.report.compare.tables import holm
from optiproxy_nas.report.statistics import median_queries, paired_difference, share


def _curves(
    group: Values, dataset: str, way: Values, only: list[str], found: Mapping[str, Done]
) -> dict[int, Done]:
    """Return seed -> what its search did, of the seeds that there are."""
    curves = {}
    for seed in range(MOST_SEEDS):
        key = Case(group, dataset, {**way, "from": only}, seed).key
        if key in found:
            curves[seed] = found[key]
    return curves


def optimum_table(group: Values, found: Mapping[str, Done]) -> str:
    """A row a dataset and way: median queries to the optimum, shares, regret, and the test."""
    first, last = group["read_at"]
    lines: list[list[str]] = []
    tests: list[tuple[int, float]] = []
    for dataset in group["datasets"]:
        cold = _curves(group, dataset, group["ways"][0], [], found)
        for way in group["ways"]:
            (only,) = sources_of(group, dataset, way)
            curves = _curves(group, dataset, way, only, found)
            seeds = sorted(cold.keys() & curves.keys())
            if not seeds:
                continue
            regrets = [np.stack([_regret(it[seed]) for seed in seeds]) for it in (curves, cold)]
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


def _regret(done: Done) -> Floats:
    return done.sign * (done.optimum - done.best)


def _queries(regret: Floats) -> Floats:
    """Return the queries that each seed needs to regret 0, inf where it never is: [seeds]."""
    reached = regret <= 1e-6  # the record has eight digits
    return np.where(reached.any(1), reached.argmax(1) + 1.0, np.inf)


def _trials(way: Values, only: Sequence[str]) -> int:
    return len(only) * int(way.get("queries", 100))


def pairs_table(group: Values, found: Mapping[str, Done]) -> str:
    """A row an ordered pair of datasets, and in how many the regret is lower than cold."""
    (after,) = group["read_at"]
    lines: list[list[str]] = []
    sentences = []
    cold_way = group["ways"][0]
    for way in group["ways"][1:]:
        rows, p_values = [], []
        for dataset in group["datasets"]:
            cold = _curves(group, dataset, cold_way, [], found)
            for only in sources_of(group, dataset, way):
                curves = _curves(group, dataset, way, only, found)
                seeds = sorted(cold.keys() & curves.keys())
                if len(seeds) < 2:
                    continue
                ours, base = (
                    np.array([_regret(it[seed])[after - 1] for seed in seeds])
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
        pairs = [(test.mean, p) for (*_, test), p in zip(rows, adjusted, strict=True)]
        less, more = (sum(sign * mean > 0 and p < 0.05 for mean, p in pairs) for sign in (1, -1))
        sentences.append(
            f"{way['label']}: less regret than cold in {sum(mean > 0 for mean, _ in pairs)} of "
            f"{len(pairs)} pairs; after Holm's correction significantly (p < 0.05) less in {less}, "
            f"more in {more}."
        )
    head = [
        "from",
        "on",
        "learns by",
        "seeds",
        f"regret @{after} over cold",
        "seeds better/equal/worse",
    ]
    return table.markdown([*head, "p (Holm)"], lines) + "\n\n" + " ".join(sentences)
