"""Evaluators that are handed one request after another while others are still trained."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.objectives.base import Objective


@runtime_checkable
class ConcurrentEvaluator(Protocol):
    """Trains what is requested, several at the same time; the end of each is told once."""

    @property
    def workers(self) -> int:
        """Number of trials that can be trained at the same time, now."""
        ...

    def submit(self, request: Request) -> str:
        """Take a request; it begins when a worker is free, in the order of submission.

        Returns:
            A handle by which a later process can rejoin the training; "": it cannot.
        """
        ...

    def rejoin(self, request: Request, handle: str) -> bool:
        """Take over a request that an earlier process submitted; return whether that could be."""
        ...

    def poll(
        self, objective: Objective, seconds: float | None = None
    ) -> list[tuple[Request, Outcome]]:
        """Return the requests that have ended, each once, with their outcomes.

        Args:
            objective: of the search.
            seconds: to wait for the first one; None: until one has ended.

        Returns:
            None: where none is left, or the time is over.

        Raises:
            EvaluationError: an answer is of a type that cannot be used, whose request is
                ``data["request"]``; or no training can begin, or can be heard of.
        """
        ...

    def cancel(self, requests: Sequence[Request] | None = None) -> None:
        """End these requests, or all (None); nothing is heard of them any more."""
        ...

    def leave(self) -> list[Request]:
        """Have run on what a later process can rejoin, also once this is closed; end the rest.

        Returns:
            What runs on.
        """
        ...


class OneAtATime:
    """An evaluator that trains in this process, as a concurrent one with a single worker.

    Args:
        evaluator: which trains a request when its outcome is polled, however long that takes.
    """

    workers = 1

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._waiting: deque[Request] = deque()

    def submit(self, request: Request) -> str:
        """See :class:`ConcurrentEvaluator`."""
        self._waiting.append(request)
        return ""

    def rejoin(self, request: Request, handle: str) -> bool:
        """See :class:`ConcurrentEvaluator`; nothing outlives this process."""
        return False

    def poll(
        self, objective: Objective, seconds: float | None = None
    ) -> list[tuple[Request, Outcome]]:
        """Train for the next request; see :class:`ConcurrentEvaluator`."""
        if not self._waiting:
            return []
        request = self._waiting.popleft()
        return [(request, outcome) for _, outcome in self._evaluator.ended(objective, [request])]

    def cancel(self, requests: Sequence[Request] | None = None) -> None:
        """See :class:`ConcurrentEvaluator`."""
        kept = [] if requests is None else [r for r in self._waiting if r not in requests]
        self._waiting = deque(kept)

    def leave(self) -> list[Request]:
        """See :class:`ConcurrentEvaluator`."""
        self.cancel()
        return []


def concurrent(evaluator: Evaluator | ConcurrentEvaluator) -> ConcurrentEvaluator:
    """Return an evaluator as a concurrent one; one that is none trains one at a time."""
    return evaluator if isinstance(evaluator, ConcurrentEvaluator) else OneAtATime(evaluator)
