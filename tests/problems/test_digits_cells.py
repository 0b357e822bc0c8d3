"""Cells trained on scikit-learn's digits: data, metrics, and test data that only the end sees."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from optiproxy_nas.problems.base import RunningTrial
from optiproxy_nas.problems.building import checked_build
from optiproxy_nas.problems.digits_cells import DigitsCells, digits_of, make_digits

CELL = "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"


@pytest.fixture(scope="module")
def digits() -> pd.DataFrame:
    return make_digits()


@pytest.fixture(scope="module")
def few(digits: pd.DataFrame) -> pd.DataFrame:
    return digits.groupby("split", sort=False).head(40)


def trial(folder: Path, digits: pd.DataFrame) -> RunningTrial:
    folder.mkdir()
    return RunningTrial(number=0, architecture=CELL, folder=folder, data={"sklearn_digits": digits})


def test_the_splits_share_no_row(digits: pd.DataFrame) -> None:
    assert digits["split"].value_counts().sum() == 1797
    assert not digits.drop(columns="split").duplicated().any()
    images, labels = digits_of(digits, "validation")
    assert images.shape == (len(labels), 1, 8, 8)
    assert 0 <= float(images.min()) < float(images.max()) <= 1
    row = digits[digits["split"] == "validation"].iloc[0]
    assert images[0, 0, 2, 3] == row["p_23"]
    assert labels[0] == row["digit"]


def test_a_training_tells_accuracy_and_parameters(tmp_path: Path, few: pd.DataFrame) -> None:
    running = trial(tmp_path / "one", few)
    problem = DigitsCells(epochs=2)
    metrics = problem.evaluate(running)
    built = checked_build(problem, CELL)
    assert metrics["parameters"] == sum(tensor.numel() for tensor in built.parameters())
    assert 0 <= metrics["accuracy"] <= 100
    assert [step for step, _ in running.curve] == [1, 2]
    assert set(problem.test(running)) == {"accuracy"}


def test_the_search_does_not_see_the_test_images(tmp_path: Path, few: pd.DataFrame) -> None:
    spoilt = few.copy()
    spoilt.loc[spoilt["split"] == "test", "digit"] = 99
    tables = {"whole": few, "spoilt": spoilt}
    answers = [
        DigitsCells(epochs=1).evaluate(trial(tmp_path / name, table))
        for name, table in tables.items()
    ]
    assert answers[0] == answers[1]
