"""Comparisons of runs that were made up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from made_runs import found, make_run

from coarse import coarse_pictures
from optiproxy_nas.evaluation.finished_run import FoundRuns
from optiproxy_nas.report.compare import comparison_html


@pytest.fixture(autouse=True, scope="module")
def coarse_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        coarse_pictures(monkeypatch, comparison_html)
        yield


@pytest.fixture(scope="module")
def two_methods() -> FoundRuns:
    """Eight seeds of two methods on two datasets; the first method is better by 1 on each seed."""
    runs = []
    for dataset in ("cifar10", "cifar100"):
        for seed in range(8):
            values = [20 + seed, 10, 30 + seed % 3, 33 + seed % 2]
            runs.append(make_run(seed, values, dataset=dataset))
            worse = [value - 1 for value in values]
            runs.append(make_run(seed, worse, dataset=dataset, method="tpe", preset=None))
    return found(*runs)
