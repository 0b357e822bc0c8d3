"""Random search meets its exact expectation: a check of the whole harness."""

from __future__ import annotations

import os
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import gammaln

from optiproxy_nas.benchmarks.base import VALIDATION_ACCURACY
from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark
from optiproxy_nas.evaluation.function_evaluator import batched
from optiproxy_nas.evaluation.loop import run_method
from optiproxy_nas.methods import build_method
from optiproxy_nas.spaces.nb201 import NASBench201

BUDGETS = (100, 192, 280)
SEEDS = 100
KNOWN = {
    "cifar10": (91.04, 91.19, 91.26),
    "cifar100": (71.45, 71.87, 72.10),
    "imagenet16-120": (45.36, 45.70, 45.87),
}
needs_tables = pytest.mark.skipif(
    "OPTIPROXY_DATA_DIR" not in os.environ, reason="OPTIPROXY_DATA_DIR is not set"
)


def expected_best_of_random(values: Any, budget: int) -> Any:
    """E[max of ``budget`` of the n values, drawn without replacement].

    The i-th smallest (i = 1..n) is the largest drawn with probability C(i-1, m-1) / C(n, m).
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n, m = len(ordered), budget
    i = np.arange(m, n + 1)
    log_ways = gammaln(i) - gammaln(m) - gammaln(i - m + 1)
    log_all = gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1)
    return float(np.exp(log_ways - log_all) @ ordered[m - 1 :])


@pytest.mark.parametrize("budget", [1, 2, 3, 5])
def test_the_expectation_is_exact(budget: int) -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0]
    every = [max(drawn) for drawn in combinations(values, budget)]
    assert expected_best_of_random(values, budget) == pytest.approx(np.mean(every))


@cache
def searches() -> Any:
    """Architectures of many searches, which do not depend on the values: [seeds, 280] numbers."""
    space, budget = NASBench201(), max(BUDGETS)
    rows = []
    for seed in range(SEEDS):
        method = build_method("random_search", space, {"batch": budget}, budget, seed)
        archive, _ = run_method(space, batched(lambda names: np.zeros(len(names))), method, budget)
        rows.append(space.identify(space.from_string(archive["architecture"].tolist())))
    return np.array(rows)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("source", "dataset"),
    [
        ("embedded", "cifar100"),
        *(pytest.param("v1_0", dataset, marks=needs_tables) for dataset in KNOWN),
    ],
)
def test_mean_best_meets_its_expectation(source: Any, dataset: Any) -> None:
    space = NASBench201()
    names = space.to_string(torch.cartesian_prod(*[torch.arange(5)] * 6))
    values = load_benchmark(source, dataset).query(names, VALIDATION_ACCURACY)
    best = np.maximum.accumulate(values[searches()], axis=1)
    for budget, known in zip(BUDGETS, KNOWN[dataset], strict=True):
        expected = expected_best_of_random(values, budget)
        if source == "v1_0":
            assert expected == pytest.approx(known, abs=0.01)
        reached = best[:, budget - 1]
        assert abs(reached.mean() - expected) < 4 * reached.std(ddof=1) / np.sqrt(SEEDS)


def test_the_batch_decides_no_query(nb201: NASBench201) -> None:
    values = {
        batch: run_method(
            nb201,
            lambda name: 0.0,
            build_method("random_search", nb201, {"batch": batch}, 50, 0),
            50,
        )[0]["architecture"].tolist()
        for batch in (1, 7, 50)
    }
    assert values[1] == values[7] == values[50]
