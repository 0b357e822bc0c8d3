"""What was paid for outlives an error, and a journal that is gone on with repeats what it says."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest
from evaluations import arguments, failing, share, worth
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_workers import ScriptedWorkers

from optiproxy_nas import (
    EvaluationError,
    FailedTrialsError,
    JournalError,
    MethodError,
    Search,
    SearchInterrupted,
    SearchResult,
    read_journal,
    search,
)
from optiproxy_nas.evaluation.asynchronous import drive_asynchronously
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.journal_file import read_records
from optiproxy_nas.evaluation.journal_header import header_of
from optiproxy_nas.evaluation.journal_writer import JournalWriter
from waiting import PATIENCE

HEADER = {"target": "value"}
QUICK: dict[str, Any] = arguments("random_search", budget=8)
JOBS = [f"job {number}" for number in range(8)]


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


class BrokenWorkers(ScriptedWorkers):
    """After so many polls the cluster is lost; what has ended by then is given once more."""

    polls, ended_meanwhile = 1, 1

    def poll(self, objective: Any, seconds: float | None = None) -> Any:
        self.polls -= 1
        if self.polls == 0 or (self.polls < 0 and not self.ended_meanwhile):
            raise EvaluationError("The scheduler has gone.")
        if self.polls > 0:
            ended, self.running = self.running[:1], self.running[1:]
        else:
            count, self.ended_meanwhile = self.ended_meanwhile, 0
            ended, self.running = self.running[:count], self.running[count:]
        return [(request, self._outcome(objective, request)) for request in ended]


@pytest.mark.parametrize("kept", [[], JOBS[:3], JOBS])
@pytest.mark.parametrize("polls", [1, 3])
def test_when_the_cluster_is_lost_what_can_be_rejoined_runs_on(
    tmp_path: Path, kept: Any, polls: int
) -> None:
    path, opened = tmp_path / "j.jsonl", Search(**QUICK)
    workers = BrokenWorkers(worth, 4, kept=kept)
    workers.polls = polls
    with Journal.open(path, HEADER) as journal, pytest.raises(EvaluationError) as caught:
        drive_asynchronously(opened, workers, journal=journal)
    told = len(opened.archive())
    assert told == len(read_journal(path)) == polls  # with the one that had ended meanwhile
    left = caught.value.data["running"]
    assert left == [
        number for number in range(polls, len(workers.submitted)) if JOBS[number] in kept
    ]
    assert workers.cancelled == len(workers.submitted) - told - len(left)
    assert "journal" in caught.value.message
    assert len(caught.value.data["archive"]) == told
    with Journal.open(path, HEADER) as journal:
        again, later = Search(**QUICK), ScriptedWorkers(worth, 4, kept=kept)
        drive_asynchronously(again, later, journal=journal)
    assert [request.number for request in later.rejoined] == left
    assert len(later.submitted) == 8 - told - len(left)
    assert len(read_journal(path)) == len(again.archive()) == 8


@pytest.mark.parametrize("where", ["callback", "rejoin"])
def test_so_it_is_where_something_else_raises(tmp_path: Path, where: str) -> None:
    path, opened = tmp_path / "j.jsonl", Search(**QUICK)
    workers = ScriptedWorkers(worth, 3, random.Random(1), kept=JOBS)
    callbacks: list[Any] = []
    if where == "callback":
        callbacks = [lambda search, trial: {}[trial.number]]
    else:
        workers.rejoin = lambda request, handle: cast(Any, {})[handle]  # type: ignore[method-assign]
        with Journal.open(path, HEADER) as journal:
            journal.begin_order(0, 0)
            journal.record_ask(0, 3)
            once = Search(**QUICK)
            once.propose()
            journal.record_begun(once.upcoming(1)[0], "job 0")
    with Journal.open(path, HEADER) as journal, pytest.raises(KeyError):
        drive_asynchronously(opened, workers, callbacks, journal=journal)
    assert not workers.cancelled


def test_an_answer_that_cannot_be_used_costs_no_other_training(tmp_path: Path) -> None:
    opened, workers = Search(**QUICK), ScriptedWorkers(worth, 4, kept=JOBS)
    answer = workers._outcome

    def unusable(objective: Any, request: Request) -> Any:
        return answer(objective, request)

    run, polls = workers.poll, itertools.count()

    def poll(objective: Any, seconds: float | None = None) -> Any:
        if next(polls):
            return run(objective, seconds)
        request = workers.running.pop(0)
        raise EvaluationError("it gave a word", request=request)

    workers.poll = poll  # type: ignore[method-assign]
    with pytest.raises(EvaluationError, match="a word"):
        drive_asynchronously(opened, workers)
    assert len(opened.archive()) == 3
    assert not workers.cancelled


not_traced = pytest.mark.skipif(
    sys.gettrace() is not None, reason="a tracer (coverage) loses the exception that ends a thread"
)


class Fitting:
    """A method that answers a question when it is let, and then notes it."""

    def __init__(self, opened: Search, question: int) -> None:
        self.asked, self.may_answer, self.over = (threading.Event() for _ in range(3))
        self._ask, self._count, self._question = opened.method.ask, 0, question
        opened.method.ask = self._slow  # type: ignore[method-assign]

    def _slow(self, unavailable: Any) -> Any:
        self._count += 1
        try:
            if self._count == self._question:
                self.asked.set()
                assert self.may_answer.wait(PATIENCE)
            return self._ask(unavailable)
        finally:
            if self._count == self._question:
                self.over.set()


def interrupted(path: Path, signals: list[Any], ends: bool, grace: float = 30.0) -> tuple[Any, Any]:
    """A search that is told to end while its method fits, and what it had then."""
    opened = Search(**arguments("random_search", budget=12))
    method = Fitting(opened, 2)
    workers = ScriptedWorkers(worth, 12)
    run = workers.poll

    def poll(objective: Any, seconds: float | None = None) -> Any:
        if method.asked.wait(PATIENCE):
            while signals:
                signal.raise_signal(signals.pop(0))
        return run(objective, seconds) if ends else []

    workers.poll = poll  # type: ignore[method-assign]
    with Journal.open(path, HEADER) as journal, pytest.raises(KeyboardInterrupt):
        drive_asynchronously(opened, workers, journal=journal, grace=grace)
    assert not method.over.is_set()  # it does not wait for the method
    assert bool(workers.cancelled) is not ends
    archive, trials, events = opened.archive(), opened.trials, opened.events
    result = opened.result()
    method.may_answer.set()
    assert method.over.wait(PATIENCE)
    for thread in threading.enumerate():
        if thread.name == "ask":
            thread.join(PATIENCE)
    assert opened.archive().equals(archive)
    assert (opened.trials, opened.events) == (trials, events)  # the late answer is dropped
    assert result.archive.equals(archive)
    with pytest.raises(MethodError):
        opened.ask()
    return opened, archive


@not_traced
@pytest.mark.parametrize(
    ("signals", "ends"),
    [([signal.SIGINT] * 2, False), ([signal.SIGTERM], False), ([signal.SIGINT], True)],
)
def test_told_to_end_it_does_not_wait_for_a_method_that_fits(
    tmp_path: Path, signals: Any, ends: bool
) -> None:
    """And the journal gives the same, with the line of the question that was given up or not."""
    path, cut = tmp_path / "j.jsonl", tmp_path / "cut.jsonl"
    opened, archive = interrupted(path, list(signals), ends, grace=0.05)
    assert len(archive) == (len(opened.trials) if ends else 0)
    lines = path.read_bytes().splitlines(keepends=True)
    asked = [number for number, line in enumerate(lines) if b'"ask"' in line]
    assert len(asked) == 2  # the second one was given up
    cut.write_bytes(b"".join(lines[: asked[1]]))
    found = {}
    for one in (path, cut):
        with Journal.open(one, HEADER) as journal:
            again = Search(**arguments("random_search", budget=12))
            drive_asynchronously(again, ScriptedWorkers(worth, 3), journal=journal)
        with Journal.open(one, HEADER) as journal:
            replayed, none = Search(**arguments("random_search", budget=12)), ScriptedWorkers(worth)
            drive_asynchronously(replayed, none, journal=journal)
        assert not none.submitted
        assert again.events == replayed.events
        assert again.archive().equals(replayed.archive())
        found[one] = again
    if ends:
        assert found[path].archive().head(len(archive)).equals(archive)
    trials = [[trial.text for trial in again.trials] for again in found.values()]
    assert trials[0] == trials[1]


@not_traced
def test_a_method_that_is_not_waited_for_is_ended(tmp_path: Path) -> None:
    """Else the process could not end, or would crash, while it computes."""
    opened, workers = Search(**arguments("local_search")), ScriptedWorkers(worth, 3)
    ask = opened.method.ask

    def compute(unavailable: Any) -> Any:
        if not unavailable.pending:
            return ask(unavailable)
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            time.sleep(0.001)

    opened.method.ask = compute  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        drive_asynchronously(opened, workers)
    for thread in threading.enumerate():
        if thread.name == "ask":
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_the_result_of_an_interrupted_search_goes_on(tmp_path: Path) -> None:
    """As the message says: with the same journal, and without one with ``initial``."""
    for journal in (tmp_path / "j.jsonl", None):
        calls: list[str] = []

        def evaluate(architecture: str, calls: list[str] = calls) -> Any:
            calls.append(architecture)
            if len(calls) == 3:
                signal.raise_signal(signal.SIGTERM)
            return worth(architecture)

        with pytest.raises(SearchInterrupted) as caught:
            search(evaluate=evaluate, workers=1, executor="serial", journal=journal, **QUICK)
        more = {"initial": caught.value.result} if journal is None else {"journal": journal}
        found = search(evaluate=evaluate, workers=1, executor="serial", **more, **QUICK)
        assert len(found.archive) == 8


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_patience_with_a_full_disk_begins_anew_after_each_success(tmp_path: Path) -> None:
    clock, is_full = Clock(), [False]
    with Journal.open(tmp_path / "j.jsonl", HEADER) as journal:
        writer, write = JournalWriter(journal, clock), journal.record_ask

        def record(number: int, wanted: int) -> None:
            if is_full[0]:
                raise JournalError("No space left on device")
            write(number, wanted)

        journal.record_ask = record  # type: ignore[method-assign]
        failing_for = []
        for clock.now, is_full[0] in [(0, True), (5, True), (6, False), (100, True), (103, True)]:
            writer.ask(0, 0)
            failing_for.append(writer.failing_seconds(0.0))
        assert failing_for == [0, 5, 0, 0, 3]
        assert writer.failing_seconds(102.0) == 1  # a trial ended later than the first failure


def with_retries(method: str, retries: int, **others: Any) -> Search:
    asked = arguments(method, budget=12, **others)
    return Search(**asked, failures={"in_a_row": None, "share": None, "retries": retries})


def fails_first(attempts: dict[str, int]) -> Any:
    """Of each architecture some attempts fail, a third of them all."""

    def evaluate(architecture: str) -> Any:
        attempts[architecture] = attempts.get(architecture, 0) + 1
        if attempts[architecture] <= int(4 * share(f"{architecture} attempts")):
            raise RuntimeError("it was the machine")
        return worth(architecture)

    return evaluate


@pytest.mark.heavy
@settings(max_examples=4)
@given(
    retries=st.lists(st.integers(0, 3), min_size=3, max_size=3),
    pending=st.sampled_from(["exclude", "thompson", "believer"]),
    script=st.randoms(use_true_random=False),
)
def test_a_replay_does_not_depend_on_how_often_is_tried_again_now(
    retries: Any, pending: Any, script: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each of three processes allows another number of retries; the first two are killed."""
    path = tmp_path_factory.mktemp("retries") / "j.jsonl"
    selection = {"selection": {"batch": 2, "samples": 24, "pending": pending}}
    attempts: dict[str, int] = {}
    for allowed, polls in zip(retries, [4, 4, 99], strict=True):
        left = itertools.count()

        def kill(polls: int = polls, left: Any = left) -> None:
            if next(left) == polls:
                raise SystemExit("killed")

        workers = ScriptedWorkers(fails_first(attempts), 3, script, on_poll=kill)
        opened = with_retries("optiproxy", allowed, **selection)
        try:
            with Journal.open(path, HEADER) as journal:
                drive_asynchronously(opened, workers, journal=journal, in_thread=False)
        except SystemExit:
            continue
    before = path.read_bytes()
    again, none = with_retries("optiproxy", retries[-1], **selection), ScriptedWorkers(failing)
    with Journal.open(path, HEADER) as journal:
        drive_asynchronously(again, none, journal=journal)
    assert not none.submitted
    assert path.read_bytes() == before
    assert again.archive().equals(opened.archive())
    assert again.events == opened.events
    other = with_retries("optiproxy", 4, **selection)  # all that failed is tried again
    with Journal.open(path, HEADER) as journal:
        drive_asynchronously(other, ScriptedWorkers(worth), journal=journal)
    told = again.archive()["architecture"].tolist()
    assert other.archive()["architecture"].tolist()[: len(told)] == told
    assert len(other.archive()) == 12


@pytest.mark.parametrize("is_told", [False, True])
@pytest.mark.parametrize("retries", [0, 1])
def test_what_ended_a_search_by_failures_is_tried_again_as_the_error_says(
    tmp_path: Path, is_told: bool, retries: int
) -> None:
    """With the journal in use; without one its trials are gone on from."""
    limits = {"in_a_row": 3, "retries": retries}
    machine = {"is_broken": True}

    def evaluate(architecture: str) -> Any:
        if machine["is_broken"]:
            raise RuntimeError("no GPU")
        return worth(architecture)

    def run(failures: dict[str, Any], **others: Any) -> SearchResult:
        if not is_told:
            return search(evaluate=evaluate, failures=failures, **others, **QUICK)
        with Search(failures=failures, **others, **QUICK) as opened:
            while trials := opened.ask(2):
                for trial in trials:
                    try:
                        opened.tell(trial, evaluate(trial.text))
                    except RuntimeError as error:
                        opened.tell(trial, failed=str(error))
            return opened.result()

    for more in ({"journal": tmp_path / "j.jsonl"}, {}):
        machine["is_broken"] = True
        with pytest.raises(FailedTrialsError) as caught:
            run(limits, **more)
        machine["is_broken"] = False
        if more:
            allowed = {"retries": retries + 1}
            assert f"journal and failures={allowed}" in caught.value.message
            found = run({**limits, **allowed}, **more)
        else:
            assert "initial=error.data['trials']" in caught.value.message
            assert "journal" not in caught.value.message
            found = run(limits, initial=caught.value.data["trials"])
        assert len(found.archive) == 8


@pytest.mark.parametrize("what", ["architecture", "attempt"])
@pytest.mark.parametrize("line", ["begun", "error"])
def test_a_journal_of_a_search_that_proposed_otherwise_is_refused(
    tmp_path: Path, what: str, line: str
) -> None:
    path, other = tmp_path / "j.jsonl", tmp_path / "other.jsonl"
    first = Search(**QUICK)
    with Journal.open(path, header_of(first.record_parameters)) as journal:
        drive_asynchronously(first, ScriptedWorkers(worth, 2), journal=journal)
    header, lines = read_records(path)
    changed = {
        "architecture": Search(**{**QUICK, "seed": 5}).ask(1)[0].text,
        "attempt": 2,
    }[what]
    with Journal.open(other, header) as journal:
        next(it for it in lines if line in it)[what] = changed
        for it in lines:
            journal._append({key: value for key, value in it.items() if key != "digest"})
    opened, workers = Search(**QUICK), ScriptedWorkers(worth, 2)
    with Journal.open(other, header) as journal, pytest.raises(JournalError) as caught:
        drive_asynchronously(opened, workers, journal=journal)
    assert not workers.submitted
    assert str(changed) in caught.value.message
    assert caught.value.data["names"] == [what]
    assert f"initial={str(other)!r}" in caught.value.message
    found = Search(initial=other, **QUICK)  # and so it is gone on with
    assert len(found.archive()) == 8
    assert found.spent == 0


def test_a_lower_budget_repeats_what_it_pays_for(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal.open(path, HEADER) as journal:
        drive_asynchronously(Search(**QUICK), ScriptedWorkers(worth, 2), journal=journal)
    opened, none = Search(**{**QUICK, "budget": 5}), ScriptedWorkers(worth)
    with Journal.open(path, HEADER) as journal:
        drive_asynchronously(opened, none, journal=journal)
    assert len(opened.archive()) == 5
    assert not none.submitted
