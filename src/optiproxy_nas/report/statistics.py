"""The statistics behind every reported number: intervals, paired differences, run lengths.

Curves are arrays [seeds, queries] of the best value so far: row by seed, column by query
(column 0 is the first query). Everything here is a pure function; the bootstrap draws from its own
fixed stream, so a table made twice is the same table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike

from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.numbers import TIE

RESAMPLES = 9999  # of the bootstrap: Davison & Hinkley (1997) ask for 999 at 95 %


class Interval(NamedTuple):
    """A confidence interval, in the units of the values."""

    low: float
    high: float


class PairedDifference(NamedTuple):
    """Mean of a - b over pairs with its bootstrap interval; counts of pairs where a is ahead."""

    mean: float
    low: float
    high: float
    p_value: float
    wins: int
    ties: int
    losses: int

    @property
    def ahead(self) -> bool:
        """Whether the whole interval lies above zero: only then may ``a`` be called better."""
        return self.low > 0

    @property
    def behind(self) -> bool:
        """Whether the whole interval lies below zero."""
        return self.high < 0


def bootstrap_mean(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the percentile bootstrap interval of the mean (Efron & Tibshirani 1993, chapter 13).

    Args:
        values: one value a seed, [seeds], finite.
        confidence: of the interval, between 0 and 1.

    Raises:
        ValueError: no values, or some not finite.
    """
    sample = _sample(values)
    if np.ptp(sample) == 0:  # one seed, or all alike: resampling can show nothing
        return Interval(float(sample[0]), float(sample[0]))
    interval = scipy.stats.bootstrap(
        (sample,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(float(interval.low), float(interval.high))


def share(hits: int, total: int) -> tuple[float, Interval]:
    """Return the share of successes, and its 95 % interval by Wilson's score (Wilson 1927).

    Unlike the normal approximation it says something at 0 % and 100 %.

    Raises:
        ValueError: ``total`` below 1, or ``hits`` outside 0..total.
    """
    interval = scipy.stats.binomtest(hits, total).proportion_ci(method="wilson")
    return hits / total, Interval(float(interval.low), float(interval.high))


def paired_difference(a: ArrayLike, b: ArrayLike, sign: float = 1.0) -> PairedDifference:
    """Compare two methods on the same seeds, in pairs.

    Args:
        a: one value a seed, [seeds].
        b: the other method's, [seeds], in the same order of seeds.
        sign: -1 where lower values are better.

    Returns:
        Mean of a - b with the 95 % bootstrap interval over seeds, the two-sided p-value of
        Wilcoxon's signed-rank test (pairs that tie are dropped; 1.0 where all do), and how many
        seeds a wins, ties and loses.

    Raises:
        ValueError: samples of unequal length, empty, or not finite.
    """
    first, second = _sample(a), _sample(b)
    if len(first) != len(second):
        raise ValueError(f"paired samples of {len(first)} and {len(second)} values")
    difference = first - second
    difference[np.abs(difference) <= TIE] = 0.0
    low, high = bootstrap_mean(difference)
    tied = not difference.any()
    return PairedDifference(
        mean=float(difference.mean()),
        low=low,
        high=high,
        p_value=1.0 if tied else float(scipy.stats.wilcoxon(difference[difference != 0]).pvalue),
        wins=int((sign * difference > 0).sum()),
        ties=int((difference == 0).sum()),
        losses=int((sign * difference < 0).sum()),
    )


def queries_to(curves: ArrayLike, target: float, sign: float = 1.0) -> Floats:
    """Return the queries each seed needed for ``target``: [seeds], 1-based, inf where never.

    ``sign`` is -1 where lower values are better.
    """
    reached = sign * np.atleast_2d(np.asarray(curves, dtype=np.float64)) >= sign * target - TIE
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


def median_queries(queries: ArrayLike) -> float:
    """Return the median of the queries needed; inf if half or more never got there.

    With an even number of seeds it is the mean of the two in the middle, so exactly half that
    never got there gives inf.
    """
    return float(np.median(np.asarray(queries, dtype=np.float64)))


def run_length(queries: ArrayLike, budget: int) -> tuple[Floats, Floats]:
    """Return the empirical run-length distribution (Hoos & Stützle 1998).

    Args:
        queries: queries needed by each seed, [seeds], inf where never; see ``queries_to``.
        budget: where the distribution ends; later successes are not counted.

    Returns:
        Queries 0..budget, and the share of seeds that had succeeded by each, both [budget + 1].
    """
    x = np.arange(budget + 1, dtype=np.float64)
    ordered = np.sort(np.asarray(queries, dtype=np.float64))
    return x, np.searchsorted(ordered, x, side="right") / max(len(ordered), 1)


def curves_of(results: pd.DataFrame, budget: int) -> Floats:
    """Return the best value so far of each seed at each query.

    Args:
        results: rows of one method and setting on one data set, columns seed, query (1-based) and
            best; see the results schema in ``sweeps``.
        budget: number of queries to read, from the first.

    Returns:
        Curves [seeds, budget], rows in ascending order of seed. A search that stopped early (its
        space was exhausted) keeps its last value.

    Raises:
        ValueError: a seed has two values for one query, or none for the first.
    """
    rows = results[results["query"] <= budget]
    if rows.duplicated(["seed", "query"]).any():
        raise ValueError("two runs of one seed: select one method, setting and data set first")
    table = rows.pivot(index="seed", columns="query", values="best")
    wide = table.reindex(columns=range(1, budget + 1)).ffill(axis=1).sort_index()
    if wide.isna().to_numpy().any():
        raise ValueError(f"no first query for seeds {wide.index[wide.isna().any(axis=1)].tolist()}")
    return wide.to_numpy(dtype=np.float64)


def standard_error(curves: ArrayLike) -> Floats:
    """Return the standard error over seeds at each query, [queries]; 0 with one seed."""
    values = np.atleast_2d(np.asarray(curves, dtype=np.float64))
    if len(values) < 2:
        return np.zeros(values.shape[1])
    return np.asarray(scipy.stats.sem(values), dtype=np.float64)


def welch_difference(
    mean_a: float, sd_a: float, n_a: int, mean_b: float, sd_b: float, n_b: int
) -> tuple[float, Interval]:
    """Return the difference of two quoted means and its interval (Welch 1947).

    Args:
        mean_a: mean of the first sample; ``sd_a`` its standard deviation, ``n_a`` its size.
        sd_a: 0 where all values are alike, or none is known: the interval then lacks that part.
        n_a: at least 2 where ``sd_a`` is not 0.
        mean_b: of the second; the difference is a - b.
        sd_b: as ``sd_a``.
        n_b: as ``n_a``.

    Returns:
        The difference and its 95 % interval by Welch's t.
    """
    variances = [(sd**2 / n, n - 1) for sd, n in ((sd_a, n_a), (sd_b, n_b)) if sd > 0]
    difference, variance = mean_a - mean_b, sum(each for each, _ in variances)
    if variance == 0:
        return difference, Interval(difference, difference)
    freedom = variance**2 / sum(each**2 / df for each, df in variances)
    half = float(scipy.stats.t.ppf(0.975, freedom)) * math.sqrt(variance)
    return difference, Interval(difference - half, difference + half)


def _sample(values: ArrayLike | Sequence[float]) -> Floats:
    sample = np.array(values, dtype=np.float64).ravel()
    if sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError("a sample must have at least one value, and only finite ones")
    return sample
