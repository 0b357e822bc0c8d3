"""A problem that builds its networks and trains them in no time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from optiproxy_nas import Problem, RunningTrial, Space, Target


class WithoutExample(Problem):
    """Trains nothing, and keeps the initial weights."""

    space = Space({"width": [2, 3]})
    target = Target("value")

    def __init__(self) -> None:
        self.trainings = 0

    def build(self, architecture: Any) -> nn.Module:
        width = architecture["width"]
        return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Linear(width, 2))

    def evaluate(self, trial: RunningTrial) -> float:
        self.trainings += 1
        model = self.build(trial.architecture)
        torch.save({"weights": model.state_dict()}, trial.folder / "checkpoint.pt")
        return float(trial.architecture["width"])


class Built(WithoutExample):
    """The same, with an example input."""

    def example_input(self) -> Tensor | tuple[Tensor, ...]:
        return torch.ones(1, 4)
