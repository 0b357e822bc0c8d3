"""Failed trials in a comparison: they are charged, so a curve is not ahead of what was spent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from made_runs import cell, found, make_run

from optiproxy_nas.report.compare.comparison import compare


def failing(run: Any, *after: Any) -> Any:
    """The run, with a failed trial after so many complete ones each."""
    failures = [
        {"architecture": cell(900 + n), "after": place, "cost": 1, "error": "out of memory"}
        for n, place in enumerate(after)
    ]
    facts = {"failed_trials": len(failures), "failures": failures}
    budget = run.parameters["budget"] + len(failures)
    return replace(
        run, summary={**run.summary, **facts}, parameters={**run.parameters, "budget": budget}
    )


def test_what_failed_is_spent_before_what_came_after_it() -> None:
    run = failing(make_run(values=[10.0, 30.0, 20.0, 40.0]), 0, 2, 2)
    assert run.archive_by_query["spent"].tolist() == [2, 3, 6, 7]
    assert run.failed_trials == 3
    np.testing.assert_array_equal(run.curve(7), [np.nan, 10, 30, 30, 30, 30, 40])


def test_a_comparison_says_how_many_failed() -> None:
    runs = [failing(make_run(seed, [10.0 + seed, 20.0]), 1) for seed in range(3)]
    others = [make_run(seed, [9.0, 15.0, 16.0], method="tpe", preset=None) for seed in range(3)]
    said = [
        sentence for sentence in compare(found(*runs, *others)).cautions if "failed" in sentence
    ]
    assert len(said) == 1
    assert "3 trials of" in said[0]
