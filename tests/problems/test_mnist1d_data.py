"""The signals of MNIST-1D: deterministic, apart from the global generators, split once."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pandas as pd
import pytest
import torch

from optiproxy_nas.problems.mnist1d_data import make_signals, signals_of


def digest(table: pd.DataFrame) -> str:
    values = table.drop(columns="split").to_numpy(np.float32)
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]


def test_equal_seeds_give_equal_signals_and_the_global_generators_go_on() -> None:
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    expected = np.random.rand(), random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    table = make_signals(count=50)
    assert (np.random.rand(), random.random()) == expected  # noqa: NPY002
    assert digest(table) == "8378282ea8547e18"
    assert digest(make_signals(seed=1, count=50)) != digest(table)


@pytest.mark.slow
def test_the_signals_are_those_of_the_package() -> None:
    assert digest(make_signals()) == "2acb86aa11b42feb"


def test_the_splits_share_no_row() -> None:
    table = make_signals(count=50)
    assert table["split"].value_counts().to_dict() == {"train": 30, "validation": 10, "test": 10}
    signals, digits = signals_of(table, "validation")
    assert signals.shape == (10, 1, 40)
    assert signals.dtype == torch.float32
    assert digits.tolist() == table["digit"][30:40].tolist()
    signals[:] = 0  # a copy
    assert table.iloc[30:40, 2:].abs().to_numpy().min() > 0
