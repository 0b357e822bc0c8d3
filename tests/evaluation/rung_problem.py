"""A problem whose trainings go on from what a shorter one left in their folder."""

from __future__ import annotations

import json
import os
import random
import signal
from typing import Any

from evaluations import QUICK, share

from optiproxy_nas import Choice, Problem, RunningTrial, Space, Target

OBJECTIVE: dict[str, Any] = {
    "name": "multi_fidelity",
    "low_epochs": 2,
    "full_epochs": 6,
    "step_epochs": 10,
    "low_first": 6,
    "continues": True,
}
RUN: dict[str, Any] = {"objective": OBJECTIVE, "budget": 50, "seed": 1, **QUICK}
# Three rungs, of whose trials the better ones may be raised.
THREE: dict[str, Any] = {
    "name": "multi_fidelity",
    "rungs": [1, 3, 6],
    "step_epochs": 10,
    "low_first": 6,
    "continues": True,
    "share": 0.4,
}


class Continuing(Problem):
    """Each epoch is a line of a file; its score depends on seed, epoch and what was trained before.

    Args:
        dies_at: number of a trial and epoch before which the process is killed for the first time.
        fails_at: number of a trial that fails before its last epoch, at its first attempt.
        silent: report nothing.
    """

    space = Space({"depth": [*range(1, 9)], "width": Choice([8, 16, 32, 64], ordered=True)})
    target = Target("score", "maximize", "%")

    def __init__(
        self, dies_at: tuple[int, int] = (-1, -1), fails_at: int = -1, silent: bool = False
    ) -> None:
        self.dies_at, self.fails_at, self.silent = dies_at, fails_at, silent
        # Number and epoch, of all that were trained.
        self.trained: list[tuple[int, int]] = []  # type: ignore[assignment]

    def evaluate(self, trial: RunningTrial) -> dict[str, float]:
        file = trial.folder / "scores.json"
        scores: list[float] = json.loads(file.read_text()) if file.exists() else []
        is_told = False
        for epoch, score in enumerate(scores, 1):
            is_told = not self.silent and trial.report(epoch, score)
        while len(scores) < (trial.epochs or 6) and not is_told:
            epoch = len(scores) + 1
            if (trial.number, epoch) == self.dies_at and not (trial.folder / "died").exists():
                (trial.folder / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if trial.number == self.fails_at and trial.attempt == 1 and epoch == trial.epochs:
                raise RuntimeError("out of luck")
            drawn = random.Random(f"{trial.seed} {epoch} {scores}").random()
            scores.append(50 + 40 * share(str(trial.architecture)) + epoch + drawn)
            file.write_text(json.dumps(scores))
            self.trained.append((trial.number, epoch))
            is_told = not self.silent and trial.report(epoch, scores[-1])
        return {"score": scores[-1], "full": float(trial.full_epochs or -1)}

    def test(self, trial: RunningTrial) -> dict[str, float]:
        return {"score": json.loads((trial.folder / "scores.json").read_text())[-1]}
