"""What a Dask executor decides, by a cluster of which the test says what happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from optiproxy_nas.core.errors import EvaluationError, ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution import dask
from optiproxy_nas.execution.dask import DaskExecutor
from optiproxy_nas.execution.dask_worker import Answer
from optiproxy_nas.execution.encoding import end_fields
from optiproxy_nas.execution.job_files import JobFiles
from optiproxy_nas.execution.jobs import Ended, Job
from optiproxy_nas.execution.scripted import Scripted

ADDRESS = "tcp://worker:1"


class Future:
    """The future of a task, which the test ends."""

    def __init__(self) -> None:
        self.status, self._answer = "pending", Answer("")

    def ends(self, answer: Answer) -> None:
        self.status, self._answer = "finished", answer

    def result(self, timeout: float) -> Answer:
        return self._answer

    def release(self) -> None:
        pass


class ScriptedCluster:
    """A cluster with one worker, and room for three jobs."""

    address, look = "tcp://scheduler:1", 1
    is_connected, has_gone, has_silent = True, False, False
    is_refused = ""

    def __init__(self, settings: EvaluationSettings, on_news: Callable[[], None]) -> None:
        self.workers = {ADDRESS: None}
        self.futures: list[Future] = []

    def __enter__(self) -> ScriptedCluster:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def inspected(self, run: Any, needs_one_kind: bool) -> Any:
        if self.is_refused:
            raise ParameterError(self.is_refused)
        return run

    def room(self, limit: int) -> int:
        return min(limit, 3)

    def places(self, taken: object) -> None:
        return None

    def refusal(self) -> str:
        return ""

    def say_if_empty(self, waiting: int) -> None:
        pass

    def submit(self, function: Any, *arguments: Any, key: str, places: object) -> Future:
        self.futures.append(Future())
        return self.futures[-1]


@pytest.fixture(autouse=True)
def scripted_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "Cluster", ScriptedCluster)
    monkeypatch.setattr(dask, "LOOK", 0.0)
    monkeypatch.setattr(dask, "GRACE", 0.0)


def opened(folder: Path) -> DaskExecutor:
    settings = EvaluationSettings(executor="dask", workers=3, scheduler="tcp://scheduler:1")
    return DaskExecutor(settings, Scripted(), "the training", folder=folder / "jobs")


def cluster_of(executor: DaskExecutor) -> ScriptedCluster:
    return cast(ScriptedCluster, executor._cluster)


def job(number: int) -> Job:
    return Job(number, 1, ("gives_number", ""), None, 0, "")


def files_of(executor: DaskExecutor, number: int) -> JobFiles:
    return executor._tasks[number, 0, 1].files


def begin(executor: DaskExecutor, number: int) -> JobFiles:
    """Submit a job, and have the worker begin it."""
    executor.submit(job(number))
    files = files_of(executor, number)
    assert files.claim(ADDRESS)
    files.begin()
    return files


def tree(folder: Path) -> dict[str, bytes]:
    return {str(it): it.read_bytes() for it in sorted(folder.rglob("*")) if it.is_file()}


def test_a_search_that_ends_before_it_rejoins_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = opened(tmp_path)
    begin(killed, 0)
    before = tree(tmp_path)
    assert len(before) > 3
    opened(tmp_path).close()
    assert tree(tmp_path) == before
    monkeypatch.setattr(ScriptedCluster, "is_refused", "the scheduler cannot be reached")
    with pytest.raises(ParameterError):
        opened(tmp_path)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("is_rejoined", [True, False])
def test_a_search_that_has_decided_leaves_nothing_behind(tmp_path: Path, is_rejoined: bool) -> None:
    killed = opened(tmp_path)
    files = begin(killed, 0)
    executor = opened(tmp_path)
    if is_rejoined:
        assert executor.rejoin(job(0), killed._tasks[0, 0, 1].handle)
        files.end(Ended(job(0), 0.1 + 0.2))
        assert executor.poll()[0].answer == 0.1 + 0.2
    else:
        executor.submit(job(0))
        assert files.is_given_up()
    executor.close()
    assert not (tmp_path / "jobs").exists()


def test_an_answer_is_kept_until_a_journal_has_it(tmp_path: Path) -> None:
    first = opened(tmp_path)
    for number in range(2):
        files = begin(first, number)
        files.end(Ended(job(number), 0.5))
    handles = [first._tasks[number, 0, 1].handle for number in range(2)]
    while len(first._unreleased) < 2:
        first.poll()
    first.release([(0, 0, 1)])
    assert first.leave() == [(1, 0, 1)]
    with opened(tmp_path) as second:
        assert second.rejoin(job(1), handles[1])
        assert second.poll()[0].answer == 0.5
    assert not (tmp_path / "jobs").exists()


def test_a_rejoined_job_that_has_not_begun_is_run_in_the_folder_of_its_new_run(
    tmp_path: Path,
) -> None:
    killed = opened(tmp_path)
    killed.submit(job(0))
    files = files_of(killed, 0)
    assert files.claim(ADDRESS)
    with opened(tmp_path) as executor:
        assert executor.rejoin(job(0), killed._tasks[0, 0, 1].handle)
        files.unclaim()  # its worker process was lost
        while not cluster_of(executor).futures:
            assert executor.poll(0.0) == []
        assert files_of(executor, 0)._claim.parent == Path(executor._run.folder)


def test_what_a_killed_search_or_sweep_has_left_ends_before_a_job_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask, "GRACE", 60.0)
    killed = opened(tmp_path)
    rejoined, left, over = (begin(killed, number) for number in (1, 3, 5))
    over.end(Ended(job(5), 0.5))
    killed.submit(job(4))
    lost = files_of(killed, 4)
    lost.claim("tcp://worker:of old")
    with opened(tmp_path) as executor:
        assert executor.rejoin(job(1), killed._tasks[1, 0, 1].handle)
        executor.submit(job(0))  # the point that was number 3
        assert executor.poll(0.0) == []
        assert cluster_of(executor).futures == []
        assert [it.is_given_up() for it in (rejoined, left, lost)] == [False, True, True]
        left.obey()
        executor.submit(job(7))
        assert executor.poll(0.0) == []
        assert len(cluster_of(executor).futures) == 2
        monkeypatch.setattr(dask, "GRACE", 0.0)


def test_a_disk_that_does_not_say_who_has_a_job_has_it_run_by_nobody_else(
    tmp_path: Path,
) -> None:
    killed = opened(tmp_path)
    files = begin(killed, 0)
    with opened(tmp_path) as executor:
        assert executor.rejoin(job(0), killed._tasks[0, 0, 1].handle)
        files._claim.rename(tmp_path / "claim")
        files._claim.mkdir()  # an OSError, though not that there is none
        assert executor.poll(0.0) == []
        assert executor.poll(0.0) == []
        assert executor.leave() == [(0, 0, 1)]
        assert cluster_of(executor).futures == []
    files._claim.rmdir()
    (tmp_path / "claim").rename(files._claim)
    with opened(tmp_path) as later:
        assert later.rejoin(job(0), killed._tasks[0, 0, 1].handle)


def test_starts_are_lost_by_jobs_that_had_not_begun(tmp_path: Path) -> None:
    with opened(tmp_path) as executor:
        cluster = cluster_of(executor)
        lost = Answer(ADDRESS, lost="the worker process died")
        for number in range(3):
            begin(executor, number)
        for future in cluster.futures:
            future.ends(lost)
        assert executor.poll(0.0) == []
        assert executor._lost_starts == 0


def test_where_no_job_can_begin_those_that_run_are_finished_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as executor:
        cluster = cluster_of(executor)
        begin(executor, 0)
        executor.submit(job(1))
        for _ in range(dask.STARTS):
            cluster.futures[-1].ends(Answer(ADDRESS, lost="it died of a library"))
            assert executor.poll(0.0) == []
            assert executor.poll(0.0) == []  # which hands it out again
        assert "1 trials are finishing" in caplog.text
        assert len(cluster.futures) == 1 + dask.STARTS
        ended = json.dumps(end_fields(Ended(job(0), 0.5))).encode()
        cluster.futures[0].ends(Answer(ADDRESS, ended))
        assert [it.answer for it in executor.poll()] == [0.5]
        with pytest.raises(EvaluationError, match="it died of a library"):
            executor.poll()


def test_what_runs_when_the_scheduler_goes_is_left_to_be_rejoined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as executor:
        files = begin(executor, 0)
        handle = executor._tasks[0, 0, 1].handle
        monkeypatch.setattr(ScriptedCluster, "has_gone", True)
        with pytest.raises(EvaluationError, match="has gone"):
            executor.poll()
        executor.cancel()
    assert not files.is_given_up()
    monkeypatch.setattr(ScriptedCluster, "has_gone", False)
    with opened(tmp_path) as later:
        assert later.rejoin(job(0), handle)


def test_what_a_worker_leaves_is_never_unpickled(tmp_path: Path) -> None:
    with opened(tmp_path) as executor:
        begin(executor, 0)
        path = files_of(executor, 0)._ended
        path.write_bytes(b"cos\nsystem\n(S'touch evil'\ntR.")
        (ended,) = executor.poll()
    assert "cannot be read" in ended.error
