"""The ingest pipeline, as Kedro runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.runner import SequentialRunner
from kedro_datasets.json import JSONDataset
from kedro_datasets.pandas import ParquetDataset

from changed_source import changed
from optiproxy_nas.benchmarks import data_card
from optiproxy_nas.benchmarks.nb201 import NB201
from optiproxy_nas.benchmarks.source_benchmark import TabularBenchmark
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.benchmarks.tidy_table import assemble, columns, table_digest, tidy
from optiproxy_nas.pipelines import benchmark_data
from optiproxy_nas.pipelines.ingest import create_pipeline
from optiproxy_nas.runs.datasets import BenchmarkFiles, BytesDataset


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("primary")
    catalog = DataCatalog(
        {
            "benchmark_files": BenchmarkFiles("embedded", path="nowhere"),
            "params:source": MemoryDataset("embedded"),
            "benchmark_table": ParquetDataset(filepath=str(folder / "table.parquet")),
            "benchmark_card": JSONDataset(filepath=str(folder / "card.json")),
        }
    )
    SequentialRunner().run(create_pipeline(), catalog)
    return catalog.load("benchmark_table"), catalog.load("benchmark_card")


def test_the_pipeline_asks_for_files_and_source_only() -> None:
    assert create_pipeline().inputs() == {"benchmark_files", "params:source"}
    assert create_pipeline().outputs() == {"benchmark_card"}


def test_the_card_tells_what_the_table_holds(ingested: Any) -> None:
    table, card = ingested
    assert card["rows"] == len(table) == 46_875
    assert list(card["schema"]) == list(table) == list(columns(get_source("embedded")))
    facts = card["datasets"]["cifar10"]
    assert facts["training_seeds"] == {"2": 7_456, "3": 8_169}
    assert facts["cells_by_epochs"] == {"200": 15_625}
    assert facts["metrics"]["latency_ms"] == {"numbers": 15_625, "not_stated": 0, "cannot_run": 0}
    best = card["datasets"]["imagenet16-120"]["optimum"]["validation_accuracy"]
    assert best["validation_accuracy"] == pytest.approx(46.733, abs=5e-4)
    [part] = card["parts"]
    assert [file["pinned"] for file in part["files"]] == [True] * 3
    assert all(len(file["sha256"]) == 64 for file in part["files"])


def test_the_card_of_a_joined_table_counts_gaps_and_cells_that_cannot_run() -> None:
    """A made-up pair: three fully trained cells, one of which a device cannot run."""
    codes = torch.tensor([[0] * 6, [1] * 6, [2] * 6])
    full: dict[str, Any] = {
        "validation_accuracy": [50, 60, 70],
        "edgetpu_latency_ms": [1.0, np.inf, 3.0],
    }
    early: dict[str, Any] = {"validation_accuracy": [1, 2, 3], "edgetpu_latency_ms": np.nan}
    rows = assemble(
        [tidy(NB201, codes, "cifar10", full), tidy(NB201, codes, "cifar10", early, epochs=12)]
    )
    made_up = changed(
        get_source("embedded"),
        metrics={"validation_accuracy": "percent", "edgetpu_latency_ms": "milliseconds"},
    )
    facts = data_card._describe_dataset(TabularBenchmark(rows, "cifar10", made_up), rows, made_up)
    assert facts["metrics"]["edgetpu_latency_ms"] == {
        "numbers": 2,
        "not_stated": 3,
        "cannot_run": 1,
    }
    assert facts["cells_by_epochs"] == {"12": 3, "200": 3}
    assert facts["cells"] == 3
    assert facts["optimum"]["validation_accuracy"]["validation_accuracy"] == 70


def test_the_digest_survives_a_file_and_sees_a_change(ingested: Any, tmp_path: Path) -> None:
    table, card = ingested
    table.to_parquet(tmp_path / "table.parquet")
    restored = pd.read_parquet(tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(restored, table)
    assert table_digest(restored) == card["table_sha256"]
    value: Any = restored.loc[7, "validation_accuracy"]
    restored.loc[7, "validation_accuracy"] = value + 1e-9
    assert table_digest(restored) != card["table_sha256"]


@pytest.mark.parametrize(
    ("spoil", "ingests"),
    [
        (lambda card: card, False),
        (lambda card: card | {"schema": {**card["schema"], "latency_seconds": ""}}, True),
        (lambda card: {key: value for key, value in card.items() if key != "schema"}, True),
    ],
    ids=["of this layout", "of another layout", "of an older release"],
)
def test_a_table_of_another_layout_is_ingested_anew(
    ingested: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Any,
    ingests: bool,
) -> None:
    table, card = ingested
    catalog = DataCatalog(
        {
            "benchmark_files": BenchmarkFiles("embedded", path="nowhere"),
            "params:source": MemoryDataset("embedded"),
            "benchmark_table": ParquetDataset(filepath=str(tmp_path / "table.parquet")),
            "benchmark_model": BytesDataset(filepath=str(tmp_path / "model")),
            "benchmark_card": JSONDataset(filepath=str(tmp_path / "card.json")),
        }
    )
    catalog.save("benchmark_table", table.iloc[:3])
    catalog.save("benchmark_model", b"")
    catalog.save("benchmark_card", spoil(card))
    monkeypatch.setattr(benchmark_data, "pipelines", {"ingest": create_pipeline()})
    benchmark_data.ingest_missing(tmp_path, "embedded", catalog)
    assert ("Ingesting" in capsys.readouterr().err) == ingests
    assert len(catalog.load("benchmark_table")) == (len(table) if ingests else 3)
    assert catalog.load("benchmark_card")["schema"] == card["schema"]


def test_raw_files_are_read_only() -> None:
    files: Any = BenchmarkFiles("embedded")
    with pytest.raises(DatasetError, match="read-only"):
        files.save({})
