"""The journal: what survives, what is refused, and that nothing is trained twice."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import math
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from trained_problem import RUN, SPACE, Trained, ending_at

from optiproxy_nas import (
    FailedTrialsError,
    JournalError,
    RunLockedError,
    SearchInterrupted,
    SearchResult,
    read_journal,
    search,
)
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.evaluation.function_evaluator import as_evaluator
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.evaluation.journal_file import FORMAT, line_of, read_records
from optiproxy_nas.evaluation.journal_table import (
    journal_trials,
    metric_column,
    metric_columns,
    row_request,
)
from optiproxy_nas.evaluation.journaled import Journaled
from optiproxy_nas.objectives import resolve_objective

HEADER = {"target": "error", "seed": 0, "space": "nb201"}
REQUESTS = [Request(n, 1, f"architecture {n} ü", None, n) for n in range(4)]
OUTCOMES = [
    Outcome({"error": 0.1 + 0.2, "size": math.inf, "x": math.nan, "value": 0.1 + 0.2}, "", 1.5),
    Outcome({}, 'RuntimeError: \\ " \n 日本語'),
    Outcome(
        {"y": -math.inf, "error": -1e-300, "value": -1e-300},
        "",
        2.0,
        ((1, 0.5), (2, math.nan)),
        "out ü.txt",
    ),
    Outcome({"error": 5.0, "value": 5.0}),
]


def write(path: Path, count: int = 4) -> bytes:
    with Journal.open(path, HEADER) as journal:
        for request, outcome in zip(REQUESTS[:count], OUTCOMES, strict=False):
            journal.record(request, outcome)
    return path.read_bytes()


def found(path: Path, header: dict[str, Any] = HEADER) -> list[Outcome | None]:
    with Journal.open(path, header) as journal:
        return [journal.find(request) for request in REQUESTS]


def test_numbers_text_and_curves_come_back_as_they_were(tmp_path: Path) -> None:
    write(tmp_path / "j.jsonl")
    assert repr(found(tmp_path / "j.jsonl")) == repr(OUTCOMES)  # NaN equals nothing
    for line in (tmp_path / "j.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)  # other programs read it, too


def test_cut_at_any_byte_of_its_last_line_it_loses_that_trial_at_most(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "j.jsonl"
    whole = write(path, 3)
    before = whole[: whole.rindex(b"\n", 0, -1) + 1]
    for length in range(len(before), len(whole) + 1):
        path.write_bytes(whole[:length])
        is_whole = length >= len(whole) - 1  # but for its line end
        assert len(read_records(path)[1]) == (3 if is_whole else 2)
        if length % 97 and length < len(whole) - 2:
            continue  # the others are opened to go on, too
        caplog.clear()
        kept = [outcome for outcome in found(path) if outcome is not None]
        assert len(kept) == (3 if is_whole else 2)
        assert len(caplog.records) == (len(before) < length < len(whole) - 1)
        assert path.read_bytes() == (whole if is_whole else before)


def test_a_confirmation_is_told_from_the_training_of_the_search(tmp_path: Path) -> None:
    path, request = tmp_path / "j.jsonl", REQUESTS[0]
    confirmation = request._replace(seed=7, repeat=1, folder="0000_confirm_1")
    with Journal.open(path, HEADER) as journal:
        journal.record(confirmation, OUTCOMES[3])
        journal.record(request, OUTCOMES[0])
        journal.record_test(confirmation, {"test": 1.0})
    with Journal.open(path, HEADER) as journal:
        assert journal.find(confirmation) == OUTCOMES[3]
        assert repr(journal.find(request)) == repr(OUTCOMES[0])
        assert journal.find(confirmation._replace(repeat=2)) is None
        assert journal.find_test(confirmation) == {"test": 1.0}
        assert journal.find_test(request) is None
    rows = read_journal(path)
    assert [row_request(row) for row in rows.to_dict("records")] == [confirmation, request]
    assert journal_trials(path)["value"].tolist() == [OUTCOMES[0].metrics["value"]]
    assert not {"repeat", "folder"} & set(json.loads(path.read_text().splitlines()[2]))


def test_cut_in_its_first_line_it_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    header = write(path, 0)
    for length in range(len(header) - 1):
        path.write_bytes(header[:length])
        assert read_records(path) == ({}, [])
        if length % 31 == 0:
            with Journal.open(path, HEADER) as journal:
                assert journal.is_new
            assert read_records(path)[0] == HEADER
    path.write_bytes(header[:-1])
    with Journal.open(path, HEADER) as journal:
        assert not journal.is_new


def edited(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b"0.30", b"0.31"), *lines[2:]]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (edited, 2),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2),
        (lambda lines: [*lines[:2], *lines[3:]], 3),
        (lambda lines: [*lines[:3], b"", *lines[3:]], 4),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4),
        (lambda lines: [*lines[:4], lines[4][:-30], lines[4]], 5),
        (lambda lines: [*lines, bytes(range(256)).replace(b"\n", b""), b"x"], 6),
    ],
    ids=["a value", "the order", "one less", "an empty line", "one twice", "a part", "garbage"],
)
def test_what_was_changed_is_told_by_its_line_and_nothing_is_written(
    tmp_path: Path, change: Any, line: int
) -> None:
    path = tmp_path / "j.jsonl"
    lines = write(path).splitlines()
    path.write_bytes(b"\n".join(change(lines)) + b"\n")
    before = path.read_bytes()
    for read in (found, read_journal):
        with pytest.raises(JournalError) as caught:
            read(path)
        assert caught.value.data["line"] == line
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"\x00" * 64, bytes(range(256)), b"a,b\n1,2\n", b'{"x": 1}\n', b'{"format": "o2']
)
def test_what_is_no_journal_is_refused_and_kept(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "j.jsonl"
    path.write_bytes(content)
    with pytest.raises(JournalError):
        found(path)
    with pytest.raises(JournalError):
        read_journal(path)
    assert path.read_bytes() == content


def test_an_empty_file_and_folders_that_are_missing_are_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").touch()
    monkeypatch.chdir(tmp_path)
    for path in ("empty", "alone.jsonl", "new/folder/j.jsonl"):
        write(Path(path))
        assert len(read_journal(path)) == 4


def test_a_folder_and_a_place_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "j.jsonl", Path("/dev/zero")):
        with pytest.raises(JournalError) as caught:
            found(path)
        assert caught.value.data["path"] == str(path)
    with pytest.raises(JournalError, match="There is no journal"):
        read_journal(tmp_path / "missing.jsonl")


def test_another_search_is_refused_and_told_by_its_differences(tmp_path: Path) -> None:
    content = write(tmp_path / "j.jsonl")
    with pytest.raises(JournalError) as caught:
        found(tmp_path / "j.jsonl", {**HEADER, "seed": 1, "more": {"x": 2}})
    assert caught.value.data["names"] == ["seed", "more.x"]
    assert (tmp_path / "j.jsonl").read_bytes() == content


def open_elsewhere(path: Path, answers: Any) -> None:
    try:
        Journal.open(path, HEADER)
    except RunLockedError:
        answers.send("locked")


@pytest.mark.heavy
def test_of_two_searches_at_once_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal.open(path, HEADER), pytest.raises(RunLockedError):
        Journal.open(path, HEADER)  # in the same process
    with Journal.open(path, HEADER):
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        other = context.Process(target=open_elsewhere, args=(path, there))
        other.start()
        assert here.poll(20)
        assert here.recv() == "locked"
        other.join()
    assert found(path) == [None] * 4  # the lock is given up


def test_it_is_read_while_a_search_writes_to_it(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.jsonl", HEADER) as journal:
        assert read_journal(journal.path).empty
        journal.record(REQUESTS[0], OUTCOMES[0])
        assert read_journal(journal.path)["error"].tolist() == [""]


def test_the_table_has_the_metrics_by_their_names(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.jsonl", HEADER) as journal:
        journal.record(REQUESTS[0], Outcome({"value": 1.0, "seconds": 7.0}, seconds=2.0))
        journal.record(REQUESTS[0]._replace(attempt=2), Outcome({}, "no"))
        journal.record_test(REQUESTS[0], {"error": 2.0})
        assert journal.find_test(REQUESTS[0]) == {"error": 2.0}
    table = read_journal(tmp_path / "j.jsonl")
    assert metric_columns(table) == [metric_column("error"), metric_column("seconds")]
    assert table[metric_column("error")].tolist()[0] == 1.0
    assert table["metrics.seconds"].tolist()[0] == 7.0
    assert table["seconds"].iloc[0] == 2.0
    assert table["attempt"].tolist() == [1, 2]
    assert table["error"].tolist() == ["", "no"]
    with Journal.open(tmp_path / "j.jsonl", HEADER) as journal:
        assert journal.find_test(REQUESTS[0]) == {"error": 2.0}
        assert len(journal) == 2


def test_only_what_is_missing_is_evaluated_and_nothing_in_a_replay(tmp_path: Path) -> None:
    asked: list[str] = []

    def evaluate(architecture: Any) -> float:
        asked.append(architecture)
        return 1.0

    evaluator = as_evaluator(evaluate)
    objective = resolve_objective("accuracy")
    with Journal.open(tmp_path / "j.jsonl", HEADER) as journal:
        journal.record(REQUESTS[1], OUTCOMES[3])
        journal.record(REQUESTS[2], OUTCOMES[1])
        journaled = Journaled(evaluator, journal)
        outcomes = [outcome for outcome in journaled.outcomes(objective, REQUESTS) if outcome]
        assert [outcome.metrics.get("value") for outcome in outcomes] == [1.0, 5.0, None, 1.0]
        assert asked == [REQUESTS[0].architecture, REQUESTS[3].architecture]
        replayed = Journaled(evaluator, journal, replay_only=True)
        assert len(list(replayed.outcomes(objective, REQUESTS))) == 4
        with pytest.raises(JournalError) as caught:
            list(replayed.outcomes(objective, [REQUESTS[0]._replace(attempt=2)]))
        assert caught.value.data["architecture"] == REQUESTS[0].architecture
    assert len(asked) == 2


class Unordered(Evaluator):
    """Ends its trials from the last to the first, but for the first, at which it is interrupted."""

    def ended(self, objective: Any, requests: Any) -> Any:
        for place in range(len(requests) - 1, 0, -1):
            yield place, Outcome({"value": float(place)})
        raise KeyboardInterrupt


def test_trials_of_workers_are_in_it_as_they_end(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.jsonl", HEADER) as journal:
        told = Journaled(Unordered(), journal).outcomes(resolve_objective("accuracy"), REQUESTS)
        values = [outcome and outcome.metrics["value"] for outcome in itertools.islice(told, 4)]
        assert values == [None, 1.0, 2.0, 3.0]
        with pytest.raises(KeyboardInterrupt):
            next(told)
    assert read_journal(tmp_path / "j.jsonl")["number"].tolist() == [3, 2, 1]


def searched(path: Path | None, problem: Trained, **changes: Any) -> SearchResult:
    return search(problem=problem, journal=path, **{**RUN, **changes})


@pytest.mark.heavy
def test_with_a_journal_or_without_killed_or_whole_the_archive_is_the_same(tmp_path: Path) -> None:
    plain, whole = Trained(), Trained()
    expected = searched(None, plain)
    pd.testing.assert_frame_equal(searched(tmp_path / "a.jsonl", whole).archive, expected.archive)
    context = multiprocessing.get_context("fork")
    for number in (0, 5, 11):
        killed = ending_at(number, "kill")
        path = tmp_path / f"{number}.jsonl"
        process = context.Process(target=searched, args=(path, killed))
        process.start()
        process.join()
        assert process.exitcode == -9
        resumed = Trained()
        result = searched(path, resumed)
        assert len(resumed.trained) == 12 - number
        pd.testing.assert_frame_equal(result.archive, expected.archive)
        assert len(read_journal(path)) == 12


def test_interrupted_and_called_again_it_trains_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with pytest.raises(SearchInterrupted) as caught:
        searched(path, ending_at(4, "interrupt"))
    assert len(caught.value.result.archive) == 4
    again = Trained()
    result = searched(path, again)
    assert len(again.trained) == 8
    pd.testing.assert_frame_equal(result.archive, searched(None, Trained()).archive)
    finished = Trained()
    assert searched(path, finished).test == result.test
    assert (finished.trained, finished.tested) == ([], [])


def test_a_failed_trial_is_kept_and_tried_again_where_retries_are_set_later(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    result = searched(path, ending_at(4, "raise"))
    assert [trial.number for trial in result.failed] == [4]
    assert read_journal(path)["error"].str.contains("Überlauf").sum() == 1
    again = Trained()
    assert len(searched(path, again).failed) == 1
    assert again.trained == []
    retried = Trained()
    complete = searched(path, retried, failures={"retries": 1})
    assert not complete.failed
    assert retried.trained[0] == complete.trials[4].architecture


def test_a_larger_budget_goes_on(tmp_path: Path) -> None:
    searched(tmp_path / "j.jsonl", Trained())
    longer = Trained()
    result = searched(tmp_path / "j.jsonl", longer, budget=20)
    assert len(longer.trained) == 8
    pd.testing.assert_frame_equal(result.archive, searched(None, Trained(), budget=20).archive)


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("last", [5, 11])
def test_a_full_disk_ends_the_search_and_loses_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    path, problem = tmp_path / "j.jsonl", Trained()
    synced = os.fsync

    def fsync(handle: int) -> None:
        full_disk() if len(problem.trained) > last else synced(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(JournalError) as caught:
        searched(path, problem)
    assert len(caught.value.data["result"].archive) == last + 1
    monkeypatch.undo()
    assert len(read_journal(path)) == last
    again = Trained()
    searched(path, again)
    assert len(again.trained) == 12 - last


def test_too_many_failures_end_it_and_the_journal_has_them(tmp_path: Path) -> None:
    class Broken(Trained):
        def evaluate(self, trial: Any) -> Any:
            super().evaluate(trial)
            raise ValueError("no data")

    broken = Broken()
    with pytest.raises(FailedTrialsError):
        searched(tmp_path / "j.jsonl", broken)
    assert len(read_journal(tmp_path / "j.jsonl")) == len(broken.trained) == 10


def test_a_journal_starts_another_search_warm(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    result = searched(path, ending_at(2, "raise"))
    warm = searched(None, Trained(), seed=9, initial=path, budget=4)
    free = [trial for trial in warm.trials if not trial.charged]
    assert {t.text: t.value for t in free} == {t.text: t.value for t in result.trials}
    other = tmp_path / "other.jsonl"
    searched(other, Trained(), seed=9, initial=path, budget=4)
    repeated = Trained()
    searched(other, repeated, seed=9, initial=path, budget=4)
    assert repeated.trained == []
    with pytest.raises(JournalError) as caught:
        searched(other, Trained(), seed=9, budget=4)
    assert caught.value.data["names"] == ["initial"]


def test_folders_of_other_trials_beside_a_new_journal_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    searched(path, Trained())
    path.unlink()
    for _ in range(2):
        with pytest.raises(JournalError) as caught:
            searched(path, Trained())
        assert caught.value.data["folder"] == str(tmp_path / "j_trials")


def test_a_function_has_a_journal_too(tmp_path: Path) -> None:
    calls: list[Any] = []

    def train(network: dict[str, Any]) -> float:
        calls.append(network)
        return float(network["depth"] / network["width"])

    run = {"space": SPACE, "evaluate": train, **RUN}
    first = search(**run, journal=tmp_path / "j.jsonl")
    second = search(**run, journal=tmp_path / "j.jsonl")
    assert len(calls) == 12
    pd.testing.assert_frame_equal(first.archive, second.archive)
    assert np.isfinite(read_journal(tmp_path / "j.jsonl")["value"]).all()
    assert not (tmp_path / "j_trials").exists()


SOUND = {
    **{"number": 0, "attempt": 1, "architecture": "a", "epochs": None, "seed": 0},
    **{"metrics": {"error": 1.0}, "error": "", "seconds": 1.0, "curve": [[1, 0.5]], "output": ""},
}


@pytest.mark.parametrize(
    "line",
    [
        {**SOUND, "architecture": ["a"]},
        {**SOUND, "metrics": {"error": [1]}},
        {**SOUND, "metrics": {"error": "much"}},
        {**SOUND, "metrics": {"error": 10**400}},
        {**SOUND, "curve": [[1]]},
        {**SOUND, "asked": 10**12},
        {name: value for name, value in SOUND.items() if name != "attempt"},
        {"ask": 0},
        {"begun": 0, "attempt": 1},
        {"other": 1},
    ],
)
def test_a_line_that_somebody_made_is_refused_though_its_digest_agrees(
    tmp_path: Path, line: dict[str, Any]
) -> None:
    path = tmp_path / "search.jsonl"
    first, digest = line_of({"format": FORMAT, "begun": "now", "search": HEADER}, "")
    path.write_bytes(first + line_of(SOUND, digest)[0])
    assert len(journal_trials(path)) == 1
    path.write_bytes(first + line_of(line, digest)[0])
    for read in (read_journal, journal_trials, lambda it: Journal.open(it, HEADER)):
        with pytest.raises(JournalError, match="Line 2"):
            read(path)


@pytest.mark.parametrize("value", ["[" * 100_000, "9" * 5_000, '{"search": {}}'])
def test_a_header_that_somebody_made_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "search.jsonl"
    body = f'{{"format": "{FORMAT}", "search": {value}'.encode()
    digest = hashlib.sha256(body).hexdigest()[:16]
    path.write_bytes(body + f', "digest": "{digest}"}}\n'.encode())
    with pytest.raises(JournalError, match="Line 1"):
        read_journal(path)
