"""Evaluators: what trains the architectures that a search asks for, and how they are asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from optiproxy_nas.core.stop_line import Curve, StopLine
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.execution.jobs import Key
from optiproxy_nas.objectives.base import Objective


class Request(NamedTuple):
    """One training that a search asks for.

    Attributes:
        number: of the trial, from 0.
        attempt: which one at this trial, from 1.
        architecture: the space's text.
        epochs: of training, where the objective has fidelities; else None.
        seed: for the randomness of the training, in [0, 2**31).
        repeat: 0: the training of the search; 1, 2, ...: a confirmation of its value.
        folder: of the training, in that of all trials; "": that of its trial, ``0007``. What
            continues a shorter training has that one's folder, and its seed.
        full_epochs: of full training, where the objective has fidelities; else None.
        stop_line: below which the training is stopped early; None: it is not.
    """

    number: int
    attempt: int
    architecture: str
    epochs: int | None = None
    seed: int = 0
    repeat: int = 0
    folder: str = ""
    full_epochs: int | None = None
    stop_line: StopLine | None = None

    @property
    def key(self) -> Key:
        """What tells the request, and its job, from all others of the search."""
        return self.number, self.repeat, self.attempt

    def has_stopped(self, curve: Curve) -> bool:
        """Return whether a training that is over, and has not failed, was stopped early."""
        return self.stop_line is not None and self.stop_line.has_stopped(curve)


class Evaluator(ABC):
    """Trains what is requested. ``with`` releases what it holds: worker processes, files.

    A batch is handed to :meth:`ended`. :meth:`submit` and :meth:`poll` take requests one by one
    while others are trained: by default one at a time, in this process, when it is polled.

    Attributes:
        at_once: whether the outcomes of a batch come together. Then all of them are taken, also
            where the search is stopped after one of them.
        workers: number of trials that can be trained at the same time, now.
    """

    at_once: bool = False
    workers: int = 1
    _submitted: tuple[Request, ...] = ()

    @abstractmethod
    def ended(
        self, objective: Objective, requests: Sequence[Request]
    ) -> Iterator[tuple[int, Outcome]]:
        """Evaluate requests [n]: give the place of each and its outcome, as it ends.

        What raises or gives no finite number fails; a metric of the objective may be +inf (it
        cannot run there), the value may not.

        Raises:
            EvaluationError: an answer is of a type or shape that cannot be used, or a batched
                evaluation raised.
            OptiProxyError: a batched evaluation raised one of ours.
        """

    def outcomes(
        self, objective: Objective, requests: Sequence[Request]
    ) -> Iterator[Outcome | None]:
        """Evaluate requests [n]: give their outcomes in their order.

        Where an error ends that in the middle, what has ended is given before it is raised, with
        None in the place of the others.

        Raises:
            OptiProxyError: as of :meth:`ended`.
        """
        found: dict[int, Outcome] = {}
        given, trained = 0, self.ended(objective, requests)
        try:
            while True:
                try:
                    place, outcome = next(trained)
                except StopIteration:
                    return
                except BaseException:
                    if found:
                        yield from (found.get(place) for place in range(given, len(requests)))
                    raise
                found[place] = outcome
                while given in found:
                    yield found.pop(given)
                    given += 1
        finally:
            if isinstance(trained, Generator):
                trained.close()  # it ends what is still running

    def take_rest(self) -> list[tuple[int, Outcome]]:
        """Return what :meth:`ended` had not given yet of what had ended, when it was closed."""
        return []

    def submit(self, request: Request) -> str:
        """Take a request; it begins when a worker is free, in the order of submission.

        Returns:
            A handle by which a later process can rejoin the training; "": it cannot.
        """
        self._submitted = (*self._submitted, request)
        return ""

    def rejoin(self, request: Request, handle: str) -> bool:
        """Take over a request that an earlier process submitted; return whether that could be."""
        return False

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
        now, self._submitted = self._submitted[:1], self._submitted[1:]
        return [(now[0], outcome) for _, outcome in self.ended(objective, now)] if now else []

    def cancel(self, requests: Sequence[Request] | None = None) -> None:
        """End these requests, or all (None); nothing is heard of them any more."""
        kept = [] if requests is None else [r for r in self._submitted if r not in requests]
        self._submitted = tuple(kept)

    def release(self, request: Request) -> None:  # noqa: B027
        """Take note that a journal has what this training gave; it need not be kept elsewhere."""

    def keep_handles(  # noqa: B027
        self,
        earlier: Mapping[Key, tuple[Request, str]],
        on_begun: Callable[[Request, str], Any],
    ) -> None:
        """Have :meth:`ended` rejoin what an earlier process has begun, and say what it begins.

        Args:
            earlier: requests by key, with the handles by which they can be rejoined.
            on_begun: called with each request that a later process can rejoin, and its handle.
        """

    def leave(self) -> list[Request]:
        """Have run on what a later process can rejoin, also once this is closed; end the rest.

        Returns:
            What runs on.
        """
        self.cancel()
        return []

    def close(self) -> None:  # noqa: B027
        """Release what it holds; by default nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
