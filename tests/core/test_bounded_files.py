"""Parquet and YAML of strangers: small files that unpack to large ones are refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from optiproxy_nas.core.bounded_files import LIMITS, BoundedLoader, read_parquet
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.evaluation.initial import read_trials
from optiproxy_nas.sweeps.grid import read_blocks

SMALL = LIMITS._replace(size=100_000, nodes=5_000, depth=10, text=100)


def parquet(table: pd.DataFrame) -> bytes:
    content = io.BytesIO()
    table.to_parquet(content, compression="zstd")
    return content.getvalue()


BOMBS = {
    "zeros": pd.DataFrame({"a": np.zeros(4_000), **{f"{i}": np.zeros(4_000) for i in range(9)}}),
    "one long text in many rows": pd.DataFrame({"a": ["x" * 1_000] * 4_000}),
    "one long text, nested": pd.DataFrame({"a": [["x" * 1_000]] * 4_000}),
    "many rows": pd.DataFrame({"a": np.zeros(6_000, dtype=bool)}),
}


@pytest.mark.parametrize("table", [*BOMBS.values()], ids=[*BOMBS])
def test_a_parquet_file_that_unpacks_to_more_than_the_limit_is_refused(table: pd.DataFrame) -> None:
    content = parquet(table)
    assert len(content) < SMALL.size / 4
    with pytest.raises(ValueError, match="more than"):
        read_parquet(content, SMALL)
    assert len(read_parquet(content)) == len(table)


def test_a_sound_table_is_read_as_pandas_reads_it(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "text": ["a", None, "ü"],
            "value": [1.0, np.nan, 3.0],
            "kind": pd.Categorical(["x", "y", "x"]),
            "list": [[1], [], None],
        },
        index=pd.Index([5, 6, 7], name="row"),
    )
    path = tmp_path / "table.parquet"
    table.to_parquet(path)
    pd.testing.assert_frame_equal(read_parquet(path), pd.read_parquet(path))
    folder = tmp_path / "parts"
    folder.mkdir()
    for name in ("a", "b"):
        table.to_parquet(folder / f"{name}.parquet")
    pd.testing.assert_frame_equal(read_parquet(folder), pd.read_parquet(folder))


def test_a_table_with_the_ending_of_a_bomb_raises_our_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trials.parquet"
    path.write_bytes(parquet(BOMBS["one long text in many rows"]))
    monkeypatch.setattr(read_parquet, "__defaults__", (SMALL,))
    with pytest.raises(DataError, match="more than"):
        read_trials(path)


LAUGHS = "a0: &a0 [x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "[" * 5_000,
        "a: " * 5_000,
        "- " * 5_000,
        "a: &a [*a]",
        "a: &a {b: *a}",
        "? &a [*a]\n",
    ],
    ids=[
        "laughs",
        "brackets",
        "colons",
        "lists",
        "in itself",
        "mapping in itself",
        "key in itself",
    ],
)
def test_a_grid_that_grows_without_end_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "grid.yml"
    path.write_text(text)
    with pytest.raises(DataError):
        read_blocks(path)


def test_a_grid_of_many_bytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "grid.yml"
    with path.open("wb") as file:
        file.truncate(LIMITS.text + 1)
    with pytest.raises(DataError, match="bytes"):
        read_blocks(path)


def test_aliases_are_read_and_counted_as_often_as_they_are_used() -> None:
    class Small(BoundedLoader):
        limits = SMALL

    text = "- &a {budget: 20}\n- *a\n"
    assert yaml.load(text, Loader=Small) == [{"budget": "20"}] * 2
    with pytest.raises(yaml.YAMLError, match="more than 100 values"):
        yaml.load("- &a [1, 2, 3]\n" + "- *a\n" * 40, Loader=Small)
