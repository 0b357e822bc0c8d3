"""Which cells a run is judged on: all of a table, some of a large one, random ones without one."""

import numpy as np
import pytest

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.report.diagnose import reference_cells as module
from optiproxy_nas.report.diagnose.landscape import make_landscape
from optiproxy_nas.report.diagnose.reference_cells import cells_of, probe_rows


class NoTable:
    """The made-up table, of which nobody can have the whole."""

    def __init__(self, benchmark):
        self._benchmark = benchmark
        self.target, self.metrics = benchmark.target, benchmark.metrics
        self.asked = 0

    def query(self, architectures, metric, epochs=None):
        self.asked += len(architectures)
        return self._benchmark.query(architectures, metric, epochs)

    def table(self, metrics):
        return None


@pytest.fixture
def unlisted(run):
    return run._replace(benchmark=NoTable(run.benchmark))


def test_a_table_is_taken_whole(cells, table):
    assert cells.complete
    assert cells.drawn == cells.total == len(cells.values) == len(table)
    assert cells.description == "All cells of the table"


def test_of_a_large_table_some_are_drawn_and_the_best_and_the_queried_join(
    nb201, run, cells, monkeypatch
):
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


def test_where_there_is_no_table_the_benchmark_is_asked(nb201, unlisted, monkeypatch):
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


def test_the_draw_and_the_probe_do_not_depend_on_the_run(nb201, unlisted, monkeypatch):
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
