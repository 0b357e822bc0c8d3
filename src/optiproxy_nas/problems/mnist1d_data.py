"""MNIST-1D: 5,000 signals of 40 points, one of ten digits each, made without a download.

The signals are those of Greydanus and Kobak 2024, "Scaling Down Deep Learning with MNIST-1D"
(https://arxiv.org/abs/2011.14439): templates of the ten digits, padded, scaled, shifted, sheared
and made noisy. The package ``mnist1d`` (Apache-2.0) generates them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.core.random_streams import kept_globals

POINTS, CLASSES = 40, 10
SPLITS = ("train", "validation", "test")


def make_signals(seed: int = 42, count: int = 5000) -> pd.DataFrame:
    """Generate the signals, a row each.

    Of 5,000 the last 1,000 are the test data, as in the package; the 1,000 before them are the
    validation data, and the first 3,000 are trained on. Other counts are divided likewise.

    Args:
        seed: of the generator; equal seeds give equal signals.
        count: of signals, a multiple of 10 from 10.

    Returns:
        ``split`` ("train", "validation" or "test"), ``digit`` (0 to 9) and ``x_00`` to ``x_39``
        (float32, mean 0 and standard deviation 1 over all rows: as the package has it, those of
        the validation and test data among them).
    """
    from mnist1d.data import get_dataset_args, make_dataset  # imports matplotlib

    settings = get_dataset_args()
    settings.seed, settings.num_samples = seed, count
    with kept_globals():  # the package draws from those of numpy and Python
        made = make_dataset(settings)
    signals = np.concatenate([made["x"], made["x_test"]]).astype(np.float32)
    table = pd.DataFrame(signals, columns=[f"x_{point:02d}" for point in range(POINTS)])
    table.insert(0, "digit", np.concatenate([made["y"], made["y_test"]]))
    table.insert(0, "split", np.repeat(SPLITS, [count - 2 * (count // 5), count // 5, count // 5]))
    return table


def signals_of(table: pd.DataFrame, split: str) -> tuple[Tensor, Tensor]:
    """Return the signals of a split, float32 [n, 1, 40], and their digits, int64 [n]."""
    rows = table[table["split"] == split]
    signals = torch.tensor(rows.drop(columns=["split", "digit"]).to_numpy(np.float32))
    return signals.unsqueeze(1), torch.tensor(rows["digit"].to_numpy(np.int64))
