"""Trials as files of other tools: an Optuna study and back, CSV, JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest

from optiproxy_nas import Choice, SearchResult, Space, search
from optiproxy_nas.core.errors import DataError, ParameterError

SPACE = Space(
    {
        "layers": Choice.integers(1, 3),
        "width": Choice([16, 32, 64, 128], ordered=True),
        "act": Choice(["relu", "tanh", None]),
        "rate": Choice.log(1e-4, 1e-1, 7),
        "skip": Choice([1, 2], when={"layers": [2, 3]}),
    }
)


def loss(architecture: dict[str, Any]) -> float:
    if architecture["act"] is None:
        raise RuntimeError("no activation")
    return float(architecture["width"] / 16 + architecture["layers"])


@pytest.fixture(scope="module")
def result() -> SearchResult:
    return search(
        space=SPACE,
        evaluate=loss,
        budget=12,
        method="random_search",
        direction="minimize",
        failures={"in_a_row": None, "share": None},
    )


def loaded(path: Path, storage: Any = None) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=storage or f"sqlite:///{path}")


def test_a_study_has_the_trials_of_the_search(result: SearchResult, tmp_path: Path) -> None:
    study = loaded(result.export_trials(tmp_path / "mine.db"))
    assert study.direction.name == "MINIMIZE"
    states = ["COMPLETE" if it.state == "complete" else "FAIL" for it in result.trials]
    assert "FAIL" in states
    assert [trial.state.name for trial in study.trials] == states
    assert [trial.params for trial in study.trials] == [it.architecture for it in result.trials]
    assert study.best_value == result.best_value
    assert study.metric_names == ["value"]
    kinds = {name: type(it).__name__ for name, it in study.trials[0].distributions.items()}
    assert kinds["layers"] == "IntDistribution"
    assert kinds["width"] == kinds["rate"] == "CategoricalDistribution"  # not evenly spaced
    errors = [t.user_attrs["error"] for t in study.trials if t.state.name == "FAIL"]
    assert all("no activation" in error for error in errors)


def test_a_study_in_a_journal_is_the_same(result: SearchResult, tmp_path: Path) -> None:
    path = result.export_trials(tmp_path / "mine.log")
    backend = optuna.storages.journal.JournalFileBackend(str(path))  # type: ignore[attr-defined]
    study = loaded(path, optuna.storages.JournalStorage(backend))
    assert len(study.trials) == len(result.trials)


def test_a_search_starts_from_a_study(result: SearchResult, tmp_path: Path) -> None:
    study = loaded(result.export_trials(tmp_path / "mine.db"))
    further = search(
        space=SPACE,
        evaluate=loss,
        budget=3,
        method="random_search",
        direction="minimize",
        initial=study,
        seed=1,
        failures={"in_a_row": None, "share": None},
    )
    before = [trial for trial in further.trials if not trial.charged]
    assert [it.architecture for it in before] == [it.architecture for it in result.trials]
    assert [it.value for it in before] == [it.value for it in result.trials]


def test_what_does_not_fit_is_refused_with_one_message() -> None:
    study = optuna.create_study(direction="maximize")
    kinds = optuna.distributions
    study.add_trial(
        optuna.trial.create_trial(
            params={"width": 20, "depth": 1},
            distributions={
                "width": kinds.IntDistribution(16, 128),
                "depth": kinds.IntDistribution(0, 2),
            },
            value=1.0,
        )
    )
    with pytest.raises(DataError) as refused:
        search(space=SPACE, evaluate=loss, budget=3, method="random_search", initial=study)
    assert len(refused.value.data["problems"]) == 2
    with pytest.raises(ParameterError) as caught:
        search(
            space=SPACE,
            evaluate=loss,
            budget=3,
            method="random_search",
            direction="minimize",
            initial=study,
        )
    assert caught.value.data["directions"] == ["maximize"]


def test_tables_have_each_choice(result: SearchResult, tmp_path: Path) -> None:
    table = pd.read_csv(result.export_trials(tmp_path / "mine.csv"))
    assert table["width"].tolist() == [it.architecture["width"] for it in result.trials]
    lines = result.export_trials(tmp_path / "mine.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["architecture"] for row in rows] == [it.architecture for it in result.trials]
    assert [row.get("value") for row in rows] == [it.value for it in result.trials]


def test_a_file_that_is_there_stays(result: SearchResult, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("mine")
    with pytest.raises(ParameterError):
        result.export_trials(path)
    with pytest.raises(ParameterError, match="format"):
        result.export_trials(tmp_path / "mine.xyz")
    assert path.read_text() == "mine"


def test_cells_are_categorical(tmp_path: Path) -> None:
    found = search("cifar10", budget=5, method="random_search")
    study = loaded(found.export_trials(tmp_path / "cells.db"))
    assert study.best_value == found.best_value
    assert len(study.trials[0].params) == 6
    assert study.trials[0].user_attrs["architecture"] == found.trials[0].architecture
