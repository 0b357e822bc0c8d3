"""What trials left is removed once no later part of the search needs it, and not before."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rung_problem import RUN, THREE, Continuing

from optiproxy_nas import ParameterError, SearchResult, search
from optiproxy_nas.evaluation import trial_folders
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.trial_folders import _empty, unneeded_folders

SHARE: dict[str, Any] = RUN | {"objective": THREE}
PLAIN: dict[str, Any] = {"method": "random_search", "budget": 6, "seed": 1}


def left(path: Path) -> set[str]:
    return {file.parent.name for file in path.glob("j_trials/*/scores.json")}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchResult, Path]:
    path = tmp_path_factory.mktemp("kept")
    return search(problem=Continuing(), journal=path / "j.jsonl", **SHARE), path


@pytest.mark.heavy
def test_left_are_those_that_can_be_promoted_and_the_best(kept: tuple[SearchResult, Path]) -> None:
    result, path = kept
    promotable = result.parameters.objective.promotable(result.archive)
    rows = {trial.order: trial for trial in result.trials}
    needed = {rows[row].folder for row in range(len(rows)) if promotable[row]}
    best = [trial.folder for trial in result.top(5) if trial.epochs == 6]
    assert left(path) == {*needed, *best}
    assert result.best.folder in best
    assert len(left(path)) < len({trial.folder for trial in result.trials})
    assert result.test["score"] == result.best_value


def test_it_changes_nothing_of_the_search(kept: tuple[SearchResult, Path], tmp_path: Path) -> None:
    settings = {"keep": "all"}
    result = search(
        problem=Continuing(), journal=tmp_path / "j.jsonl", evaluation=settings, **SHARE
    )
    pd.testing.assert_frame_equal(result.archive, kept[0].archive)
    assert left(tmp_path) == {trial.folder for trial in result.trials}


def searched(path: Path, dies_at: tuple[int, int]) -> None:
    search(problem=Continuing(dies_at), journal=path, **SHARE)


@pytest.mark.heavy
def test_killed_it_finds_what_it_needs(kept: tuple[SearchResult, Path], tmp_path: Path) -> None:
    last = [trial for trial in kept[0].trials if trial.epochs == 6][-1]
    dies_at = (last.number, 5)
    process = multiprocessing.get_context("fork").Process(
        target=searched, args=(tmp_path / "j.jsonl", dies_at)
    )
    process.start()
    process.join()
    problem = Continuing(dies_at)
    result = search(problem=problem, journal=tmp_path / "j.jsonl", **SHARE)
    pd.testing.assert_frame_equal(result.archive, kept[0].archive)
    assert problem.trained[:2] == [(last.number, 5), (last.number, 6)]
    assert left(tmp_path) == left(kept[1])


def test_without_rungs_all_is_kept_unless_it_is_asked_for(tmp_path: Path) -> None:
    for keep, count in ((None, 6), ("promotable", 5)):
        path = tmp_path / str(keep)
        result = search(
            problem=Continuing(), journal=path / "j.jsonl", evaluation={"keep": keep}, **PLAIN
        )
        assert len(left(path)) == count
        assert result.best.folder in left(path)


def test_so_many_of_the_best_are_kept_as_are_confirmed(tmp_path: Path) -> None:
    run = PLAIN | {"budget": 14, "confirm": {"best": 6, "seeds": 1}}
    result = search(
        problem=Continuing(),
        journal=tmp_path / "j.jsonl",
        evaluation={"keep": "promotable"},
        **run,
    )
    confirmed = {name for name in left(tmp_path) if "confirm" in name}
    assert len(confirmed) == 6
    assert left(tmp_path) - confirmed == {trial.folder for trial in result.top(6)}


def test_what_was_measured_of_a_latency_stays(tmp_path: Path) -> None:
    for name in ("output.txt", "latency.json", "weights"):
        (tmp_path / name).touch()
    _empty(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"output.txt", "latency.json"}


def test_failed_and_open_trials_keep_what_they_left() -> None:
    result = search(problem=Continuing(), **SHARE)
    objective: Any = result.parameters.objective
    lowest = [it for it in result.trials if it.folder == f"{it.number:04d}"]
    begun = [Request(it.number, 1, it.text, it.epochs) for it in lowest]
    unneeded = unneeded_folders(objective, result.archive, begun)
    again = Request(99, 1, "another", 6, folder=min(unneeded))
    left_over = unneeded_folders(objective, result.archive, [*begun, again])
    assert left_over == unneeded - {again.folder}
    assert unneeded_folders(objective, result.archive.iloc[:0], begun) == set()


def test_what_cannot_be_removed_is_warned_of_and_the_search_stands(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(trial_folders, "_empty", refuse)
    result = search(
        problem=Continuing(),
        journal=tmp_path / "j.jsonl",
        evaluation={"keep": "promotable"},
        **PLAIN,
    )
    assert len(result.archive) == 6
    assert len([it for it in caplog.records if "Permission denied" in it.message]) == 1


def test_what_a_link_leads_to_is_not_emptied(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "scores.json").write_text("[]")
    (tmp_path / "0001").symlink_to(elsewhere)
    trial_folders._empty(tmp_path / "0001")
    assert (elsewhere / "scores.json").exists()


def test_a_later_confirmation_finds_the_best_and_passes_over_what_was_emptied(
    tmp_path: Path,
) -> None:
    run = PLAIN | {"evaluation": {"keep": "promotable"}, "journal": tmp_path / "j.jsonl"}
    first = search(problem=Continuing(), **run)
    emptied = next(it for it in first.trials if it.folder not in left(tmp_path))
    for trial in first.trials:  # as if the others had been emptied, too
        trial_folders._empty(tmp_path / "j_trials" / trial.folder)
    later = run | {"budget": 12, "confirm": {"best": 6, "seeds": 1}}
    result = search(problem=Continuing(), **later)
    assert emptied.text in set(result.confirmation["architecture"])
    assert result.answer_training.request.repeat == 1
    assert result.test["score"] == result.answer_training.metrics["value"]


def test_a_function_keeps_nothing() -> None:
    with pytest.raises(ParameterError):
        search(evaluate=len, evaluation={"executor": "processes", "keep": "all"}, **PLAIN)
