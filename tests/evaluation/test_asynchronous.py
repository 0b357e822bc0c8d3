"""A search on many workers: any order of ends, nothing lost, replayed to the byte."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from evaluations import METHODS, OBJECTIVES, arguments, failing, fails, worth
from hypothesis import given, settings
from hypothesis import strategies as st

from optiproxy_nas import Search
from optiproxy_nas.evaluation.asynchronous import drive_asynchronously
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.loop import drive
from tests.evaluation.scripted_workers import ScriptedWorkers

SLOW = ("optiproxy", "gaussian_process")
EACH = [(method, objective) for method in METHODS for objective in OBJECTIVES]


def flaky():
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
    assert one.done == other.done


@pytest.mark.parametrize(("method", "objective"), EACH)
def test_with_one_worker_it_is_the_serial_search(method, objective):
    asked = arguments(method, objective, failures={"retries": 1})
    serial, one = Search(**asked), Search(**asked)
    drive(serial, flaky())
    drive_asynchronously(one, ScriptedWorkers(flaky()))
    assert_equal(serial, one)
    assert serial.events == one.events


def driven(asked: dict[str, Any], path: Path, workers: int, script: random.Random) -> Search:
    opened = Search(**asked)
    evaluate = failing if asked["method"] in SLOW else flaky()
    with Journal.open(path, {"target": "value"}) as journal:
        drive_asynchronously(
            opened,
            ScriptedWorkers(evaluate, workers, script),
            journal=journal,
            in_thread=script.random() < 0.5,
        )
    return opened


def check_replay(asked: dict[str, Any], path: Path, workers: int, script: random.Random) -> None:
    """The journal alone gives the search again; nothing is trained."""
    opened = driven(asked, path, workers, script)
    with Journal.open(path, {"target": "value"}) as journal:
        replayed, none = Search(**asked), ScriptedWorkers(failing)
        drive_asynchronously(replayed, none, journal=journal)
    assert not none.submitted
    assert_equal(opened, replayed)
    assert opened.events == replayed.events
    found = [(trial.text, trial.epochs) for trial in opened.trials]
    assert len(set(found)) == len(found)
    assert opened.spent <= opened.budget


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("method", [name for name in METHODS if name not in SLOW])
@settings(max_examples=5)
@given(workers=st.integers(1, 20), script=st.randoms(use_true_random=False))
def test_any_order_of_ends_is_replayed(method, objective, workers, script, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "j.jsonl"
    check_replay(arguments(method, objective, failures={"retries": 1}), path, workers, script)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("method", SLOW)
@settings(max_examples=1)
@given(workers=st.integers(2, 20), script=st.randoms(use_true_random=False))
def test_any_order_of_ends_is_replayed_in_methods_that_fit(
    method, objective, workers, script, tmp_path_factory
):
    path = tmp_path_factory.mktemp("any") / "j.jsonl"
    check_replay(arguments(method, objective), path, workers, script)
