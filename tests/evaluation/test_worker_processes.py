"""Trainings in worker processes: each misbehaviour costs one trial, with its reason."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from evaluations import arguments
from trainings import Dies, Draws, Misbehaves, NotImportable

from optiproxy_nas import Search, batched
from optiproxy_nas.core.errors import EvaluationError, ParameterError
from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.function_evaluator import as_evaluator
from optiproxy_nas.evaluation.job_evaluator import JobEvaluator, evaluator_by_jobs
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.journaled import Journaled
from optiproxy_nas.evaluation.loop import drive
from optiproxy_nas.evaluation.problem_data import data_of
from optiproxy_nas.evaluation.problem_evaluator import evaluator_for
from optiproxy_nas.evaluation.problem_evaluator import test_answer as answer_test
from optiproxy_nas.evaluation.trainings import FunctionTraining
from optiproxy_nas.execution import base, worker_process
from optiproxy_nas.execution.jobs import Ended, Job, reason_of
from optiproxy_nas.execution.payload import guarded_names, write_payload
from optiproxy_nas.execution.processes import ProcessExecutor
from optiproxy_nas.execution.worker_process import WorkerProcess
from optiproxy_nas.measuring.machine import kind_of_machine
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.spaces import get_space
from waiting import PATIENCE, wait_until

pytestmark = pytest.mark.heavy

# Seconds after which a training is ended: enough to get where it hangs on a busy machine, too.
LIMITS = {
    "hangs": 3.0,
    "reports_without_end": 1.0,
    "ignores_signals": 3.0,
    "holds_the_lock": 3.0,
    "forks_and_hangs": 3.0,
}


class Seen(NamedTuple):
    ended: Ended
    output: str


@contextmanager
def pool(folder: Path, training: Any, workers: int = 1) -> Iterator[ProcessExecutor]:
    settings = EvaluationSettings(executor="processes", workers=workers)
    executor = ProcessExecutor(settings, training, "evaluate", ["cpu", "meta"])
    try:
        yield executor
    finally:
        executor.close()


def finish(executor: ProcessExecutor, *jobs: Job) -> list[Ended]:
    for job in jobs:
        executor.submit(job)
    ended = []
    while results := executor.poll():
        ended += results
    return ended


def job(folder: Path, what: str, number: int = 0, timeout: float | None = None) -> Job:
    return Job(number, 1, what, None, 5, str(folder / f"{number:04d}"), timeout)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """What became of every training of ``Misbehaves``, all by one pool.

    Those that hang begin first, each in a worker of its own: their limits pass at the same time.
    """
    folder = tmp_path_factory.mktemp("trials")
    names = [name for name in vars(Misbehaves) if not name.startswith("_")]
    names.sort(key=lambda name: name not in LIMITS)
    jobs = [job(folder, name, number, LIMITS.get(name)) for number, name in enumerate(names)]
    workers = len(LIMITS) + 1
    with (
        pytest.MonkeyPatch.context() as patch,
        pool(folder, Misbehaves([1, 2]), workers) as executor,
    ):
        patch.setattr(worker_process, "GRACE", 2.0)
        patch.setattr(base, "TICK", 0.05)
        found = {}
        for ended in finish(executor, *jobs):
            output = Path(ended.job.folder) / "output.txt"
            text = output.read_text()[:20_000] if output.exists() else ""
            found[ended.job.architecture] = Seen(ended, text)
    assert sorted(found) == sorted(names)
    return found


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("raises", "ValueError: the first line and a second one"),
        ("needs_memory", "MemoryError: out of memory"),
        ("needs_gpu_memory", "RuntimeError: CUDA out of memory. Tried"),
        ("faults", "SIGSEGV"),
        ("is_killed", "SIGKILL (Killed): most likely the machine ran out of memory"),
        ("leaves", "exit code 0 (os._exit?)"),
        ("exits", "SystemExit: enough"),
        ("closes_descriptors", "worker process"),
        ("hangs", "timed out after 3 s (evaluation.timeout)"),
        ("ignores_signals", "timed out after 3 s"),
        ("reports_without_end", "timed out after 1 s"),
        ("holds_the_lock", "timed out after 3 s"),
        ("forks_and_hangs", "timed out after 3 s"),
        ("forks_and_faults", "SIGABRT"),
        ("reads_input", "EOFError"),
    ],
)
def test_a_training_that_goes_wrong_is_one_failure_of_one_line(
    seen: dict[str, Seen], name: str, error: str
) -> None:
    ended = seen[name].ended
    assert error in ended.error
    assert "\n" not in ended.error
    assert ended.answer is None


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("uses_its_data", 3),
        ("closes_its_output", 1.0),
        ("forks_and_returns", 1.0),
        ("prints_much", 1.0),
        ("deletes_its_folder", 1.0),
        ("has_a_pool", 3),
        ("kills_children", 20),
    ],
)
def test_what_a_training_may_do_leaves_its_answer(
    seen: dict[str, Seen], name: str, answer: float | None
) -> None:
    ended = seen[name].ended
    assert ended.error == ""
    assert (ended.answer["value"] if name == "uses_its_data" else ended.answer) == answer


@pytest.mark.parametrize(
    ("name", "what"),
    [("gives_a_function", "of type function"), ("gives_much", "of type bytes")],
)
def test_an_answer_that_cannot_be_sent_is_a_failure_that_names_its_type(
    seen: dict[str, Seen], name: str, what: str
) -> None:
    assert what in seen[name].ended.error
    assert seen[name].ended.answer is None


def test_the_output_of_a_trial_is_in_its_file(seen: dict[str, Seen]) -> None:
    assert sorted(seen["prints"].output.split("\n")) == sorted(
        ["", "by Python", "as an error", "by C", "by a child"]
    )
    assert "and a second one" in seen["raises"].output
    assert "line" in seen["faults"].output  # the stack of the fault
    assert "in hangs" in seen["hangs"].output  # where it hung
    assert "in holds_the_lock" in seen["holds_the_lock"].output
    assert seen["deletes_its_folder"].output == ""


def test_children_end_with_their_training(seen: dict[str, Seen]) -> None:
    for name in ("hangs", "forks_and_hangs", "forks_and_faults"):
        lines = seen[name].output.splitlines()
        assert (pids := [int(line.split()[1]) for line in lines if line.startswith("pid ")])
        assert not any(is_running(pid) for pid in pids)


def test_reports_arrive_also_where_the_training_was_ended(seen: dict[str, Seen]) -> None:
    assert seen["hangs"].ended.curve == [(1, 0.5), (2, 0.75)]
    assert seen["raises"].ended.curve == [(1, 0.25)]
    assert seen["forks_and_returns"].ended.curve == [(1, 1.0)]


def test_each_training_finds_the_process_as_if_it_were_the_first(tmp_path: Path) -> None:
    names = ["imports", "draws", "changes_its_process", "looks_around", "draws", "imports"]
    with pool(tmp_path, Misbehaves()) as executor:
        jobs = [job(tmp_path, name, number) for number, name in enumerate(names)]
        answers = [ended.answer for ended in finish(executor, *jobs)]
    assert answers[0] == answers[5]  # NumPy was imported by the first
    assert answers[1] == answers[4]
    assert answers[3] == {"changed": False, "root": False, "ignored": False}
    assert (tmp_path / "0000" / "output.txt").read_text() == ""


def test_devices_are_shared_in_turn(tmp_path: Path) -> None:
    with pool(tmp_path, Misbehaves([1, 2]), workers=2) as executor:
        jobs = [job(tmp_path, "uses_its_data", number) for number in range(2)]
        devices = {ended.answer["device"] for ended in finish(executor, *jobs)}
    assert devices == {"cpu", "meta"}


def test_cancelled_trainings_are_over(tmp_path: Path) -> None:
    with pool(tmp_path, Misbehaves(), workers=2) as executor:
        for number, name in enumerate(["hangs", "draws", "hangs", "draws"]):
            executor.submit(job(tmp_path, name, number))
        assert [ended.job.number for ended in executor.poll()] == [1]
        executor.cancel()
        assert executor.poll() == []
        assert [ended.error for ended in finish(executor, job(tmp_path, "draws"))] == [""]


def test_a_worker_that_dies_before_it_begins_costs_nothing(tmp_path: Path) -> None:
    with pool(tmp_path, Misbehaves()) as executor:
        executor.submit(job(tmp_path, "draws"))
        executor._begin()
        worker = executor._places[0]
        assert worker is not None
        worker.process.kill()
        assert [ended.error for ended in finish(executor)] == [""]


@pytest.mark.parametrize(
    ("training", "why"), [(NotImportable(), "data_of_yesterday"), (Dies(), "exit code 7")]
)
def test_a_worker_that_cannot_start_ends_the_search(
    tmp_path: Path, training: Any, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pool(tmp_path, training) as executor, pytest.raises(EvaluationError, match=why):
        finish(executor, job(tmp_path, "draws"))


def test_what_no_worker_could_import_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="executor") as caught:
        write_payload(tmp_path, FunctionTraining(lambda text: 1.0), "evaluate")
    assert "top level of a module" in caught.value.message


def test_what_cannot_be_pickled_is_found(tmp_path: Path) -> None:
    problem: Any = Draws()
    problem.reader = Draws()
    problem.reader.lock = threading.Lock()
    with pytest.raises(ParameterError, match="made where it is used") as caught:
        evaluator_for(problem, {}, tmp_path, EvaluationSettings(executor="processes"))
    assert caught.value.data["place"] == "problem.reader.lock"
    assert "cannot pickle '_thread.lock'" in caught.value.message


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("def train(): ...\nmain()", None),
        ("def train(): ...\nif __name__ == '__main__':\n    main()", set()),
        ("if __name__ == '__main__':\n    class Train: ...\n    def f(): ...", {"Train", "f"}),
    ],
)
def test_what_no_worker_finds_in_a_script(script: str, names: set[str] | None) -> None:
    assert guarded_names(script.encode()) == names


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("if __name__ == '__main__':\n    main()", "answer 1.0"),
        ("main()", "if __name__"),
    ],
)
def test_a_function_of_a_script_needs_a_guard(tmp_path: Path, script: str, outcome: str) -> None:
    text = textwrap.dedent("""
        import sys
        from pathlib import Path
        from optiproxy_nas.execution.processes import ProcessExecutor
        from optiproxy_nas.core.parameters import EvaluationSettings
        from optiproxy_nas.evaluation.trainings import FunctionTraining
        from optiproxy_nas.execution.jobs import Job

        def train(architecture):
            return 1.0

        def main():
            folder = Path(sys.argv[1])
            executor = ProcessExecutor(EvaluationSettings(), FunctionTraining(train), "evaluate")
            executor.submit(Job(0, 1, "", None, 0, str(folder)))
            print("answer", executor.poll()[0].answer)
            executor.close()
    """)
    path = tmp_path / "script.py"
    path.write_text(f"{text}\n{script}\n")
    done = subprocess.run(
        [sys.executable, str(path), str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
    )
    assert outcome in done.stdout + done.stderr


def test_no_worker_outlives_its_parent(tmp_path: Path) -> None:
    text = textwrap.dedent("""
        import sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        from trainings import Misbehaves
        from optiproxy_nas.execution.processes import ProcessExecutor
        from optiproxy_nas.core.parameters import EvaluationSettings
        from optiproxy_nas.execution.jobs import Job

        folder = Path(sys.argv[1])
        executor = ProcessExecutor(EvaluationSettings(workers=2), Misbehaves(), "evaluate")
        for number, name in enumerate(["holds_the_lock", "forks_and_hangs"]):
            executor.submit(Job(number, 1, name, None, 0, str(folder / str(number))))
        executor._begin()
        print(*(worker.process.pid for worker in executor._places), flush=True)
        executor.poll()
    """)
    arguments = [sys.executable, "-c", text, str(tmp_path), str(Path(__file__).parent)]
    parent = subprocess.Popen(arguments, stdout=subprocess.PIPE, encoding="utf-8")
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    output = tmp_path / "1" / "output.txt"
    wait_until(lambda: output.exists() and output.read_text().count("pid ") == 2)
    children = [int(pid) for pid in output.read_text().split() if pid.isdigit()]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not any(is_running(pid) for pid in workers + children))


def test_a_search_is_the_same_wherever_it_trains(tmp_path: Path) -> None:
    here = run(tmp_path / "here", EvaluationSettings())
    assert any(trial.error for trial in here.trials)
    assert not (tmp_path / "here" / "0000" / "output.txt").exists()
    there = run(tmp_path / "there", EvaluationSettings(executor="processes", workers=2))
    pd.testing.assert_frame_equal(here.archive(), there.archive(), check_exact=True)
    assert [trial.error for trial in here.trials] == [trial.error for trial in there.trials]
    assert sum(1 for _ in (tmp_path / "there").glob("*/output.txt")) == len(here.trials)


def run(folder: Path, settings: EvaluationSettings) -> Search:
    problem = Draws()
    opened = Search(**arguments("optiproxy"), direction="minimize")
    with evaluator_for(problem, data_of(problem), folder, settings) as evaluator:
        drive(opened, evaluator)
    return opened


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_another_kind_of_machine_than_asked_for_is_refused(tmp_path: Path, executor: str) -> None:
    named = EvaluationSettings(executor=executor, machine=kind_of_machine()[:8].lower())
    evaluator_for(Draws(), {"offset": 1}, tmp_path, named).close()
    other = named.model_copy(update={"machine": "PDP-11"})
    with pytest.raises(ParameterError, match="PDP-11"):
        evaluator_for(Draws(), {"offset": 1}, tmp_path, other)


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_trainings_of_one_trial_have_their_folders(tmp_path: Path, executor: str) -> None:
    problem, settings = Draws(), EvaluationSettings(executor=executor)
    trained = Request(3, 1, "a cell", seed=2)
    asked = [trained, trained._replace(seed=3, repeat=1, folder="0003_1")]
    with evaluator_for(problem, {"offset": 1}, tmp_path, settings) as evaluator:
        found = list(evaluator.outcomes(resolve_objective("accuracy"), asked))
    assert len({outcome.metrics["value"] for outcome in found if outcome}) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0003", "0003_1"]


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_the_answer_is_tested_where_it_was_trained(tmp_path: Path, executor: str) -> None:
    settings = EvaluationSettings(executor=executor, device="meta")
    request = Request(3, 1, "a cell", seed=4)
    (tmp_path / "0003").mkdir()
    assert answer_test(Draws(), {"offset": 1}, tmp_path, settings, request) == ({"test": 3.0}, "")


def test_a_test_of_the_answer_may_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    request = Request(3, 1, "a cell", seed=4)
    (tmp_path / "0003").mkdir()
    failed = answer_test(Draws(), {"offset": None}, tmp_path, EvaluationSettings(), request)
    assert failed.metrics == {}
    assert failed.error.startswith("TypeError")
    assert "TypeError" in caplog.text


def test_an_interrupt_keeps_what_has_ended(tmp_path: Path) -> None:
    """The second of three trials hangs, and the third ends before it."""
    settings = EvaluationSettings(executor="processes", workers=2)
    evaluator = JobEvaluator(Misbehaves([1, 2]), "Misbehaves", settings, tmp_path)
    with evaluator, pytest.MonkeyPatch.context() as patch:
        poll = evaluator._executor.poll
        taken: list[Any] = []

        def interrupted(seconds: float | None = None) -> list[Ended]:
            if len(taken) == 2:
                raise KeyboardInterrupt
            taken.append(poll())
            last: list[Ended] = taken[-1]
            return last

        patch.setattr(evaluator._executor, "poll", interrupted)
        outcomes = evaluator.outcomes(
            resolve_objective("accuracy"), requests("draws", "hangs", "draws")
        )
        found = [next(outcomes) for _ in range(3)]
        with pytest.raises(KeyboardInterrupt):
            next(outcomes)
        assert evaluator._executor.poll != poll
        assert poll() == []
    assert found[1] is None
    assert found[0] is not None
    assert found[2] is not None
    assert 0 < found[0].metrics["value"] < 1


def test_an_answer_that_cannot_be_used_ends_the_search_after_the_others(tmp_path: Path) -> None:
    settings = EvaluationSettings(executor="processes", workers=2)
    ended: list[Any] = []
    with JobEvaluator(Misbehaves(), "Misbehaves", settings, tmp_path) as evaluator:
        executor: Any = evaluator._executor
        results = executor.poll
        executor.poll = lambda seconds: results() + results()  # both at once
        asked = requests("looks_around", "draws")
        with pytest.raises(EvaluationError) as caught:
            ended += evaluator.ended(resolve_objective("accuracy"), asked)
        assert caught.value.data["needed"] == ["value"]
    assert [place for place, _ in ended] == [1]


def test_what_ended_with_the_last_outcome_of_a_search_is_in_its_journal(tmp_path: Path) -> None:
    settings, header = EvaluationSettings(executor="processes", workers=2), {"target": "value"}
    with (
        JobEvaluator(Misbehaves(), "Misbehaves", settings, tmp_path) as evaluator,
        Journal.open(tmp_path / "j.jsonl", header) as journal,
    ):
        executor: Any = evaluator._executor
        executor.submit = executor._waiting.append
        executor.poll = lambda seconds: [  # both at once
            Ended(executor._waiting.popleft(), 0.5) for _ in range(2)
        ]
        asked = requests("draws", "draws again")
        outcomes: Any = Journaled(evaluator, journal).outcomes(resolve_objective("accuracy"), asked)
        next(outcomes)
        outcomes.close()
        assert [journal.find(request) is not None for request in asked] == [True, True]
        assert evaluator.take_rest() == []


def test_a_function_that_no_worker_could_call_is_refused(tmp_path: Path) -> None:
    settings = EvaluationSettings(executor="processes")
    for evaluate in (lambda text: 1.0, batched(len)):
        with pytest.raises(ParameterError, match="executor"):
            evaluator_by_jobs(evaluate, get_space("nb201"), settings, tmp_path)


def test_a_forked_process_that_comes_back_does_not_search(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def forks(architecture: str) -> float:
        child = os.fork()
        if child and os.waitpid(child, 0)[1] == 0:
            return 1.0
        if architecture.endswith("1"):
            sys.exit(0)
        return 2.0

    found = list(as_evaluator(forks).outcomes(resolve_objective("accuracy"), requests("a1", "a2")))
    assert [outcome.metrics["value"] for outcome in found if outcome] == [1.0, 2.0]
    assert capfd.readouterr().err.count("came back") == 1


def requests(*architectures: str) -> list[Request]:
    return [Request(number, 1, name) for number, name in enumerate(architectures)]


def test_a_reason_is_one_line() -> None:
    assert reason_of(KeyError("width")) == "KeyError: 'width'"
    assert reason_of(AssertionError()) == "AssertionError"
    assert reason_of(RuntimeError("\n  a\nb")) == "RuntimeError: a b"


def is_running(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_that_cannot_begin_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("no room for a process")

    monkeypatch.setattr(subprocess, "Popen", fails)
    before = os.listdir("/dev/fd")
    with pytest.raises(OSError, match="no room"):
        WorkerProcess("", {}, "cpu")
    assert len(os.listdir("/dev/fd")) == len(before)


def test_a_paused_process_is_read_when_it_goes_on(tmp_path: Path) -> None:
    """It may have been stopped in the middle of a message, which would never end."""
    worker = WorkerProcess(str(tmp_path), {}, "cpu")  # without a payload it cannot train
    try:
        worker.give(Job(0, 1, None, None, 0, ""))
        worker.pause()
        worker.channel.close()
        worker.channel, other = Pipe()
        os.write(other.fileno(), (1000).to_bytes(4, "big") + b"half")
        assert worker.look() is None
    finally:
        worker.kill()
        other.close()
