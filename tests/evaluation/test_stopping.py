"""Trainings that are ended early by what they reported: which, and what becomes of them."""

from __future__ import annotations

import math
import multiprocessing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rung_problem import RUN as RUNGS
from rung_problem import Continuing

from optiproxy_nas import ParameterError, Search, SearchResult, read_journal, search
from optiproxy_nas.core.stop_line import StopLine
from optiproxy_nas.evaluation.earlier_trials import median_line

STOPPING: dict[str, Any] = {"rule": "median", "warmup_steps": 2, "least_trials": 4}
RUN: dict[str, Any] = {
    "method": "random_search",
    "settings": {"batch": 2},
    "budget": 14,
    "seed": 1,
    "stopping": STOPPING,
}
CURVES = [[(1, 1.0), (2, 5.0), (3, 4.0)], [(1, 2.0), (2, 3.0), (3, 9.0)], [(1, 0.5)]]


def test_the_line_is_the_median_of_the_best_up_to_each_step() -> None:
    assert median_line(CURVES, 1.0) == StopLine(1.0, (1, 2), (1.0, 3.0), 3)
    assert median_line(CURVES, -1.0) == StopLine(-1.0, (1, 2), (1.0, 1.0), 3)
    assert median_line(CURVES, 1.0, warmup_steps=1) == StopLine(1.0, (2,), (3.0,), 3)
    assert median_line(CURVES, 1.0, warmup_steps=2) is None
    assert median_line([[], [(1, math.nan)]], 1.0) is None


def test_below_the_line_a_training_is_stopped_but_not_at_its_end() -> None:
    line = StopLine(1.0, (2, 4), (3.0, 5.0), 6)
    assert not line.stops(1, 0.0)
    assert line.stops(3, 2.9)
    assert not line.stops(3, 3.0)
    assert line.stops(5, 4.0)
    assert not line.stops(6, 0.0)
    assert StopLine(-1.0, (2,), (3.0,), 6).stops(2, 3.1)
    assert line.has_stopped([(1, 9.0), (2, 1.0)]) is False  # its best is above
    assert line.has_stopped([(1, 1.0), (2, 1.0)])
    assert not line.has_stopped([(1, 1.0), (2, 1.0), (6, 1.0)])  # it went on to its end
    assert line.has_stopped([(1, 1.0), (2, 1.0), (3, 1.0)])
    assert not line.has_stopped([(step, 1.0) for step in (1, 2, 3, 4)])  # it ended by itself
    assert not line.stops(3, math.nan)
    after = line.after(3)
    assert after is not None
    assert not after.stops(3, 0.0)
    assert after.stops(4, 0.0)
    assert line.after(4) is None


@pytest.fixture(scope="module")
def whole() -> tuple[SearchResult, Continuing]:
    problem = Continuing()
    return search(problem=problem, **RUN), problem


def stopped(result: SearchResult) -> list[Any]:
    return [trial for trial in result.trials if trial.stopped]


def test_what_is_stopped_is_in_the_archive_and_is_never_the_answer(
    whole: tuple[SearchResult, Continuing],
) -> None:
    result, problem = whole
    assert 2 < len(stopped(result)) < 10
    assert result.archive["stopped"].tolist() == [trial.stopped for trial in result.trials]
    assert result.to_frame()["stopped"].sum() == len(stopped(result))
    for trial in stopped(result):
        assert trial.number >= 4
        assert 3 <= len(trial.curve) < 6
        assert trial.value == trial.curve[-1][1]
        assert trial.state == "complete"
        assert "stopped early" in repr(trial)
    assert f"({len(stopped(result))} of them stopped early)" in repr(result)
    assert len(problem.trained) == sum(len(trial.curve) for trial in result.trials) < 6 * 14
    best = result.archive["value"].where(~result.archive["stopped"]).max()
    assert (result.best_value, result.best.stopped) == (best, False)
    assert not math.isnan(result.archive["best"].iloc[-1])


def test_a_stopped_training_is_no_answer_however_good_its_value_is() -> None:
    class Falling(Continuing):
        def evaluate(self, trial: Any) -> dict[str, float]:
            super().evaluate(trial)
            return {"score": 100.0 - len(trial.curve)}

    result = search(problem=Falling(), **RUN)
    assert max(trial.value for trial in stopped(result)) == 97.0
    assert result.best_value == 94.0


def test_without_the_rule_there_is_no_such_column() -> None:
    run = {name: it for name, it in RUN.items() if name != "stopping"}
    assert "stopped" not in search(problem=Continuing(), **run).archive


def test_told_in_turn_the_same_are_stopped(whole: tuple[SearchResult, Continuing]) -> None:
    told = Search(problem=Continuing(), **RUN)
    while trials := told.ask():
        for trial in trials:
            curve = whole[0].trials[trial.number].curve
            for length in range(1, len(curve)):
                assert not told.should_stop(trial, curve[:length])
            is_short = whole[0].trials[trial.number].stopped
            assert told.should_stop(trial, curve) == is_short
            assert told.tell(trial, curve[-1][1], curve=curve).stopped == is_short
    pd.testing.assert_frame_equal(told.result().archive, whole[0].archive)
    another = Search(problem=Continuing(), **RUN)
    with pytest.raises(ParameterError):
        another.tell(another.ask()[0], 1.0, curve=[1.0])  # type: ignore[list-item]


def searched(path: Path, dies_at: tuple[int, int]) -> None:
    search(problem=Continuing(dies_at), journal=path, **RUN)


@pytest.mark.heavy
def test_killed_and_saved_it_goes_on_to_the_same(
    whole: tuple[SearchResult, Continuing], tmp_path: Path
) -> None:
    path, number = tmp_path / "j.jsonl", stopped(whole[0])[1].number
    process = multiprocessing.get_context("fork").Process(target=searched, args=(path, (number, 3)))
    process.start()
    process.join()
    result = search(problem=Continuing((number, 3)), journal=path, **RUN)
    pd.testing.assert_frame_equal(result.archive, whole[0].archive)
    assert read_journal(path)["stopped"].tolist() == [trial.stopped for trial in result.trials]
    loaded = SearchResult.load(result.save(tmp_path / "r.search"))
    more = search(problem=Continuing((number, 3)), initial=loaded, **RUN | {"budget": 16})
    pd.testing.assert_frame_equal(more.archive.head(14), result.archive)
    warm = search(problem=Continuing(), initial=path, **RUN | {"stopping": {}, "budget": 2})
    assert len(warm.trials) == 2 + 14 - len(stopped(result))  # without those of a short training


def test_a_promoted_training_is_not_stopped_before_it_has_gone_on() -> None:
    result = search(problem=Continuing(), **RUNGS | {"stopping": STOPPING | {"least_trials": 1}})
    for trial in stopped(result):
        assert trial.epochs == 6
        assert len(trial.curve) > 2
    assert stopped(result)
    assert not result.best.stopped


def test_trainings_that_report_nothing_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    result = search(problem=Continuing(silent=True), **RUN)
    assert not stopped(result)
    assert len([it for it in caplog.records if "reported nothing" in it.message]) == 1


def test_where_nothing_can_report_it_is_refused() -> None:
    settings: dict[str, Any] = {"method": "random_search", "budget": 5, "stopping": STOPPING}
    with pytest.raises(ParameterError):
        search(**settings)
    with pytest.raises(ParameterError):
        search(evaluate=len, **settings)
    with pytest.raises(ParameterError):
        search(problem=Continuing(), **RUN | {"stopping": {"warmup_steps": 3}})


def test_what_is_reported_may_be_better_in_the_other_direction() -> None:
    class Losing(Continuing):
        def evaluate(self, trial: Any) -> dict[str, float]:
            trial.report(3, -trial.architecture["width"])
            trial.report(4, 0.0)
            if not trial.should_stop:
                trial.report(5, 0.0)
            return {"score": trial.architecture["width"]}

    opposite = search(problem=Losing(), **RUN | {"stopping": STOPPING | {"reported": "opposite"}})
    assert stopped(opposite)
    assert {trial.value for trial in stopped(opposite)} < {8.0, 16.0, 32.0}
