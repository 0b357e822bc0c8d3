"""Jobs on a Dask cluster with two workers, and what may happen to its parts."""

from __future__ import annotations

import glob
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dask import config
from dask_trainings import JOBS, UNTIL_GO, Wish, job, measures, obey, opened, runs
from distributed import Client, LocalCluster, Status

from optiproxy_nas.core.code_digest import package_identity
from optiproxy_nas.core.errors import EvaluationError, ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution import dask, dask_cluster, dask_task, dask_worker, remote, worker
from optiproxy_nas.execution.dask import DaskExecutor
from optiproxy_nas.execution.dask_cluster import Cluster
from optiproxy_nas.execution.dask_worker import Inspection, Run
from optiproxy_nas.execution.jobs import Ended, Key
from optiproxy_nas.testing import check_executor
from waiting import PATIENCE, wait_until


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Two workers; one that a test kills is started anew.

    The locks by which jobs of a machine are paused are theirs alone, whatever else runs on it; a
    worker that starts on a loaded machine is not given up. Workers are forked from a server that
    has imported Dask once.
    """
    settings = config.set(
        {
            "distributed.comm.timeouts.connect": "300s",
            "distributed.worker.multiprocessing-method": "forkserver",
        }
    )
    with pytest.MonkeyPatch.context() as patch, settings, ExitStack() as stack:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("temporary")))
        yield stack.enter_context(started())


@pytest.fixture(scope="module")
def cluster(local: LocalCluster) -> str:
    return local.scheduler_address


def started() -> LocalCluster:
    return LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        silence_logs=logging.CRITICAL,
    )


@pytest.fixture
def pids(local: LocalCluster) -> dict[str, int]:
    """The process of each worker by its address, once both run.

    Dask starts a worker anew that was killed, but not one that was killed while it started.
    """

    scheduler: Any = local.scheduler

    def running() -> dict[str, int]:
        nannies = [nanny for nanny in local.workers.values() if nanny.process]
        nannies = [nanny for nanny in nannies if nanny.process.status == Status.running]
        found = {nanny.worker_address: nanny.pid for nanny in nannies}
        return found if len(found) == 2 and found.keys() <= scheduler.workers.keys() else {}

    return wait_until(running)


@pytest.fixture
def executor(cluster: str, tmp_path: Path) -> Iterator[DaskExecutor]:
    with opened(cluster, tmp_path) as executor:
        yield executor


def all_ended(executor: DaskExecutor, seconds: float = PATIENCE) -> dict[int, Ended]:
    """Poll until no job is left, and return their ends by number; each is given once."""
    found: list[Ended] = []
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and (ended := executor.poll(seconds)):
        found += ended
    assert len({end.job.key for end in found}) == len(found)
    return {end.job.number: end for end in found}


def owner(executor: DaskExecutor, key: Key, has_begun: bool = True) -> str:
    """Return the address of the worker that runs a job, once one does."""
    files = executor._tasks[key].files
    wait_until(lambda: files.has_begun or (files.claimed() and not has_begun))
    claim = files.claimed()
    assert claim is not None
    return claim.owner


def let_go(folder: Path, number: int) -> None:
    """Have a training end that waits for it."""
    (folder / "go").touch()
    wait_until((folder / f"{number:04d}" / "over").exists)


def local_clusters() -> list[int]:
    """Return the processes that run a cluster of this machine."""
    path = f"/proc/{os.getpid()}/task/*/children"
    ids = [int(pid) for file in glob.glob(path) for pid in Path(file).read_text().split()]
    return [pid for pid in ids if b"run_cluster" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def refuse_strangers(address: str) -> None:
    """Assert that nobody speaks to a scheduler without a certificate of its search."""
    scheme, _, place = address.partition("://")
    host, _, port = place.partition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert scheme == "tls"
    with (
        socket.create_connection((host, int(port)), timeout=60) as connection,
        pytest.raises(ssl.SSLError, match=r"(?i)certificate"),
        context.wrap_socket(connection) as stranger,
    ):
        stranger.recv(1)


@pytest.mark.heavy
def test_jobs_end_once_with_their_answers_and_nothing_stays(cluster: str, tmp_path: Path) -> None:
    with opened(cluster, tmp_path) as executor:
        assert executor.workers == 2
        for number in range(6):
            executor.submit(job(tmp_path, number))
        wrong = job(tmp_path, 6)._replace(architecture=Wish(-1))
        executor.submit(wrong)
        found = all_ended(executor)
    assert {n: end.answer["value"] for n, end in found.items() if n < 6} == {n: n for n in range(6)}
    assert found[3].answer["device"] == "cpu"
    assert found[4].curve == [(1, 2.0)]
    assert found[6].answer is None
    assert "negative" in found[6].error
    assert [runs(tmp_path, number) for number in range(7)] == [1] * 7
    assert (tmp_path / "0000" / "output.txt").exists()
    assert not (tmp_path / JOBS).exists()


@pytest.mark.heavy
def test_it_conforms(cluster: str, tmp_path: Path) -> None:
    check_executor(lambda training, n, at: opened(cluster, at, n, training), tmp_path, many=10)


@pytest.mark.heavy
def test_a_job_that_is_handed_out_twice_runs_once(executor: DaskExecutor, tmp_path: Path) -> None:
    executor.submit(job(tmp_path, 0, UNTIL_GO))
    task = executor._tasks[0, 0, 1]
    owner(executor, (0, 0, 1))
    executor._again(task)  # as if it had been lost
    (tmp_path / "go").touch()
    assert all_ended(executor)[0].answer["value"] == 0
    assert runs(tmp_path, 0) == 1


def test_what_is_cancelled_ends_and_is_not_heard_of(executor: DaskExecutor, tmp_path: Path) -> None:
    for number in range(4):
        executor.submit(job(tmp_path, number, 60.0 if number < 2 else 0.0))
    wait_until(lambda: len(executor.running()) == 2)
    executor.cancel([(0, 0, 1)])
    executor.cancel([(1, 0, 1), (7, 0, 1)])
    assert set(all_ended(executor)) == {2, 3}
    assert not (tmp_path / "0000" / "over").exists()


@pytest.mark.heavy
def test_a_killed_worker_costs_the_job_that_it_ran(
    executor: DaskExecutor, pids: dict[str, int], tmp_path: Path
) -> None:
    executor.submit(job(tmp_path, 0))
    assert executor.poll(PATIENCE)  # its result is not held, so that nothing is computed again
    executor.submit(job(tmp_path, 1, 60.0))
    executor.submit(job(tmp_path, 2, 0.5))
    os.kill(pids[owner(executor, (1, 0, 1))], signal.SIGKILL)
    executor.submit(job(tmp_path, 3))  # goes to whoever is left
    found = all_ended(executor)
    assert "died" in found[1].error
    assert found[2].answer
    assert found[3].answer
    assert [runs(tmp_path, number) for number in range(4)] == [1, 1, 1, 1]
    wait_until(lambda: executor._cluster.room(9) == 2)  # Dask has started another one


@pytest.mark.heavy
def test_a_job_that_had_not_begun_when_its_worker_died_is_run_elsewhere(
    executor: DaskExecutor, pids: dict[str, int], tmp_path: Path
) -> None:
    executor.submit(job(tmp_path, 0))
    os.kill(pids[owner(executor, (0, 0, 1), has_begun=False)], signal.SIGKILL)
    assert all_ended(executor)[0].answer["value"] == 0
    assert runs(tmp_path, 0) == 1


@pytest.mark.heavy
def test_a_worker_that_hangs_costs_its_job_and_what_it_answers_later_is_dropped(
    executor: DaskExecutor, pids: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_task, "SILENT", 8)
    monkeypatch.setattr(dask_cluster, "SILENT", 8)
    executor.submit(job(tmp_path, 0, UNTIL_GO))
    pid = pids[owner(executor, (0, 0, 1))]
    os.kill(pid, signal.SIGSTOP)
    try:
        executor.submit(job(tmp_path, 1, 0.1))
        found = all_ended(executor)
        assert "no sign of life" in found[0].error
        assert found[1].answer
        executor.submit(job(tmp_path, 2))  # not to that which hangs
        assert all_ended(executor)[2].answer
        let_go(tmp_path, 0)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: executor._cluster.room(9) == 2)
    assert executor.poll(0.2) == []


@pytest.mark.heavy
def test_a_worker_that_pauses_loses_nothing(
    executor: DaskExecutor, pids: dict[str, int], tmp_path: Path
) -> None:
    executor.submit(job(tmp_path, 0, UNTIL_GO))
    pid = pids[owner(executor, (0, 0, 1))]
    os.kill(pid, signal.SIGSTOP)
    let_go(tmp_path, 0)
    assert executor.poll(1.0) == []
    os.kill(pid, signal.SIGCONT)
    assert all_ended(executor)[0].answer["value"] == 0


def test_a_job_ends_at_its_timeout(executor: DaskExecutor, tmp_path: Path) -> None:
    executor.submit(job(tmp_path, 0, 60.0, timeout=0.3))
    assert "timed out" in all_ended(executor)[0].error


@pytest.mark.heavy
def test_a_worker_that_measures_has_the_machine_to_itself(cluster: str, tmp_path: Path) -> None:
    with opened(cluster, tmp_path, training=measures) as executor:
        for number in range(2):
            executor.submit(job(tmp_path, number, timeout=PATIENCE))
        found = all_ended(executor)
    assert [end.error for end in found.values()] == ["", ""]
    assert found[1].answer <= 1  # what was on its way to the file
    assert found[0].seconds < found[0].answer - 0.2  # it was not charged for the pause


@pytest.mark.heavy
def test_a_later_driver_rejoins_what_runs_or_has_ended(cluster: str, tmp_path: Path) -> None:
    code = "import sys; from dask_trainings import drive; drive(*sys.argv[1:])"
    command = [sys.executable, "-c", code, cluster, str(tmp_path)]
    here = {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run(
        command, capture_output=True, encoding="utf-8", env={**os.environ, **here}
    )
    handles = killed.stdout.split()
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with opened(cluster, tmp_path) as executor:
        assert executor.rejoin(job(tmp_path, 0), handles[0])
        assert executor.rejoin(job(tmp_path, 1), handles[1])
        assert not executor.rejoin(job(tmp_path, 2), handles[2])
        assert not executor.rejoin(job(tmp_path, 5), handles[0])
        assert not executor.rejoin(job(tmp_path, 1), "../elsewhere")
        assert executor.running() == [(1, 0, 1)]
        executor.submit(job(tmp_path, 2))
        (tmp_path / "go").touch()
        found = all_ended(executor)
    assert {number: end.answer["value"] for number, end in found.items()} == {0: 0, 1: 1, 2: 2}
    assert [runs(tmp_path, number) for number in range(3)] == [1, 1, 1]
    assert not (tmp_path / JOBS).exists()


def test_what_is_left_runs_on_and_is_rejoined(cluster: str, tmp_path: Path) -> None:
    first = opened(cluster, tmp_path)
    jobs = [job(tmp_path, number, UNTIL_GO) for number in range(3)]
    handles = [first.submit(it) for it in jobs]
    owner(first, (0, 0, 1))
    left = first.leave()
    assert (0, 0, 1) in left
    with opened(cluster, tmp_path) as executor:
        for it, handle in zip(jobs, handles, strict=True):
            if not executor.rejoin(it, handle):
                executor.submit(it)
        (tmp_path / "go").touch()
        assert sorted(all_ended(executor)) == [0, 1, 2]
    assert [runs(tmp_path, number) for number in range(3)] == [1, 1, 1]


@pytest.mark.heavy
def test_a_scheduler_that_dies_ends_the_search_and_loses_no_result(tmp_path: Path) -> None:
    """The cluster is that of this machine, which the executor starts."""
    with opened(None, tmp_path) as executor:
        executor._cluster._client._timeout = 1.0  # until it is given up
        refuse_strangers(executor._cluster.address)
        (process,) = local_clusters()
        executor.submit(job(tmp_path, 2, UNTIL_GO))
        os.kill(process, signal.SIGSTOP)  # as the network may pause
        assert executor.poll(0.1) == []
        os.kill(process, signal.SIGCONT)
        (tmp_path / "go").touch()
        assert executor.poll(PATIENCE)[0].answer["value"] == 2
        executor.submit(job(tmp_path, 0))
        executor.submit(job(tmp_path, 1, 60.0))
        files = executor._tasks[0, 0, 1].files
        wait_until(lambda: files.ended(job(tmp_path, 0)) and executor.running() == [(1, 0, 1)])
        os.kill(process, signal.SIGKILL)
        (ended,) = executor.poll(PATIENCE)
        with pytest.raises(EvaluationError, match="has gone"):
            executor.poll(PATIENCE)
    assert ended.answer["value"] == 0


def test_a_scheduler_that_is_not_there_is_said_at_once_and_its_client_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_cluster, "TIMEOUT", 1.0)
    closed: list[Client] = []
    close = Client.close

    def closing(client: Client, **arguments: Any) -> Any:
        closed.append(client)
        return close(client, **arguments)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(Client, "close", closing)
    with socket.socket() as deaf:  # it takes connections, and never answers
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        for address in (
            "tcp://127.0.0.1:9",
            "nonsense",
            f"tcp://127.0.0.1:{deaf.getsockname()[1]}",
        ):
            settings = EvaluationSettings(executor="dask", scheduler=address)
            begun = time.monotonic()
            with pytest.raises(ParameterError) as error:
                DaskExecutor(settings, obey, "obey", folder=tmp_path)
            assert error.value.data["scheduler"] == address
            assert time.monotonic() - begun < 60
            assert {client.status for client in closed} == {"closed"}
            closed.clear()


def test_another_version_of_the_package_is_refused(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask, "package_identity", lambda: "optiproxy-nas 9.9 (code 123)")
    with pytest.raises(ParameterError, match=r"it has optiproxy-nas .* has optiproxy-nas 9\.9"):
        opened(cluster, tmp_path)


def test_other_code_of_the_user_is_refused(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "training_code", lambda _: {"dask_trainings": "0" * 16})
    with opened(cluster, tmp_path) as executor:
        executor.submit(job(tmp_path, 0))
        with pytest.raises(EvaluationError, match="dask_trainings"):
            executor.poll(PATIENCE)
    assert runs(tmp_path, 0) == 0


def test_dask_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ParameterError, match=r"optiproxy-nas\[dask\]"):
        DaskExecutor(EvaluationSettings(executor="dask"), obey, "obey", folder=tmp_path)


def run_of(folder: Path, **values: Any) -> Run:
    folder.mkdir(exist_ok=True)
    (folder / worker.TRAINING).touch()
    return Run(str(folder), package_identity(), (), "cpu", **values)


def test_a_worker_that_does_not_see_the_folder_or_is_of_another_kind_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_worker, "kind_of_machine", lambda: "AMD EPYC 7763")
    assert dask_worker.inspect(run_of(tmp_path / "a")) == Inspection("", "AMD EPYC 7763")
    assert not dask_worker.inspect(run_of(tmp_path / "b", machine="epyc")).refusal
    other = dask_worker.inspect(run_of(tmp_path / "c", machine="Xeon"))
    assert "AMD EPYC 7763" in other.refusal
    assert "Xeon" in other.refusal
    unseen = run_of(tmp_path / "d")._replace(folder="/nowhere")
    assert "disk" in dask_worker.inspect(unseen).refusal


def test_machines_of_several_kinds_are_refused_where_latency_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {"tcp://a": Inspection("", "EPYC"), "tcp://b": Inspection("", "Xeon")}
    monkeypatch.setattr(Cluster, "_answers", lambda *_: found)
    cluster = Cluster(EvaluationSettings(executor="dask"), lambda: None)
    run = run_of(tmp_path)
    assert cluster.inspected(run, needs_one_kind=False) == run
    with pytest.raises(ParameterError) as error:
        cluster.inspected(run, needs_one_kind=True)
    assert error.value.data["kinds"] == ["EPYC", "Xeon"]
    found["tcp://b"] = Inspection("it is a machine of another kind", "Xeon")
    assert cluster.inspected(run, needs_one_kind=True).machine == "EPYC"


def test_workers_that_join_are_used_and_those_that_hold_a_rejoined_job_are_not() -> None:
    cluster = Cluster(EvaluationSettings(executor="dask", workers=8), lambda: None)
    assert cluster.room(8) == 1
    assert cluster.places({}) is None
    cluster.workers = {name: dask_cluster.Worker(2, 0.0, 0) for name in ("a", "b", "c")}
    assert cluster.room(8) == 6
    assert cluster.room(4) == 4
    assert cluster.places({"a": 1}) is None
    assert cluster.places({"a": 2}) == ["b", "c"]
    cluster.refuse("b", "it is another one")
    assert cluster.room(8) == 4
    assert cluster.places({"a": 2, "c": 2}) == []
    cluster.look = 100  # nothing was heard of any for long
    assert cluster.places({}) == []


def test_a_cluster_without_workers_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster(EvaluationSettings(executor="dask"), lambda: None)
    for look in range(100):
        cluster.look = look
        cluster.say_if_empty(3)
    assert len(caplog.records) == 1


def test_one_thread_ends_all_worker_processes_that_had_no_job_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []

    class Process:
        is_busy = False

        def __init__(self, *_: object) -> None:
            pass

        def is_over(self) -> bool:
            return False

        def kill(self) -> None:
            ended.append(id(self))

    monkeypatch.setattr(dask_worker, "WorkerProcess", Process)
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda _: time.sleep(0.01))
    monkeypatch.setattr(dask_worker, "time", clock)
    places = dask_worker._Places(run_of(tmp_path), offset=0)

    def watching() -> int:  # Dask has threads, too
        return sum("_watch" in thread.name for thread in threading.enumerate())

    for _ in range(20):
        with places.process() as first, places.process() as second:
            assert first is not second
    assert watching() == 1
    now[0] += dask_worker.IDLE
    wait_until(lambda: len(ended) == 2 and watching() == 0)
    with places.process():
        now[0] += 2 * dask_worker.IDLE
        time.sleep(0.05)
        assert len(ended) == 2  # it has a job
    now[0] += dask_worker.IDLE
    wait_until(lambda: len(ended) == 3)


def test_gpus_of_a_worker_are_taken_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path)._replace(device="auto")
    found = []
    for gpus in (0, 1, 4):
        monkeypatch.setattr(dask_worker, "_gpus", lambda gpus=gpus: gpus)
        found.append([dask_worker._Places(run, offset=1)._device(place) for place in range(2)])
    assert found == [["cpu", "cpu"], ["cuda", "cuda"], ["cuda:1", "cuda:2"]]


@pytest.mark.heavy
@pytest.mark.parametrize(("device", "room"), [("auto", [1, 0]), ("cpu", [2, 4])])
def test_workers_that_declare_gpus_get_a_trial_for_each(device: str, room: list[int]) -> None:
    cluster = Cluster(EvaluationSettings(executor="dask", device=device), lambda: None)
    facts = {"nthreads": 2, "resources": {"GPU": 1.0}, "status": "running", "last_seen": 1.0}
    workers = {"a": facts, "b": {**facts, "nthreads": 4, "resources": {}}}
    workers["c"] = {**facts, "status": "closing_gracefully"}
    cluster._client = SimpleNamespace(
        status="running", scheduler_info=lambda n_workers: {"workers": workers}
    )
    cluster._refresh()
    assert [cluster.workers[name].room for name in "abc"] == [*room, 0]
