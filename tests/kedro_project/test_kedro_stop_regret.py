"""A declared search that ends before its last step, for the regret that is left."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from kedro_runs import TINY, Killed, artifact, command, die_at, mlflow_run, resume, run

from optiproxy_nas import search
from optiproxy_nas.report.terminal import terminal_summary

# With two queries a step the search may end after 6, and is to at the latest after 12 of 16.
STOPPING = {
    **TINY,
    "selection": {"batch": 2},
    "stop_regret": {"epsilon": 5.0, "confidence": 0.8},
}


def test_a_run_ends_where_the_search_does_and_is_audited(
    tracked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in a step that is not made any more, it goes on to the same end."""
    expected = search(**STOPPING)
    assert "regret" in expected.stopped
    queries = len(expected.archive)
    assert queries < STOPPING["budget"]

    with monkeypatch.context() as patch:
        die_at(patch, "step_05.select")
        with pytest.raises(Killed):
            run(tracked, run_id="r", settings=STOPPING, tracking=True)
    made = resume(tracked, run_id="r", settings=STOPPING, tracking=True)
    pd.testing.assert_frame_equal(
        pd.read_parquet(artifact(tracked, "r", "step_05.archive")), expected.archive
    )
    summary = json.loads(artifact(tracked, "r", "report.summary").read_text(encoding="utf-8"))
    assert summary["queries"] == made["result"]["queries"] == queries
    assert summary["stopped"] == expected.stopped
    diagnostics = pd.read_csv(artifact(tracked, "r", "report.diagnostics"))
    assert diagnostics["step"].tolist() == expected.diagnostics["step"].tolist()
    assert diagnostics["regret_left"].tolist() == expected.diagnostics["regret_left"].tolist()
    assert summary["regret_left"] == diagnostics["regret_left"].iloc[-1] <= 0.2
    assert "Stopped early" in artifact(tracked, "r", "report.page").read_text(encoding="utf-8")
    assert "Stopped early" in terminal_summary(summary)
    _, stored = mlflow_run(tracked, "r")
    assert stored.data.metrics["final/regret_left"] == summary["regret_left"]
    assert stored.data.metrics["step/regret_left"] == summary["regret_left"]
    assert command(tracked, "audit", "r").exit_code == 0
