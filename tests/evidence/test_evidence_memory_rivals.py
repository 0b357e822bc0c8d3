"""Other ways to use earlier runs: what they query, and from what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from evidence import memory_rivals, memory_tasks
from optiproxy_nas.spaces import get_space

SPACE = get_space("nb201")


def worth(texts: Any) -> Any:
    return np.array([float(text.count("3x3")) + 0.1 * text.count("1x1") for text in texts])


@pytest.fixture(scope="module")
def runs() -> Any:
    """Two runs, of which the second has the same order on another scale."""
    texts = SPACE.to_string(SPACE.random(80, torch.Generator().manual_seed(0)))
    halves = [pd.DataFrame({"architecture": half}) for half in (texts[:40], texts[40:])]
    values = [worth(half["architecture"]) for half in halves]
    return [halves[0].assign(value=values[0]), halves[1].assign(value=1000 + 50 * values[1])]


def test_the_best_of_each_run_come_first(runs: Any) -> None:
    asked: list[Any] = []

    def query(texts: Any) -> Any:
        asked.extend(texts)
        return worth(texts)

    memory_rivals.best_first(runs, query, 6)
    best = [run["architecture"][run["value"].idxmax()] for run in runs]
    assert set(best) <= set(asked)
    assert len(set(asked)) == 6


def test_a_forest_ranks_what_it_has_not_seen(runs: Any) -> None:
    found = memory_rivals.forest_run(runs, SPACE, seed=0)
    assert len(found) >= 0.9 * memory_rivals.KEPT
    assert found["value"].corr(pd.Series(worth(found["architecture"])), method="spearman") > 0.7
    assert found["value"].between(0, 1).all()


def test_a_tpe_begins_where_earlier_runs_were_good_and_repeats_nothing(runs: Any) -> None:
    asked = []

    def query(texts: Any) -> Any:
        asked.extend(texts)
        return worth(texts)

    values = memory_rivals.warm_tpe(runs, SPACE, query, 8, seed=0)
    assert len(set(asked)) == len(values) == 8
    assert values.mean() > np.concatenate([worth(run["architecture"]) for run in runs]).mean() + 1
    again = memory_rivals.warm_tpe(runs, SPACE, worth, 8, seed=0)
    assert values.tolist() == again.tolist()


def test_under_a_bound_the_optimum_is_the_best_that_keeps_it() -> None:
    group = {"space": "nb201", "source": "embedded", "bounded": "cifar10"}
    benchmark, best = memory_tasks.answers_of(group, "latency_ms < 12")
    table: Any = benchmark.table([benchmark.target, "latency_ms"])
    assert best == table.loc[table["latency_ms"] < 12, benchmark.target].max()
    assert best < memory_tasks.answers_of({**group, "bounded": None}, "cifar10")[1]


def test_short_trainings_inform_a_search_of_their_dataset_only_where_it_is_said() -> None:
    group = {"space": "nb201", "datasets": ["a", "b"], "name": "g", "queries": 5}
    ways: list[dict[str, Any]] = [{"earlier": "others"}, {"earlier": "itself", "epochs": 12}]
    sources = [memory_tasks.sources_of(group, "a", way) for way in ways]
    assert sources == [[["b"]], [["a"]]]
