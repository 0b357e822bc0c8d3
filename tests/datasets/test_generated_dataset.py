"""GeneratedDataset: generated once, then a file that is checked."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DatasetError

from optiproxy_nas.evaluation.identity import digests_of
from optiproxy_nas.problems.mnist1d_data import make_signals
from optiproxy_nas.runs.datasets import GeneratedDataset

pytestmark = pytest.mark.heavy

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


def test_tables_have_one_digest_when_made_and_when_read_back(tmp_path: Path) -> None:
    made = make_signals()
    made.to_parquet(tmp_path / "signals.parquet")
    read = pd.read_parquet(tmp_path / "signals.parquet")
    changed = read.copy()
    column = changed.columns[-1]
    changed[column] = changed[column].to_numpy()[::-1]
    first, second, third = (digests_of({"x": table})["x"] for table in (made, read, changed))
    assert first == second is not None
    assert third != first
