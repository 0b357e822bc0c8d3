"""The section on stopping: each search is run once, and counted where the rule ended it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evidence import stopping
from evidence.stopping import Stop
from optiproxy_nas import search
from optiproxy_nas.algorithm import gaussian_posterior

QUICK = {
    "fit": {"first_epochs": 2, "epochs": 2},
    "gradient": {"epochs": 2, "groups": 2},
    "selection": {"samples": 10},
}


def test_searches_are_kept_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def stops_of(arguments: Any, seed: int, budget: int, confidence: Any, epsilons: Any) -> Any:
        runs.append(seed)
        return [Stop(60 + seed, 0.3, True), Stop(100, 0.0, False)]

    monkeypatch.setattr(stopping, "stops_of", stops_of)
    entry = {"label": "a table", "group": "g", "seeds": 2, "epsilons": [0.2, 0.4], "search": {}}
    options = {"budget": 100, "confidence": 0.95, "first_seed": 10, "tables": [entry]}
    for _ in range(2):
        entries = stopping.run_missing(options, tmp_path / "searches.jsonl")
    found = stopping.measure(options, entries)
    assert runs == [10, 11]
    assert found["a table", 0.2] == [Stop(70, 0.3, True), Stop(71, 0.3, True)]
    assert found["a table", 0.4] == [Stop(100, 0.0, False)] * 2


def test_lines_are_of_the_rule_and_the_presets_that_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"label": "a table", "group": "g", "seeds": 1, "epsilons": [0.2], "search": {}}
    options = {"budget": 100, "confidence": 0.95, "first_seed": 10, "tables": [entry]}
    path, digests = tmp_path / "searches.jsonl", []
    for stop in (Stop(50, 0.1, True), Stop(60, 0.1, True)):
        monkeypatch.setattr(stopping, "stops_of", lambda *_, stop=stop: [stop])
        found = stopping.measure(options, stopping.run_missing(options, path))
        assert found["a table", 0.2] == [stop]
        digests.append(stopping.rule_digest())
        monkeypatch.setattr(gaussian_posterior, "MEAN", 2.0)
    assert digests[0] != digests[1]


def test_it_stops_where_a_search_with_the_rule_does() -> None:
    arguments: dict[str, Any] = {"dataset": "cifar10", "initial_samples": 6, **QUICK}
    (stop,) = stopping.stops_of(arguments, 0, 40, 0.8, [20.0])
    found = search(budget=40, seed=0, stop_regret={"epsilon": 20.0, "confidence": 0.8}, **arguments)
    assert stop.early
    assert stop.queries == len(found.archive)
    assert stop.regret == found.regret
