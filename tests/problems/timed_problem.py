"""A problem whose networks are measured; a worker imports this module by its name."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from optiproxy_nas import LatencySettings, Problem, RunningTrial, Space, Target


class Timed(Problem):
    """Rates networks of one to eight layers; their training is none.

    Args:
        answer: what ``evaluate`` gives beside the score.
        settings: changes of the quick ones with which the latency is measured.
    """

    space = Space({"layers": [1, 2, 4, 8], "bias": [True, False]}, name="layers")
    target = Target("score", "maximize")

    def __init__(self, answer: dict[str, float] | None = None, **settings: Any) -> None:
        self.answer = answer or {}
        quick = {"least_seconds": 0.02, "seconds": 2.0, "precision": 1.0, "quantile": 0.75}
        self.latency = LatencySettings.model_validate({**quick, **settings})

    def build(self, architecture: Any) -> nn.Module:
        layers = [nn.Linear(32, 32, architecture["bias"]) for _ in range(architecture["layers"])]
        return nn.Sequential(*layers)

    def example_input(self) -> Tensor:
        return torch.zeros(1, 32)

    def evaluate(self, trial: RunningTrial) -> dict[str, float]:
        return {"score": float(trial.architecture["layers"]), **self.answer}


class Unwritable(Timed):
    """Has networks that ONNX cannot express, where they have a bias."""

    def build(self, architecture: Any) -> nn.Module:
        return Eigenvalues() if architecture["bias"] else super().build(architecture)


class Eigenvalues(nn.Module):
    """Takes the eigenvalues of a matrix."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Map [1, n] to the eigenvalues [1, n] of its outer product."""
        values: Tensor = torch.linalg.eigvals(inputs.T @ inputs).real[None]
        return values


class Unbuilt(Problem):
    """Has a latency, and no network that could be measured."""

    space = Timed.space
    target = Target("score", "maximize")
    latency = LatencySettings()

    def evaluate(self, trial: RunningTrial) -> float:
        return 1.0
