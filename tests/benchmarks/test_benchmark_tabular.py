"""Queries to a table: the right rows, and never a stand-in."""

import io
import pickle

import numpy as np
import pytest

from optiproxy_nas.benchmarks import Benchmark, Metric, TabularBenchmark
from optiproxy_nas.errors import (
    DataError,
    InvalidArchitectureError,
    MetricUnavailableError,
    UnknownNameError,
)


@pytest.fixture(scope="module")
def benchmark_201(embedded):
    return TabularBenchmark(embedded, "cifar100", "embedded")


def test_it_is_a_benchmark(benchmark_201):
    assert isinstance(benchmark_201, Benchmark)
    assert benchmark_201.metrics == {Metric.VALIDATION_ACCURACY}
    assert (benchmark_201.name, benchmark_201.space) == ("nb201", "nb201")


def test_answers_come_in_the_order_asked(embedded, benchmark_201):
    rows = embedded[embedded["dataset"] == "cifar100"].sample(50, replace=True, random_state=0)
    answers = benchmark_201.query(rows["architecture"].tolist(), Metric.VALIDATION_ACCURACY)
    assert answers.dtype == np.float64
    np.testing.assert_array_equal(answers, rows["accuracy"])
    assert benchmark_201.query([], Metric.VALIDATION_ACCURACY).shape == (0,)


def test_a_worker_gets_the_same_answers(embedded, benchmark_201):
    copy = pickle.Unpickler(io.BytesIO(pickle.dumps(benchmark_201))).load()
    assert copy.optimum(Metric.VALIDATION_ACCURACY) == benchmark_201.optimum(
        Metric.VALIDATION_ACCURACY
    )


def test_a_metric_that_the_source_lacks_is_refused(benchmark_201):
    cell = benchmark_201.optimum(Metric.VALIDATION_ACCURACY)[0]
    with pytest.raises(MetricUnavailableError, match="holds no test_accuracy of cifar100"):
        benchmark_201.query([cell], Metric.TEST_ACCURACY)
    with pytest.raises(MetricUnavailableError):
        benchmark_201.optimum(Metric.TEST_ACCURACY)


def test_another_spelling_is_found_and_nonsense_is_not(benchmark_201):
    cell, value = benchmark_201.optimum(Metric.VALIDATION_ACCURACY)
    assert benchmark_201.query([f" {cell} "], Metric.VALIDATION_ACCURACY) == [value]
    for nonsense in ("|none~0|", cell.replace("nor_conv_3x3", "conv"), None):
        with pytest.raises(InvalidArchitectureError):
            benchmark_201.query([cell, nonsense], Metric.VALIDATION_ACCURACY)


def test_a_cell_that_the_table_lacks_is_named(embedded):
    rows = embedded[embedded["dataset"] == "cifar10"]
    partial = TabularBenchmark(rows.iloc[1:], "cifar10", "embedded")
    with pytest.raises(DataError, match="is a valid cell, but source 'embedded'"):
        partial.query([rows["architecture"].iloc[0]], Metric.VALIDATION_ACCURACY)


def test_an_unknown_dataset_suggests_the_nearest(embedded):
    with pytest.raises(UnknownNameError, match="Did you mean 'imagenet16-120'"):
        TabularBenchmark(embedded, "ImageNet16-120", "embedded")


def test_a_cell_that_occurs_twice_is_refused(embedded):
    with pytest.raises(DataError, match="twice"):
        TabularBenchmark(embedded.iloc[[0, 0]], "cifar10", "embedded")


def test_measurements_of_one_cell(embedded, benchmark_201):
    cell = benchmark_201.optimum(Metric.VALIDATION_ACCURACY)[0]
    measured = benchmark_201.measurements(cell)
    assert measured["training_seeds"] in (2, 3)
    assert 0.07 < measured["parameters_millions"] < 1.6
