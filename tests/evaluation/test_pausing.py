"""While one worker process measures, the others are paused, and go on whatever becomes of it."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from measuring_trainings import PAUSE, Measures

from optiproxy_nas.core.parameters import EvaluationSettings
from optiproxy_nas.execution import worker_process
from optiproxy_nas.execution.jobs import Ended, Job
from optiproxy_nas.execution.processes import ProcessExecutor
from waiting import PATIENCE, wait_until

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(sys.platform != "linux", reason="children are found on Linux"),
]


@pytest.fixture(autouse=True)
def little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that is ended has nothing to tidy up, and its child does not end by itself."""
    monkeypatch.setattr(worker_process, "GRACE", 0.3)


@contextmanager
def running(folder: Path, *names: str, timeout: float | None = None) -> Iterator[ProcessExecutor]:
    executor = ProcessExecutor(EvaluationSettings(workers=2), Measures(), "evaluate")
    for number, name in enumerate(names):
        path = str(folder / f"{number:04d}")
        executor.submit(Job(number, 1, name, None, 5, path, timeout))
    try:
        yield executor
    finally:
        executor.close()


def finish(executor: ProcessExecutor) -> dict[int, Ended]:
    ended: dict[int, Ended] = {}
    while results := executor.poll():
        ended |= {result.job.number: result for result in results}
    return ended


def test_others_and_their_children_are_paused_and_not_charged_for_it(tmp_path: Path) -> None:
    with running(tmp_path, "counts", "measures", timeout=PATIENCE) as executor:
        ended = finish(executor)
    assert [ended[number].error for number in (0, 1)] == ["", ""]
    assert ended[1].answer["value"] <= 2  # what was on its way to the file
    took: float = ended[0].answer  # it went on to its end
    assert took > PAUSE
    assert ended[0].seconds < took - 0.2  # it was not charged for the pause


def test_a_pause_does_not_count_for_the_timeout(tmp_path: Path) -> None:
    with running(tmp_path, "counts", "measures", timeout=PATIENCE) as executor:
        executor._begin()
        worker = executor._places[0]
        assert worker is not None
        while worker.begun is None:
            worker.look()
        before = worker.limit
        worker.pause()
        assert worker.limit == float("inf")
        time.sleep(0.1)
        worker.go_on()
        assert worker.limit >= before + 0.1


def test_the_limit_of_a_measurement_begins_when_the_others_have_measured(tmp_path: Path) -> None:
    with running(tmp_path, "counts", timeout=PATIENCE) as executor:
        executor._begin()
        worker = executor._places[0]
        assert worker is not None
        limits = []
        for message in (("begun",), ("measuring", 50.0), ("pause",)):
            worker._take(pickle.dumps(message))
            limits.append(worker.limit - time.monotonic())
    assert limits == pytest.approx([PATIENCE, worker_process.WAITING, 650], abs=60)


@pytest.mark.parametrize("ending", ["dies_while_it_measures", "measures_for_ever"])
def test_others_go_on_when_the_one_that_measures_is_lost(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ending == "measures_for_ever":
        monkeypatch.setattr(worker_process, "MEASURING", 0.3)
    with running(tmp_path, "counts", ending) as executor:
        (lost,) = executor.poll()
        (tmp_path / "measured").touch()  # the other one ends when it sees it
        ended = {lost.job.number: lost, **finish(executor)}
    assert ended[0].error == ""
    assert ("SIGKILL" if ending.startswith("dies") else "not measured after") in ended[1].error


def test_what_is_paused_ends_with_the_search_and_with_its_parent(tmp_path: Path) -> None:
    text = textwrap.dedent("""
        import sys
        from pathlib import Path
        sys.path[:0] = sys.argv[2:]
        from test_pausing import running

        with running(Path(sys.argv[1]), "counts", "measures_for_ever") as executor:
            executor._begin()
            print(*(worker.process.pid for worker in executor._places), flush=True)
            executor.poll()
    """)
    for number, name in ((signal.SIGINT, "interrupted"), (signal.SIGKILL, "killed")):
        folder = tmp_path / name
        folder.mkdir()
        arguments = [sys.executable, "-c", text, str(folder), *sys.path]
        parent = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
        )
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        wait_until(lambda workers=workers: _state(workers[0]) == "T")  # type: ignore[misc]
        parent.send_signal(number)
        parent.wait(PATIENCE)
        wait_until(lambda workers=workers: not any(_state(pid) for pid in workers))  # type: ignore[misc]


def _state(pid: int) -> str:
    """Return the letter by which the system calls the state of a process; "" where it is over."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
    return state.replace("Z", "")
