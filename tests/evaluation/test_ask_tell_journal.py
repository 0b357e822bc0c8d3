"""Ask and tell with a journal: ended at any time, it goes on and hands out what is missing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from trained_problem import RUN, SPACE, Trained, error_of

from optiproxy_nas import JournalError, RunLockedError, Search, Trial, read_journal, search

ASKED: dict[str, Any] = {**RUN, "space": SPACE, "direction": "minimize"}


def told(opened: Search, trials: list[Trial]) -> None:
    for trial in trials:
        if trial.number % 4 == 1:
            opened.tell(trial, failed="no memory")
        else:
            opened.tell(trial, error_of(trial.architecture), seconds=1.0)


def finished(opened: Search) -> Search:
    while trials := opened.ask():
        told(opened, trials)
    return opened


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("ends_after", [0, 1, 5, 9])
def test_opened_again_it_goes_on_as_if_it_had_not_been_closed(
    tmp_path: Path, ends_after: int, retries: int
) -> None:
    path, order = tmp_path / "a.jsonl", random.Random(ends_after)
    asked = {**ASKED, "failures": {"retries": retries}}
    plain = Search(**asked)
    running: list[Any] = []
    with Search(**asked, journal=path) as opened:
        for _ in range(ends_after):  # three at a time, in another order
            for one in (plain, opened):
                trials = one.ask(3 - len(running))
            running += trials
            trial = running.pop(order.randrange(len(running)))
            for one in (plain, opened):
                told(one, [one.trials[trial.number]])
    assert len(read_journal(path)) == ends_after
    with Search(**asked, journal=path) as resumed:
        pd.testing.assert_frame_equal(resumed.archive(), plain.archive())
        again = resumed.ask(len(running))
        assert {trial.number for trial in again} == {trial.number for trial in running}
        for one in (plain, resumed):
            told(one, again)
            finished(one)
        pd.testing.assert_frame_equal(resumed.archive(), plain.archive())
        assert resumed.trials == plain.trials
    assert len(read_journal(path)) == 12 + retries * 3


def test_what_failed_is_handed_out_again_where_retries_are_set_later(tmp_path: Path) -> None:
    with Search(**ASKED, journal=tmp_path / "a.jsonl") as opened:
        told(opened, opened.ask(3))
    with Search(**ASKED, journal=tmp_path / "a.jsonl", failures={"retries": 1}) as again:
        assert not len(again.failed())
        numbers = [trial.number for trial in again.ask()]
        assert 1 in numbers


def test_of_a_problem_it_has_the_metrics_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Search(problem=Trained(), **RUN, journal=path) as opened:
        (trial,) = opened.ask(1)
        opened.tell(trial, {"error": 3.0, "width": 8})
    assert read_journal(path)["metrics.error"].tolist() == [3.0]
    assert Search(problem=Trained(), **RUN, journal=path).best == 3.0


def test_the_journal_of_a_search_and_that_of_one_that_is_told_go_on_with_each_other(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.jsonl"
    short = {**ASKED, "budget": 5}
    first = search(evaluate=error_of, **short, journal=path)
    with Search(**ASKED, journal=path) as opened:
        trials = opened.ask(2)
        pd.testing.assert_frame_equal(opened.archive().head(5), first.archive)
        for trial in trials:
            opened.tell(trial, error_of(trial.architecture))
    assert len(search(evaluate=error_of, **ASKED, journal=path).archive) == 12
    assert len(read_journal(path)) == 12


def test_two_at_once_another_search_and_an_answer_after_the_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    opened = Search(**ASKED, journal=path)
    with pytest.raises(RunLockedError):
        Search(**ASKED, journal=Path(path))
    (trial,) = opened.ask(1)
    opened.close()
    with pytest.raises(JournalError):
        opened.tell(trial, 1.0)
    assert opened.trials[0].state == "running"
    with pytest.raises(JournalError) as caught:
        Search(**{**ASKED, "seed": 8}, journal=path)
    assert caught.value.data["names"] == ["seed"]
    Search(**ASKED, journal=path).close()
