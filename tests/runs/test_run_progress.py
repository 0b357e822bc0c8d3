"""The bar of a run: what is spent, the best value, and what a journal had before."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from optiproxy_nas import Search, search
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.pipelines.run_progress import RunProgress


def progress_of(**given: Any) -> RunProgress:
    return RunProgress(Search(**given).parameters, "value", quiet=False)


def trained(number: int, value: float | None, repeat: int = 0, **metrics: float) -> Any:
    request = Request(number, 1, f"architecture {number}", repeat=repeat)
    if value is None:
        return request, Outcome({}, "it failed")
    return request, Outcome({"value": value, **metrics})


BOUNDED = {"name": "constrained", "constraints": ["size <= 1"]}


def test_the_bar_says_that_nothing_is_feasible_yet(capsys: pytest.CaptureFixture[str]) -> None:
    progress = progress_of(objective=BOUNDED)
    progress.update(pd.DataFrame({"value": [1.0], "best": [math.nan], "cost": [1]}), None)
    progress.close()
    shown = capsys.readouterr().err
    assert "none feasible yet" in shown
    assert "best" not in shown


@pytest.mark.parametrize(
    ("count", "expected"), [(1, "none feasible yet"), (2, "best 5"), (3, "best 5"), (4, "best 7")]
)
def test_the_best_within_the_bounds_is_shown_before_a_batch_is_over(
    count: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = [
        trained(0, 9.0, size=2.0),
        trained(1, 5.0, size=1.0),
        trained(2, None),
        trained(3, 7.0, size=1.0),
    ]
    progress = progress_of(objective=BOUNDED)
    for trial in trials[:count]:
        progress.trial_ended(*trial)
    progress.close()
    assert expected in capsys.readouterr().err


def test_a_run_that_goes_on_begins_with_what_its_journal_has(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = progress_of(budget=20)
    progress.trainings_begin([trained(0, 1.0), trained(1, 3.0), trained(2, None)], workers=2)
    begun = capsys.readouterr().err
    assert "3 trainings were taken from the journal" in begun
    assert "2 workers" in begun
    assert " 3/20 " in begun
    assert "best 3" in begun
    progress.update(pd.DataFrame({"value": [1.0], "best": [1.0], "cost": [1]}), None)  # its step 0
    progress.trial_ended(*trained(3, 2.0))
    progress.close()
    later = capsys.readouterr().err
    assert " 4/20 " in later
    assert " 1/20 " not in later


def test_a_run_that_begins_says_nothing_of_a_journal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = progress_of(budget=20)
    progress.trainings_begin([], workers=0)
    progress.close()
    shown = capsys.readouterr().err
    assert "journal" not in shown
    assert "workers" not in shown


def test_a_search_in_python_begins_with_what_its_journal_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for budget in (12, 14):
        search(
            evaluate=len,
            space="nb201",
            method="random_search",
            budget=budget,
            journal=tmp_path / "journal.jsonl",
            progress=True,
        )
        shown = capsys.readouterr().err
        assert ("12 trainings were taken from the journal" in shown) == (budget == 14)
    assert "14/14" in shown
    assert " 1/14 " not in shown
