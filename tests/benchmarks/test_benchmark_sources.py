"""Each reader against the real files, or against small ones of the documented layout."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from changed_source import changed
from optiproxy_nas.benchmarks import (
    SOURCES,
    TEST_ACCURACY,
    VALIDATION_ACCURACY,
    TabularBenchmark,
    get_source,
)
from optiproxy_nas.benchmarks.readers import hyperparameter_tables
from optiproxy_nas.benchmarks.tidy_table import check_table, columns
from optiproxy_nas.core.errors import DataError, InvalidArchitectureError, UnknownNameError
from optiproxy_nas.pipelines.ingest import read
from optiproxy_nas.runs.datasets import BenchmarkFiles
from optiproxy_nas.spaces.nb201 import NASBench201

SPACE = NASBench201()
OPS = [f"code_{i}" for i in range(6)]
# NASLib's own orders, written out here once more.
NASLIB_OPS = ["skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3"]
APPENDIX_OPS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


def naslib_string(indices: Any) -> str:
    """NASLib's tuple: edges (1,2), (1,3), (1,4), (2,3), (2,4), (3,4)."""
    e12, e13, e14, e23, e24, e34 = (NASLIB_OPS[i] for i in indices)
    return f"|{e12}~0|+|{e13}~0|{e23}~1|+|{e14}~0|{e24}~1|{e34}~2|"


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 6), max_size=5))
def test_strings_codes_and_naslib_tuples_round_trip(tuples: Any) -> None:
    strings = [naslib_string(indices) for indices in tuples]
    codes = SPACE.from_string(strings)
    assert SPACE.to_string(codes) == strings
    assert SPACE.to_naslib(codes) == tuples
    assert torch.equal(SPACE.from_naslib(tuples), codes)
    for code, indices in zip(codes.tolist(), tuples, strict=True):
        e12, e13, e23, e14, e24, e34 = (APPENDIX_OPS[i] for i in code)
        assert [e12, e13, e14, e23, e24, e34] == [NASLIB_OPS[i] for i in indices]


DATASETS = {
    "nb201": {"cifar10", "cifar100", "imagenet16-120"},
    "nb101": {"cifar10"},
    "nb301": {"cifar10"},
    "nbnlp": {"ptb", "wikitext2"},
    "fcnet": set(hyperparameter_tables.FCNET_SOURCE.datasets),
    "hpobench": set(hyperparameter_tables.HPOBENCH_SOURCE.datasets),
    "hwgpt": {"openwebtext"},
}


@pytest.mark.parametrize("name", SOURCES)
def test_registered_sources_state_their_facts(name: Any) -> None:
    source = get_source(name)
    assert source.name == name
    assert {file.dataset for file in source.publication.files} <= DATASETS[source.family.name]
    assert source.family.name == source.family.space
    assert all((file.sha256 is None) == (file.size is None) for file in source.publication.files)
    assert all(file.sha256 for file in source.publication.files if file.url)
    # A source without epochs measures cells, and one with a model need not list what it predicts.
    assert (source.contents.target in source.contents.metrics) == bool(
        source.contents.epochs
    ) or source.model is not None
    assert source.model is None or source.contents.caution
    assert list(source.contents.epochs) == sorted(set(source.contents.epochs))


def test_an_unknown_source_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'embedded'"):
        BenchmarkFiles("embeded")


def test_embedded_is_complete(embedded: pd.DataFrame) -> None:
    source = get_source("embedded")
    assert list(embedded) == list(columns(source))
    assert embedded.groupby(["dataset", "epochs"])["architecture"].nunique().to_dict() == {
        (dataset, 200): 15_625 for dataset in ("cifar10", "cifar100", "imagenet16-120")
    }
    assert embedded["training_seeds"].isin([2, 3]).all()
    assert (embedded.dtypes[list(source.contents.metrics)] == "float64").all()
    assert embedded.dtypes["epochs"] == "int16"
    assert (embedded.dtypes[OPS] == "int8").all()
    costs = embedded[["latency_ms", "parameters_millions", "training_seconds"]]
    assert np.isfinite(costs).all(axis=None)
    assert (costs > 0).all(axis=None)
    codes = torch.tensor(embedded[OPS].to_numpy(), dtype=torch.int64)
    assert SPACE.to_string(codes) == embedded["architecture"].tolist()


@pytest.mark.parametrize(
    ("dataset", "maximum", "last_operation"),
    [
        ("cifar10", 91.607, "nor_conv_1x1~2|"),
        ("cifar100", 73.493, "nor_conv_3x3~2|"),
        ("imagenet16-120", 46.733, "nor_conv_3x3~2|"),
    ],
)
def test_embedded_maxima(
    embedded: pd.DataFrame, dataset: str, maximum: float, last_operation: str
) -> None:
    best, value = TabularBenchmark(embedded, dataset, get_source("embedded")).optimum(
        VALIDATION_ACCURACY
    )
    assert value == pytest.approx(maximum, abs=5e-4)
    assert best.endswith(f"|skip_connect~0|nor_conv_3x3~1|{last_operation}")


def test_embedded_parameter_counts_are_those_that_some_seed_records(embedded: pd.DataFrame) -> None:
    raw = BenchmarkFiles("embedded", path="nowhere").load()["embedded"]["cifar100.pkl"]["object"]
    rows = embedded[embedded["dataset"] == "cifar100"].set_index("architecture")
    codes = torch.tensor([[int(digit) for digit in key] for key in raw])
    counts = rows["parameters_millions"].loc[SPACE.to_string(codes)]
    recorded = [cell["model_size"] for cell in raw.values()]
    nearest = [min(abs(c - s) for s in r) for c, r in zip(counts, recorded, strict=True)]
    assert max(nearest) < 1e-9


@pytest.mark.parametrize(
    ("dataset", "validation", "test"),
    [
        ("cifar10", 91.6067, 94.3733),
        ("cifar100", 73.4933, 73.5133),
        ("imagenet16-120", 46.7667, 45.4667),
    ],
)
def test_v1_0_optima(v1_0: pd.DataFrame, dataset: str, validation: float, test: float) -> None:
    benchmark = TabularBenchmark(v1_0, dataset, get_source("v1_0"))
    best, value = benchmark.optimum(VALIDATION_ACCURACY)
    assert value == pytest.approx(validation, abs=5e-5)
    assert benchmark.query([best], TEST_ACCURACY) == pytest.approx([test], abs=5e-5)
    assert benchmark.measurements(best) == {}
    assert len(v1_0) == 3 * 15_625


def naslib_cell(validation: Any, test: Any, key: str = "cifar10-valid") -> Any:
    per_epoch = [np.float64(10.0), np.float64(11.0)]
    cost = {"flops": 1.0, "params": 0.5, "latency": 0.01, "train_time": 100.0}
    return {key: {"eval_acc1es": [*per_epoch, validation, test], "cost_info": cost}}


def naslib_rows(directory: Any, content: Any) -> Any:
    path = directory / "nb201" / "nb201_cifar10_full_training.pickle"
    path.parent.mkdir()
    path.write_bytes(pickle.dumps(content))
    files = BenchmarkFiles("naslib", data_directory=str(directory), path="nowhere").load()
    return read(files, "naslib")[0]


def test_naslib_files_with_strings_and_tuples(tmp_path: Path) -> None:
    first, second, third = (0, 1, 2, 3, 4, 0), (4, 4, 3, 2, 1, 0), (2, 2, 2, 2, 2, 2)
    rows = naslib_rows(
        tmp_path,
        {
            first: naslib_cell(80.0, 70.0),
            naslib_string(second): naslib_cell(np.float64(81.0), np.float64(71.0)),
            third: naslib_cell(82.0, 72.0),
        },
    )
    assert check_table(rows, get_source("naslib")) is rows
    benchmark = TabularBenchmark(rows, "cifar10", get_source("naslib"))
    asked = [naslib_string(cell) for cell in (third, second, first)]
    assert benchmark.query(asked, VALIDATION_ACCURACY).tolist() == [82.0, 81.0, 80.0]
    assert benchmark.query(asked, TEST_ACCURACY).tolist() == [72.0, 71.0, 70.0]
    assert benchmark.measurements(asked[2]) == {
        "latency_ms": 10.0,
        "parameters_millions": 0.5,
        "flops_millions": 1.0,
        "training_seconds": 100.0,
    }


def test_a_cost_that_a_naslib_cell_lacks_is_left_out_for_all(tmp_path: Path) -> None:
    second = {"cifar10-valid": {"eval_acc1es": [82.0, 72.0], "cost_info": {"params": 0.7}}}
    rows = naslib_rows(tmp_path, {(0,) * 6: naslib_cell(80.0, 70.0), (2,) * 6: second})
    benchmark = TabularBenchmark(
        check_table(rows, get_source("naslib")), "cifar10", get_source("naslib")
    )
    assert benchmark.metrics.keys() == {
        "validation_accuracy",
        "test_accuracy",
        "parameters_millions",
    }
    assert benchmark.measurements(naslib_string((0,) * 6)) == {
        "latency_ms": None,
        "parameters_millions": 0.5,
        "flops_millions": None,
        "training_seconds": None,
    }


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {(0,) * 6: {"cifar10": {"eval_acc1es": [1.0, 2.0]}}},
        {(0,) * 6: {"cifar10-valid": {"eval_acc1es": [1.0]}}},
        {(0,) * 6: {"cifar10-valid": {"eval_acc1es": None}}},
    ],
)
def test_another_naslib_layout_is_named(tmp_path: Path, content: Any) -> None:
    with pytest.raises(DataError, match=r"nb201_cifar10_full_training\.pickle has another layout"):
        naslib_rows(tmp_path, content)


@pytest.mark.parametrize("cell", [(0, 1, 2), (0, 0, 0, 0, 0, 5), "|none~0|", 7])
def test_a_naslib_key_that_is_no_cell_is_refused(tmp_path: Path, cell: Any) -> None:
    with pytest.raises(InvalidArchitectureError):
        naslib_rows(tmp_path, {cell: naslib_cell(1.0, 2.0)})


def _changed(table: pd.DataFrame, column: str, value: float) -> pd.DataFrame:
    return table.assign(**{column: table[column].where(table.index != 5, value)})


def _doubled(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[[0]]])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_doubled, "occurs twice"),
        (lambda table: table.iloc[1:], "expected"),
        (lambda table: _changed(table, VALIDATION_ACCURACY, float("nan")), "NaN"),
        (lambda table: _changed(table, VALIDATION_ACCURACY, 100.1), "100.1 .*not a percentage"),
        (
            lambda table: _changed(table, "latency_ms", float("nan")),
            "latency_ms .*NaN.* for 1 rows",
        ),
        (lambda table: _changed(table, "latency_ms", -np.inf), "is no measurement"),
        (
            lambda table: table.assign(validation_accuracy=table[VALIDATION_ACCURACY] + 0.001),
            "known",
        ),
        (lambda table: table.drop(columns="latency_ms"), "columns"),
        (lambda table: table.assign(latency_seconds=1.0), "columns .*latency_seconds"),
    ],
    ids=[
        "double",
        "missing",
        "not a number",
        "not a percentage",
        "a latency is not a number",
        "minus infinity",
        "shifted",
        "a column missing",
        "a column more",
    ],
)
def test_a_table_that_is_not_what_it_claims_is_refused(
    embedded: pd.DataFrame, spoil: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        check_table(spoil(embedded), get_source("embedded"))


def test_a_metric_may_be_unknown_for_a_whole_dataset_and_a_device_may_be_unable(
    embedded: pd.DataFrame,
) -> None:
    first = embedded["dataset"] == "cifar10"
    table = embedded.assign(latency_ms=embedded["latency_ms"].mask(first))
    table.loc[len(table) - 1, "latency_ms"] = np.inf
    assert check_table(table, get_source("embedded")) is table


def test_a_partial_source_still_has_to_hit_the_optima_it_knows(embedded: pd.DataFrame) -> None:
    source = changed(get_source("embedded"), partial=True)
    some = embedded[embedded[VALIDATION_ACCURACY] < 90]
    with pytest.raises(DataError, match="is known"):
        check_table(some, source)
