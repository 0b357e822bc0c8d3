"""The adapter over the nasbench301 package, against a stand-in that keeps its contract."""

from __future__ import annotations

import json
import pickle
import random
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from optiproxy_nas.benchmarks import nb301 as nb301_official
from optiproxy_nas.benchmarks.base import Benchmark
from optiproxy_nas.benchmarks.loading import build_model, load_files, open_benchmark, read_rows
from optiproxy_nas.benchmarks.readers.nb301_package import SOURCE, V0_9, facts
from optiproxy_nas.benchmarks.tidy_table import check_table
from optiproxy_nas.core.errors import DataError, MetricUnavailableError
from optiproxy_nas.spaces.nb301 import OPERATIONS, NASBench301  # type: ignore[attr-defined]
from optiproxy_nas.testing.determinism import global_randomness_untouched

SPACE = NASBench301()


class FakeEnsemble:
    """Answers as the package's ensembles do: a numpy scalar, noisy unless told not to be."""

    def __init__(self, directory: Any) -> None:
        members = [path.parent for path in Path(directory).rglob("*surrogate_model.model")]
        for name in ("data_config.json", "model_config.json"):
            json.loads((members[0] / name).read_text())
        self.offsets = [float((member / "surrogate_model.model").read_text()) for member in members]
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)

    def predict(self, config: Any, representation: Any, with_noise: bool = True) -> Any:
        assert representation == "genotype"
        assert config.normal_concat == config.reduce_concat == [2, 3, 4, 5]
        noise = np.random.normal() if with_noise else 0.0  # noqa: NPY002
        score = sum(OPERATIONS.index(name) + source for name, source in config.normal)
        score -= sum(source for _, source in config.reduce)
        return np.float32(np.mean(self.offsets) + 0.1 * score + noise)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = ModuleType("nasbench301")
    vars(module)["load_ensemble"] = FakeEnsemble
    monkeypatch.setitem(sys.modules, "nasbench301", module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """A data directory with an ensemble of two members, v1.0."""
    found = tmp_path / "data" / "nb301" / "nb_models_1.0" / "xgb_v1.0"
    for member, offset in (("20201106-a", 90.0), ("20201106-b", 91.0)):
        (found / member).mkdir(parents=True)
        (found / member / "surrogate_model.model").write_text(str(offset))
        for name in ("data_config.json", "model_config.json"):
            (found / member / name).write_text("{}")
    return found


def data_of(folder: Path) -> str:
    return str(folder.parents[2])


def loaded(folder: Path, source: Any = SOURCE) -> Any:
    raw = load_files(source, data_of(folder), folder / "nowhere")
    table = check_table(read_rows(raw, source), source)
    return table, build_model(raw, table, source)


def by_hand(code: Any) -> Any:
    genotype = SPACE.to_genotype(code)[0]
    score = sum(OPERATIONS.index(name) + source for name, source in genotype.normal)
    return np.float32(90.5 + 0.1 * (score - sum(source for _, source in genotype.reduce)))


def test_values_are_the_ensembles_without_noise(package: Any, folder: Any) -> None:
    table, model = loaded(folder)
    assert table.empty
    benchmark = open_benchmark(table, model, "cifar10", SOURCE)
    assert isinstance(benchmark, Benchmark)
    codes = SPACE.random(5, torch.Generator().manual_seed(0))
    values = benchmark.query(SPACE.to_string(codes), "validation_accuracy")
    np.testing.assert_allclose(values, [by_hand(code.unsqueeze(0)) for code in codes])
    copy = pickle.loads(pickle.dumps(benchmark))
    assert copy.query(SPACE.to_string(codes), "validation_accuracy").tolist() == values.tolist()
    assert benchmark.epochs == (98,)
    assert "without noise" in benchmark.caution
    with pytest.raises(MetricUnavailableError, match="after 98 epochs"):
        benchmark.query(SPACE.to_string(codes), "validation_accuracy", 50)


def test_opening_the_package_does_not_raise_for_global_generators_it_seeded(
    package: Any, folder: Any
) -> None:
    with global_randomness_untouched():
        table, model = loaded(folder)
        open_benchmark(table, model, "cifar10", SOURCE)


def test_the_card_tells_members_and_files(package: Any, folder: Any) -> None:
    table, model = loaded(folder)
    told = facts(table, model)
    assert told["members"] == 2
    assert told["directory"] == str(folder)
    assert told["agreement"]["checked"] is False
    raw = load_files(SOURCE, data_of(folder), folder / "nowhere")["nb301_package"]
    assert [entry["count"] for entry in raw.values()] == [6]


def test_agreement_with_the_official_values(
    package: Any, folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = SPACE.random(6, torch.Generator().manual_seed(0))
    official = [
        [cell, float(by_hand(code.unsqueeze(0)))]
        for cell, code in zip(SPACE.to_naslib(codes), codes, strict=True)
    ]
    table = nb301_official.read_official(nb301_official.FILE, official)
    _, model = loaded(folder)
    told = facts(table, model)["agreement"]
    assert told["spearman"] == pytest.approx(1)
    assert told["mean_difference"] == pytest.approx(0, abs=1e-5)


def test_version_0_9_lies_beside_it(package: Any, folder: Any) -> None:
    other = folder.parents[1] / "nb_models_0.9" / "xgb_v0.9"
    shutil.copytree(folder / "20201106-a", other / "20200101-a")
    _, model = loaded(folder, V0_9)
    assert json.loads(model)["directory"] == str(other)
    assert V0_9.name == "nb301_package_v0_9"


def test_files_that_changed_since_ingest_are_refused(package: Any, folder: Any) -> None:
    table, model = loaded(folder)
    (folder / "20201106-b" / "surrogate_model.model").write_text("92.0")
    with pytest.raises(DataError, match="is not the file that it was at ingest"):
        open_benchmark(table, model, "cifar10", SOURCE)
    (folder / "20201106-b" / "surrogate_model.model").unlink()
    with pytest.raises(DataError, match="cannot be read") as caught:
        open_benchmark(table, model, "cifar10", SOURCE)
    assert "Run ingest again" in caught.value.message


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        ("20201106-b/data_config.json", "does not have 20201106-b/data_config.json"),
        ("20201106-a/model_config.json", "does not have 20201106-a/model_config.json"),
        ("*/surrogate_model.model", r"does not have any \*/surrogate_model\.model"),
    ],
)
def test_an_incomplete_ensemble_is_refused(
    package: Any, folder: Any, gone: str, reason: str
) -> None:
    for path in list(folder.glob(gone)):
        path.unlink()
    with pytest.raises(DataError, match=reason) as caught:
        loaded(folder)
    assert "download_models(version='1.0')" in caught.value.message


def test_without_models_the_message_says_where_to_get_and_put_them(
    package: Any, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"nasbench301_models_v1\.0") as caught:
        load_files(SOURCE, str(tmp_path), tmp_path / "raw")
    assert "nb301/nb_models_1.0/xgb_v1.0/<member>/surrogate_model.model" in caught.value.message


def test_official_values_alone_are_no_benchmark(package: Any, tmp_path: Path) -> None:
    nothing: Any = None
    with pytest.raises(DataError) as caught:
        build_model({SOURCE.name: {nb301_official.FILE.name: {"object": []}}}, nothing, SOURCE)
    assert caught.value.data["folder"] == "nb_models_1.0/xgb_v1.0"


def test_without_the_package_the_message_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, folder: Any
) -> None:
    monkeypatch.setitem(sys.modules, "nasbench301", None)
    with pytest.raises(DataError, match="pip install nasbench301") as caught:
        loaded(folder)
    assert "Python 3.9 or older" in caught.value.message
    assert "source=nb301_yahpo" in caught.value.message


def test_models_that_the_package_cannot_load(package: Any, folder: Any) -> None:
    (folder / "20201106-a" / "surrogate_model.model").write_text("not a number")
    with pytest.raises(DataError, match=r"cannot load .*xgb_v1\.0.*ValueError"):
        loaded(folder)


@pytest.mark.parametrize("value", [None, np.array([90.0, 91.0]), "high"])
def test_predictions_that_are_no_number(
    package: Any, folder: Any, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, model = loaded(folder)
    benchmark = open_benchmark(table, model, "cifar10", SOURCE)
    monkeypatch.setattr(FakeEnsemble, "predict", lambda self, **_: value)
    names = SPACE.to_string(SPACE.random(2, torch.Generator().manual_seed(0)))
    with pytest.raises(DataError, match=r"cannot predict|not finite"):
        benchmark.query(names, "validation_accuracy")
