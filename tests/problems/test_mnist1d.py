"""The shipped problem: its networks, its metrics, and test data that only the end sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from optiproxy_nas.problems.base import RunningTrial
from optiproxy_nas.problems.mnist1d import Mnist1d, build
from optiproxy_nas.problems.mnist1d_data import make_signals

SMALL = {
    "stages": 2,
    **{"width_1": 4, "kernel_1": 3, "activation_1": "relu", "norm_1": "batch"},
    **{"halve_1": "stride", "skip_1": True},
    **{"width_2": 8, "kernel_2": 5, "activation_2": "tanh", "norm_2": "none"},
    **{"halve_2": "max", "skip_2": False},
    **{"head": "flatten", "dropout": 0.1, "rate": 0.01, "weight_decay": 0.001},
}
FIRST = (1 * 3 + 1) * 4 + 2 * 4 + (1 + 1) * 4  # convolution, norm, skip
SECOND = (4 * 5 + 1) * 8
HEAD = (8 * 10 + 1) * 10  # 40 points, halved twice


@pytest.fixture(scope="module")
def signals() -> pd.DataFrame:
    return make_signals(count=100)


def trial(folder: Path, signals: pd.DataFrame) -> RunningTrial:
    return RunningTrial(number=0, architecture=SMALL, folder=folder, data={"mnist1d": signals})


def test_the_space_has_millions_of_networks_and_each_can_be_built() -> None:
    space = Mnist1d.space
    assert space.size is not None
    assert space.size > 10**6
    codes = space.random(20, torch.Generator().manual_seed(0))
    for text in space.to_string(codes):
        architecture: dict[str, Any] = space.architecture(text)
        with torch.no_grad():
            assert build(architecture).eval()(torch.zeros(2, 1, 40)).shape == (2, 10)


def test_a_training_tells_accuracy_and_parameters(tmp_path: Path, signals: pd.DataFrame) -> None:
    running = trial(tmp_path, signals)
    metrics = Mnist1d(epochs=2).evaluate(running)
    assert set(metrics) == {"accuracy", "parameters"}
    assert metrics["parameters"] == FIRST + SECOND + HEAD
    assert 0 <= metrics["accuracy"] <= 100
    assert [step for step, _ in running.curve] == [1, 2]
    assert set(Mnist1d().test(running)) == {"accuracy"}


def test_the_search_does_not_see_the_test_signals(tmp_path: Path, signals: pd.DataFrame) -> None:
    spoilt = signals.copy()
    spoilt.loc[spoilt["split"] == "test", "digit"] = 99
    answers = []
    for name, table in {"whole": signals, "spoilt": spoilt}.items():
        (tmp_path / name).mkdir()
        answers.append(Mnist1d(epochs=1).evaluate(trial(tmp_path / name, table)))
    assert answers[0] == answers[1]
