"""A promoted trial goes on in the folder, and with the seed, of the shorter training before it."""

from __future__ import annotations

import multiprocessing
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from rung_problem import OBJECTIVE, RUN, Continuing
from torch import nn

from optiproxy_nas import RunningTrial, Search, SearchResult, read_journal, search
from optiproxy_nas.problems.trainer import Batches, Training, fit


@pytest.fixture(scope="module")
def whole() -> tuple[SearchResult, Continuing]:
    problem = Continuing()
    return search(problem=problem, **RUN), problem


def promoted(result: SearchResult) -> list[Any]:
    return [trial for trial in result.trials if trial.folder != f"{trial.number:04d}"]


def test_continuing_costs_the_difference_and_gives_what_one_training_gives(
    whole: tuple[SearchResult, Continuing],
) -> None:
    result, problem = whole
    assert len(promoted(result)) > 1
    assert len(problem.trained) == result.archive["cost"].sum()
    for trial in promoted(result):
        shorter = result.trials[int(trial.folder)]
        assert (shorter.text, shorter.seed) == (trial.text, trial.seed)
        assert (shorter.epochs, trial.epochs) == (2, 6)
        assert trial.curve[:2] == shorter.curve
        assert [step for step, _ in trial.curve] == [1, 2, 3, 4, 5, 6]
        assert trial.metrics["full"] == shorter.metrics["full"] == 6
    assert result.test["score"] == result.best_value


def test_a_search_that_does_not_continue_trains_from_nothing() -> None:
    problem = Continuing()
    run = RUN | {"objective": OBJECTIVE | {"continues": False}}
    result = search(problem=problem, **run)
    assert result.archive["epochs"].eq(6).any()
    assert not promoted(result)
    assert len(problem.trained) == result.archive["epochs"].sum()


@pytest.mark.heavy
def test_in_processes_it_is_the_same_also_what_is_stopped(tmp_path: Path) -> None:
    settings = {"executor": "processes"}
    run = RUN | {"stopping": {"rule": "median", "warmup_steps": 2, "least_trials": 1}}
    alone = search(problem=Continuing(), **run)
    result = search(problem=Continuing(), evaluation=settings, journal=tmp_path / "j.jsonl", **run)
    pd.testing.assert_frame_equal(result.archive, alone.archive)
    assert result.archive["stopped"].any()
    assert [trial.curve for trial in result.trials] == [trial.curve for trial in alone.trials]
    assert result.test == alone.test
    trial = promoted(result)[0]
    assert (tmp_path / "j_trials" / trial.folder / "scores.json").exists()
    assert not (tmp_path / "j_trials" / f"{trial.number:04d}").exists()
    assert Path(trial.output).parent.name == trial.folder


def test_asked_and_told_the_trials_are_the_same(whole: tuple[SearchResult, Continuing]) -> None:
    asked = Search(problem=Continuing(), **RUN)
    answers = {trial.number: trial for trial in whole[0].trials}
    while trials := asked.ask():
        for trial in trials:
            then = answers[trial.number]
            assert (trial.text, trial.seed, trial.folder) == (then.text, then.seed, then.folder)
            asked.tell(trial, {"score": then.value})
    assert asked.result().archive.equals(whole[0].archive)


def searched(path: Path, dies_at: tuple[int, int]) -> None:
    search(problem=Continuing(dies_at), journal=path, **RUN)


@pytest.mark.heavy
def test_killed_within_a_promotion_it_goes_on_from_there(
    whole: tuple[SearchResult, Continuing], tmp_path: Path
) -> None:
    trial, path = promoted(whole[0])[-1], tmp_path / "j.jsonl"
    context = multiprocessing.get_context("fork")
    process = context.Process(target=searched, args=(path, (trial.number, 5)))
    process.start()
    process.join()
    assert process.exitcode == -9
    problem = Continuing((trial.number, 5))
    result = search(problem=problem, journal=path, **RUN)
    pd.testing.assert_frame_equal(result.archive, whole[0].archive)
    assert problem.trained[:2] == [(trial.number, 5), (trial.number, 6)]
    assert [it.curve for it in result.trials] == [it.curve for it in whole[0].trials]
    rows = read_journal(path).set_index("number")
    assert rows.loc[trial.number, ["folder", "seed"]].tolist() == [trial.folder, trial.seed]


def test_a_promotion_that_failed_goes_on_when_it_is_tried_again(
    whole: tuple[SearchResult, Continuing],
) -> None:
    trial = promoted(whole[0])[0]
    problem = Continuing(fails_at=trial.number)
    result = search(problem=problem, failures={"retries": 1}, **RUN)
    epochs = [epoch for number, epoch in problem.trained if number == trial.number]
    assert epochs == [3, 4, 5, 6]
    assert result.trials[trial.number].value == trial.value


def test_what_a_search_starts_warm_from_is_trained_from_nothing(
    whole: tuple[SearchResult, Continuing],
) -> None:
    """Its checkpoints are another search's."""
    low = [trial for trial in whole[0].trials if trial.epochs == 2]
    result = search(problem=Continuing(), initial=low, **RUN)
    free = {trial.text for trial in result.trials if not trial.charged}
    again = [trial for trial in result.trials if trial.charged and trial.text in free]
    assert again
    assert not [trial for trial in again if trial.folder != f"{trial.number:04d}"]


class Spoilt(Continuing):
    """Trains by the trainer; the checkpoints of narrow networks are cut off after few epochs."""

    def evaluate(self, trial: RunningTrial) -> dict[str, float]:
        inputs = torch.arange(8.0).reshape(-1, 1)
        data = Batches(inputs, (inputs[:, 0] > 3).long())
        training = Training(epochs=trial.epochs or 6, horizon=trial.full_epochs)
        linear = partial(nn.Linear, 1, 2)
        fitted = fit(linear, data, data, training, seed=trial.seed, folder=trial.folder)
        checkpoint = trial.folder / "checkpoint.pt"
        if trial.epochs == 2 and trial.architecture["width"] <= 16:
            checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
        return {"score": fitted.score + trial.architecture["depth"]}

    def test(self, trial: RunningTrial) -> dict[str, float]:
        return {}


@pytest.mark.heavy
def test_a_checkpoint_that_does_not_load_fails_its_trial_and_the_search_stands() -> None:
    result = search(problem=Spoilt(), failures={"in_a_row": None}, **RUN)
    assert result.failed
    for trial in result.failed:
        assert trial.epochs == 6
        assert f"{trial.folder}/checkpoint.pt" in trial.error
        assert result.trials[int(trial.folder)].state == "complete"
    assert len(promoted(result)) > len(result.failed)
    assert result.is_eligible
