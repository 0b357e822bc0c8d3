"""Which cells a run is judged on: all of a table, some of a large one, random ones without one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.evaluation.finished_run import SearchHistory
from optiproxy_nas.report.diagnose import reference_cells as module
from optiproxy_nas.report.diagnose.landscape import make_landscape
from optiproxy_nas.report.diagnose.reference_cells import Cells, cells_of, probe_rows
from optiproxy_nas.spaces.nb201 import NASBench201


class NoTable:
    """The made-up table, of which nobody can have the whole."""

    def __init__(self, benchmark: Any) -> None:
        self._benchmark = benchmark
        self.target, self.metrics = benchmark.target, benchmark.metrics
        self.asked = 0

    def query(self, architectures: Any, metric: str, epochs: Any = None) -> Any:
        self.asked += len(architectures)
        return self._benchmark.query(architectures, metric, epochs)

    def table(self, metrics: Any) -> None:
        return None


@pytest.fixture
def unlisted(run: SearchHistory) -> Any:
    without: Any = NoTable(run.benchmark)
    return run._replace(benchmark=without)


def test_a_table_is_taken_whole(cells: Cells, table: pd.DataFrame) -> None:
    assert cells.complete
    assert cells.drawn == cells.total == len(cells.values) == len(table)
    assert cells.description == "All cells of the table"


def test_of_a_large_table_some_are_drawn_and_the_best_and_the_queried_join(
    nb201: NASBench201, run: SearchHistory, cells: Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OF_TABLE", 300)
    some = cells_of(nb201, run)
    assert (some.drawn, some.total) == (300, 15_625)
    assert not some.complete
    assert some.optimum == cells.optimum == some.values.max()
    names = nb201.identify(some.codes)
    assert len(set(names)) == len(names)
    assert set(nb201.identify(codes_of(nb201, run.archive))) <= set(names)
    assert some.description == (
        "300 random cells of the 15,625 of the table, with the best one and those queried,"
    )
    value = dict(zip(cells.table["architecture"], cells.values, strict=True))
    assert [value[name] for name in some.table["architecture"]] == some.values.tolist()
    landscape = make_landscape(nb201, some, codes_of(nb201, run.archive), 4)
    assert landscape.best == f"optimum of the table: {cells.optimum:.2f} %"
    assert (landscape.values[landscape.queries] == run.archive["value"]).all()


def test_where_there_is_no_table_the_benchmark_is_asked(
    nb201: NASBench201, unlisted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OF_SPACE", 200)
    some = cells_of(nb201, unlisted)
    assert some.total == 0
    assert some.optimum is None
    assert 190 < some.drawn <= 200
    assert unlisted.benchmark.asked == len(some.values)
    assert "random architectures of the space" in some.description
    landscape = make_landscape(nb201, some, codes_of(nb201, unlisted.archive), 4)
    assert landscape.best == f"best of these: {some.values.max():.2f} %"
    assert landscape.drawn == some.drawn


def test_the_draw_and_the_probe_do_not_depend_on_the_run(
    nb201: NASBench201, unlisted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OF_SPACE", 200)
    half = unlisted._replace(archive=unlisted.archive.head(8))
    some, fewer = cells_of(nb201, unlisted), cells_of(nb201, half)
    assert (some.codes[: some.drawn] == fewer.codes[: fewer.drawn]).all()
    rows = probe_rows(unlisted, nb201, some, 100)
    assert rows.max() < some.drawn
    queried = set(nb201.identify(codes_of(nb201, unlisted.archive)))
    assert not queried & set(nb201.identify(some.codes[rows]))
    more = probe_rows(half, nb201, fewer, 100)
    assert np.isin(rows, more).all()
