"""Benchmarks: what an architecture scores, from tables of published values."""

from optiproxy_nas.benchmarks.base import Benchmark, Metric
from optiproxy_nas.benchmarks.sources import SOURCES, RawFile, Source, get_source
from optiproxy_nas.benchmarks.tabular import TabularBenchmark

__all__ = [
    "SOURCES",
    "Benchmark",
    "Metric",
    "RawFile",
    "Source",
    "TabularBenchmark",
    "get_source",
]
