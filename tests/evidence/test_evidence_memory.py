"""The section on memory: leave one dataset out, each search once, paired with cold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evidence import memory, memory_tables, memory_tasks
from evidence.memory_tasks import Done

GROUP = {
    "name": "optimum",
    "space": "nb201",
    "source": "embedded",
    "datasets": ["cifar10", "cifar100", "imagenet16-120"],
    "queries": 6,
    "read_at": [3, 6],
    "ways": [
        {"label": "cold", "earlier": "none"},
        {"label": "others", "earlier": "others", "queries": 5},
        {"label": "next", "earlier": "next", "spoilt": "negated"},
    ],
}
OPTIONS = {"groups": [GROUP], "seeds": 2}


def test_no_search_learns_from_its_own_dataset() -> None:
    cases = list(memory.cases(OPTIONS, 2))  # type: ignore[attr-defined]
    assert len(cases) == 2 * 3 * 3
    assert all(case.dataset not in case.way["from"] for case in cases)
    assert len({case.key for case in cases}) == len(cases)


def test_each_search_is_run_once_and_tables_pair_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def run(case: Any) -> Any:
        calls.append(case)
        _, optimum = memory_tasks.answers_of(GROUP, case.dataset)
        found = {"cold": 5, "others": 2, "next": 9}[case.way["label"]]
        return {"best": np.where(np.arange(6) + 1 >= found, optimum, optimum - 3.0), "seconds": 1.0}

    monkeypatch.setattr(memory, "run", run)
    path = tmp_path / "searches.jsonl"
    entries = memory.run_missing(path, OPTIONS, 2)
    shown = memory.with_answers(OPTIONS, entries)
    found = {key: Done(**entry) for key, entry in shown.items()}
    assert len(calls) == len(found) == len(path.read_text(encoding="utf-8").splitlines())
    assert memory.run_missing(path, OPTIONS, 2).keys() == found.keys()
    assert len(calls) == len(found)
    text = memory_tables.optimum_table(GROUP, found)
    cold, others, following = (line.split("|") for line in text.splitlines()[2:5])
    assert [cells[5].strip() for cells in (cold, others, following)] == ["5", "2", "> 6"]
    assert others[3].strip() == "10"  # trials that memory cost
    assert "-3.0" in others[10]
    assert cold[10].strip() == "reference"


def test_a_record_of_other_settings_is_searched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "run", lambda case: {"best": np.full(6, 50.0)})
    path = tmp_path / "searches.jsonl"
    memory.run_missing(path, OPTIONS, 1)
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps({**it, "settings": "x"}) + "\n" for it in entries))
    memory.run_missing(path, OPTIONS, 1)
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2 * len(entries)


@pytest.mark.parametrize("how", ["negated", "shuffled"])
def test_what_misleads_has_the_same_trials(how: str) -> None:
    trials = memory.pd.DataFrame({"architecture": list("abcd"), "value": [1.0, 2.0, 3.0, 4.0]})  # type: ignore[attr-defined]
    spoilt = memory._spoilt(trials, how, 0)
    assert spoilt["architecture"].equals(trials["architecture"])
    assert not spoilt["value"].equals(trials["value"])
