"""The shipped problem: a 1-D convolutional network for MNIST-1D, accurate, small and fast.

Each training takes two to four CPU seconds and reaches 10 to 98 % of the validation signals. 45 %
of all networks break the bound on parameters, most of the accurate ones among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from optiproxy_nas.measuring.latency_settings import LatencySettings
from optiproxy_nas.problems.base import Problem, RunningTrial, Target
from optiproxy_nas.problems.mnist1d_data import CLASSES, POINTS, make_signals, signals_of
from optiproxy_nas.problems.trainer import Batches, Training, accuracy, fit
from optiproxy_nas.spaces.choices import Choice, Space

STAGES = 4
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


def choices() -> dict[str, Choice]:
    """Return the choices by name: one to four stages, a head, and how the network is trained."""
    named = {"stages": Choice.integers(1, STAGES)}
    for stage in range(1, STAGES + 1):
        exists = {"stages": range(stage, STAGES + 1)} if stage > 1 else None
        named |= {
            f"width_{stage}": Choice([4, 8, 16, 32], ordered=True, when=exists),
            f"kernel_{stage}": Choice([3, 5, 7], ordered=True, when=exists),
            f"activation_{stage}": Choice([*ACTIVATIONS], when=exists),
            f"norm_{stage}": Choice(["none", "batch", "layer"], when=exists),
            f"halve_{stage}": Choice(["no", "stride", "max"], when=exists),
            f"skip_{stage}": Choice([False, True], when=exists),
        }
    return named | {
        "head": Choice(["flatten", "average", "max"]),
        "dropout": Choice.linear(0.0, 0.4, 5),
        "rate": Choice([1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1], ordered=True),
        "weight_decay": Choice.log(1e-4, 1e-1, 4),
    }


class Stage(nn.Module):
    """A convolution with its norm and activation, a skip beside it, and perhaps a pooling.

    Args:
        inputs, width: channels before and after.
        kernel: an odd number of points.
        activation, norm: as in :func:`choices`.
        halve: how the points become half as many, rounded up: by "stride", by "max" pooling, or
            "no".
        skip: add a linear map of the inputs.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        kernel: int,
        activation: str,
        norm: str,
        halve: str,
        skip: bool,
    ) -> None:
        super().__init__()
        stride = 2 if halve == "stride" else 1
        norms: dict[str, Callable[[int], nn.Module]] = {
            "none": lambda width: nn.Identity(),
            "batch": nn.BatchNorm1d,
            "layer": partial(nn.GroupNorm, 1),
        }
        self.convolution = nn.Conv1d(inputs, width, kernel, stride, padding=kernel // 2)
        self.norm = norms[norm](width)
        self.activation = ACTIVATIONS[activation]()
        self.skip = nn.Conv1d(inputs, width, 1, stride) if skip else None
        self.pool = nn.MaxPool1d(2, ceil_mode=True) if halve == "max" else nn.Identity()

    def forward(self, signals: Tensor) -> Tensor:
        """Map [n, inputs, points] to [n, width, points or half as many]."""
        out: Tensor = self.activation(self.norm(self.convolution(signals)))
        if self.skip is not None:
            out = out + self.skip(signals)
        pooled: Tensor = self.pool(out)
        return pooled


def build(architecture: Mapping[str, Any]) -> nn.Module:
    """Return the network of an architecture: [n, 1, 40] to the scores [n, 10] of the digits."""
    layers: list[nn.Module] = []
    channels, points = 1, POINTS
    for stage in range(1, architecture["stages"] + 1):
        names = ("width", "kernel", "activation", "norm", "halve", "skip")
        chosen = {name: architecture[f"{name}_{stage}"] for name in names}
        layers.append(Stage(channels, **chosen))
        channels = chosen["width"]
        points = points if chosen["halve"] == "no" else (points + 1) // 2
    if architecture["head"] == "flatten":
        channels *= points
    else:
        pools = {"average": nn.AdaptiveAvgPool1d, "max": nn.AdaptiveMaxPool1d}
        layers.append(pools[architecture["head"]](1))
    layers += [nn.Flatten(), nn.Dropout(architecture["dropout"]), nn.Linear(channels, CLASSES)]
    return nn.Sequential(*layers)


class Mnist1d(Problem):
    """Find a network that tells the digits of MNIST-1D apart, with bounds on size and latency.

    It has 4,000 parameters at most, and takes 0.3 ms for one signal in 90 of 100 runs on one core.
    Machines differ in speed: set ``objective.constraints`` to what yours is to keep.

    Args:
        epochs: of a training, at most.
        patience: number of epochs without a better accuracy that end a training.
        batch_size: number of signals a step.
        latency_seconds: for which a network is measured; five times that on a busy machine.
    """

    space = Space(choices(), name="mnist1d")
    target = Target("accuracy", "maximize", "%")
    metrics = ("parameters",)
    datasets = ("mnist1d",)
    objective: Mapping[str, Any] = {
        "name": "constrained",
        "constraints": ["parameters <= 4000", "latency_p90_ms <= 0.3"],
    }

    def __init__(
        self,
        epochs: int = 12,
        patience: int = 4,
        batch_size: int = 100,
        latency_seconds: float = 1.0,
    ) -> None:
        self.epochs, self.patience, self.batch_size = epochs, patience, batch_size
        self.latency = LatencySettings(least_seconds=latency_seconds, seconds=5 * latency_seconds)

    def load(self) -> Mapping[str, pd.DataFrame]:
        """Generate the signals."""
        return {"mnist1d": make_signals()}

    def build(self, architecture: Mapping[str, Any]) -> nn.Module:
        """Return the network of an architecture: signals [n, 1, 40] to scores [n, 10]."""
        return build(architecture)

    def example_input(self) -> Tensor:
        """Return one signal of zeros."""
        return torch.zeros(1, 1, POINTS)

    def evaluate(self, trial: RunningTrial) -> Mapping[str, float]:
        """Train on the training signals; score the validation signals."""
        architecture = trial.architecture
        signals = trial.data["mnist1d"]
        fitted = fit(
            partial(build, architecture),
            Batches(*signals_of(signals, "train"), self.batch_size, shuffle=True),
            Batches(*signals_of(signals, "validation"), 500),
            Training(
                epochs=trial.epochs or self.epochs,
                horizon=trial.full_epochs,
                rate=architecture["rate"],
                weight_decay=architecture["weight_decay"],
                patience=self.patience,
            ),
            seed=trial.seed,
            device=trial.device,
            folder=trial.folder,
            deadline=trial.deadline,
            report=trial.report,
        )
        parameters = sum(tensor.numel() for tensor in fitted.model.parameters())
        return {"accuracy": fitted.score, "parameters": parameters}

    def test(self, trial: RunningTrial) -> Mapping[str, float]:
        """Score the test signals with the weights that the trial left."""
        model = self.trained(trial)
        data = Batches(*signals_of(trial.data["mnist1d"], "test"), 500)
        return {"accuracy": accuracy(model, data, trial.device)}
