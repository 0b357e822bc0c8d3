"""No value that a search has not paid for reaches it, of any source and under any objective.

Each search is made twice. Before the second, every value that the first did not query is another,
wherever the code may read it from: the trajectory must be the same, and what is read from the table
after the search must not.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optiproxy_nas import search
from optiproxy_nas.benchmarks import benchmark_cache
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE
from optiproxy_nas.benchmarks.source_benchmark import SurrogateBenchmark
from optiproxy_nas.benchmarks.source_registry import SOURCES, check_serves, get_source
from optiproxy_nas.benchmarks.tidy_table import metric_names
from optiproxy_nas.core.errors import DataError, ParameterError
from optiproxy_nas.spaces import get_space

pytestmark = pytest.mark.heavy

QUICK = {
    "fit": {"epochs": 2, "first_epochs": 2},
    "gradient": {"epochs": 2},
    "selection": {"samples": 20, "batch": 2},
}
PRESETS = {"default": {}, "ensemble": QUICK}
# Of no space of their own: they add metrics or fidelities to a table.
JOINED = {"hw_nas_bench": "embedded", "hw_nas_bench_pickle": "embedded", "schedule12": "v1_0"}
# Seconds to read, or to fit the surrogate.
LARGE = {"nb101_table", "nb101_validation", "nb301_yahpo", "nbnlp_surrogate", "hwgpt_surrogate"}
BUILT_IN = [name for name in SOURCES if name not in SOURCES.plug_ins]


def bounded(*constraints: Any) -> Any:
    return {"name": "constrained", "constraints": list(constraints)}


class Values:
    """The values of all sources: true at first; later others, but those that were queried.

    Attributes:
        asked: (architecture, epochs) -> none of these may be another; None: all are true.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = None
        self._load, self._open = benchmark_cache._loaded, benchmark_cache.open_benchmark  # type: ignore[attr-defined]
        monkeypatch.setattr(benchmark_cache, "_loaded", self._loaded)
        monkeypatch.setattr(benchmark_cache, "open_benchmark", self._opened)

    def _loaded(self, name: str, dataset: Any, directory: Any) -> Any:
        table, model = self._load(name, dataset, directory)
        if self.asked is None or model:
            return table, model
        table, rng = table.copy(), np.random.default_rng(0)
        keys = zip(table["architecture"], table["epochs"], strict=True)
        free = np.array([key not in self.asked for key in keys])
        for metric in metric_names(table):
            values = table.loc[free, metric].to_numpy(copy=True)
            finite = np.isfinite(values)
            values[finite] = rng.permutation(2 * values[finite].max() - values[finite])
            table.loc[free, metric] = values
        return table, model

    def _opened(self, table: Any, model: Any, dataset: Any, source: Any) -> Any:
        found = self._open(table, model, dataset, source)
        if self.asked is None or not model:
            return found
        space, predict = get_space(source.family.space), source.model.load(model)

        def other(codes: Any, metric: str, epochs: int) -> Any:
            known = np.array([(text, epochs) in self.asked for text in space.to_string(codes)])
            values = np.asarray(predict(codes, metric, epochs))
            return np.where(known, values, values + 7.0 * np.cos(np.arange(len(values))))

        return SurrogateBenchmark(source, dataset, other, source.model.metrics)


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> Values:
    return Values(monkeypatch)


def queries_of(result: Any) -> Any:
    """What a search has paid for: architecture and epochs, and what a device measures (0)."""
    archive = result.archive
    full = get_source(result.parameters.source).family.full_epochs
    epochs = archive["epochs"] if "epochs" in archive else [full] * len(archive)
    return {*zip(archive["architecture"], epochs, strict=True)} | {
        (architecture, 0) for architecture in archive["architecture"]
    }


def assert_blind(values: Any, **arguments: Any) -> None:
    """Search twice, the second time among other values."""
    source = get_source(arguments["source"])
    files = [file for part in source.parts for file in part.publication.files]
    if DATA_DIRECTORY_VARIABLE not in os.environ and not all(it.package_path for it in files):
        pytest.skip("no package brings its files, and there is no folder of them")
    try:
        check_serves(source)
        dataset = arguments.get("dataset", source.datasets[0])
        benchmark_cache.load_benchmark(source.name, dataset, complete=True)
    except (DataError, ParameterError) as error:
        pytest.skip(error.message)
    first = search(**arguments)
    values.asked = queries_of(first)
    second = search(**arguments)
    pd.testing.assert_frame_equal(first.archive, second.archive)
    pd.testing.assert_frame_equal(first.diagnostics, second.diagnostics)
    assert len(first.diagnostics) > 1  # steps that a proxy chose
    if first.optimum is not None:
        assert first.optimum != second.optimum  # looked up afterwards, among the other values


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "name",
    [pytest.param(it, marks=[pytest.mark.slow] if it in LARGE else []) for it in BUILT_IN],
)
def test_no_source_tells_more_than_is_queried(name: Any, preset: Any, values: Values) -> None:
    source = f"{JOINED[name]}+{name}" if name in JOINED else name
    space = get_source(source).family.space
    arguments: dict[str, Any] = {"source": source, "space": space, "preset": preset, "budget": 15}
    assert_blind(values, **arguments, **PRESETS[preset])


@pytest.mark.parametrize(
    "arguments",
    [
        {"source": "embedded", "preset": "default", "objective": bounded("latency_ms < 12")},
        {"source": "embedded", "preset": "hardware", "objective": bounded("latency_ms < 12")},
        {
            "source": "v1_0+hw_nas_bench",
            "preset": "hardware",
            "objective": bounded("edgegpu_latency_ms < 4", "edgegpu_energy_mj < 20"),
        },
        {"source": "v1_0+schedule12", "objective": "multi_fidelity", "budget": 1900},
    ],
    ids=["default", "one_bound", "two_bounds", "low_fidelity"],
)
def test_no_objective_sees_more_than_is_queried(arguments: Any, values: Values) -> None:
    assert_blind(values, **{"budget": 15, **QUICK, **arguments})


def test_a_value_that_was_queried_decides_something(values: Values) -> None:
    """So the tests above can fail."""
    arguments: dict[str, Any] = {"source": "embedded", "budget": 15}
    first = search(**arguments)
    values.asked = queries_of(first) - {(first.archive["architecture"][0], 200)}
    second = search(**arguments)
    initial = first.archive["architecture"].head(10)
    assert list(second.archive["architecture"].head(10)) == list(initial)
    assert list(second.archive["architecture"]) != list(first.archive["architecture"])
