"""The ingest pipeline, as Kedro runs it."""

import pandas as pd
import pytest
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.runner import SequentialRunner
from kedro_datasets.json import JSONDataset
from kedro_datasets.pandas import ParquetDataset

from optiproxy_nas.benchmarks.schema import COLUMNS, table_digest
from optiproxy_nas.datasets.benchmark_files import BenchmarkFiles
from optiproxy_nas.pipelines.ingest import create_pipeline


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
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


def test_the_pipeline_asks_for_files_and_source_only():
    assert create_pipeline().inputs() == {"benchmark_files", "params:source"}
    assert create_pipeline().outputs() == {"benchmark_card"}


def test_the_card_tells_what_the_table_holds(ingested):
    table, card = ingested
    assert card["rows"] == len(table) == 46_875
    assert card["schema"].keys() == set(COLUMNS)
    assert card["datasets"]["cifar10"]["training_seeds"] == {"2": 7_456, "3": 8_169}
    assert card["datasets"]["cifar10"]["splits"] == {"validation": 15_625}
    best = card["datasets"]["imagenet16-120"]["optimum"]["validation"]
    assert best["accuracy"]["validation"] == pytest.approx(46.733, abs=5e-4)
    assert [file["pinned"] for file in card["files"]] == [True] * 3
    assert all(len(file["sha256"]) == 64 for file in card["files"])


def test_the_digest_survives_a_file_and_sees_a_change(ingested, tmp_path):
    table, card = ingested
    table.to_parquet(tmp_path / "table.parquet")
    restored = pd.read_parquet(tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(restored, table)
    assert table_digest(restored) == card["table_sha256"]
    restored.loc[7, "accuracy"] += 1e-9
    assert table_digest(restored) != card["table_sha256"]


def test_raw_files_are_read_only():
    with pytest.raises(DatasetError, match="read-only"):
        BenchmarkFiles("embedded").save({})
