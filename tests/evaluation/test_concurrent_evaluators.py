"""Evaluators that take one request after another: each ends once, whatever becomes of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optiproxy_nas.core.errors import EvaluationError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.evaluation.function_evaluator import as_evaluator
from optiproxy_nas.evaluation.job_evaluator import JobEvaluator
from optiproxy_nas.execution.jobs import Job, Parent
from optiproxy_nas.objectives import resolve_objective

OBJECTIVE = resolve_objective("accuracy")
REQUESTS = [Request(number, 1, name) for number, name in enumerate(["a", "bad", "c", "d"])]


def answer(name: str) -> Any:
    return [1, 2] if name == "bad" else float(ord(name[0]))


def by_jobs(folder: Path) -> JobEvaluator:
    def train(job: Job, parent: Parent) -> Any:
        return answer(job.architecture)

    return JobEvaluator(train, "train", EvaluationSettings(), folder)


@pytest.fixture(params=["jobs", "function"])
def evaluator(request: pytest.FixtureRequest, tmp_path: Path) -> Evaluator:
    if request.param == "jobs":
        return by_jobs(tmp_path)
    return as_evaluator(answer)


def poll_all(evaluator: Evaluator) -> list[tuple[int, float]]:
    ended = []
    while found := evaluator.poll(OBJECTIVE, 1.0):
        ended += [(request.number, outcome.metrics["value"]) for request, outcome in found]
    return ended


def test_each_request_ends_once(evaluator: Evaluator) -> None:
    assert evaluator.workers == 1
    assert evaluator.poll(OBJECTIVE, 0.0) == []
    for request in (REQUESTS[2], REQUESTS[0]):
        assert evaluator.submit(request) == ""
    assert poll_all(evaluator) == [(2, 99.0), (0, 97.0)]
    evaluator.submit(REQUESTS[0]._replace(attempt=2))
    assert poll_all(evaluator) == [(0, 97.0)]


def test_what_is_cancelled_does_not_end(evaluator: Evaluator) -> None:
    for request in (REQUESTS[0], REQUESTS[2], REQUESTS[3]):
        evaluator.submit(request)
    evaluator.cancel([REQUESTS[2]])
    assert poll_all(evaluator) == [(0, 97.0), (3, 100.0)]
    evaluator.submit(REQUESTS[0])
    evaluator.cancel()
    assert poll_all(evaluator) == []


def test_nothing_is_rejoined_that_ran_in_this_process(evaluator: Evaluator) -> None:
    assert not evaluator.rejoin(REQUESTS[0], "a handle")
    assert poll_all(evaluator) == []


def test_an_answer_that_cannot_be_used_is_raised_when_the_others_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = by_jobs(tmp_path)
    one_by_one = evaluator._executor.poll
    monkeypatch.setattr(evaluator._executor, "poll", lambda seconds: one_by_one() + one_by_one())
    for request in REQUESTS[:2]:
        evaluator.submit(request)
    assert [request.number for request, _ in evaluator.poll(OBJECTIVE)] == [0]
    with pytest.raises(EvaluationError):
        evaluator.poll(OBJECTIVE)
    assert evaluator.poll(OBJECTIVE) == []
