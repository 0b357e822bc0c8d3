"""GeneratedDataset: generated once, then a file that is checked."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DatasetError

from optiproxy_nas.runs.datasets import GeneratedDataset

CALLS: list[int] = []


def table(rows: int) -> pd.DataFrame:
    CALLS.append(rows)
    return pd.DataFrame({"x": range(rows)})


def entry(path: Path) -> GeneratedDataset:
    return GeneratedDataset(
        function=f"{__name__}.table",
        arguments={"rows": 3},
        dataset={"type": "pandas.CSVDataset", "save_args": {"index": False}},
        filepath=str(path),
    )


def test_it_is_generated_once_and_an_edited_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "table.csv"
    CALLS.clear()
    for _ in range(2):
        assert entry(path).load()["x"].tolist() == [0, 1, 2]
    assert CALLS == [3]
    path.write_text("x\n9\n")
    with pytest.raises(DatasetError):
        entry(path).load()
