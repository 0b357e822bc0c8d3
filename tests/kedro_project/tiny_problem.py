"""A user's problem that trains in no time: named by its path, with data from the catalog."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from optiproxy_nas import Choice, LatencySettings, Problem, RunningTrial, Space, Target

NAME = "tiny_problem:Widths"
CATALOG = """\
signals:
  type: pandas.CSVDataset
  filepath: data/01_raw/signals.csv
"""
CHOICES = {
    "stages": [1, 2, 3],
    "rate": Choice([0.1, 0.2, 0.3, 0.4], ordered=True),
    **{
        f"width_{i}": Choice([16, 32, 64], ordered=True, when={"stages": range(i, 4)})
        for i in (1, 2, 3)
    },
}


class Killed(BaseException):
    """Stands for the end of the process within a training."""


class Widths(Problem):
    """Each training leaves a line in its folder, so that a test can count them.

    Args:
        bonus: a setting, added to every value.
        dies_at: number of a trial that ends the process, where it is trained for the first time;
            -1: none.
        how: it does: "raise", "kill" (SIGKILL) or "ctrl-c".
        crashes_at: number of a trial whose training ends its process by a segmentation fault.
        drift: added at every further training of a trial.
        noise: standard deviation of a value, by the seed of its training.
        waits_from: number of the first trial that trains only when there is a file "go" beside the
            folders of the trials, and trial 0 when trial 3 has begun; -1: none waits.
    """

    space = Space(CHOICES)
    target = Target("score", "maximize", "%")
    metrics = ("cost",)
    datasets = ("signals",)

    def __init__(
        self,
        bonus: float = 0.0,
        dies_at: int = -1,
        how: str = "raise",
        drift: float = 0.0,
        crashes_at: int = -1,
        noise: float = 0.0,
        waits_from: int = -1,
    ) -> None:
        self.bonus, self.dies_at, self.how, self.drift = bonus, dies_at, how, drift
        self.crashes_at, self.noise, self.waits_from = crashes_at, noise, waits_from

    def evaluate(self, trial: RunningTrial) -> dict[str, float]:
        log = trial.folder / "trained.txt"
        again = log.exists()
        with log.open("a") as file:
            file.write("trained\n")
        if trial.number == self.dies_at and not again:
            self._die()
        if trial.number == self.crashes_at:
            os.kill(os.getpid(), signal.SIGSEGV)
        overlapping = {0: "0003", 1: "0000/trained.txt"}
        awaited = "go" if trial.number >= self.waits_from else overlapping.get(trial.number, "")
        while self.waits_from >= 0 and not (trial.folder.parent / awaited).exists():
            time.sleep(0.01)
        chosen = trial.architecture
        print("training", chosen)
        trial.report(1, 0.5)
        if chosen["stages"] == 1:
            raise ValueError("did not converge")
        widths = sum(value for name, value in chosen.items() if name.startswith("width"))
        score = widths * chosen["rate"] + float(trial.data["signals"]["x"].sum()) + self.bonus
        score += self.noise * random.gauss(0, 1)
        drift = self.drift * ("retrained" in trial.folder.parts)
        return {"score": score + drift, "cost": float(widths), "odd size [MB]": widths / 8}

    def test(self, trial: RunningTrial) -> dict[str, float]:
        with (trial.folder / "tested.txt").open("a") as file:
            file.write("tested\n")
        return {"score": 12.5}

    def _die(self) -> None:
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyboardInterrupt if self.how == "ctrl-c" else Killed


class Built(Widths):
    """Has networks, and keeps the initial weights of each."""

    def build(self, architecture: Any) -> nn.Module:
        return nn.Linear(3, architecture["width_1"])

    def example_input(self) -> Tensor:
        return torch.ones(1, 3)

    def evaluate(self, trial: RunningTrial) -> dict[str, float]:
        weights = self.build(trial.architecture).state_dict()
        torch.save({"weights": weights}, trial.folder / "checkpoint.pt")
        return super().evaluate(trial)


def with_data(project: Path, values: str = "1\n2\n") -> Path:
    """Put the problem's dataset, and its catalog entry, into a project."""
    (project / "conf" / "base" / "catalog_signals.yml").write_text(CATALOG)
    raw = project / "data" / "01_raw"
    raw.mkdir(parents=True, exist_ok=True)
    (raw / "signals.csv").write_text("x\n" + values)
    return project


def trainings(project: Path, run_id: str, what: str = "trained") -> int:
    """How many trainings there were in a run's folder."""
    folder = project / "data" / "07_model_output" / run_id / "trials"
    return sum(len(path.read_text().splitlines()) for path in folder.glob(f"*/{what}.txt"))


class Measured(Built):
    """Has networks whose latency is measured, though not precisely."""

    latency = LatencySettings(least_seconds=0.02, seconds=2, precision=1, quantile=0.75)
