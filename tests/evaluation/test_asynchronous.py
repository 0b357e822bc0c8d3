"""A search on many workers: any order of ends, nothing lost, replayed to the byte."""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from evaluations import METHODS, OBJECTIVES, arguments, failing, fails, worth
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_workers import ScriptedWorkers
from trained_problem import RUN, Trained

from optiproxy_nas import FailedTrialsError, Search, SearchResult, read_journal, search
from optiproxy_nas.core.errors import MethodError
from optiproxy_nas.evaluation.asynchronous import drive_asynchronously
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.journal_file import read_records
from optiproxy_nas.evaluation.loop import drive
from optiproxy_nas.evaluation.status import Status
from optiproxy_nas.evaluation.stop_rules import StopAtTarget
from optiproxy_nas.evaluation.trials import Asked

HEADER = {"target": "value"}
SLOW = ("optiproxy", "gaussian_process")
# One objective each, but for the method whose proposals depend on all of it.
EACH = [(method, "accuracy") for method in METHODS[1:]]
EACH += [("optiproxy", objective) for objective in OBJECTIVES]
QUICK: dict[str, Any] = arguments("random_search", budget=8)


@pytest.fixture(autouse=True, scope="module")
def quick_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def small(method: str, objective: str = "accuracy", **others: Any) -> dict[str, Any]:
    """Arguments of a search of a few rounds."""
    if objective == "multi_fidelity":
        budget = 40 if method == "optiproxy" else 60
    else:
        budget = 18 if method == "optiproxy" else 10
    return arguments(method, objective, budget=budget, **others)


def flaky() -> Any:
    """Some need a second attempt, some fail for good."""
    attempts: Counter[str] = Counter()

    def evaluate(architecture: str, epochs: int = 6) -> Any:
        attempts[architecture] += 1
        if fails(architecture) or (len(architecture) % 3 and attempts[architecture] == 1):
            raise RuntimeError("flaky")
        return worth(architecture, epochs)

    return evaluate


def assert_equal(one: Search, other: Search) -> None:
    """The same archive, trials, proposals, events and records."""
    pd.testing.assert_frame_equal(one.archive(), other.archive())
    pd.testing.assert_frame_equal(one.proposals(), other.proposals())
    pd.testing.assert_frame_equal(one.records().diagnostics, other.records().diagnostics)
    trials = [[replace(it, seconds=None) for it in found.trials] for found in (one, other)]
    assert trials[0] == trials[1]
    assert one.events == other.events
    assert one.done == other.done


@pytest.mark.heavy
@pytest.mark.parametrize(("method", "objective"), EACH)
def test_with_one_worker_it_is_the_serial_search(method: Any, objective: Any) -> None:
    asked = small(method, objective, failures={"retries": 1})
    serial, one = Search(**asked), Search(**asked)
    drive(serial, flaky())
    drive_asynchronously(one, ScriptedWorkers(flaky()), in_thread=False)
    assert_equal(serial, one)


@pytest.mark.parametrize("preset", ["paper", "hardware", "low_fidelity"])
def test_so_it_is_with_each_preset(preset: str) -> None:
    objectives = {"hardware": "constrained", "low_fidelity": "multi_fidelity"}
    asked = small("optiproxy", objectives.get(preset, "accuracy"), preset=preset)
    serial, one = Search(**asked), Search(**asked)
    drive(serial, worth)
    drive_asynchronously(one, ScriptedWorkers(worth), in_thread=False)
    assert_equal(serial, one)


def check_replay(asked: dict[str, Any], path: Path, workers: int, script: random.Random) -> None:
    """The journal alone gives the search again; nothing is trained."""
    opened, in_thread = Search(**asked), script.random() < 0.2
    trained = ScriptedWorkers(failing if asked["method"] in SLOW else flaky(), workers, script)
    with Journal.open(path, HEADER) as journal:
        drive_asynchronously(opened, trained, journal=journal, in_thread=in_thread)
    with Journal.open(path, HEADER) as journal:
        replayed, none = Search(**asked), ScriptedWorkers(failing)
        drive_asynchronously(replayed, none, journal=journal)
    assert not none.submitted
    assert_equal(opened, replayed)
    found = [(trial.text, trial.epochs) for trial in opened.trials]
    assert len(set(found)) == len(found)
    assert opened.spent <= opened.budget


@pytest.mark.parametrize("method", [name for name in METHODS if name not in SLOW])
@settings(max_examples=3)
@given(
    objective=st.sampled_from(sorted(OBJECTIVES)),
    workers=st.integers(1, 20),
    script=st.randoms(use_true_random=False),
)
def test_any_order_of_ends_is_replayed(
    method: Any, objective: Any, workers: Any, script: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "j.jsonl"
    check_replay(small(method, objective, failures={"retries": 1}), path, workers, script)


@pytest.mark.parametrize(("method", "objective"), [it for it in EACH if it[0] in SLOW])
@settings(max_examples=1)
@given(workers=st.integers(2, 20), script=st.randoms(use_true_random=False))
def test_so_it_is_in_methods_that_fit(
    method: Any, objective: Any, workers: Any, script: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "j.jsonl"
    check_replay(small(method, objective), path, workers, script)


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_so_it_is_with_earlier_runs(objective: Any, tmp_path: Path) -> None:
    before = search(evaluate=worth, **arguments("random_search", budget=12, seed=7))
    asked = small(
        "optiproxy", objective, prior=[before, lambda texts: [text.count("3x3") for text in texts]]
    )
    check_replay(asked, tmp_path / "j.jsonl", 2, random.Random(0))


@settings(max_examples=5)
@given(script=st.randoms(use_true_random=False))
def test_ended_at_any_line_it_goes_on_from_its_journal(
    script: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As a process that was killed: what was told is as it was, what ran is begun again."""
    folder = tmp_path_factory.mktemp("killed")
    whole, cut = folder / "whole.jsonl", folder / "cut.jsonl"
    with Journal.open(whole, HEADER) as journal:
        drive_asynchronously(
            Search(**QUICK), ScriptedWorkers(flaky(), 3, script), journal=journal, in_thread=False
        )
    lines = whole.read_bytes().splitlines(keepends=True)
    kept = script.randint(1, len(lines))
    cut.write_bytes(b"".join(lines[:kept]))
    with Journal.open(cut, HEADER) as journal:
        opened, workers = Search(**QUICK), ScriptedWorkers(flaky(), 3, script)
        before = len(journal)
        drive_asynchronously(opened, workers, journal=journal, in_thread=False)
    assert len(workers.submitted) == 8 - before
    assert len(read_journal(cut)) == opened.spent == 8
    assert cut.read_bytes().startswith(b"".join(lines[:kept]))
    with Journal.open(cut, HEADER) as journal:
        again, none = Search(**QUICK), ScriptedWorkers(failing)
        drive_asynchronously(again, none, journal=journal)
    assert_equal(opened, again)


def test_what_the_cluster_still_runs_is_rejoined_and_the_rest_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    opened, workers = Search(**QUICK), ScriptedWorkers(worth, 3)
    workers.on_poll = _raise_when(lambda: bool(workers.running))
    with Journal.open(path, HEADER) as journal, pytest.raises(OSError, match="killed"):
        drive_asynchronously(opened, workers, journal=journal)
    with Journal.open(path, HEADER) as journal:
        later = ScriptedWorkers(worth, 3, kept=["job 1"])
        drive_asynchronously(Search(**QUICK), later, journal=journal)
    assert [request.number for request in later.rejoined] == [1]
    assert sorted(request.number for request in later.submitted) == [0, 2, 3, 4, 5, 6, 7]
    assert {request.attempt for request in later.submitted} == {1}
    assert len(read_journal(path)) == 8


def _raise_when(condition: Any) -> Any:
    def check() -> None:
        if condition():
            raise OSError("killed")

    return check


@pytest.mark.heavy
def test_a_serial_search_and_one_on_workers_go_on_with_each_others_journal(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    asked = arguments("optiproxy", budget=20)
    search(evaluate=worth, journal=path, **{**asked, "budget": 11})
    with Search(**asked, journal=path) as opened:  # asked and told in any order
        first, second = opened.ask(2)
        opened.tell(second, worth(second.architecture))
        opened.tell(first, worth(first.architecture))
    found = search(evaluate=worth, journal=path, **asked)
    again = search(evaluate=worth, journal=path, **asked)
    pd.testing.assert_frame_equal(found.archive, again.archive)
    assert len(found.archive) == len(read_journal(path)) == 20
    order = found.archive["architecture"].tolist()
    assert order.index(second.text) < order.index(first.text)


def _never(architecture: str) -> float:
    raise AssertionError("It was trained before.")


def test_journals_of_before_say_in_each_result_how_often_the_method_was_asked(
    tmp_path: Path,
) -> None:
    new, old = tmp_path / "new.jsonl", tmp_path / "old.jsonl"
    asked = arguments("random_search", budget=8)
    with Search(**asked, journal=new) as opened:
        while trials := opened.ask(3):
            for trial in reversed(trials):
                opened.tell(trial, worth(trial.architecture))
    header, lines = read_records(new)
    count = 0
    with Journal.open(old, header) as journal:
        for line in lines:
            count += "ask" in line
            if "error" in line:
                facts = {name: line[name] for name in line if name != "digest"}
                journal._append({**facts, "asked": count})
    with Search(**asked, journal=old) as resumed:
        assert_equal(resumed, opened)


def test_a_result_of_many_workers_is_gone_on_from(tmp_path: Path) -> None:
    asked = arguments("optiproxy", budget=16)
    whole = Search(**asked)
    drive_asynchronously(whole, ScriptedWorkers(worth, 5, random.Random(0)), in_thread=False)
    assert any(isinstance(it, Asked) and it.wanted for it in whole.events)
    loaded = SearchResult.load(whole.result().save(tmp_path / "r.zip"))
    again = Search(**asked, initial=loaded)
    assert again.ask() == []
    assert_equal(whole, again)


def test_of_more_workers_than_the_budget_pays_for_some_are_not_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    opened, workers = Search(**QUICK), ScriptedWorkers(worth, 30)
    drive_asynchronously(opened, workers)
    assert len(opened.archive()) == 8
    assert "8 of 30 workers" in caplog.text


def test_the_status_says_how_it_stands() -> None:
    seen: list[Status] = []
    opened = Search(**{**QUICK, "failures": {"in_a_row": None}})
    workers = ScriptedWorkers(failing, 3, random.Random(2))
    drive_asynchronously(opened, workers, on_status=seen.append)
    last = seen[-1]
    assert (last.workers, last.busy, last.waiting) == (3, 0, 0)
    assert (last.complete, last.failed) == (len(opened.archive()), len(opened.failed()))
    assert (last.best, last.spent, last.budget) == (opened.best, 8, 8)
    assert all(it.spent_on_ended == it.complete + it.failed <= it.spent for it in seen)
    assert max(status.busy for status in seen) == 3
    assert all(math.isnan(it.eta_seconds) or it.eta_seconds >= 0 for it in seen)
    assert all(0 <= status.idle_share <= 1 for status in seen)


def test_the_status_counts_no_time_in_which_the_journal_was_repeated(tmp_path: Path) -> None:
    path, now = tmp_path / "j.jsonl", [0.0]
    seen: list[Any] = []
    workers = ScriptedWorkers(worth, 3)
    workers.on_poll = _raise_when(lambda: len(workers.submitted) > 5)
    with Journal.open(path, HEADER) as journal, pytest.raises(OSError, match="killed"):
        drive_asynchronously(Search(**QUICK), workers, journal=journal, in_thread=False)

    def takes_long(*_: object) -> None:
        now[0] += 100.0 * (not seen)

    later = ScriptedWorkers(worth, 3, kept=["job 5"])
    with Journal.open(path, HEADER) as journal:
        drive_asynchronously(
            Search(**QUICK),
            later,
            [takes_long],
            journal=journal,
            on_status=seen.append,
            in_thread=False,
            clock=lambda: now[0],
        )
    assert now[0] >= 100
    assert later.rejoined
    assert (seen[-1].seconds, seen[-1].idle_share) == (0.0, 0.0)


def test_what_runs_when_the_search_is_stopped_is_finished_and_told() -> None:
    opened, workers = Search(**QUICK), ScriptedWorkers(worth, 4, random.Random(1))
    over: list[int] = []
    callbacks: list[Any] = [StopAtTarget(-1.0), lambda search, trial: over.append(trial.number)]
    drive_asynchronously(opened, workers, callbacks)
    assert "target" in opened.done
    assert len(over) == len(opened.archive()) == len(workers.submitted) == 4
    assert not workers.cancelled


def test_too_many_failures_end_it_with_what_was_told() -> None:
    opened = Search(**{**QUICK, "failures": {"in_a_row": 3}})
    with pytest.raises(FailedTrialsError) as caught:
        drive_asynchronously(opened, ScriptedWorkers(_never, 2))
    assert len(caught.value.data["trials"]) == len(opened.trials)


def test_where_the_method_fails_what_runs_is_finished_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened, workers = Search(**arguments("local_search")), ScriptedWorkers(worth, 3)
    propose = opened.method.ask
    asked: list[int] = []

    def fails_later(unavailable: Any) -> Any:
        asked.append(unavailable.pending)
        if len(asked) == 3:
            raise ValueError("no more")
        return propose(unavailable)

    monkeypatch.setattr(opened.method, "ask", fails_later)
    with pytest.raises(MethodError):
        drive_asynchronously(opened, workers)
    assert len(opened.archive()) == len(workers.submitted)
    assert not workers.cancelled


def test_a_problem_on_one_worker_is_the_search_of_it_confirmed_and_exported(tmp_path: Path) -> None:
    asked: dict[str, Any] = {**RUN, "confirm": {"best": 2, "seeds": 1}, "budget": 10}
    plain = search(problem=Trained(), **asked)
    journal = tmp_path / "j.jsonl"
    found = search(
        problem=Trained(),
        workers=1,
        executor="serial",
        journal=journal,
        export=tmp_path / "out",
        progress=True,
        **asked,
    )
    again = search(problem=Trained(), journal=journal, **asked)  # by events, too
    for one in (found, again):
        pd.testing.assert_frame_equal(one.archive, plain.archive)
        pd.testing.assert_frame_equal(one.confirmation, plain.confirmation)
        assert one.best_value == plain.best_value
    assert list((tmp_path / "out").iterdir())
