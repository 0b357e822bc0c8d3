"""Jobs of a SLURM cluster; the cluster is small scripts, and most nodes are played by the tests."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import slurm_search
from fake_slurm import FakeSlurm, wait_for
from slurm_trainings import Trains

from optiproxy_nas.core.errors import EvaluationError, ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution import remote, slurm, slurm_job, slurm_queue
from optiproxy_nas.execution.jobs import Ended, Job, Training
from optiproxy_nas.execution.slurm import SlurmExecutor
from optiproxy_nas.execution.slurm_folder import Answer, JobFolders
from optiproxy_nas.execution.slurm_queue import Queue
from optiproxy_nas.execution.slurm_settings import SlurmSettings, slurm_settings
from optiproxy_nas.testing import check_executor
from waiting import PATIENCE, wait_until

pytestmark = pytest.mark.heavy

RESOURCES = {"partition": "gpu", "time": "1:00:00", "mem_gb": 4, "poll_seconds": 0.05}
Open = Callable[..., SlurmExecutor]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "cluster")
    monkeypatch.setenv("PATH", str(fake.bin), prepend=":")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(slurm, "LONGEST", 0.05)
    monkeypatch.setattr(slurm, "DELAY", 0.0)
    return fake


@pytest.fixture(autouse=True)
def shared_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the folder of a test be none for temporary files."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))


@pytest.fixture
def opens(tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens an executor; the last one is closed in the end."""
    executors = []

    def opened(workers: int = 2, resources: Any = RESOURCES, **settings: Any) -> SlurmExecutor:
        settings = {"executor": "slurm", "workers": workers, "slurm": resources, **settings}
        folder = tmp_path / "slurm"
        executor = SlurmExecutor(EvaluationSettings(**settings), Trains(), "", folder=folder)
        executors.append(executor)
        return executor

    yield opened
    for executor in executors[-1:]:  # the ones before were "killed"
        executor.close()


def job(folder: Path, what: str, number: int = 0, **changes: Any) -> Job:
    trial = folder / "trials" / f"{number:04d}"
    return Job(number, 1, what, None, 5, str(trial), **changes)


def has_jobs(cluster: FakeSlurm, count: int) -> bool:
    return len(cluster.ids()) == count


def all_ended(executor: SlurmExecutor) -> dict[int, Ended]:
    ended: dict[int, Ended] = {}
    while results := executor.poll():
        ended |= {result.job.number: result for result in results}
    return ended


def until(executor: SlurmExecutor, condition: Callable[[], Any]) -> None:
    """Poll until a condition holds; meanwhile no job ends."""
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert executor.poll(0.02) == []
        assert time.monotonic() < limit


def pending(cluster: FakeSlurm, executor: SlurmExecutor, *jobs: Job) -> list[str]:
    """Submit jobs whose nodes the test plays; return their names once SLURM was offered them."""
    cluster.switch("holds")
    room = executor.workers - sum(bool(entry.id) for entry in executor._entries.values())
    offered = cluster.calls("sbatch") + min(room, len(jobs))
    names = [executor.submit(it) for it in jobs]
    until(executor, lambda: cluster.calls("sbatch") >= offered)
    return names


def node(tmp_path: Path) -> JobFolders:
    return JobFolders(tmp_path / "slurm")


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"partiton": "gpu"}, ("'partition'",)),
        ({"partition": "gpu", "timeout": 5}, ("evaluation.slurm.timeout",)),
        ({"time": "soon"}, ("1:30:00",)),
        ({"time": 0}, ("at least 1 minute",)),
        ({"gpus_per_node": "two"}, ("an integer is needed",)),
        ({}, ("evaluation.slurm.time", "evaluation.timeout")),
    ],
)
def test_wrong_resources_are_refused_before_anything_is_submitted(
    cluster: FakeSlurm, opens: Open, resources: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(ParameterError) as error:
        opens(resources=resources)
    assert all(word in error.value.message for word in words)
    assert cluster.calls("sbatch") == 0


@pytest.mark.parametrize(
    ("text", "minutes"),
    [(90, 90), ("90", 90), ("1:30", 2), ("1:30:00", 90), ("2-12", 3600), ("1-0:30:00", 1470)],
)
def test_a_time_limit_reads_as_slurm_writes_it(text: int | str, minutes: int) -> None:
    assert slurm_settings({"time": text}).minutes(None) == minutes


def test_the_limit_of_a_job_is_above_the_timeout_of_a_trial() -> None:
    assert slurm_settings({}).minutes(90.0) == 12
    with pytest.raises(ParameterError, match=r"evaluation\.timeout"):
        slurm_settings({"time": 10}).minutes(600.0)


def test_without_slurm_the_advice_is_a_login_node(
    opens: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(ParameterError, match="login node"):
        opens()


def test_a_folder_for_temporary_files_is_refused(
    cluster: FakeSlurm, opens: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ParameterError, match="journal=PATH"):
        opens()


def test_jobs_are_trained_with_what_they_ask_for(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    asked = {**RESOURCES, "cpus_per_task": 3, "gres": "gpu:a100:1", "account": "lab"}
    asked["additional_parameters"] = {"reservation": "mine"}
    executor = opens(resources=asked, workers=2)
    for number, what in enumerate(("answers", "raises", "is_killed")):
        executor.submit(job(tmp_path, what, number))
    ended = all_ended(executor)
    assert ended[0].answer == {"value": 0, "device": "cuda", "threads": "3"}
    assert ended[0].curve == [(1, 0.25)]
    assert ended[1].error == "ValueError: no such layer"
    assert "ran out of memory" in ended[2].error
    assert (tmp_path / "trials" / "0000" / "output.txt").read_text() == "trained\n"
    script = cluster.script(cluster.ids()[0])
    for option in (
        "--partition=gpu",
        "--time=60",
        "--mem=4GB",
        "--cpus-per-task=3",
        "--gres=gpu:a100:1",
        "--account=lab",
        "--reservation=mine",
        "--no-requeue",
        "--signal=USR2@60",
    ):
        assert f"#SBATCH {option}\n" in script


def test_no_more_jobs_are_queued_than_workers_and_slurm_is_asked_once_for_all(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    executor = opens(workers=2, resources={**RESOURCES, "poll_seconds": 3600})
    names = pending(cluster, executor, *(job(tmp_path, "answers", n) for n in range(4)))
    assert len(cluster.ids()) == 2
    node(tmp_path).begin(names[1], cluster.ids()[1])
    until(executor, executor.running)
    assert executor.running() == [(1, 0, 1)]
    node(tmp_path).end(names[1], Answer(Ended(job(tmp_path, "answers", 1), 0.5)))
    (ended,) = executor.poll()
    assert (ended.job.number, ended.answer) == (1, 0.5)
    until(executor, lambda: len(cluster.ids()) == 3)
    assert cluster.calls("squeue") == 1
    assert cluster.calls("sacct") == 0


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("OUT_OF_MEMORY", "out of memory"),
        ("TIMEOUT", "timed out after 60 min"),
        ("CANCELLED by 1000", "was cancelled"),
        ("FAILED", "without an answer; its log is in"),
        ("COMPLETED", "without an answer; its log is in"),
    ],
)
def test_a_job_that_slurm_ended_is_one_failure_with_its_reason(
    cluster: FakeSlurm, opens: Open, tmp_path: Path, state: str, words: str
) -> None:
    executor = opens()
    (name,) = pending(cluster, executor, job(tmp_path, "answers"))
    (number,) = cluster.ids()
    node(tmp_path).begin(name, number)
    until(executor, executor.running)
    (cluster.folder / "jobs" / number / "state").write_text(f"{state}\n")
    (ended,) = executor.poll(PATIENCE)
    assert words in ended.error
    assert executor.poll() == []


def test_a_preempted_job_is_submitted_again_but_not_without_end(
    cluster: FakeSlurm, opens: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    executor = opens(resources={**RESOURCES, "resubmissions": 2})
    (name,) = pending(cluster, executor, job(tmp_path, "answers", 7))
    for tries, state in enumerate(("PREEMPTED", "NODE_FAIL", "BOOT_FAIL"), start=2):
        number = cluster.ids()[-1]
        node(tmp_path).begin(name, number)
        (cluster.folder / "jobs" / number / "state").write_text(f"{state}\n")
        if tries <= 3:
            until(executor, partial(has_jobs, cluster, tries))
    ended = executor.poll(PATIENCE)
    assert len(cluster.ids()) == 3
    assert "was lost (BOOT_FAIL)" in ended[0].error
    assert [record.getMessage()[-25:] for record in caplog.records] == [
        "Submitted again (1 of 2).",
        "Submitted again (2 of 2).",
    ]


def test_a_job_of_which_nobody_knows_is_waited_for_and_then_given_up(
    cluster: FakeSlurm, opens: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = opens()
    (name,) = pending(cluster, executor, job(tmp_path, "answers"))
    (number,) = cluster.ids()
    node(tmp_path).begin(name, number)
    cluster.switch("unaccounted")
    cluster.lose(number)
    assert executor.poll(0.3) == []
    cluster.switch("silent")
    monkeypatch.setattr(slurm, "PATIENCE", 0.0)
    (ended,) = executor.poll(PATIENCE)
    assert "(GONE)" in ended.error


def test_a_queue_that_does_not_answer_changes_nothing(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    executor = opens()
    cluster.switch("silent")
    (name,) = pending(cluster, executor, job(tmp_path, "answers"))
    (number,) = cluster.ids()
    (cluster.folder / "jobs" / number / "state").write_text("FAILED\n")
    assert executor.poll(0.3) == []
    node(tmp_path).end(name, Answer(Ended(job(tmp_path, "answers"), 0.5)))
    assert [ended.answer for ended in executor.poll(PATIENCE)] == [0.5]


def test_a_state_that_the_queue_has_forgotten_is_that_of_the_accounting(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    executor = opens()
    (name,) = pending(cluster, executor, job(tmp_path, "answers"))
    (number,) = cluster.ids()
    node(tmp_path).begin(name, number)
    cluster.switch("purges")
    (cluster.folder / "jobs" / number / "state").write_text("OUT_OF_MEMORY\n")
    (ended,) = executor.poll(PATIENCE)
    assert "out of memory" in ended.error
    assert cluster.calls("sacct") >= 1


def test_a_full_queue_lets_the_others_wait(
    cluster: FakeSlurm, opens: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    executor = opens(workers=3)
    cluster.switch("limit", "1\n")
    names = pending(cluster, executor, *(job(tmp_path, "answers", n) for n in range(3)))
    assert len(cluster.ids()) == 1
    assert "QOSMaxSubmitJobPerUserLimit" in caplog.text
    assert len(caplog.records) == 1
    cluster.switch("limit", "3\n")
    until(executor, lambda: len(cluster.ids()) == 3)
    for number, name in enumerate(names):
        node(tmp_path).end(name, Answer(Ended(job(tmp_path, "answers", number), 0.5)))
    assert sorted(all_ended(executor)) == [0, 1, 2]


def test_a_refused_first_job_ends_the_search_with_the_words_of_sbatch(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    executor = opens()
    cluster.switch("refuses", "sbatch: error: invalid partition specified: gpu\n")
    executor.submit(job(tmp_path, "answers"))
    with pytest.raises(EvaluationError, match="invalid partition specified: gpu"):
        executor.poll()


def test_jobs_that_end_before_they_begin_end_the_search(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    executor = opens(resources={**RESOURCES, "setup": ["module load nothing", "exit 7"]})
    executor.submit(job(tmp_path, "answers"))
    with pytest.raises(EvaluationError, match="cannot begin: the SLURM job 103 ended"):
        executor.poll()
    assert len(cluster.ids()) == slurm.STARTS


def test_a_cancelled_job_is_not_heard_of_any_more(
    cluster: FakeSlurm, opens: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")  # of the search
    executor = opens()
    first, second = (job(tmp_path, "answers", number) for number in range(2))
    names = pending(cluster, executor, first, second)
    executor.cancel([first.key, (9, 0, 1)])
    assert [cluster.state(number) for number in cluster.ids()] == ["CANCELLED by 1000", "PENDING"]
    assert node(tmp_path).files(names[0]).is_ending
    for name, it in zip(names, (first, second), strict=True):
        node(tmp_path).end(name, Answer(Ended(it, 0.5)))
    assert [ended.job.number for ended in executor.poll(PATIENCE)] == [1]
    assert executor.poll() == []


def test_a_job_whose_sbatch_seemed_to_fail_is_trained_once(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    executor = opens()
    first, second = (job(tmp_path, "answers", number) for number in range(2))
    pending(cluster, executor, first)
    cluster.switch("forgets")
    (name,) = pending(cluster, executor, second)
    cluster.switch("forgets", None)
    until(executor, lambda: len(cluster.ids()) == 3)
    lost, noted = cluster.ids()[1], cluster.ids()[-1]
    assert node(tmp_path).begin(name, lost)
    assert not node(tmp_path).begin(name, noted)
    (cluster.folder / "jobs" / noted / "state").write_text("COMPLETED\n")
    assert executor.poll(0.3) == []
    node(tmp_path).end(name, Answer(Ended(second, 0.5)))
    assert [ended.answer for ended in executor.poll(PATIENCE)] == [0.5]


def test_a_signal_lets_a_training_tidy_up_and_it_is_submitted_again(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    executor = opens()
    executor.submit(job(tmp_path, "tidies"))
    executor.poll(0.05)
    wait_for(tmp_path / "trials" / "0000" / "waits")
    cluster.end("101", "PREEMPTED", signal.SIGTERM)
    (ended,) = executor.poll(PATIENCE)
    assert ended.answer == 0.75
    assert (tmp_path / "trials" / "0000" / "runs").read_text() == "run\nrun\n"


class ForkingQueue(Queue):
    """A cluster whose nodes are forked from this process, so that jobs begin at once."""

    def __init__(self, settings: SlurmSettings, minutes: int, warning: int) -> None:
        self._alive: set[str] = set()

    def check(self, folder: Path) -> None:
        pass

    def offer(self, root: Path, name: str, title: str, queued: int) -> str:
        pid = os.fork()
        if not pid:
            try:
                os.environ |= {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": str(os.getpid())}
                slurm_job.train(str(root), name)
            finally:
                os._exit(0)
        self._alive.add(str(pid))
        return str(pid)

    def states(self, ids: Collection[str]) -> dict[str, str]:
        ended = {pid for pid in self._alive if os.waitpid(int(pid), os.WNOHANG)[0]}
        self._alive -= ended
        return {pid: "RUNNING" if pid in self._alive else "COMPLETED" for pid in ids}

    def cancel(self, ids: Collection[str]) -> None:
        for pid in self._alive.intersection(ids):
            os.kill(int(pid), signal.SIGTERM)


def test_jobs_of_a_cluster_conform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "Queue", ForkingQueue)
    monkeypatch.setattr(slurm, "LONGEST", 0.1)
    monkeypatch.setattr(slurm, "DELAY", 0.0)

    def make(training: Training, workers: int, folder: Path) -> SlurmExecutor:
        settings = EvaluationSettings(executor="slurm", workers=workers, slurm=RESOURCES)
        return SlurmExecutor(settings, training, "", folder=folder / "jobs")

    check_executor(make, tmp_path, many=10)


def test_a_node_of_another_kind_of_machine_is_refused(
    cluster: FakeSlurm, opens: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trains, "needs_one_kind", True, raising=False)
    with pytest.raises(ParameterError, match=r"slurm\.constraint"):
        opens()
    opens(resources={**RESOURCES, "constraint": "a100"})
    executor = opens(machine="PDP-11")
    executor.submit(job(tmp_path, "answers"))
    with pytest.raises(EvaluationError, match="another kind"):
        executor.poll()


def test_a_node_with_other_code_is_refused(
    cluster: FakeSlurm, opens: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "training_code", lambda _: {"slurm_trainings": "0" * 16})
    executor = opens()
    executor.submit(job(tmp_path, "answers"))
    with pytest.raises(EvaluationError, match="not that of the search: slurm_trainings"):
        executor.poll()


DRIVER = """
import sys
from pathlib import Path
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution.jobs import Job
from optiproxy_nas.execution.slurm import SlurmExecutor
from slurm_trainings import Trains

folder = Path(sys.argv[1])
settings = EvaluationSettings(executor="slurm", workers=2, slurm={"time": 60, "poll_seconds": 0.1})
executor = SlurmExecutor(settings, Trains(), "evaluate", folder=folder / "slurm")
for number, what in enumerate(("waits", "answers", "answers")):
    trial = folder / "trials" / f"{number:04d}"
    print(executor.submit(Job(number, 1, what, None, 5, str(trial))), flush=True)
while True:
    executor.poll(0.1)
    if number == 2 and (folder / "trials" / "0001" / "output.txt").exists():
        break
(folder / "driven").write_text("yes")
sys.stdin.read()
"""


def test_jobs_are_rejoined_after_a_kill_of_the_driver(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    wait_for(tmp_path / "driven")
    driver.send_signal(signal.SIGKILL)
    handles = driver.communicate()[0].split()
    wait_for(tmp_path / "slurm" / "marks" / f"{handles[1]}.ended")
    executor = opens()
    jobs = [job(tmp_path, what, n) for n, what in enumerate(("waits", "answers", "answers"))]
    assert not executor.rejoin(jobs[0]._replace(seed=6), handles[0])
    assert not executor.rejoin(jobs[0], "0000-0-1-none")
    rejoined = [executor.rejoin(it, handle) for it, handle in zip(jobs, handles, strict=True)]
    assert rejoined == [True, True, False]  # runs; ended meanwhile; waited for room
    executor.submit(jobs[2])
    assert executor.poll(PATIENCE)[0].job.number == 1
    (tmp_path / "trials" / "go").write_text("go")
    assert sorted(all_ended(executor)) == [0, 2]
    runs = [(tmp_path / "trials" / f"{n:04d}" / "runs").read_text() for n in range(3)]
    assert runs == ["run\n"] * 3


def test_what_is_left_runs_on_and_is_rejoined(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    first, jobs = opens(), [job(tmp_path, "answers", n) for n in range(3)]
    names = pending(cluster, first, *jobs[:2])
    handle = first.submit(jobs[2])  # and not handed to SLURM
    assert first.leave() == [jobs[0].key, jobs[1].key]
    node(tmp_path).end(names[0], Answer(Ended(jobs[0], 0.5)))
    second = opens()
    assert [second.rejoin(*it) for it in zip(jobs, [*names, handle], strict=True)] == [1, 1, 0]
    assert second.poll(PATIENCE)[0].answer == 0.5
    assert {cluster.state(number) for number in cluster.ids()} == {"PENDING"}


def test_a_job_that_is_not_rejoined_is_ended_before_it_is_submitted_again(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    first = opens()
    (old,) = pending(cluster, first, job(tmp_path, "answers"))
    second = opens()
    (new,) = pending(cluster, second, job(tmp_path, "answers"))
    assert old != new
    assert [cluster.state(number) for number in cluster.ids()] == ["CANCELLED by 1000", "PENDING"]
    assert node(tmp_path).files(old).is_ending


def tree(folder: Path) -> dict[str, bytes]:
    return {str(it): it.read_bytes() for it in sorted(folder.rglob("*")) if it.is_file()}


def test_a_search_that_ends_before_it_rejoins_changes_nothing(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    killed = opens()
    (name,) = pending(cluster, killed, job(tmp_path, "answers"))
    before = tree(tmp_path / "slurm")
    assert len(before) > 3
    opens().close()  # as by Ctrl-C while the journal is repeated
    opens(machine="of no earlier job").close()
    assert tree(tmp_path / "slurm") == before
    assert [cluster.state(number) for number in cluster.ids()] == ["PENDING"]
    assert opens().rejoin(job(tmp_path, "answers"), name)


def test_a_disk_that_fails_is_tried_again(
    cluster: FakeSlurm,
    opens: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = opens()
    failures = iter([OSError(116, "Stale file handle")] * 3)
    for method in ("begun_and_ended", "tell"):
        whole = getattr(JobFolders, method)

        def fails(self: JobFolders, *arguments: Any, whole: Any = whole) -> Any:
            if (failure := next(failures, None)) is not None:
                raise failure
            return whole(self, *arguments)

        monkeypatch.setattr(JobFolders, method, fails)
    (name,) = pending(cluster, executor, job(tmp_path, "answers"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    node(tmp_path).end(name, Answer(Ended(job(tmp_path, "answers"), 0.5)))
    assert [ended.answer for ended in executor.poll(PATIENCE)] == [0.5]


def test_a_disk_that_goes_on_to_fail_ends_the_search_and_no_job(
    cluster: FakeSlurm, opens: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: JobFolders) -> Any:
        raise OSError(116, "Stale file handle")

    executor = opens()
    (name,) = pending(cluster, executor, job(tmp_path, "answers"))
    with monkeypatch.context() as patch:
        patch.setattr(JobFolders, "begun_and_ended", fails)
        patch.setattr(slurm, "DISK", 0.0)
        with pytest.raises(EvaluationError, match="Stale file handle"):
            executor.poll(PATIENCE)
    executor.cancel()
    executor.close()
    assert [cluster.state(number) for number in cluster.ids()] == ["PENDING"]
    later = opens()
    assert later.rejoin(job(tmp_path, "answers"), name)
    node(tmp_path).end(name, Answer(Ended(job(tmp_path, "answers"), 0.5)))
    assert [ended.answer for ended in later.poll(PATIENCE)] == [0.5]


def test_what_is_left_of_jobs_is_the_logs_of_those_that_failed(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    executor = opens()
    names = pending(cluster, executor, *(job(tmp_path, "answers", n) for n in range(2)))
    for number, error in enumerate(("", "it failed")):
        node(tmp_path).end(names[number], Answer(Ended(job(tmp_path, "", number), 0.5, error)))
    assert sorted(all_ended(executor)) == [0, 1]
    executor.close()
    assert [path.name for path in (tmp_path / "slurm").iterdir()] == [names[1]]


class Evil:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("evil",)


@pytest.mark.parametrize("content", [pickle.dumps(Evil()), b"[[[", b"[" * 10**5, b'{"ended": 7}'])
def test_what_is_no_answer_is_a_failure_and_nothing_of_it_is_run(
    cluster: FakeSlurm,
    opens: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
) -> None:
    monkeypatch.chdir(tmp_path)
    executor = opens()
    (name,) = pending(cluster, executor, job(tmp_path, "answers"))
    (tmp_path / "slurm" / "marks" / f"{name}.ended").write_bytes(content)
    (ended,) = executor.poll(PATIENCE)
    assert "cannot be read" in ended.error
    assert not (tmp_path / "evil").exists()


def test_a_job_for_which_nobody_waits_any_more_ends_at_once(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path / "jobs")
    folders.close()
    with pytest.raises(FileNotFoundError):
        folders.end("0000-0-1-ab", Answer(is_interrupted=True))


def test_what_is_no_id_of_a_job_is_no_argument_of_a_command(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path)
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "ids").write_text("101\n--user=me\n102_1\n")
    (tmp_path / "marks" / "other.claim").write_text("--user=me")
    assert folders.ids("job") == ["101", "102_1"]
    assert folders.ids("other") == []


def test_a_job_whose_id_a_full_disk_did_not_take_is_found_once_it_has_begun(tmp_path: Path) -> None:
    folders = JobFolders(tmp_path)
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "ids").touch()
    assert folders.ids("job") == []
    folders.begin("job", "101")
    assert folders.ids("job") == ["101"]


def test_a_lost_submission_that_was_replaced_does_not_say_that_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = JobFolders(tmp_path)
    (tmp_path / "job").mkdir()
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_JOB_ID", "101")

    def answer(*_: Any) -> Answer:
        folders.files("job").remove()
        folders.begin("job", "102")
        return given

    monkeypatch.setattr(slurm_job, "_answer", answer)
    given = Answer(is_interrupted=True)
    slurm_job.train(str(tmp_path), "job")
    assert not folders.files("job").has_ended
    folders.files("job").remove()
    given = Answer(Ended(job(tmp_path, ""), 0.5))
    slurm_job.train(str(tmp_path), "job")
    assert folders.files("job").has_ended  # a training that is whole is paid for


def test_jobs_of_this_machine_stand_in_for_a_cluster(opens: Open, tmp_path: Path) -> None:
    executor = opens(resources={"cluster": "local", "time": 5})
    executor.submit(job(tmp_path, "answers", 1))
    assert all_ended(executor)[1].answer == {"value": 1, "device": "cpu", "threads": "1"}


def test_a_process_that_has_the_number_of_an_old_job_is_none_and_is_not_ended() -> None:
    queue = Queue(slurm_settings({"cluster": "local"}), 5, 30)
    with subprocess.Popen(["sleep", "30"]) as other:
        number = str(other.pid)
        assert queue.states([number]) == {number: "COMPLETED"}
        queue.cancel([number])
        time.sleep(0.05)
        assert other.poll() is None
        other.kill()


def test_a_command_of_slurm_that_hangs_is_not_waited_for(
    cluster: FakeSlurm, opens: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cluster.bin / "squeue").write_text("#!/bin/sh\nexec sleep 600\n")
    monkeypatch.setattr(slurm_queue, "_ANSWER", 0.05)
    executor = opens()
    pending(cluster, executor, job(tmp_path, "answers"))
    begun = time.monotonic()
    assert executor.poll(0.1) == []
    assert time.monotonic() - begun < PATIENCE


def test_a_killed_search_goes_on_with_what_its_jobs_have_done_meanwhile(
    cluster: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEARCH_FOLDER", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    killed = subprocess.Popen([sys.executable, slurm_search.__file__, str(tmp_path)])
    wait_until(lambda: lines_of(tmp_path / "trained") == 2)
    killed.kill()
    killed.wait()
    (tmp_path / "go").write_text("go")
    marks = tmp_path / "search_trials" / "jobs" / "marks"
    wait_until(lambda: len(list(marks.glob("*.ended"))) == 2)
    result = slurm_search.run(tmp_path)
    trained = (tmp_path / "trained").read_text().splitlines()
    told = [f"{it['depth']} {it['width']}" for it in (t.architecture for t in result.trials)]
    assert sorted(trained) == sorted(told)
    assert len(told) == 4
    assert not (tmp_path / "search_trials" / "jobs").exists()


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_an_answer_is_kept_until_a_journal_has_it(
    cluster: FakeSlurm, opens: Open, tmp_path: Path
) -> None:
    first, jobs = opens(), [job(tmp_path, "answers", n) for n in range(2)]
    names = pending(cluster, first, *jobs)
    for name, it in zip(names, jobs, strict=True):
        node(tmp_path).end(name, Answer(Ended(it, 0.5)))
    assert sorted(all_ended(first)) == [0, 1]
    first.release([jobs[0].key])
    assert first.poll(0.0) == []
    assert first.leave() == [jobs[1].key]
    second = opens()
    assert [second.rejoin(*it) for it in zip(jobs, names, strict=True)] == [False, True]
    assert [ended.job.number for ended in second.poll(PATIENCE)] == [1]
    second.release([jobs[1].key])
    second.close()
    assert not (tmp_path / "slurm").exists()
