"""In steps, too, a search that was killed joins what its cluster runs, and loses no answer."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from optiproxy_nas import JournalError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.evaluation import job_evaluator
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.job_evaluator import JobEvaluator
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.journal_file import read_records
from optiproxy_nas.evaluation.journaled import Journaled
from optiproxy_nas.execution.base import Executor
from optiproxy_nas.execution.jobs import Ended, Job, Key
from optiproxy_nas.objectives import resolve_objective

OBJECTIVE = resolve_objective("accuracy")
HEADER = {"target": "value"}
REQUESTS = [Request(number, 1, f"net {number}", seed=number) for number in range(3)]
CONFIRMING = [it._replace(repeat=1, folder=f"{it.number:04d}_confirm_1") for it in REQUESTS]


class Cluster(Executor):
    """Runs jobs in the order of their coming; they outlive the executor.

    Attributes:
        running: jobs of all executors by handle.
        submitted: to this one.
        released: that its caller has kept.
    """

    def __init__(self, running: dict[str, Job]) -> None:
        self.running_jobs, self.jobs = running, dict[str, Job]()
        self.submitted: list[Key] = []
        self.released: list[Key] = []

    def submit(self, job: Job) -> str:
        assert not set(self.running_jobs) - set(self.jobs), "what runs was not rejoined first"
        handle = f"{job.key} {job.architecture}"
        self.running_jobs[handle] = self.jobs[handle] = job
        self.submitted.append(job.key)
        return handle

    def rejoin(self, job: Job, handle: str) -> bool:
        if handle in self.running_jobs:
            self.jobs[handle] = job
        return handle in self.running_jobs

    def poll(self, seconds: float | None = None) -> list[Ended]:
        if not self.jobs:
            return []
        handle = next(iter(self.jobs))
        return [Ended(self.jobs.pop(handle), answer=float(self.running_jobs.pop(handle).number))]

    def release(self, keys: Collection[Key]) -> None:
        self.released += keys

    def cancel(self, keys: Collection[Key] | None = None) -> None:
        for handle in list(self.jobs):
            del self.jobs[handle]
            self.running_jobs.pop(handle, None)

    def leave(self) -> list[Key]:
        self.jobs.clear()
        return []

    def running(self) -> list[Key]:
        return []

    def close(self) -> None:
        self.cancel()


def evaluator_of(executor: Executor, folder: Path) -> JobEvaluator:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_evaluator, "open_executor", lambda *_: executor)
        return JobEvaluator(lambda job, parent: None, "", EvaluationSettings(), folder)


@pytest.mark.parametrize("requests", [REQUESTS, CONFIRMING])
def test_a_search_that_was_killed_joins_what_runs(tmp_path: Path, requests: list[Request]) -> None:
    path, running = tmp_path / "j.jsonl", dict[str, Job]()
    with Journal.open(path, HEADER) as journal:
        killed = Journaled(evaluator_of(first := Cluster(running), tmp_path), journal)
        batch = killed.ended(OBJECTIVE, requests)
        assert next(batch)[0] == 0
        assert first.released == [requests[0].key]
    del running[f"{requests[2].key} net 2"]  # and this one has died
    with Journal.open(path, HEADER) as journal:
        assert not journal.history.is_ordered
        second = Cluster(running)
        again = Journaled(evaluator_of(second, tmp_path), journal)
        values = {place: it.metrics["value"] for place, it in again.ended(OBJECTIVE, requests)}
    assert values == {0: 0.0, 1: 1.0, 2: 2.0}
    assert second.submitted == [requests[2].key]
    assert second.released == [requests[1].key, requests[2].key]
    started: Any = batch
    started.close()


def test_another_training_in_the_place_of_one_that_runs_is_not_taken_for_it(
    tmp_path: Path,
) -> None:
    running = dict[str, Job]()
    evaluator = evaluator_of(cluster := Cluster(running), tmp_path)
    handle = cluster.submit(Job(0, 1, "net 0", None, 0, ""))
    cluster.leave()
    other = REQUESTS[0]._replace(architecture="net 7")
    evaluator.keep_handles({other.key: (REQUESTS[0], handle)}, lambda *_: None)
    assert not evaluator._rejoins(other)
    evaluator.keep_handles({other.key: (REQUESTS[0], handle)}, lambda *_: None)
    assert evaluator._rejoins(REQUESTS[0])


def test_where_the_journal_cannot_be_written_the_cluster_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, running = tmp_path / "j.jsonl", dict[str, Job]()
    with Journal.open(path, HEADER) as journal:
        evaluator = Journaled(evaluator_of(first := Cluster(running), tmp_path), journal)
        batch = evaluator.ended(OBJECTIVE, REQUESTS)

        def full(*_: Any) -> None:
            raise JournalError("No space left on device")

        monkeypatch.setattr(journal, "record", full)
        next(batch)  # the answer is given, and then the error
        with pytest.raises(JournalError):
            next(batch)
    assert not first.released
    assert len(running) == 2
    assert [record["begun"] for record in read_records(path)[1]] == [0, 1, 2]
