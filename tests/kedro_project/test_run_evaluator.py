"""A run's evaluator gives a trial what the search in Python gives it, also where a run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rung_problem import RUN, THREE, Continuing

from optiproxy_nas import LatencySettings, SearchResult, search
from optiproxy_nas.algorithm.archive import extend
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.evaluation.batch import evaluate_batch
from optiproxy_nas.evaluation.journal_file import read_records
from optiproxy_nas.export.trainings import Trainings
from optiproxy_nas.pipelines.model_export import export_model
from optiproxy_nas.pipelines.problem_summary import summary_and_trials
from optiproxy_nas.pipelines.run_evaluator import RunEvaluator
from optiproxy_nas.report.terminal import terminal_summary
from optiproxy_nas.runs.datasets.files import TrialFiles
from optiproxy_nas.spaces import get_space

STOPPING = {"rule": "median", "warmup_steps": 2, "least_trials": 1}


@pytest.fixture(scope="module")
def found() -> SearchResult:
    return search(problem=Continuing(), stopping=STOPPING, **RUN | {"objective": THREE})


def batches(found: SearchResult) -> Iterator[pd.DataFrame]:
    """The batches of a search without failures, as its nodes would make them."""
    drawn = found.archive.drop(columns=["order", "value", "best", "stopped"])
    for step in range(int(drawn["step"].max()) + 1):
        yield drawn[drawn["step"] == step].reset_index(drop=True)


def lines_of(path: Path) -> list[dict[str, Any]]:
    facts = ("number", "architecture", "epochs", "seed", "folder", "metrics", "curve", "stopped")
    return [{name: line.get(name) for name in facts} for line in read_records(path)[1]]


@pytest.mark.parametrize("goes_on", [False, True])
def test_batch_by_batch_it_is_the_search(
    found: SearchResult, goes_on: bool, tmp_path: Path
) -> None:
    """Where it goes on, each batch has an evaluator of its own, and the journal has the batch."""
    parameters: Any = found.parameters
    problem, space = Continuing(), get_space(Continuing.space)
    files = TrialFiles(tmp_path / "journal.jsonl")

    def evaluated(batch: pd.DataFrame, archive: pd.DataFrame | None) -> pd.DataFrame:
        evaluator = RunEvaluator(problem, {}, parameters, EvaluationSettings(), files, False)
        rows, failed = evaluate_batch(space, batch, evaluator, parameters, archive)
        evaluator.empty_folders(extend(archive, rows, parameters.objective))
        evaluator.close()
        assert failed.empty
        return rows

    archive: pd.DataFrame | None = None
    for batch in batches(found):
        if goes_on and archive is not None:
            evaluated(batch, archive)
        archive = extend(archive, evaluated(batch, archive), parameters.objective)
    assert archive is not None
    pd.testing.assert_frame_equal(archive, found.archive)
    assert archive["stopped"].any()
    lines = lines_of(files.journal)
    assert [line["seed"] for line in lines] == [trial.seed for trial in found.trials]
    assert [line["stopped"] or False for line in lines] == [it.stopped for it in found.trials]
    assert json.dumps([line["curve"] for line in lines]) == json.dumps(
        [trial.curve for trial in found.trials]
    )
    names = [line["folder"] or f"{line['number']:04d}" for line in lines]
    assert names == [trial.folder for trial in found.trials]
    assert len(problem.trained) == archive["cost"].sum() - missing(found)
    promotable = parameters.objective.promotable(archive)
    needed = {found.trials[row].folder for row in range(len(archive)) if promotable[row]}
    left = {path.parent.name for path in files.folder.glob("*/scores.json")}
    best = [trial.folder for trial in found.top(5) if trial.epochs == 6 and not trial.stopped]
    assert left == {*needed, *best}


def test_what_was_trained_briefly_alone_is_no_answer_and_is_not_tested(
    found: SearchResult, tmp_path: Path
) -> None:
    parameters: Any = found.parameters
    files = TrialFiles(tmp_path / "journal.jsonl")
    batch = next(batches(found))
    brief = batch[batch["epochs"] == 1].iloc[:2].reset_index(drop=True)
    with RunEvaluator(Continuing(), {}, parameters, EvaluationSettings(), files, False) as trains:
        space = get_space(Continuing.space)
        rows, failed = evaluate_batch(space, brief, trains, parameters, None)
        archive, run = extend(None, rows, parameters.objective), {"run_id": "r", "export": True}
        summary, _ = summary_and_trials(
            archive, failed, trains, parameters, run, pd.DataFrame(), files
        )
        answer = json.loads(export_model(summary, trains, {}, files)["model.json"])
    assert (summary["is_eligible"], answer["is_eligible"]) == (False, False)
    assert summary["test"] == {}
    assert "TRAINED FULLY" in terminal_summary(summary)


def test_a_latency_that_was_not_measured_is_tried_again(
    found: SearchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Timed(Continuing):
        latency = LatencySettings()

    parameters: Any = found.parameters
    measured: list[dict[str, float]] = [{}, {"quantile_ms": 1.0}]
    monkeypatch.setattr(Trainings, "latency", lambda *_: measured.pop(0))
    files, request = TrialFiles(tmp_path / "journal.jsonl"), found.answer_training.request
    with RunEvaluator(Timed(), {}, parameters, EvaluationSettings(), files, False) as trains:
        assert [trains.latency(request, {}, True) for _ in range(3)] == [
            {},
            *2 * [{"quantile_ms": 1.0}],
        ]


def missing(found: SearchResult) -> int:
    """How many epochs were not trained, since trials were stopped."""
    return sum((trial.epochs or 0) - len(trial.curve) for trial in found.trials if trial.stopped)
