"""Failed trials in a run: charged, kept, never asked for again, and shown."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro_runs import TINY, archive, artifact, command, mlflow_run, run

from optiproxy_nas import search
from optiproxy_nas.api import entry
from optiproxy_nas.evaluation.benchmark_problem import evaluator_of
from optiproxy_nas.evaluation.function_evaluator import batched
from optiproxy_nas.pipelines import search as nodes


@pytest.fixture
def failing(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project with tracking, in which every cell with a pooling on its last edge fails."""

    def failing_evaluator(objective: Any, benchmark: Any) -> Any:
        evaluate: Any = evaluator_of(objective, benchmark)

        def some(names: Any) -> Any:
            values = evaluate(names)
            return [
                math.nan if name.endswith("pool_3x3~2|") else value
                for name, value in zip(names, values, strict=True)
            ]

        return batched(some)

    for module in (nodes, entry):
        monkeypatch.setattr(module, "evaluator_of", failing_evaluator)
    return tracked


def test_failed_trials_are_charged_kept_and_shown(failing: Any) -> None:
    """As in ``search``; and the run is audited like any other."""
    made = run(failing, run_id="r", tracking=True)
    failed = pd.read_parquet(artifact(failing, "r", "step_02.failed"))
    kept = archive(failing, "r")
    assert len(failed) == made["result"]["failed_trials"] > 0
    assert len(kept) + len(failed) == TINY["budget"]
    assert failed["architecture"].is_unique
    assert not set(failed["architecture"]) & set(kept["architecture"])
    assert set(failed["error"]) == {"gave value = nan"}

    found = search(**TINY)
    pd.testing.assert_frame_equal(found.archive, kept)
    assert [trial.architecture for trial in found.failed] == failed["architecture"].tolist()

    page = artifact(failing, "r", "report.page").read_text(encoding="utf-8")
    assert "pool_3x3~2" in page.partition("Failed trials")[2]
    _, tracked = mlflow_run(failing, "r")
    assert tracked.data.metrics["final/failed_trials"] == len(failed)
    assert command(failing, "audit", "r").exit_code == 0


def test_of_a_baseline(failing: Any) -> None:
    settings = {"method": "local_search", "budget": 30}
    made = run(failing, pipeline="nb201_methods", settings=settings, run_id="m")
    failed = pd.read_parquet(artifact(failing, "m", "result.failed"))
    assert made["result"]["failed_trials"] == len(failed) == 30 - made["result"]["queries"] > 0
