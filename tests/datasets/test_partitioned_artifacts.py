"""Partitions of a run: each file whole, versioned, checked; also where there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, DatasetError

from optiproxy_nas.core.errors import ArtifactError
from optiproxy_nas.runs.datasets import PartitionedArtifacts


def dataset(folder: Path, version: str = "2026-01-01T00.00.00.000Z") -> Any:
    entry: dict[str, Any] = {
        "type": PartitionedArtifacts,
        "dataset": {"type": "pandas.ParquetDataset"},
        "path": str(folder / "archive"),
        "filename_suffix": ".parquet",
        "versioned": True,
    }
    found = DataCatalog.from_config({"refits.archive": entry}, save_version=version)
    return found["refits.archive"]


def test_the_latest_version_of_each_partition_is_read_and_listed(tmp_path: Path) -> None:
    table = pd.DataFrame({"order": [0, 1, 2]})
    assert not dataset(tmp_path).exists()
    dataset(tmp_path).save({"step_01": lambda: table.head(1), "step_02": table.head(2)})
    dataset(tmp_path, "2026-01-02T00.00.00.000Z").save({"step_02": table.head(2)})
    found = dataset(tmp_path)
    assert found.exists()
    assert {name: len(read()) for name, read in found.load().items()} == {
        "step_01": 1,
        "step_02": 2,
    }
    files = found.files()
    assert sorted(files) == ["/step_01", "/step_02"]
    assert files["/step_02"][0].parent.name == "2026-01-02T00.00.00.000Z"


def test_another_version_of_a_partition_is_refused_where_it_differs(tmp_path: Path) -> None:
    table = pd.DataFrame({"order": [0, 1, 2]})
    dataset(tmp_path).save({"step_01": table.head(1), "step_02": table.head(2)})
    dataset(tmp_path, "2026-01-02T00.00.00.000Z").save({"step_02": table})
    with pytest.raises(ArtifactError):
        dataset(tmp_path).files()


def test_an_edited_partition_is_refused(tmp_path: Path) -> None:
    dataset(tmp_path).save({"step_01": pd.DataFrame({"order": [0]})})
    (file,) = (path for path in tmp_path.rglob("*.parquet") if path.is_file())
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ArtifactError):
        dataset(tmp_path).files()
    with pytest.raises(DatasetError, match="edited"):
        dataset(tmp_path).load()["step_01"]()


def test_a_search_without_any_fit_has_no_partitions(tmp_path: Path) -> None:
    dataset(tmp_path).save({})
    assert dataset(tmp_path).exists()
    assert dataset(tmp_path).load() == dataset(tmp_path).files() == {}
