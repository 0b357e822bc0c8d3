"""A shipped problem on a benchmark's space: NAS-Bench-201 cells, trained on 8 by 8 digits.

Scikit-learn has the digits (1,797 images; Alpaydin and Kaynak 1998). The network is one
stage of two cells with 12 channels: what it learns, its cells learn. A training takes two to four
CPU seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from optiproxy_nas.measuring.sizes import parameters
from optiproxy_nas.networks import build_network
from optiproxy_nas.problems.base import Problem, RunningTrial, Target
from optiproxy_nas.problems.trainer import Batches, Training, accuracy, fit

SIDE, CLASSES = 8, 10
SPLITS = {"train": 597, "validation": 700, "test": 500}


def make_digits() -> pd.DataFrame:
    """Return scikit-learn's digits, a row each, in their order.

    Returns:
        ``split`` ("train", "validation" or "test"), ``digit`` (0 to 9) and ``p_00`` to ``p_77``
        (float32 in [0, 1], row and column of the pixel).
    """
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    names = [f"p_{row}{column}" for row in range(SIDE) for column in range(SIDE)]
    table = pd.DataFrame(images.astype(np.float32) / 16, columns=names)
    table.insert(0, "digit", digits.astype(np.int64))
    table.insert(0, "split", np.repeat([*SPLITS], [*SPLITS.values()]))
    return table


def digits_of(table: pd.DataFrame, split: str) -> tuple[Tensor, Tensor]:
    """Return the images of a split, float32 [n, 1, 8, 8], and their digits, int64 [n]."""
    rows = table[table["split"] == split]
    images = torch.tensor(rows.drop(columns=["split", "digit"]).to_numpy(np.float32))
    return images.reshape(-1, 1, SIDE, SIDE), torch.tensor(rows["digit"].to_numpy(np.int64))


class DigitsCells(Problem):
    """Find the NAS-Bench-201 cell whose small network tells digits apart best.

    Args:
        epochs: of a training.
        channels, cells, stages: of the network around a cell, as of ``build_network``.
        rate: the highest learning rate.
        batch_size: number of images a step.
    """

    space = "nb201"
    target = Target("accuracy", "maximize", "%")
    metrics = ("parameters",)
    datasets = ("sklearn_digits",)

    def __init__(
        self,
        epochs: int = 15,
        channels: int = 12,
        cells: int = 2,
        stages: int = 1,
        rate: float = 0.01,
        batch_size: int = 50,
    ) -> None:
        self.epochs, self.rate, self.batch_size = epochs, rate, batch_size
        self.channels, self.cells, self.stages = channels, cells, stages

    def load(self) -> Mapping[str, pd.DataFrame]:
        """Return the digits."""
        return {"sklearn_digits": make_digits()}

    def build(self, architecture: Any) -> nn.Module:
        """Return the network of a cell: images [n, 1, 8, 8] to scores [n, 10]."""
        return build_network(
            architecture,
            channels=self.channels,
            cells=self.cells,
            stages=self.stages,
            classes=CLASSES,
            input_channels=1,
        )

    def example_input(self) -> Tensor:
        """Return one image of zeros."""
        return torch.zeros(1, 1, SIDE, SIDE)

    def evaluate(self, trial: RunningTrial) -> Mapping[str, float]:
        """Train on the training images; score the validation images."""
        digits = trial.data["sklearn_digits"]
        fitted = fit(
            partial(self.build, trial.architecture),
            Batches(*digits_of(digits, "train"), self.batch_size, shuffle=True),
            Batches(*digits_of(digits, "validation"), 700),
            Training(epochs=trial.epochs or self.epochs, horizon=trial.full_epochs, rate=self.rate),
            seed=trial.seed,
            device=trial.device,
            folder=trial.folder,
            deadline=trial.deadline,
            report=trial.report,
        )
        return {"accuracy": fitted.score, "parameters": parameters(fitted.model)}

    def test(self, trial: RunningTrial) -> Mapping[str, float]:
        """Score the test images with the weights that the trial left."""
        model = self.trained(trial)
        data = Batches(*digits_of(trial.data["sklearn_digits"], "test"), 500)
        return {"accuracy": accuracy(model, data, trial.device)}
