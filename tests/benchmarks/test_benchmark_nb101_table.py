"""NAS-Bench-101's compact archive: a small one made here, and the real one where it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from ingested import Ingested
from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE
from optiproxy_nas.benchmarks.readers.nb101_table import (  # type: ignore[attr-defined]
    EPOCHS,
    SOURCE,
    VALIDATION,
    codes_of,
    read,
    read_validation,
)
from optiproxy_nas.benchmarks.source_benchmark import TabularBenchmark
from optiproxy_nas.benchmarks.tidy_table import assemble, check_table
from optiproxy_nas.core.errors import MetricUnavailableError
from optiproxy_nas.spaces.nb101 import NASBench101

SPACE = NASBench101()


@pytest.fixture
def arrays() -> Any:
    """Three cells: input -> output; conv3x3 with a bypass; pool -> conv1x1."""
    return {
        "num_vertices": np.array([2, 3, 4], dtype=np.uint8),
        # Pairs (0,1) (0,2) .. (1,2) .., the first one the lowest bit.
        "edge_bits": np.array([0b1, 0b111, 0b101001], dtype=np.uint32),
        "ops": np.array([[255] * 5, [0, *[255] * 4], [2, 1, 255, 255, 255]], dtype=np.uint8),
        "mean_test_count_of_29952": np.array([2995, 28080, 14976], dtype=np.uint16),
        "params": np.array([227_274, 8_000_000, 2_500_000], dtype=np.int32),
        "val_index": np.array([2, 1], dtype=np.int32),
        "val_count_of_9984_epochs_4_12_36_108": np.array(
            [[2496, 4992, 7488, 9984], [998, 1, 2, 9000]], dtype=np.uint16
        ),
        "val_training_time": np.array([1000.0, 1500.0], dtype=np.float32),
    }


def test_cells_are_read_by_hand(arrays: Any) -> None:
    assert SPACE.to_string(codes_of(arrays)) == [
        "/1",
        "conv3x3/11.1",
        "maxpool3x3+conv1x1/100.10.1",
    ]


def test_the_table_of_all_cells(arrays: Any) -> None:
    rows = read(SOURCE.publication.files[0], arrays)
    assert rows["test_accuracy"].tolist() == pytest.approx([2995 / 299.52, 93.75, 50])
    assert rows["parameters_millions"].tolist() == pytest.approx([0.227274, 8, 2.5])
    assert set(rows["epochs"]) == {108}
    assert "validation_accuracy" not in rows


def test_the_table_of_validation_accuracies(arrays: Any) -> None:
    table = check_table(
        assemble([read_validation(VALIDATION.publication.files[0], arrays)]), VALIDATION
    )
    benchmark = TabularBenchmark(table, "cifar10", VALIDATION)
    cells = ["maxpool3x3+conv1x1/100.10.1", "conv3x3/11.1"]
    other = [count / 99.84 for count in (998, 1, 2, 9000)]  # per cent of 9,984
    for epochs, *expected in zip(EPOCHS, (25, 50, 75, 100), other, strict=True):
        found = benchmark.query(cells, "validation_accuracy", epochs)
        assert found.tolist() == pytest.approx(expected)
    curve = [benchmark.query(cells[:1], "validation_accuracy", e)[0] for e in EPOCHS]
    assert curve == [25, 50, 75, 100]
    assert benchmark.query(cells, "test_accuracy").tolist() == pytest.approx([50, 93.75])
    assert benchmark.query(cells, "training_seconds").tolist() == [1000, 1500]
    assert benchmark.epochs == EPOCHS
    assert not benchmark.continues
    with pytest.raises(MetricUnavailableError, match="after 108 epochs of training, not after 4"):
        benchmark.query(cells, "test_accuracy", 4)


def test_all_cells_are_searched_on_test_accuracy_and_the_source_says_so() -> None:
    assert SOURCE.contents.target == "test_accuracy"
    assert "TEST images" in SOURCE.contents.caution
    assert "never" in SOURCE.contents.caution
    assert "validation_accuracy" not in SOURCE.contents.metrics
    assert VALIDATION.contents.caution == ""


@pytest.fixture(scope="module")
def real() -> Path:
    own = os.environ.get(DATA_DIRECTORY_VARIABLE)
    if not own or not (Path(own) / "nb101" / "nb101_table.npz").is_file():
        pytest.skip(f"{DATA_DIRECTORY_VARIABLE} has no nb101/nb101_table.npz")
    return Path(own) / "nb101"


def assert_hashes(real: Path, rows: slice | np.ndarray) -> None:
    """The cells of some rows of the table have the hashes that the benchmark lists for them."""
    with np.load(real / SOURCE.publication.files[0].name) as archive:
        arrays = {name: archive[name][rows] for name in ("num_vertices", "edge_bits", "ops")}
    listed = np.load(real / "nb101_hashes_uint8x16.npy", mmap_mode="r")[rows]
    codes = codes_of(arrays)
    for part, expected in zip(codes.split(8192), _blocks(listed), strict=True):  # type: ignore[no-untyped-call]
        assert SPACE.hashes(part) == [bytes(row).hex() for row in expected]
    assert len(set(SPACE.identify(codes))) == len(listed)


def _blocks(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + 8192] for start in range(0, len(rows), 8192)]


def test_real_cells_have_their_hashes(real: Path) -> None:
    """A sample of the rows; all of them below."""
    assert_hashes(real, np.sort(np.random.default_rng(0).choice(423_624, 2000, replace=False)))


@pytest.mark.slow
def test_all_real_cells_have_their_hashes(real: Path) -> None:
    """423,624 of them, a minute or so."""
    with np.load(real / SOURCE.publication.files[0].name) as archive:
        assert len(archive["num_vertices"]) == SPACE.size
    assert_hashes(real, slice(None))


@pytest.mark.usefixtures("real")
def test_the_real_tables_known_figures(ingested: Ingested) -> None:
    every = TabularBenchmark(ingested.table("nb101_table"), "cifar10", SOURCE)
    assert len(every.table(["test_accuracy"])) == SPACE.size
    architecture, value = every.optimum("test_accuracy")
    assert value == pytest.approx(94.3176, abs=5e-5)
    assert SPACE.hashes(SPACE.from_string([architecture])) == ["02e5a0247bbdcf2860b7e96f74961594"]
    some = load_benchmark("nb101_validation", "cifar10")
    table: Any = some.table(["validation_accuracy"])
    cells = table["architecture"].tolist()
    assert len(cells) == 30_001
    test = every.query(cells, "test_accuracy")
    assert np.array_equal(test, some.query(cells, "test_accuracy"))
    figures = [
        spearmanr(some.query(cells, "validation_accuracy", epochs), test).statistic
        for epochs in EPOCHS
    ]
    assert figures == pytest.approx([0.48, 0.64, 0.89, 0.986], abs=0.005)
