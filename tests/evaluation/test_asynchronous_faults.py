"""Signals, a full disk and a slow method while trials run: nothing that was paid for is lost."""

from __future__ import annotations

import errno
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluations import arguments, worth
from scripted_workers import ScriptedWorkers

from optiproxy_nas import (
    EvaluationError,
    FailedTrialsError,
    JournalError,
    Search,
    SearchInterrupted,
    read_journal,
    search,
)
from optiproxy_nas.evaluation import asynchronous
from optiproxy_nas.evaluation.asynchronous import drive_asynchronously
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.journal_file import read_records
from optiproxy_nas.execution.serial import SerialExecutor
from waiting import PATIENCE

HEADER = {"target": "value"}
QUICK: dict[str, Any] = arguments("random_search", budget=8)


def at_poll(*actions: Any) -> Any:
    """A function that does each of these at one call, in turn, and nothing later."""
    left = list(actions)

    def act() -> None:
        if left:
            left.pop(0)()

    return act


def raising(*signals: signal.Signals) -> Any:
    def act() -> list[Any]:
        for number in signals:
            signal.raise_signal(number)
        return []

    return act


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_once_what_runs_is_finished_and_nothing_is_begun(
    tmp_path: Path, number: Any
) -> None:
    opened = Search(**QUICK)
    workers = ScriptedWorkers(worth, 3, on_poll=at_poll(raising(number)))
    handler = signal.getsignal(number)
    with (
        Journal.open(tmp_path / "j.jsonl", HEADER) as journal,
        pytest.raises(KeyboardInterrupt),
    ):
        drive_asynchronously(opened, workers, journal=journal)
    assert len(opened.archive()) == len(workers.submitted) == len(journal) == 3
    assert not workers.cancelled
    assert signal.getsignal(number) is handler


def test_told_twice_what_runs_is_cancelled() -> None:
    opened = Search(**QUICK)
    workers = ScriptedWorkers(worth, 3)
    workers.poll = lambda *_: raising(signal.SIGINT, signal.SIGINT)()  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        drive_asynchronously(opened, workers)
    assert workers.cancelled == 3
    assert len(opened.pending) == 8


def test_after_the_grace_what_runs_is_cancelled() -> None:
    workers = ScriptedWorkers(worth, 3)
    workers.poll = lambda *_: raising(signal.SIGTERM)()  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        drive_asynchronously(Search(**QUICK), workers, grace=0.05)
    assert workers.cancelled == 3


def test_an_interrupted_search_has_its_result_and_goes_on(tmp_path: Path) -> None:
    calls: list[str] = []

    def evaluate(architecture: str) -> Any:
        calls.append(architecture)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return worth(architecture)

    path = tmp_path / "j.jsonl"
    with pytest.raises(SearchInterrupted) as caught:
        search(evaluate=evaluate, workers=1, journal=path, **QUICK)
    assert len(caught.value.result.archive) == 3
    found = search(evaluate=evaluate, workers=1, journal=path, **QUICK)
    assert len(found.archive) == len(calls) == 8


def test_ctrl_c_while_worker_processes_end_has_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(executor: SerialExecutor) -> None:
        monkeypatch.undo()  # once
        raise KeyboardInterrupt

    monkeypatch.setattr(SerialExecutor, "close", interrupted)
    executor = f"{SerialExecutor.__module__}:{SerialExecutor.__name__}"
    with pytest.raises(SearchInterrupted) as caught:
        search(evaluate=worth, evaluation={"executor": executor}, **QUICK)
    assert len(caught.value.result.archive) == 8


def test_a_method_that_is_not_waited_for_leaves_torch_as_it_was(impatient: None) -> None:
    """Another search of this process may begin at once."""

    def busy(unavailable: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            time.sleep(0.02)

    opened, before = Search(**QUICK), torch.get_default_dtype()
    opened.method.ask = busy  # type: ignore[assignment, method-assign]
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.raises(KeyboardInterrupt):
            drive_asynchronously(opened, ScriptedWorkers(worth, 2))
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(before)


class SlowMethod:
    """Answers its second question when it is let."""

    def __init__(self, opened: Search) -> None:
        self.asked, self.may_answer = threading.Event(), threading.Event()
        self._ask, self._count = opened.method.ask, 0
        opened.method.ask = self._slow  # type: ignore[method-assign]

    def _slow(self, unavailable: Any) -> Any:
        self._count += 1
        if self._count == 2:
            self.asked.set()
            assert self.may_answer.wait(PATIENCE)
        return self._ask(unavailable)


def test_what_ends_while_the_method_is_asked_is_on_disk_at_once_and_told_after_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "j.jsonl"
    opened = Search(**arguments("random_search", budget=12))
    first = len(Search(**arguments("random_search", budget=12)).ask())
    method, workers = SlowMethod(opened), ScriptedWorkers(worth, first + 1)
    seen: dict[str, int] = {}

    def look() -> None:
        if method.asked.is_set() and not method.may_answer.is_set() and not workers.running:
            seen.update(written=len(read_journal(path)), told=len(opened.archive()))
            method.may_answer.set()

    workers.on_poll = None
    run = workers.poll

    def poll(objective: Any, seconds: float | None = None) -> Any:
        if not method.may_answer.is_set():
            assert method.asked.wait(PATIENCE)
        ended = run(objective, seconds)
        return ended

    workers.poll = poll  # type: ignore[method-assign]
    wait = asynchronous.Asking.wait  # type: ignore[attr-defined]

    def watching(self: Any, seconds: float | None = None) -> bool:
        look()
        return wait(self, seconds)

    with pytest.MonkeyPatch.context() as patch, Journal.open(path, HEADER) as journal:
        patch.setattr(asynchronous.Asking, "wait", watching)  # type: ignore[attr-defined]
        drive_asynchronously(opened, workers, journal=journal)
    assert seen == {"written": first, "told": 0}
    lines = read_records(path)[1]
    kinds = ["ask" if "ask" in it else "begun" if "begun" in it else "ended" for it in lines[1:]]
    assert kinds[: first + 2] == ["ask", *["begun"] * first, "ask"]
    assert len(opened.archive()) == 12
    with Journal.open(path, HEADER) as journal:
        again = Search(**arguments("random_search", budget=12))
        drive_asynchronously(again, ScriptedWorkers(worth), journal=journal)
    assert again.events == opened.events


class FullDisk:
    """A file that takes nothing for a while."""

    def __init__(self, journal: Journal) -> None:
        self.is_full = False
        self._file, journal._file = journal._file, self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, line: Any) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(line)  # type: ignore[union-attr]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asynchronous, "PATIENCE", 0.05)
    monkeypatch.setattr(asynchronous, "TICK", 0.01)


def test_on_a_disk_that_is_full_for_a_while_nothing_is_lost(
    tmp_path: Path, impatient: None
) -> None:
    path = tmp_path / "j.jsonl"
    opened, workers = Search(**QUICK), ScriptedWorkers(worth, 2)
    with Journal.open(path, HEADER) as journal:
        disk, begun = FullDisk(journal), []

        def fill() -> None:
            disk.is_full = True

        def empty() -> None:
            begun.append(len(workers.submitted))
            disk.is_full = False

        workers.on_poll = at_poll(lambda: None, fill)
        waiting = asynchronous.time.sleep  # type: ignore[attr-defined]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asynchronous, "PATIENCE", PATIENCE)

            def sleep(seconds: float) -> None:
                empty()
                waiting(seconds)

            patch.setattr(asynchronous.time, "sleep", sleep)  # type: ignore[attr-defined]
            drive_asynchronously(opened, workers, journal=journal)
    assert begun[0] == 4  # of the two that ran when it was full, and those before
    assert len(read_journal(path)) == len(opened.archive()) == 8
    with Journal.open(path, HEADER) as journal:
        again = Search(**QUICK)
        drive_asynchronously(again, ScriptedWorkers(worth), journal=journal)
    assert again.events == opened.events


def test_on_a_disk_that_stays_full_what_ran_is_in_the_error(
    tmp_path: Path, impatient: None
) -> None:
    opened, workers = Search(**QUICK), ScriptedWorkers(worth, 2)
    with Journal.open(tmp_path / "j.jsonl", HEADER) as journal:
        disk = FullDisk(journal)
        workers.on_poll = at_poll(lambda: None, lambda: setattr(disk, "is_full", True))
        with pytest.raises(JournalError) as caught:
            drive_asynchronously(opened, workers, journal=journal)
        assert len(journal) == 2
    assert len(caught.value.data["archive"]) == 4


def test_pending_trials_of_many_batches_are_one_table() -> None:
    """So that a thousand of them do not slow the next question."""
    opened = Search(**arguments("random_search", budget=400))
    while len(opened.pending) < 300:
        opened.propose()
    made = opened._book.unavailable()
    assert (len(made.rows), made.pending) == (300, 300)
    assert len(opened._book._proposed._tables) == 1
    assert len(opened._book._proposed._tables[0]) == 1


def test_a_part_of_a_line_that_stayed_is_removed_before_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal.open(path, HEADER) as journal:
        disk = FullDisk(journal)

        def half(line: Any) -> int:
            assert disk._file is not None
            disk._file.write(line[:10])
            raise OSError(errno.EIO, "a network disk that is away")

        def stays(length: int) -> None:
            raise OSError(errno.EIO, "still away")

        disk.write, disk.truncate = half, stays  # type: ignore[attr-defined, method-assign]
        with pytest.raises(JournalError):
            journal.record_ask(0, 1)
        del disk.write, disk.truncate
        journal.record_ask(0, 1)
    assert [line["ask"] for line in read_records(path)[1]] == [0]


def test_too_many_failures_cancel_nothing_that_runs() -> None:
    opened = Search(**{**QUICK, "failures": {"in_a_row": 1}})
    workers = ScriptedWorkers(lambda it: [][0] if it == first(opened) else worth(it), 4)
    workers._script = random.Random(0)
    with pytest.raises(FailedTrialsError) as caught:
        drive_asynchronously(opened, workers)
    assert not workers.cancelled
    assert len(caught.value.data["archive"]) == len(workers.submitted) - 1


def first(opened: Search) -> str:
    return opened.trials[0].text


def test_where_nothing_more_can_be_begun_what_runs_is_finished_first() -> None:
    opened, workers = Search(**QUICK), ScriptedWorkers(worth, 3)
    submit = workers.submit

    def refuse(request: Any) -> str:
        if len(workers.submitted) == 2:
            raise EvaluationError("the disk of the jobs is full")
        return submit(request)

    workers.submit = refuse  # type: ignore[method-assign]
    with pytest.raises(EvaluationError) as caught:
        drive_asynchronously(opened, workers)
    assert len(caught.value.data["archive"]) == 2
    assert not workers.cancelled
