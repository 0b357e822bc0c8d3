"""Searches of sections that search by themselves: what is recorded, and the file of those shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evidence import searched
from evidence.collect import Evidence
from evidence.searched import Record, from_bytes, only, settings_of, shown_searches, to_bytes
from optiproxy_nas.core.errors import DataError

VALUES = st.sampled_from([np.nan, 1.0, 1.5, 2.0])


def test_an_entry_is_read_again_until_its_settings_change(tmp_path: Path) -> None:
    path = tmp_path / "made" / "searches.jsonl"
    record = Record(path, lambda key: "new" if key == "a" else "same")
    assert record.read() == {}
    for key in ("a", "b"):
        record.add(key, {"best": np.array([np.nan, 1 / 3]), "seconds": 0.5, "early": True})
    found = record.read()["a"]
    assert np.array_equal(found["best"], [np.nan, 0.33333333], equal_nan=True)
    assert (found["seconds"], found["early"]) == (0.5, True)
    assert set(Record(path, lambda _: "same").read()) == {"b"}


@given(best=arrays(np.float64, st.integers(1, 9), elements=VALUES), key=st.text())
def test_a_file_gives_back_curves_where_the_first_changes(best: np.ndarray, key: str) -> None:
    at = np.arange(1.0, len(best) + 1)
    entry = from_bytes(to_bytes({key: {"best": best, "at": at, "busy": 0.5, "failed": 2}}))[key]
    assert np.array_equal(entry["best"], best, equal_nan=True)
    assert entry["at"][[0, -1]].tolist() == at[[0, -1]].tolist()
    assert (entry["busy"], entry["failed"]) == (0.5, 2)
    changed = 1 + np.flatnonzero(best[1:] != best[:-1])  # NaN differs from itself
    changed = changed[~np.isnan(best[changed]) | ~np.isnan(best[changed - 1])]
    assert entry["at"][changed].tolist() == at[changed].tolist()
    assert (np.diff(entry["at"]) >= 0).all()


def test_curves_may_differ_in_length_and_numbers_need_none() -> None:
    entries = {"a": {"best": np.ones(3)}, "b": {"best": np.zeros(5)}}
    assert [len(entry["best"]) for entry in from_bytes(to_bytes(entries)).values()] == [3, 5]
    assert from_bytes(to_bytes({"a": {"regret": 0.25}})) == {"a": {"regret": 0.25}}
    assert only(entries, ["c", "b"]) == {"b": entries["b"]}
    again = to_bytes(dict(reversed(entries.items())))
    assert again == to_bytes(entries)


def test_with_a_file_nothing_is_searched() -> None:
    def never() -> dict[str, searched.Entry]:
        raise AssertionError("searched")

    data = to_bytes({"a": {"regret": 0.25}})
    stored = Evidence(pd.DataFrame(), pd.DataFrame(), {}, stored=data)
    assert shown_searches(stored, never) == ({"a": {"regret": 0.25}}, data)
    fresh = Evidence(pd.DataFrame(), pd.DataFrame(), {})
    assert shown_searches(fresh, lambda: {"a": {"regret": 0.25}})[1] == data


@pytest.mark.parametrize("data", [b"", b"PAR1", b"key,best\n", to_bytes({})])
def test_another_file_is_one_error(data: bytes) -> None:
    with pytest.raises(DataError, match="no file of searches"):
        from_bytes(data)


def test_settings_differ_by_the_preset_and_not_by_the_seed() -> None:
    arguments = {"space": "nb201", "budget": 20}
    plain, seeded, other = (
        settings_of(json.dumps(arguments | more))
        for more in ({}, {"seed": 3}, {"preset": "ensemble"})
    )
    assert plain == seeded != other
