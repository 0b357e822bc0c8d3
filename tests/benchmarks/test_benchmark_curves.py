"""Accuracies by epoch: small files of each layout through the real loading, and no test image."""

from __future__ import annotations

import bz2
import os
import pickle
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas.benchmarks import benchmark_cache, get_source
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE
from optiproxy_nas.core.errors import (
    DataError,
    MetricUnavailableError,
    ParameterError,
    UnsafePickleError,
)

# Cells and their codes, by hand from the architecture string's order.
CELLS = {
    "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|": "012340",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|": "330102",
    "|avg_pool_3x3~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|": "400001",
}
FIRST, SECOND, THIRD = CELLS
TEST = 99.875  # no validation accuracy in these files comes near it
DATASETS = ("cifar10", "cifar100", "imagenet16-120")
KEYS = dict(zip(DATASETS, ("cifar10-valid", "cifar100", "ImageNet16-120"), strict=True))
VALIDATION = "validation_accuracy"


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    benchmark_cache._loaded.cache_clear()
    yield
    benchmark_cache._loaded.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The nb201 folder of a data directory of one's own."""
    monkeypatch.setenv(DATA_DIRECTORY_VARIABLE, str(tmp_path))
    (tmp_path / "nb201").mkdir()
    return tmp_path / "nb201"


def table(source: Any, dataset: Any) -> Any:
    """All rows that a search on the dataset could ever see."""
    known = get_source(source)
    rows, _ = benchmark_cache._loaded(source, dataset, os.environ[DATA_DIRECTORY_VARIABLE])
    return benchmark_cache.load_benchmark(known.name, dataset), rows


def assert_no_test_value(rows: pd.DataFrame) -> None:
    numbers = rows.select_dtypes("float64")
    assert len(numbers)
    assert not (numbers == TEST).any(axis=None)


# --- the 12-epoch schedule -------------------------------------------------------------------


def schedule12(**changes: Any) -> Any:
    """Three cells; the best has the value that the published table is known by."""
    columns = {
        "ops": np.array([[int(digit) for digit in code] for code in CELLS.values()], np.uint8),
        "hp12_cifar10-val": np.array([10.0, 84.892, 50.5]),
        "hp12_cifar100-val": np.array([1.0, 61.32, 30.5]),
        "hp12_imagenet-val": np.array([38.6667, 2.0, 20.5]),
        "hp12_cifar10-test": np.full(3, TEST),
        # Cannot be read without running a pickle: proof that it is not read.
        "hp12_cifar100-test": np.array([TEST, None, {}], dtype=object),
    }
    return {key: value for key, value in {**columns, **changes}.items() if value is not None}


def put_schedule12(folder: Path, **changes: Any) -> None:
    np.savez(folder / "nb201_12epoch.npz", **schedule12(**changes))


def test_a_schedule_of_ones_own_making_is_read_without_its_test_columns(folder: Path) -> None:
    put_schedule12(folder)
    benchmark, rows = table("schedule12", "cifar10")
    assert benchmark.epochs == (12,)
    assert set(benchmark.metrics) == {VALIDATION}
    assert benchmark.query([THIRD, FIRST, SECOND], VALIDATION, 12).tolist() == [50.5, 10.0, 84.892]
    assert (rows["epochs"] == 12).all()
    assert_no_test_value(rows)
    imagenet, _ = table("schedule12", "imagenet16-120")
    assert imagenet.query(list(CELLS), VALIDATION, 12).tolist() == [38.6667, 2.0, 20.5]


def test_another_data_directory_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("one", 50.5), ("two", 60.5)):
        (tmp_path / name / "nb201").mkdir(parents=True)
        put_schedule12(
            tmp_path / name / "nb201", **{"hp12_cifar10-val": np.array([10.0, 84.892, value])}
        )
        monkeypatch.setenv(DATA_DIRECTORY_VARIABLE, str(tmp_path / name))
        benchmark = benchmark_cache.load_benchmark("schedule12", "cifar10")
        assert benchmark.query([THIRD], VALIDATION, 12) == value


def test_a_search_over_some_of_the_cells_is_refused_before_any_query(folder: Path) -> None:
    put_schedule12(folder)
    benchmark_cache.load_benchmark("schedule12", "cifar10")  # to look at, it is good enough
    message = r"'schedule12' holds 3 of 15625 architectures on cifar10\. A search would ask"
    with pytest.raises(DataError, match=message):
        benchmark_cache.load_benchmark("schedule12", "cifar10", complete=True)


def test_other_values_than_the_published_ones_are_noticed(folder: Path) -> None:
    put_schedule12(folder, **{"hp12_cifar10-val": np.array([10.0, 84.9, 50.5])})
    with pytest.raises(DataError, match=r"best validation accuracy on cifar10 is 84\.9000"):
        benchmark_cache.load_benchmark("schedule12", "cifar10")


def test_another_file_of_the_published_name_is_refused(folder: Path) -> None:
    np.savez(folder / "nb201_12epoch_and_v1_1.npz", **schedule12())
    with pytest.raises(DataError, match=r"nb201_12epoch_and_v1_1\.npz is .*expected sha256 6d3613"):
        benchmark_cache.load_benchmark("schedule12", "cifar10")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ops": None}, "has no ops; it needs"),
        ({"hp12_imagenet-val": None}, "has no hp12_imagenet-val"),
        ({"hp12_cifar10-val": np.zeros(2)}, r"hp12_cifar10-val is float64 \[2\]"),
        ({"hp12_cifar10-val": np.array(["1", "2", "3"])}, "hp12_cifar10-val is <U1"),
        ({"hp12_cifar10-val": np.array([1, np.nan, 3])}, r"cell \|nor_conv_3x3~0\|.* nan is not"),
        ({"hp12_cifar10-val": np.array([1, 2, np.inf])}, r"cell \|avg_pool_3x3~0\|.* inf is not"),
        ({"hp12_cifar10-val": np.array([-0.1, 2, 3])}, r"cell \|none~0\|.* -0\.1 is not"),
        ({"ops": np.full((3, 5), 1, np.uint8)}, r"ops are uint8 \[3, 5\]"),
        ({"ops": np.full((3, 6), 0.5)}, "ops are float64"),
        ({"ops": np.full((3, 6), 5, np.uint8)}, r"cell \[5, 5, 5, 5, 5, 5\]: row 0 of ops"),
        ({"ops": np.zeros((3, 6), np.uint8)}, "occurs twice"),
    ],
)
def test_a_malformed_schedule_is_named(folder: Path, changes: Any, message: str) -> None:
    put_schedule12(folder, **changes)
    with pytest.raises(DataError, match=message):
        benchmark_cache.load_benchmark("schedule12", "cifar10")


@pytest.mark.parametrize("cut", [0, 30, 900])
def test_a_truncated_schedule_is_named(folder: Path, cut: int) -> None:
    put_schedule12(folder)
    path = folder / "nb201_12epoch.npz"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"nb201_12epoch\.npz is damaged"):
        benchmark_cache.load_benchmark("schedule12", "cifar10")


def test_an_absent_schedule_says_how_to_make_it(folder: Path) -> None:
    with pytest.raises(DataError, match=r"Put .*nb201_12epoch\.npz .*numpy\.savez: ops"):
        benchmark_cache.load_benchmark("schedule12", "cifar10")


def test_joined_to_full_training_it_adds_12_epochs(folder: Path) -> None:
    put_schedule12(folder)
    final = {
        cell: {"cifar10-valid": {"eval_acc1es": [80.0 + i, 70.0]}}
        for i, cell in enumerate([FIRST, SECOND])
    }
    (folder / "nb201_cifar10_full_training.pickle").write_bytes(pickle.dumps(final))
    benchmark, _ = table("naslib+schedule12", "cifar10")
    assert benchmark.epochs == (12, 200)
    assert not get_source("naslib+schedule12").contents.continues
    assert benchmark.query([SECOND, FIRST], VALIDATION).tolist() == [81.0, 80.0]
    assert benchmark.query([SECOND, FIRST], VALIDATION, 12).tolist() == [84.892, 10.0]
    with pytest.raises(MetricUnavailableError, match=r"holds test_accuracy .* not after 12"):
        benchmark.query([FIRST], "test_accuracy", 12)
    with pytest.raises(MetricUnavailableError, match="after 12, 200 epochs of training, not after"):
        benchmark.query([FIRST], VALIDATION, 5)


@pytest.mark.heavy
def test_the_published_schedule() -> None:
    if not os.environ.get(DATA_DIRECTORY_VARIABLE):
        pytest.skip(f"{DATA_DIRECTORY_VARIABLE} is not set: no 12-epoch file here")
    for dataset in DATASETS:
        benchmark, rows = table("v1_0+schedule12", dataset)
        assert benchmark.epochs == (12, 200)
        low, full = (rows[rows["epochs"] == epochs] for epochs in (12, 200))
        assert low["architecture"].tolist() == full["architecture"].tolist()
        assert len(low) == 15_625
        assert low["test_accuracy"].isna().all()
        # A mistaken order of cells would leave no correlation.
        assert (
            low[VALIDATION]
            .reset_index(drop=True)
            .corr(full[VALIDATION].reset_index(drop=True), method="spearman")
            > 0.8
        )


# --- NASLib's full-training files ------------------------------------------------------------

RISING = np.linspace(10, 80, 200)


def naslib_entries(dataset: Any, shift: float = 0.0) -> Any:
    """``eval_acc1es`` of one cell, every entry with a test image in it being ``TEST``."""
    if dataset == "cifar10":
        return [*(RISING + shift).tolist(), TEST]
    return [*[TEST] * 200, np.float64(70.0 + shift), TEST]


def put_naslib(folder: Path, dataset: Any, content: Any = None) -> None:
    if content is None:
        content = {
            cell: {KEYS[dataset]: {"eval_acc1es": naslib_entries(dataset, shift)}}
            for shift, cell in enumerate(CELLS)
        }
    part = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16-120": "ImageNet16"}[dataset]
    path = folder / f"nb201_{part}_full_training.pickle"
    path.write_bytes(pickle.dumps(content))


def test_naslib_curves_of_cifar10_have_every_epoch_and_no_test_value(folder: Path) -> None:
    put_naslib(folder, "cifar10")
    benchmark, rows = table("naslib_curves", "cifar10")
    assert benchmark.epochs == tuple(range(1, 201))
    assert get_source("naslib_curves").contents.continues
    assert len(rows) == 600
    for epochs in (1, 5, 12, 199, 200):
        answers = benchmark.query([SECOND, FIRST], VALIDATION, epochs)
        assert answers == pytest.approx([RISING[epochs - 1] + 1, RISING[epochs - 1]])
    assert benchmark.query([FIRST], VALIDATION) == pytest.approx([80.0])
    assert_no_test_value(rows)
    with pytest.raises(MetricUnavailableError, match="holds no test_accuracy"):
        benchmark.query([FIRST], "test_accuracy")


@pytest.mark.parametrize("epochs", [0, -1, 201])
def test_an_epoch_that_does_not_exist_is_refused(folder: Path, epochs: int) -> None:
    put_naslib(folder, "cifar10")
    with pytest.raises(MetricUnavailableError, match=f"not after {epochs}"):
        benchmark_cache.load_benchmark("naslib_curves", "cifar10").query(
            [FIRST], VALIDATION, epochs
        )


@pytest.mark.parametrize("dataset", ["cifar100", "imagenet16-120"])
@pytest.mark.parametrize("epochs", [5, 12, 199])
def test_naslib_curves_that_have_test_images_are_not_given(
    folder: Path, dataset: str, epochs: int
) -> None:
    put_naslib(folder, dataset)
    benchmark, rows = table("naslib_curves", dataset)
    assert benchmark.epochs == (200,)
    assert benchmark.query(list(CELLS), VALIDATION).tolist() == [70.0, 71.0, 72.0]
    assert_no_test_value(rows)
    with pytest.raises(MetricUnavailableError, match="validation and test images together") as e:
        benchmark.query([FIRST], VALIDATION, epochs)
    assert "v1_0+schedule12" in e.value.message


def spoilt(entries: Any) -> Any:
    return {
        FIRST: {"cifar10-valid": {"eval_acc1es": naslib_entries("cifar10")}},
        SECOND: {"cifar10-valid": {"eval_acc1es": entries}},
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (spoilt([50.0] * 199), "199 entries, not 200 or 201"),
        # The layout of the other datasets: its first 200 entries are of test images.
        (spoilt([50.0] * 202), "202 entries, not 200 or 201"),
        (spoilt([50.0] * 100 + [float("nan")] + [50.0] * 100), "entry 100, nan is not"),
        (spoilt([float("inf")] + [50.0] * 200), "entry 0, inf is not"),
        (spoilt([50.0] * 199 + [100.5, 1.0]), r"entry 199, 100\.5 is not"),
        (spoilt([[50.0]] * 201), "not a list of numbers"),
        (spoilt(["high"] * 201), "not numbers"),
        (spoilt(None), "not a list of numbers"),
        ({SECOND: {"cifar10": {"eval_acc1es": [1.0] * 201}}}, "no 'cifar10-valid'"),
        ({SECOND: {"cifar10-valid": {"train_acc1es": [1.0] * 201}}}, "'eval_acc1es'"),
        ({SECOND: None}, "no 'cifar10-valid'"),
    ],
)
def test_a_malformed_naslib_curve_names_file_and_cell(
    folder: Path, content: Any, message: str
) -> None:
    put_naslib(folder, "cifar10", content)
    with pytest.raises(DataError, match=message) as caught:
        benchmark_cache.load_benchmark("naslib_curves", "cifar10")
    assert "nb201_cifar10_full_training.pickle" in caught.value.message
    assert SECOND in caught.value.message


@pytest.mark.parametrize("count", [200, 201, 203])
def test_a_list_whose_final_validation_entry_is_not_certain_is_refused(
    folder: Path, count: int
) -> None:
    content = {FIRST: {"cifar100": {"eval_acc1es": [TEST] * count}}}
    put_naslib(folder, "cifar100", content)
    with pytest.raises(DataError, match=f"{count} entries, not 202"):
        benchmark_cache.load_benchmark("naslib_curves", "cifar100")


@pytest.mark.parametrize("content", [{}, [1, 2], {"|none~0|": {}}, {7: {}}, {(0, 1, 9): {}}])
def test_what_holds_no_cells_is_refused(folder: Path, content: Any) -> None:
    put_naslib(folder, "cifar10", content)
    with pytest.raises(DataError, match=r"nb201_cifar10_full_training\.pickle"):
        benchmark_cache.load_benchmark("naslib_curves", "cifar10")


# --- NATS-Bench's per-architecture files -----------------------------------------------------


def training(dataset: Any, epochs: int, value: Any, weights: Any = None) -> Any:
    """A training's result: validation accuracy ``value`` plus the epoch, from 0, over 10."""
    evaluated = {f"{name}@{e}": TEST for name in ("ori-test", "x-test") for e in range(epochs)}
    per_epoch = range(epochs) if dataset == "cifar10-valid" else [epochs - 1]
    evaluated.update({f"x-valid@{e}": value + e / 10 for e in per_epoch})
    return {
        "name": "infer.tiny",
        "net_state_dict": weights,
        "train_acc1es": dict.fromkeys(range(epochs), TEST),
        "eval_names": ["ori-test", "x-test", "x-valid"],
        "eval_acc1es": evaluated,
        "epochs": epochs,
        "latency": [0.01],
    }


def nats(cell: Any = SECOND, weights: Any = None) -> Any:
    results = {
        "200": {
            (key, seed): training(key, 200, 40.0 + i, weights)
            for key in KEYS.values()
            for i, seed in enumerate((777, 888, 999))
        },
        "12": {(key, 111): training(key, 12, 20.0) for key in KEYS.values()},
    }
    # CIFAR-10 with all its training images has no validation images.
    results["200"]["cifar10", 777] = training("x", 200, TEST - 19.9)
    return {
        epochs: {"arch_index": 7, "arch_str": cell, "all_results": runs, "dataset_seed": {}}
        for epochs, runs in results.items()
    }


def put_nats(folder: Path, content: Any, number: int = 7) -> None:
    path = folder / "NATS-tss-v1_0-3ffb9-full" / f"{number:06d}.pickle.pbz2"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else bz2.compress(pickle.dumps(content)))


@pytest.fixture
def nats_folder(folder: Path) -> Any:
    """Two cells, the first with network weights; and the directory's index, which is no cell."""
    weights = OrderedDict(w=torch.nn.Parameter(torch.ones(2)), n=torch.arange(3))
    put_nats(folder, nats(FIRST, weights), 7)
    put_nats(folder, nats(SECOND), 14_000)
    (folder / "NATS-tss-v1_0-3ffb9-full" / "meta.pickle.pbz2").write_bytes(b"no cell")
    return folder


def test_natsbench_curves_are_means_over_seeds(nats_folder: Any) -> None:
    benchmark, rows = table("natsbench_curves", "cifar10")
    assert benchmark.epochs == tuple(range(1, 201))
    assert get_source("natsbench_curves").contents.continues
    for epochs in (1, 6, 12, 200):
        answers = benchmark.query([FIRST, SECOND], VALIDATION, epochs)
        assert answers == pytest.approx([41.0 + (epochs - 1) / 10] * 2)
    assert benchmark.measurements(FIRST) == {"training_seeds": 3}
    assert len(rows) == 400
    assert_no_test_value(rows)


@pytest.mark.parametrize("dataset", ["cifar100", "imagenet16-120"])
def test_natsbench_curves_with_test_images_are_not_given(nats_folder: Any, dataset: str) -> None:
    benchmark, rows = table("natsbench_curves", dataset)
    assert benchmark.epochs == (200,)
    assert benchmark.query([SECOND], VALIDATION) == pytest.approx([60.9])
    assert_no_test_value(rows)
    with pytest.raises(MetricUnavailableError, match=r"images together .*natsbench_schedule12"):
        benchmark.query([SECOND], VALIDATION, 5)


@pytest.mark.parametrize("dataset", DATASETS)
def test_natsbench_has_the_12_epoch_schedule_of_every_dataset(
    nats_folder: Any, dataset: str
) -> None:
    benchmark, rows = table("natsbench_schedule12", dataset)
    assert benchmark.epochs == (12, 200)
    assert not get_source("natsbench_schedule12").contents.continues
    assert benchmark.query([FIRST, SECOND], VALIDATION, 12) == pytest.approx([21.1, 21.1])
    assert benchmark.query([SECOND], VALIDATION) == pytest.approx([60.9])
    assert rows.groupby("epochs")["training_seeds"].unique().map(list).to_dict() == {
        12: [1],
        200: [3],
    }
    assert_no_test_value(rows)


def without(content: Any, *path: Any) -> Any:
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return content


def changed(content: Any, entry: Any, value: Any) -> Any:
    content["200"]["all_results"]["cifar10-valid", 888]["eval_acc1es"][entry] = value
    return content


RUN = ("200", "all_results", ("cifar10-valid", 888))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without(nats(), *RUN, "eval_acc1es", "x-valid@17"), "seed 888, set '200', .*x-valid@17"),
        (without(nats(), *RUN, "eval_acc1es"), "one is missing"),
        (changed(nats(), "x-valid@0", float("nan")), "entry 0, nan is not"),
        (changed(nats(), "x-valid@199", 101), r"entry 199, 101\.0 is not"),
        (changed(nats(), "x-valid@9", "?"), "not numbers"),
        ({"200": {**nats()["200"], "all_results": {}}}, "no training on cifar10-valid"),
    ],
)
def test_a_malformed_natsbench_file_names_file_and_cell(
    nats_folder: Any, content: Any, message: str
) -> None:
    put_nats(nats_folder, content)
    with pytest.raises(DataError, match=message) as caught:
        benchmark_cache.load_benchmark("natsbench_curves", "cifar10")
    assert "000007.pickle.pbz2" in caught.value.message
    assert SECOND in caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        without(nats(), "200"),
        without(nats(), "200", "arch_str"),
        without(nats(), "200", "all_results"),
        {"200": {"arch_str": SECOND, "all_results": {7: {}}}},
        {"200": {"arch_str": "|none~0|", "all_results": {}}},
        {"200": {"arch_str": None, "all_results": {}}},
        [1],
        b"",
        b"no bzip2",
        bz2.compress(b"no pickle"),
        bz2.compress(pickle.dumps(nats()))[:-40],
    ],
)
def test_another_natsbench_layout_is_named(nats_folder: Any, content: Any) -> None:
    put_nats(nats_folder, content)
    with pytest.raises(DataError, match=r"000007\.pickle\.pbz2"):
        benchmark_cache.load_benchmark("natsbench_curves", "cifar10")


def test_sets_of_two_cells_in_one_file_are_refused(nats_folder: Any) -> None:
    put_nats(nats_folder, {"12": nats(FIRST)["12"], "200": nats(SECOND)["200"]})
    with pytest.raises(DataError, match="different cells"):
        benchmark_cache.load_benchmark("natsbench_schedule12", "cifar10")


def test_a_cell_in_two_files_is_refused(nats_folder: Any) -> None:
    put_nats(nats_folder, nats(SECOND), 8)
    with pytest.raises(DataError, match="occurs twice"):
        benchmark_cache.load_benchmark("natsbench_curves", "cifar10")


class Malicious:
    def __init__(self, proof: Any) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.mkdir, (self.proof,)


@pytest.mark.parametrize("source", ["natsbench_curves", "naslib_curves"])
def test_a_command_in_a_file_does_not_run(folder: Path, tmp_path: Path, source: str) -> None:
    proof = tmp_path / "proof"
    put_nats(folder, nats(weights=Malicious(str(proof))))
    put_naslib(folder, "cifar10", {FIRST: Malicious(str(proof))})
    with pytest.raises(UnsafePickleError) as caught:
        benchmark_cache.load_benchmark(source, "cifar10")
    assert caught.value.data["requested"] == "posix.mkdir"
    assert not proof.exists()


# --- all of them -----------------------------------------------------------------------------


@pytest.mark.heavy
def test_the_embedded_source_says_what_to_fetch() -> None:
    benchmark = benchmark_cache.load_benchmark("embedded", "cifar10")
    with pytest.raises(MetricUnavailableError) as caught:
        benchmark.query([FIRST], VALIDATION, 12)
    for source in ("embedded+schedule12", "naslib_curves", "natsbench_curves"):
        assert source in caught.value.message


@pytest.mark.parametrize(
    "name", ["v1_0+naslib_curves", "natsbench_curves+schedule12", "embedded+natsbench_curves"]
)
def test_two_sources_of_one_epoch_are_not_mixed(name: str) -> None:
    with pytest.raises(ParameterError, match="both hold validation_accuracy"):
        get_source(name)
