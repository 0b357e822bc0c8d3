"""Workers in memory, whose trials end in any order that a script says."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from optiproxy_nas.evaluation.answers import Outcome, failure, read_answer
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.objectives.base import Objective


class ScriptedWorkers(Evaluator):
    """As many trials run as are submitted; ``poll`` ends some of them, by a random script.

    Args:
        evaluate: as of a search.
        workers: how many there are.
        script: decides which trials end, and when; None: all that run, in order.

    Attributes:
        on_poll: called before each poll.
        kept: handles of jobs that outlive a driver.
        submitted: all requests, in order.
        cancelled: how many were cancelled.
    """

    def __init__(
        self,
        evaluate: Callable[..., Any],
        workers: int = 1,
        script: random.Random | None = None,
        on_poll: Callable[[], Any] | None = None,
        kept: Sequence[str] = (),
    ) -> None:
        self.workers, self.on_poll, self.kept = workers, on_poll, kept
        self.running: list[Request] = []
        self.submitted: list[Request] = []
        self.rejoined: list[Request] = []
        self.cancelled = 0
        self._evaluate, self._script = evaluate, script

    def ended(
        self, objective: Objective, requests: Sequence[Request]
    ) -> Iterator[tuple[int, Outcome]]:
        return ((place, self._outcome(objective, it)) for place, it in enumerate(requests))

    def submit(self, request: Request) -> str:
        self.submitted.append(request)
        self.running.append(request)
        assert len(self.running) <= self.workers
        return f"job {request.number}"

    def rejoin(self, request: Request, handle: str) -> bool:
        if handle not in self.kept:
            return False
        self.rejoined.append(request)
        self.running.append(request)
        return True

    def poll(
        self, objective: Objective, seconds: float | None = None
    ) -> list[tuple[Request, Outcome]]:
        if self.on_poll is not None:
            self.on_poll()
        ended, self.running = self.running, []
        if self._script is not None and ended:
            self._script.shuffle(ended)
            count = self._script.randint(1, len(ended))
            ended, self.running = ended[:count], ended[count:]
        return [(request, self._outcome(objective, request)) for request in ended]

    def cancel(self, requests: Sequence[Request] | None = None) -> None:
        self.cancelled += len(self.running)
        self.running = []

    def leave(self) -> list[Request]:
        left = [request for request in self.running if f"job {request.number}" in self.kept]
        self.cancelled += len(self.running) - len(left)
        self.running = []
        return left

    def _outcome(self, objective: Objective, request: Request) -> Outcome:
        epochs = (request.epochs,) if objective.fidelities else ()
        try:
            answer = self._evaluate(request.architecture, *epochs)
        except Exception as error:
            return failure(error)
        return read_answer(objective, answer, request.architecture)
