"""HW-NAS-Bench in both layouts: the same table from either, and one clear message otherwise."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optiproxy_nas.benchmarks import TabularBenchmark, get_source
from optiproxy_nas.benchmarks.loading import load_files, read_rows
from optiproxy_nas.benchmarks.readers import hw_nas_bench
from optiproxy_nas.benchmarks.tidy_table import check_table
from optiproxy_nas.core.errors import DataError, MetricUnavailableError

NASLIB_OPS = ["skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3"]
NAMES = [
    "edgegpu_latency",
    "edgegpu_energy",
    "raspi4_latency",
    "edgetpu_latency",
    "pixel3_latency",
    "eyeriss_latency",
    "eyeriss_energy",
    "eyeriss_arithmetic_intensity",
    "fpga_latency",
    "fpga_energy",
]
NETS = list(itertools.product(range(5), repeat=6))
NET_OF = {str(net): net for net in NETS}


@cache
def string(net: Any) -> str:
    e12, e13, e14, e23, e24, e34 = (NASLIB_OPS[i] for i in net)
    return f"|{e12}~0|+|{e13}~0|{e23}~1|+|{e14}~0|{e24}~1|{e34}~2|"


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    """A made-up value of every cell and column; one cell in three does not compile."""
    row = np.arange(len(NETS))
    values = {name: 1.0 + i + row / 1000 for i, name in enumerate(NAMES)}
    values["edgetpu_latency"] = np.where(row % 3, values["edgetpu_latency"], -1.0)
    return pd.DataFrame({"net": [str(net) for net in NETS], **values})


def csv(frame: Any, tmp_path: Path) -> Any:
    """The rows that the CSV source reads of a frame, by way of a file of one dataset."""
    folder = tmp_path / "hw_nas_bench"
    folder.mkdir(exist_ok=True)
    frame.to_csv(folder / "hw_cifar10.csv", index=False)
    source = get_source("hw_nas_bench").of_dataset("cifar10")
    file = replace(source.publication.files[0], sha256=None, size=None, url=None)
    source = source.with_files([file])
    return read_rows(load_files(source, str(tmp_path), tmp_path), source), source


def layout(frame: Any) -> Any:
    """The same values in HW-NAS-Bench's own layout."""
    configs = [
        {"name": "infer.tiny", "C": 16, "N": 5, "arch_str": string(net), "num_classes": 10}
        for net in map(NET_OF.get, frame["net"])
    ]
    columns = {name: frame[name].tolist() for name in frame if name != "net"}
    return {"nasbench201": {"cifar10": {**columns, "config": configs}}, "fbnet": {}}


def unpickled(content: Any, tmp_path: Path) -> Any:
    folder = tmp_path / "hw_nas_bench"
    folder.mkdir(exist_ok=True)
    (folder / "HW-NAS-Bench-v1_0.pickle").write_bytes(pickle.dumps(content))
    source = get_source("hw_nas_bench_pickle").of_dataset("cifar10")
    return read_rows(load_files(source, str(tmp_path), tmp_path), source), source


@pytest.mark.heavy
def test_values_come_with_their_cells_units_and_marks(
    measured: pd.DataFrame, tmp_path: Path
) -> None:
    rows, source = csv(measured.sample(frac=1, random_state=0), tmp_path)
    assert check_table(rows, source) is rows
    benchmark = TabularBenchmark(rows, "cifar10", source)
    cells = [string(net) for net in NETS]
    for name in NAMES:
        unit = "" if "intensity" in name else "_ms" if "latency" in name else "_mj"
        expected = measured[name].replace(-1.0, np.inf)
        np.testing.assert_array_equal(benchmark.query(cells, name + unit), expected)
    assert benchmark.epochs == ()
    assert len(benchmark.metrics) == len(NAMES)
    with pytest.raises(MetricUnavailableError, match=r"no validation_accuracy .* join one"):
        benchmark.query(cells[:1], "validation_accuracy")


@pytest.mark.heavy
def test_both_layouts_give_one_table(measured: pd.DataFrame, tmp_path: Path) -> None:
    content = layout(measured.sample(frac=1, random_state=1))
    content["nasbench201"]["cifar10"]["fpga_energy"] = [
        np.float64(v) for v in content["nasbench201"]["cifar10"]["fpga_energy"]
    ]
    rows, source = unpickled(content, tmp_path)
    assert check_table(rows, source) is rows
    pd.testing.assert_frame_equal(rows, csv(measured, tmp_path)[0])


def _with(frame: Any, line: int, column: Any, value: Any) -> Any:
    changed = frame.astype({column: object})
    changed.loc[line - 2, column] = value
    return changed


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.drop(columns="pixel3_latency"), "lacks the column.* pixel3_latency; it has"),
        (lambda f: f.rename(columns={"net": "arch"}), r"lacks the column\(s\) net"),
        (
            lambda f: f.assign(raspi_latency=1.0),
            "Unknown column 'raspi_latency'. Did you mean 'raspi4_latency'",
        ),
        (lambda f: _with(f, 7, "fpga_latency", "fast"), "line 7: fpga_latency is 'fast'"),
        (lambda f: _with(f, 7, "fpga_latency", np.nan), "line 7: fpga_latency is nan"),
        (lambda f: _with(f, 7, "fpga_latency", "nan"), "line 7: fpga_latency is nan"),
        (lambda f: _with(f, 7, "fpga_latency", np.inf), "line 7: fpga_latency is inf"),
        (lambda f: _with(f, 7, "fpga_latency", -1), "line 7: fpga_latency is -1"),
        (lambda f: _with(f, 7, "fpga_latency", 0), "line 7: fpga_latency is 0"),
        (lambda f: _with(f, 7, "edgetpu_latency", -2), "line 7: edgetpu_latency is -2.* or -1"),
        (lambda f: _with(f, 7, "net", "(0, 0, 0, 0, 0, 5)"), "line 7: net .*5.* is no cell"),
        (lambda f: _with(f, 7, "net", "(0, 0, 0)"), "line 7: net .* is no cell"),
        (lambda f: _with(f, 7, "net", "none"), "line 7: net 'none' is no cell"),
        (lambda f: _with(f, 7, "net", str(NETS[0])), "line 2 and line 7 are the same cell"),
        (lambda f: f.drop(index=9), r"lacks 1 of 15625 cells, the first of them \|"),
    ],
)
def test_a_csv_file_of_another_content_is_refused_with_its_place(
    measured: pd.DataFrame, tmp_path: Path, spoil: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        csv(spoil(measured), tmp_path)
    assert "hw_cifar10.csv" in caught.value.message


def _change(path: list[Any], value: Any) -> Any:
    def change(table: Any) -> None:
        *inner, last = path
        for key in inner:
            table = table[key]
        table[last] = value

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.pop("pixel3_latency"), "lacks the column.* pixel3_latency"),
        (_change(["raspi_latency"], []), "Did you mean 'raspi4_latency'"),
        (lambda t: t.pop("config"), "lacks the column.* config"),
        (_change(["fpga_latency", 4], "fast"), "index 4 of cifar10: fpga_latency is 'fast'"),
        (_change(["fpga_latency", 4], True), "index 4 of cifar10: fpga_latency is True"),
        (_change(["fpga_latency", 4], float("nan")), "index 4 of cifar10: fpga_latency is nan"),
        (_change(["edgetpu_latency", 4], -3.0), "index 4 of cifar10: edgetpu_latency is -3"),
        (lambda t: t["fpga_latency"].pop(), "fpga_latency is 15624 values, not a list of 15625"),
        (_change(["fpga_latency"], {}), "fpga_latency is dict, not a list"),
        (_change(["config", 4], {}), "another layout"),
        (_change(["config", 4, "arch_str"], "|none~0|"), "index 4 of cifar10: Not a NAS-Bench-201"),
        (_change(["config", 4, "arch_str"], string(NETS[0])), "are the same cell"),
    ],
)
def test_a_pickle_of_another_content_is_refused_with_its_place(
    measured: pd.DataFrame, tmp_path: Path, spoil: Any, message: str
) -> None:
    content = layout(measured)
    spoil(content["nasbench201"]["cifar10"])
    with pytest.raises(DataError, match=message) as caught:
        unpickled(content, tmp_path)
    assert "HW-NAS-Bench-v1_0.pickle" in caught.value.message


@pytest.mark.parametrize("content", [[], {}, {"nasbench201": {}}, {"nasbench201": {"cifar10": 3}}])
def test_another_pickle_is_named(tmp_path: Path, content: Any) -> None:
    with pytest.raises(DataError, match=r"HW-NAS-Bench-v1_0\.pickle has another layout"):
        unpickled(content, tmp_path)


def test_the_readers_know_the_same_columns() -> None:
    assert list(hw_nas_bench.COLUMNS) == NAMES
    assert hw_nas_bench.PICKLE.contents.metrics == hw_nas_bench.SOURCE.contents.metrics


# Best validation accuracy on ImageNet16-120 with a latency strictly below the bound.
@pytest.mark.parametrize(
    ("device", "best"),
    [
        ("edgegpu", {2: 40.60, 4: 44.80, 6: 46.40}),
        ("raspi4", {2: 35.47, 4: 43.63, 6: 45.17}),
        ("edgetpu", {1: 46.77}),
        ("pixel3", {2: 41.30, 4: 45.97, 6: 46.49}),
        ("eyeriss", {1: 45.17}),
        ("fpga", {1: 44.37}),
    ],
)
def test_constrained_optima_of_the_real_tables(
    hardware: pd.DataFrame, device: str, best: Any
) -> None:
    source = get_source("v1_0+hw_nas_bench")
    benchmark = TabularBenchmark(hardware, "imagenet16-120", source)
    table = benchmark.table(["validation_accuracy", f"{device}_latency_ms"])
    for bound, value in best.items():
        feasible = table[table[f"{device}_latency_ms"] < bound]
        assert feasible["validation_accuracy"].max() == pytest.approx(value, abs=0.006)
