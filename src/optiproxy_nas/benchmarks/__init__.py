"""Benchmarks: what an architecture scores and costs, from tables of published values."""

from optiproxy_nas.benchmarks.base import TEST_ACCURACY, VALIDATION_ACCURACY, Benchmark
from optiproxy_nas.benchmarks.source_benchmark import TabularBenchmark
from optiproxy_nas.benchmarks.source_registry import SOURCES, get_source
from optiproxy_nas.benchmarks.sources import RawFile, Source

__all__ = [
    "SOURCES",
    "TEST_ACCURACY",
    "VALIDATION_ACCURACY",
    "Benchmark",
    "RawFile",
    "Source",
    "TabularBenchmark",
    "get_source",
]
