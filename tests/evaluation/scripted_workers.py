"""Workers in memory, whose trials end in any order that a script says."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from optiproxy_nas.evaluation.answers import Outcome, failure, read_answer
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.objectives.base import Objective


class ScriptedWorkers:
    """As many trials run as are submitted; ``poll`` ends some of them, by a random script.

    Args:
        evaluate: as of a search.
        workers: how many there are.
        script: decides which trials end, and when.
    """

    def __init__(
        self, evaluate: Callable[..., Any], workers: int = 1, script: random.Random | None = None
    ) -> None:
        self.workers = workers
        self.running: list[Request] = []
        self.submitted: list[Request] = []
        self._evaluate, self._script = evaluate, script or random.Random(0)

    def submit(self, request: Request) -> str:
        self.submitted.append(request)
        self.running.append(request)
        assert len(self.running) <= self.workers
        return f"job {request.number}.{request.attempt}"

    def rejoin(self, request: Request, handle: str) -> bool:
        return False

    def poll(
        self, objective: Objective, seconds: float | None = None
    ) -> list[tuple[Request, Outcome]]:
        self._script.shuffle(self.running)
        count = self._script.randint(1, len(self.running)) if self.running else 0
        ended = [self.running.pop() for _ in range(count)]
        return [(request, self._outcome(objective, request)) for request in ended]

    def cancel(self, requests: Sequence[Request] | None = None) -> None:
        self.running = []

    def _outcome(self, objective: Objective, request: Request) -> Outcome:
        epochs = (request.epochs,) if objective.fidelities else ()
        try:
            answer = self._evaluate(request.architecture, *epochs)
        except Exception as error:
            return failure(error)
        return read_answer(objective, answer, request.architecture)
