"""What a table says of one row on one dataset at one number of queries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from evidence import table
from evidence.collect import NOISE, Evidence, caution_of, metric_of
from evidence.sections import Row, Section
from optiproxy_nas.algorithm.alarms import KINDS
from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.numbers import metric_label
from optiproxy_nas.report.statistics import (
    PairedDifference,
    bootstrap_mean,
    curves_of,
    median_queries,
    paired_difference,
    queries_to,
    share,
)

EARLY = (10, 20, 30)  # queries after which the regret is told as well: later, most are at the best


@dataclass(frozen=True)
class Measured:
    """Searches of several seeds, read after ``budget`` queries.

    Attributes:
        dataset: of all of them.
        budget: number of queries.
        seeds: ascending.
        curves: best eligible value so far, [seeds, budget]; NaN while there is none.
        optimum: of the table; NaN where nobody knows it.
        told: other metrics of the architecture chosen by then, name -> [seeds]; without what the
            source does not tell.
        metric: what was maximised.
        caution: of its source, told wherever values are shown.
    """

    dataset: str
    budget: int
    seeds: tuple[int, ...]
    curves: Floats
    optimum: float
    told: Mapping[str, Floats] = field(default_factory=dict)
    metric: str = VALIDATION_ACCURACY
    caution: str = ""

    @property
    def best(self) -> Floats:
        """Best value at the end, [seeds]; NaN where nothing eligible was found."""
        return self.curves[:, -1]

    @property
    def found(self) -> Floats:
        """``best`` of the seeds that found something eligible: of plain searches, all."""
        return self.best[np.isfinite(self.best)]

    @property
    def nothing(self) -> int:
        """Seeds that found nothing eligible."""
        return len(self.seeds) - len(self.found)

    @property
    def mean(self) -> float:
        """Mean of ``found``; NaN where it is empty."""
        return float(self.found.mean()) if len(self.found) else math.nan

    @property
    def sd(self) -> float:
        """Standard deviation of ``found`` over seeds (0 with one)."""
        return float(self.found.std(ddof=1)) if len(self.found) > 1 else 0.0

    @property
    def interval(self) -> str:
        """Bootstrap interval of ``mean``, as text."""
        return table.interval(bootstrap_mean(self.found)) if len(self.found) else table.NONE

    @property
    def at_optimum(self) -> str:
        """Share of all seeds at the optimum, with its interval, as text."""
        if math.isnan(self.optimum):
            return table.NONE
        reached = self.to_optimum
        return table.percent(*share(int(np.isfinite(reached).sum()), len(reached)))

    @property
    def median_to_optimum(self) -> str:
        """Median queries to the optimum, as text."""
        if math.isnan(self.optimum):
            return table.NONE
        return table.queries(median_queries(self.to_optimum), self.budget)

    @property
    def regret(self) -> float:
        """Mean distance to the optimum; NaN where nobody knows it."""
        return max(self.optimum - self.mean, 0.0)

    @property
    def to_optimum(self) -> Floats:
        """Queries until the optimum was queried, [seeds], inf where it was not."""
        return queries_to(self.curves, self.optimum)

    def cells(self, metrics: Sequence[str] = ()) -> list[str]:
        """The columns of :func:`head`."""
        means = {metric: float(values.mean()) for metric, values in self.told.items()}
        return [
            table.number(self.mean),
            table.number(self.sd),
            self.interval,
            self.at_optimum,
            self.median_to_optimum,
            table.number(self.regret),
            *(table.number(means.get(metric), 2) for metric in metrics),
            str(len(self.seeds)),
        ]


def head(metrics: Sequence[str] = ()) -> list[str]:
    """Captions of the columns; ``metrics``: also told, means over seeds of what was chosen."""
    return [
        "mean",
        "sd",
        "95 % interval",
        "at the optimum",
        "median queries to it",
        "mean regret",
        *map(metric_label, metrics),
        "seeds",
    ]


def measure(
    evidence: Evidence,
    section: Section,
    row: Row,
    dataset: str,
    budget: int,
    told: Sequence[str] = (),
    objective: str | None = None,
) -> Measured | None:
    """Read a row's searches after ``budget`` queries; None where they were not run so far.

    Args:
        evidence: the searches.
        section: whose row it is.
        row: the row.
        dataset: one of the row's datasets.
        budget: number of queries, at most that of the searches.
        told: metrics that are also read, of what had been found by then.
        objective: label of that of the searches, where the row has several.
    """
    results, runs = evidence.of(section, row)
    if objective is not None:
        runs = runs[runs["objective"] == objective]
    settled = (runs["regret"] <= NOISE) & (row.extend is not None)
    runs = runs[(runs["dataset"] == dataset) & ((runs["budget"] >= budget) | settled)]
    if budget > (row.extend or budget):
        return None
    if runs.empty:
        return None
    rows = results[results["run_id"].isin(runs["run_id"]) & (results["query"] <= budget)]
    source, metric = str(runs["source"].iloc[0]), metric_of(runs)
    others = [name for name in told if name != metric]
    return Measured(
        dataset=dataset,
        budget=budget,
        seeds=tuple(sorted(int(seed) for seed in runs["seed"])),
        curves=_curves(rows, budget),
        optimum=float(without_noise(runs["optimum"].iloc[0])),
        metric=metric,
        caution=caution_of(runs),
        told=_told(evidence, rows, source, dataset, others) if others else {},
    )


def early_caption(is_known: bool = True) -> str:
    """Return the caption of :func:`early`; ``is_known``: whether the optimum is known."""
    return f"{'regret' if is_known else 'mean'} at {', '.join(map(str, EARLY))}"


def early(
    evidence: Evidence, section: Section, row: Row, dataset: str, objective: str | None = None
) -> str:
    """Return the mean regret after each of ``EARLY`` queries, the mean where no optimum is known.

    In brackets how many searches had found nothing by then, where some had; they are in no mean.
    """
    texts = []
    for queries in EARLY:
        found = measure(evidence, section, row, dataset, queries, objective=objective)
        if found is None:
            texts.append(table.NONE)
            continue
        value = found.mean if math.isnan(found.optimum) else found.regret
        texts.append(table.number(value) + (f" ({found.nothing} none)" if found.nothing else ""))
    return table.NONE if set(texts) == {table.NONE} else " / ".join(texts)


ALARM_HEAD = ["τ of the last 20", f"seeds with {', '.join(KINDS.values())}"]


def alarms(evidence: Evidence, section: Section, row: Row, dataset: str) -> list[str]:
    """Return the columns of ``ALARM_HEAD``: how the proxy ranked at the end, and who was warned.

    Dashes for a method without a proxy.
    """
    _, runs = evidence.of(section, row)
    runs = runs[runs["dataset"] == dataset]
    if runs["recent_kendall_tau"].isna().all():
        return [table.NONE, table.NONE]
    counts = [int(runs["alarms"].str.contains(kind, regex=False).sum()) for kind in KINDS.values()]
    tau = float(runs["recent_kendall_tau"].mean())
    return [table.number(tau, 2), " / ".join(map(str, counts))]


def told_metrics(section: Section) -> list[str]:
    """Return the metrics that a comparison reads of the answers beside what was maximised."""
    if section.render != "comparison":
        return []
    return [str(metric) for metric in section.options.get("told", [TEST_ACCURACY])]


def without_noise(values: ArrayLike) -> Floats:
    """Values to a whole number of ``NOISE``: equal accuracies are equal numbers."""
    exact = np.asarray(values, dtype=np.float64)
    return np.asarray(exact.round(round(-math.log10(NOISE))), dtype=np.float64)


def _curves(rows: pd.DataFrame, budget: int) -> Floats:
    """As ``curves_of``, NaN while nothing eligible was found."""
    curves = curves_of(rows.fillna({"best": -np.inf}), budget)
    return without_noise(np.where(np.isneginf(curves), np.nan, curves))


def _told(
    evidence: Evidence, rows: pd.DataFrame, source: str, dataset: str, metrics: Sequence[str]
) -> dict[str, Floats]:
    """Metrics of each seed's choice: the first of its best by what was maximised."""
    ordered = rows.sort_values(["seed", "query"])
    chosen = ordered.loc[ordered.groupby("seed")["value"].idxmax()].sort_values("seed")
    found = evidence.told(source, dataset, metrics, chosen["architecture"].tolist())
    return {metric: np.asarray(values, dtype=np.float64) for metric, values in found.items()}


def compare(one: Measured, other: Measured) -> tuple[PairedDifference, int]:
    """Paired difference of the best values on the seeds that both have, and how many those are.

    Seeds in which one of them found nothing eligible are left out.

    Raises:
        ValueError: they share no seed.
    """
    common = [seed for seed in one.seeds if _has(one, seed) and _has(other, seed)]
    first, second = ([float(m.best[m.seeds.index(seed)]) for seed in common] for m in (one, other))
    return paired_difference(first, second), len(common)


def _has(measured: Measured, seed: int) -> bool:
    """Whether the search of a seed was run and found something eligible."""
    return seed in measured.seeds and bool(np.isfinite(measured.best[measured.seeds.index(seed)]))
