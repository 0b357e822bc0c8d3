"""The record of the searches of tables: whose settings have changed is searched again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evidence import table_record
from evidence.table_record import Search, add, record

TASK = {"space": "hpobench", "dataset": "vehicle"}


def test_a_search_is_found_again_until_its_preset_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "searches.jsonl"
    ours, other = Search(TASK, {"preset": "large"}, 0), Search(TASK, {"method": "tpe"}, 0)
    for search in (ours, other):
        add(path, search, np.array([1.0, 2.0]))
    before = Search(TASK, {"method": "native_tpe"}, 0)  # a line of before there were digests
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"key": before.key, "best": [3.0]}) + "\n")
    assert set(record(path)) == {ours.key, other.key, before.key}
    monkeypatch.setattr(table_record, "load_preset", lambda name: {"name": name})
    assert set(record(path)) == {other.key, before.key}
