"""Queries to a table: the right rows, and never a stand-in."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from changed_source import changed
from optiproxy_nas.benchmarks import (
    TEST_ACCURACY,
    VALIDATION_ACCURACY,
    Benchmark,
    TabularBenchmark,
    get_source,
)
from optiproxy_nas.benchmarks.nb201 import NB201
from optiproxy_nas.benchmarks.tidy_table import assemble, tidy
from optiproxy_nas.core.errors import (
    DataError,
    InvalidArchitectureError,
    MetricUnavailableError,
    UnknownNameError,
)


@pytest.fixture(scope="module")
def benchmark_201(embedded: pd.DataFrame) -> Any:
    return TabularBenchmark(embedded, "cifar100", get_source("embedded"))


def test_it_is_a_benchmark(benchmark_201: Any) -> None:
    assert isinstance(benchmark_201, Benchmark)
    assert benchmark_201.metrics == get_source("embedded").contents.metrics
    assert benchmark_201.epochs == (200,)
    assert (benchmark_201.name, benchmark_201.space) == ("nb201", "nb201")


def test_answers_come_in_the_order_asked(embedded: pd.DataFrame, benchmark_201: Any) -> None:
    rows = embedded[embedded["dataset"] == "cifar100"].sample(50, replace=True, random_state=0)
    answers = benchmark_201.query(rows["architecture"].tolist(), VALIDATION_ACCURACY)
    assert answers.dtype == np.float64
    np.testing.assert_array_equal(answers, rows[VALIDATION_ACCURACY])
    assert benchmark_201.query([], VALIDATION_ACCURACY).shape == (0,)


def test_a_worker_gets_the_same_answers(embedded: pd.DataFrame, benchmark_201: Any) -> None:
    copy = pickle.Unpickler(io.BytesIO(pickle.dumps(benchmark_201))).load()
    assert copy.optimum(VALIDATION_ACCURACY) == benchmark_201.optimum(VALIDATION_ACCURACY)


def test_a_metric_that_the_source_lacks_is_refused(benchmark_201: Any) -> None:
    cell = benchmark_201.optimum(VALIDATION_ACCURACY)[0]
    with pytest.raises(MetricUnavailableError, match="holds no test_accuracy of cifar100"):
        benchmark_201.query([cell], TEST_ACCURACY)
    with pytest.raises(MetricUnavailableError):
        benchmark_201.optimum(TEST_ACCURACY)


def test_another_spelling_is_found_and_nonsense_is_not(benchmark_201: Any) -> None:
    cell, value = benchmark_201.optimum(VALIDATION_ACCURACY)
    assert benchmark_201.query([f" {cell} "], VALIDATION_ACCURACY) == [value]
    for nonsense in ("|none~0|", cell.replace("nor_conv_3x3", "conv"), None):
        with pytest.raises(InvalidArchitectureError):
            benchmark_201.query([cell, nonsense], VALIDATION_ACCURACY)


def test_a_cell_that_the_table_lacks_is_named(embedded: pd.DataFrame) -> None:
    rows = embedded[embedded["dataset"] == "cifar10"]
    partial = TabularBenchmark(rows.iloc[1:], "cifar10", get_source("embedded"))
    with pytest.raises(DataError, match="is valid, but source 'embedded'"):
        partial.query([rows["architecture"].iloc[0]], VALIDATION_ACCURACY)


def test_an_unknown_dataset_suggests_the_nearest(embedded: pd.DataFrame) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'imagenet16-120'"):
        TabularBenchmark(embedded, "ImageNet16-120", get_source("embedded"))


def test_a_cell_that_occurs_twice_is_refused(embedded: pd.DataFrame) -> None:
    with pytest.raises(DataError) as caught:
        TabularBenchmark(embedded.iloc[[0, 0]], "cifar10", get_source("embedded"))
    assert caught.value.data["dataset"] == "cifar10"


def test_measurements_of_one_cell(embedded: pd.DataFrame, benchmark_201: Any) -> None:
    cell = benchmark_201.optimum(VALIDATION_ACCURACY)[0]
    measured = benchmark_201.measurements(cell)
    assert measured["training_seeds"] in (2, 3)
    assert 0.07 < measured["parameters_millions"] < 1.6
    assert 1 < measured["latency_ms"] < 100  # milliseconds, not the file's seconds
    assert not {VALIDATION_ACCURACY, TEST_ACCURACY} & measured.keys()


def test_the_table_is_that_of_full_training(embedded: pd.DataFrame, benchmark_201: Any) -> None:
    rows = embedded[embedded["dataset"] == "cifar100"]
    table = benchmark_201.table([VALIDATION_ACCURACY, "latency_ms"])
    assert list(table) == ["architecture", VALIDATION_ACCURACY, "latency_ms"]
    np.testing.assert_array_equal(table.to_numpy(), rows[list(table)].to_numpy())
    with pytest.raises(MetricUnavailableError, match="edgegpu_latency_ms"):
        benchmark_201.table(["edgegpu_latency_ms"])


def test_epochs_that_the_source_lacks_are_refused_with_what_to_fetch(benchmark_201: Any) -> None:
    cell = benchmark_201.optimum(VALIDATION_ACCURACY)[0]
    assert benchmark_201.query([cell], VALIDATION_ACCURACY, 200) == benchmark_201.query(
        [cell], VALIDATION_ACCURACY
    )
    with pytest.raises(MetricUnavailableError, match=r"after 200 epochs .*schedule12") as caught:
        benchmark_201.query([cell], VALIDATION_ACCURACY, epochs=5)
    assert caught.value.data["epochs"] == [200]


@pytest.fixture(scope="module")
def two_fidelities() -> Any:
    codes = torch.tensor([[0] * 6, [1] * 6])
    early: dict[str, Any] = {VALIDATION_ACCURACY: [10.0, 20.0], "edgetpu_latency_ms": np.nan}
    full: dict[str, Any] = {VALIDATION_ACCURACY: [30.0, 40.0], "edgetpu_latency_ms": [np.inf, 2.0]}
    rows = [tidy(NB201, codes, "cifar10", early, epochs=12), tidy(NB201, codes, "cifar10", full)]
    return TabularBenchmark(
        assemble(rows), "cifar10", changed(get_source("embedded"), name="made-up")
    )


def test_answers_by_epochs(two_fidelities: Any) -> None:
    cells = two_fidelities.table([VALIDATION_ACCURACY])["architecture"].tolist()
    assert two_fidelities.epochs == (12, 200)
    for epochs, values in ((12, [10, 20]), (200, [30, 40]), (None, [30, 40])):
        assert two_fidelities.query(cells, VALIDATION_ACCURACY, epochs).tolist() == values
    assert two_fidelities.query(cells, "edgetpu_latency_ms").tolist() == [np.inf, 2.0]
    assert two_fidelities.measurements(cells[0]) == {"edgetpu_latency_ms": np.inf}
    with pytest.raises(MetricUnavailableError, match="after 200 epochs of training, not after 12"):
        two_fidelities.query(cells, "edgetpu_latency_ms", 12)
