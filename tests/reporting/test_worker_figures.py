"""When workers were busy follows from what a journal tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from optiproxy_nas.report.worker_figures import busy_facts, training_times

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def journal(*trainings: tuple[float, float], **columns: Any) -> pd.DataFrame:
    """Return the table of trainings that began and ended after so many seconds."""
    rows = [
        {
            "number": number,
            "seconds": end - begin,
            "time": (BEGAN + timedelta(seconds=end)).isoformat(timespec="milliseconds"),
        }
        for number, (begin, end) in enumerate(trainings)
    ]
    table = pd.DataFrame(rows)
    for name, default in {"error": "", "repeat": 0, "stopped": False, **columns}.items():
        table[name] = default
    return table.sort_values("time", ignore_index=True)


def test_each_training_is_on_a_worker_that_was_free() -> None:
    times = training_times(journal((0, 4), (0.001, 1), (1.001, 3), (3.002, 5), (4.003, 6)))
    assert times.sort_values("number")["worker"].tolist() == [0, 1, 1, 1, 0]
    assert times["begin"].min() == 0
    assert times["resumed"].isna().all()


def test_the_time_in_which_a_run_was_stopped_is_left_out() -> None:
    times = training_times(journal((0, 10), (3600, 3610), (3610, 3620)))
    assert times["end"].tolist() == pytest.approx([10, 20, 30])
    assert times["resumed"].dropna().tolist() == pytest.approx([10])


def test_kinds_are_told_apart() -> None:
    table = journal(
        *((at, at + 1) for at in range(4)),
        error=["", "ValueError: no", "", ""],
        stopped=[False, False, True, False],
        repeat=[0, 0, 0, 1],
    )
    assert training_times(table)["kind"].tolist() == [
        "complete",
        "failed",
        "stopped early",
        "confirmation",
    ]


def test_the_share_busy_is_of_the_time_in_which_there_was_more_to_begin() -> None:
    facts = busy_facts(journal((0, 4), (0, 2), (3, 10), (4, 5)))
    assert facts == {"workers": 2, "busy_share": pytest.approx((4 + 2 + 1) / 8)}
    assert busy_facts(journal((0, 2), (0, 3)))["busy_share"] is None
    assert busy_facts(journal((0, 2)).head(0)) == {}
