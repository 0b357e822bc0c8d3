"""A problem whose values depend on the seed, and which counts what is trained."""

from __future__ import annotations

import random
from typing import Any

from optiproxy_nas import Problem, RunningTrial, Space, Target

SPACE = Space({"depth": [1, 2, 3, 4, 5], "width": [8, 16, 32, 64]}, name="noisy networks")


class Noisy(Problem):
    """Counts its trainings; some of them end otherwise.

    Attributes:
        trained: what it was asked.
        fails: folders whose trainings fail.
        ends_at: place of the training, from 0, that is interrupted.
    """

    space = SPACE
    target = Target("score", "maximize", "%")
    metrics = ("size",)

    def __init__(self) -> None:
        self.trained: list[RunningTrial] = []  # type: ignore[assignment]
        self.fails: tuple[str, ...] = ()
        self.ends_at = -1

    def evaluate(self, trial: RunningTrial) -> dict[str, float]:
        """Return a score that grows with the size, and the size, both with noise."""
        self.trained.append(trial)
        if len(self.trained) - 1 == self.ends_at:
            raise KeyboardInterrupt
        if trial.folder.name in self.fails:
            raise RuntimeError("no luck")
        size = trial.architecture["depth"] * trial.architecture["width"]
        score = size / 8 + random.gauss(0, 3)
        (trial.folder / "score.txt").write_text(str(score))
        return {"score": score, "size": size + random.random()}

    def test(self, trial: RunningTrial) -> dict[str, Any]:
        """Return the validation score that the tested training had."""
        return {"validation": float((trial.folder / "score.txt").read_text())}


def failing(*folders: str) -> Noisy:
    """Return the problem whose trainings in these folders fail."""
    problem = Noisy()
    problem.fails = folders
    return problem


def interrupted(place: int) -> Noisy:
    """Return the problem of which a training, from 0, is interrupted."""
    problem = Noisy()
    problem.ends_at = place
    return problem
