"""A problem that is solved in no time, and counts what is trained."""

from __future__ import annotations

import math
import os
import signal
from typing import Any

from optiproxy_nas import Choice, Problem, RunningTrial, Space, Target

SPACE = Space(
    {
        "depth": [1, 2, 3, 4],
        "width": Choice([8, 16, 32, 64], ordered=True),
        "activation": ["relu", "gelu", "日本語"],
        "rate": Choice([0.1, 0.01], ordered=True, when={"depth": [3, 4]}),
    },
    name="small networks",
)
RUN: dict[str, Any] = {"method": "local_search", "budget": 12, "seed": 3}


def error_of(architecture: dict[str, Any]) -> float:
    """Return a number that differs for different networks, and is in [0, 100]."""
    depth, width = architecture["depth"], architecture["width"]
    rate: float = architecture.get("rate", 0.5)
    return float(100 / (depth * width) + rate + len(architecture["activation"]))


class Trained(Problem):
    """Counts its trainings."""

    space = SPACE
    target = Target("error", "minimize", "%")
    metrics = ("width",)

    def __init__(self) -> None:
        self.trained: list[dict[str, Any]] = []  # type: ignore[assignment]
        self.tested: list[int] = []
        self.ends_at, self.ending = -1, ""

    def evaluate(self, trial: RunningTrial) -> dict[str, float]:
        """Return the error, the width and numbers that are none."""
        self.trained.append(dict(trial.architecture))
        if len(self.trained) - 1 == self.ends_at:
            self._end()
        trial.report(1, 0.5)
        trial.report(2, math.nan)
        (trial.folder / "checkpoint").write_text(str(trial.seed))
        return {
            "error": error_of(trial.architecture),
            "width": trial.architecture["width"],
            "nothing": math.nan,
            "memory_mb": math.inf,
        }

    def test(self, trial: RunningTrial) -> dict[str, float]:
        """Return the error on data that was kept back."""
        assert (trial.folder / "checkpoint").read_text() == str(trial.seed)
        self.tested.append(trial.number)
        return {"error": error_of(trial.architecture) + 1}

    def _end(self) -> None:
        if self.ending == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.ending == "interrupt":
            raise KeyboardInterrupt
        raise RuntimeError("Überlauf \udcff")


def ending_at(number: int, ending: str) -> Trained:
    """Return the same problem, whose n-th training from 0 ends otherwise."""
    problem = Trained()
    problem.ends_at, problem.ending = number, ending
    return problem
