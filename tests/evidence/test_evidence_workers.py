"""Searches on many workers: from a record that is made up to what the page says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from evidence import worker_record, workers
from evidence.collect import Evidence
from evidence.searched import to_bytes
from evidence.sections import Section
from evidence.simulated import Cluster, Simulated, load_task, simulate
from evidence.worker_measures import Measured, TaskResults, excess, speed_up
from evidence.worker_record import (
    Simulation,
    cells_of,
    simulations,
)

TASK = {"label": "T", "space": "nb201", "dataset": "cifar10"}
OURS = {"label": "asynchronous", "arguments": {"method": "random_search"}}
BATCH = {**OURS, "label": "batch-synchronous", "synchronous": True}
OPTIONS: dict[str, Any] = {
    "queries": 4,
    "read_at": [4],
    "levels": [2, 4],
    "workers": [1, 2],
    "decisive": 2,
    "aims": {"excess": 0.1, "busy": 0.9, "speed_up": 1.5, "seeds": 2},
    "seeds": 2,
    "tasks": [TASK],
    "methods": [OURS, BATCH],
    "variants": [{"label": "as measured"}],
}


def made(search: Simulation) -> Simulated:
    """A search whose regrets are 4, 3, 2, 1: serial in hours 1, 2, 3, 4; a batch waits longer."""
    best = load_task("nb201", "cifar10").best
    hours = np.arange(1.0, 5.0) / search.cell.workers
    slow = 1.5 if search.cell.method.get("synchronous") else 1.0
    return Simulated(best - np.arange(4.0, 0.0, -1.0), 3600 * slow * hours, 0.95 / slow, 0, 0.1)


@pytest.fixture(scope="module")
def found() -> dict[str, Simulated]:
    return {search.key: made(search) for search in simulations(OPTIONS, 2)}


def test_all_cells_of_a_seed_come_before_the_next_seed() -> None:
    tasks = [TASK, {**TASK, "dataset": "cifar100", "most_seeds": 1}]
    searches = list(simulations({**OPTIONS, "tasks": tasks}, 3))
    assert [search.seed for search in searches] == [0] * 6 + [1] * 3 + [2] * 3
    assert len({search.key for search in searches}) == len(searches)


def test_one_worker_has_no_batch_and_a_variant_may_be_of_a_part() -> None:
    only = {"methods": ["asynchronous"], "workers": [2], "tasks": ["T"]}
    variants = [{"label": "as measured"}, {"label": "crashes", "crashes": 0.1, "only": only}]
    options = {**OPTIONS, "variants": variants}
    cells = [(c.cluster["label"], c.method["label"], c.workers) for c in cells_of(options, TASK)]
    assert cells == [
        ("as measured", "asynchronous", 1),
        ("as measured", "asynchronous", 2),
        ("as measured", "batch-synchronous", 2),
        ("crashes", "asynchronous", 2),
    ]
    assert len(cells_of(options, {**TASK, "label": "other"})) == 3


def test_the_record_gives_back_what_a_search_did_and_labels_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    did = Simulated(np.array([np.nan, 1.5]), np.array([2.0, 3.251]), 0.5, 1, 0.25)
    monkeypatch.setattr(Simulation, "run", lambda _: did)
    found = worker_record.run_missing(tmp_path / "record.jsonl", OPTIONS, 1)
    renamed = next(simulations({**OPTIONS, "methods": [{**OURS, "label": "new"}]}, 1))
    again = Simulated(**found[renamed.key])
    assert np.array_equal(again.best, did.best, equal_nan=True)
    assert again.at.tolist() == [2.0, 3.25]
    assert again[2:] == did[2:]


def test_only_what_is_missing_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, asked = tmp_path / "record.jsonl", []

    def run(search: Simulation) -> Simulated:
        asked.append(search.key)
        return made(search)

    monkeypatch.setattr(Simulation, "run", run)
    worker_record.run_missing(path, OPTIONS, 1)
    first = list(asked)
    found = worker_record.run_missing(path, OPTIONS, 2)
    assert len(first) == 3
    assert asked[3:] == [s.key for s in simulations(OPTIONS, 2) if s.seed == 1]
    assert set(found) == set(asked)


def test_a_simulated_search_is_the_same_again_and_its_times_add_up() -> None:
    task = load_task("nb201", "cifar10")
    arguments = {"method": "random_search"}
    one = simulate(task, arguments, Cluster(1), 6, 0)
    assert one.busy == 1
    times = np.diff(np.concatenate([[0.0], one.at]))
    assert times.min() > 500  # seconds of a training of the table
    assert (np.diff(one.best) >= 0).all()
    three = simulate(task, arguments, Cluster(3), 6, 0)
    assert three.best[-1] == one.best[-1]  # random search asks for the same six
    assert one.at[-1] / 3 <= three.at[-1] < one.at[-1]
    again = simulate(task, arguments, Cluster(3), 6, 0)
    assert three.at.tolist() == again.at.tolist()
    crashing = simulate(task, arguments, Cluster(3, crashes=0.4), 6, 0)
    assert 0 < crashing.failed < 6
    assert len(crashing.best) == 6


def test_a_batch_waits_for_its_last_training() -> None:
    task = load_task("nb201", "cifar10")
    arguments = {
        "initial_samples": 4,
        "fit": {"first_epochs": 2, "epochs": 2},
        "gradient": {"epochs": 2, "groups": 2},
        "selection": {"samples": 10},
    }
    batch = simulate(task, arguments, Cluster(4), 8, 0, synchronous=True, proposal_seconds=10.0)
    asynchronous = simulate(task, arguments, Cluster(4), 8, 0, proposal_seconds=10.0)
    assert batch.at[4] > batch.at[3] + 500  # the second batch began after the first
    assert batch.at[0] > 510  # a proposal was waited for
    assert asynchronous.at[-1] < batch.at[-1]
    assert batch.busy < asynchronous.busy < 1


def test_times_to_a_regret_and_regrets_at_a_time() -> None:
    best = np.array([np.nan, 2.0, 3.0, 3.0]), np.array([1.0, 1.0, 1.0])
    at = np.array([1.0, 2.0, 5.0, 7.0]), np.array([2.0, 4.0, 6.0])
    searches = [Simulated(*pair, 0.5, 0, 0.0) for pair in zip(best, at, strict=True)]
    measured = Measured.of(searches, best=3.0, sign=1.0, queries=4)
    assert measured.seconds_to(1.0).tolist() == [2.0, math.inf]
    assert measured.seconds_to(2.0).tolist() == [2.0, 2.0]
    assert measured.median_seconds_to(0.0) == math.inf
    assert measured.after(4).tolist() == [0.0, 2.0]  # the shorter curve stays where it was
    regrets = measured.at_seconds(np.array([1.5, 2.0, 5.0, 100.0]))
    assert np.array_equal(regrets, [[np.nan, 1, 0, 0], [np.nan, 2, 2, 2]], equal_nan=True)
    lower = Measured.of([Simulated(np.array([4.0]), at[0][:1], 1, 0, 0)], 3.0, -1.0, 1)
    assert lower.regret.tolist() == [[1.0]]


def test_how_far_above_serial_a_regret_is() -> None:
    serial = np.array([1.0, 2.0, 3.0])
    share, bounds = excess(1.2 * serial, serial)
    assert share == pytest.approx(0.2)
    assert bounds == pytest.approx((0.2, 0.2))  # in pairs of seeds there is no noise
    assert excess(np.zeros(3), np.zeros(3))[0] == 0
    assert excess(serial, np.zeros(3))[0] == math.inf
    assert speed_up(10.0, 2.0) == 5
    assert speed_up(10.0, math.inf) == 0
    assert speed_up(math.inf, 2.0) == math.inf
    assert math.isnan(speed_up(math.inf, math.inf))


def test_results_are_read_by_label(found: dict[str, Simulated]) -> None:
    results = TaskResults(OPTIONS, TASK, found)
    assert results.levels == {2: 3.0, 4: 1.0}
    assert results.seeds == [0, 1]
    missing = next(search.key for search in simulations(OPTIONS, 1))
    part = {key: did for key, did in found.items() if key != missing}
    assert TaskResults(OPTIONS, TASK, part).seeds == [1]  # what is compared has equal seeds
    assert results.workers("batch-synchronous") == [2]
    assert results.of("asynchronous", 2).median_seconds_to(1.0) == 2 * 3600


def test_the_page_says_what_the_record_holds(
    found: dict[str, Simulated], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = to_bytes({key: did._asdict() for key, did in found.items()})
    for drawing in ("by_time_and_queries", "speed_ups"):  # as of kedro evidence --smoke
        monkeypatch.setattr(workers, drawing, lambda panels: Figure())
    section = Section(
        name="workers", title="T", order=1, render="workers", page="p.md", options=OPTIONS
    )
    rendered = workers.render(section, Evidence(pd.DataFrame(), pd.DataFrame(), {}, stored=data))
    (goals,) = rows(rendered.texts["workers-goals"])
    assert goals[:4] == ["T", "as measured", "2", "**+0% (+0% to +0%)**"]
    assert goals[4:] == ["**95%**", "**2.0 ×**", "**2.0 ×**", "**with all**"]
    ours, batch = rows(rendered.texts["workers-speed"])[:2]
    assert ours[1:] == ["3.000 points (2)", "2.0", "asynchronous", "2.0 ×"]
    assert batch[-1] == "1.3 ×"
    assert rows(rendered.texts["workers-queries"])[1] == ["T", "1.000 points", "4", "4"]
    assert rows(rendered.texts["workers-synchronous"])[0] == ["T", "all queries", "1.5 ×"]
    assert rows(rendered.texts["workers-busy"])[1][1:] == ["batch-synchronous", "", "63%"]
    assert rows(rendered.texts["workers-regret"])[1][-1] == "0.000 (0.000 to 0.000)"
    assert all(data.startswith(b"\x89PNG") for data in rendered.figures.values())


def rows(text: str) -> list[list[str]]:
    """Return the cells of a Markdown table's body."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines[2:]]
