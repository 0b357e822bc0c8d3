"""Evaluations that are functions, of one architecture or of a batch, as evaluators."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from optiproxy_nas.core.errors import EvaluationError, OptiProxyError, ParameterError
from optiproxy_nas.core.random_streams import seeded_globals
from optiproxy_nas.evaluation.answers import Outcome, failure, read_answer, read_answers
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.execution.jobs import in_one_process
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.spaces.base import SearchSpace

_log = logging.getLogger(__name__)


class Batched:
    """A function of a whole batch of architectures [n] (and epochs), made by :func:`batched`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self.function(*arguments)


# A function of an architecture, which gives a number, or {metric: number} with "value"; where the
# objective has fidelities, the number of epochs is a second argument. Or a :class:`Batched` one, or
# an :class:`Evaluator`.
Evaluate = Callable[..., Any] | Evaluator


def batched(function: Callable[..., Any]) -> Batched:
    """Mark an evaluation that takes a list of architectures at once, as ``evaluate=batched(f)``.

    It gives n numbers in the same order, a mapping of columns ``{metric: [n numbers]}``, or what
    has labels (Series, DataFrame, a dict by architecture), which is matched by label. NaN, None
    and what is masked mean that the trial failed. An error fails the batch and ends the search.

    Raises:
        ParameterError: it is no function.
    """
    if isinstance(function, Batched):
        return function
    if not callable(function):
        raise ParameterError(
            f"batched({function!r:.200}): it takes a function of a list of architectures."
        )
    return Batched(function)


def as_evaluator(evaluate: Evaluate, space: SearchSpace | None = None) -> Evaluator:
    """Return an evaluation as an evaluator, which calls it with one architecture or with a batch.

    Args:
        evaluate: of the search.
        space: of the search, as whose architectures a function gets them; None: as texts.
    """
    if isinstance(evaluate, Evaluator):
        return evaluate
    read = str if space is None else space.architecture
    if isinstance(evaluate, Batched):
        return _BatchEvaluator(evaluate, read)
    return _FunctionEvaluator(evaluate, read)


def _seeded(request: Request) -> AbstractContextManager[None]:
    """Seed the global generators for a confirmation; a trial of a function draws as it likes."""
    return seeded_globals(request.seed) if request.repeat else nullcontext()


class _FunctionEvaluator(Evaluator):
    """Calls a function with one architecture at a time."""

    def __init__(self, function: Callable[..., Any], read: Callable[[str], Any]) -> None:
        self._function, self._read = function, read

    def ended(
        self, objective: Objective, requests: Sequence[Request]
    ) -> Iterator[tuple[int, Outcome]]:
        """Call the function for each request."""
        for place, request in enumerate(requests):
            epochs = (request.epochs,) if objective.fidelities else ()
            begun = time.perf_counter()
            try:
                with _seeded(request), in_one_process():
                    answer = self._function(self._read(request.architecture), *epochs)
            except Exception as error:
                _log.debug("The evaluation of %s failed", request.architecture, exc_info=True)
                outcome = failure(error)
            else:
                outcome = read_answer(objective, answer, request.architecture)
            yield place, outcome._replace(seconds=time.perf_counter() - begun)


class _BatchEvaluator(Evaluator):
    """Calls a batched function once a batch, or once a number of epochs in it."""

    at_once = True

    def __init__(self, function: Batched, read: Callable[[str], Any]) -> None:
        self._function, self._read = function, read

    def ended(
        self, objective: Objective, requests: Sequence[Request]
    ) -> Iterator[tuple[int, Outcome]]:
        """Call the function for all requests of equal epochs and repeat, the fewest first."""
        alike: dict[tuple[int, int], list[int]] = {}
        for place, request in enumerate(requests):
            alike.setdefault((request.epochs or 0, request.repeat), []).append(place)
        for (epochs, _), places in sorted(alike.items()):
            names = [requests[place].architecture for place in places]
            begun = time.perf_counter()
            with _seeded(requests[places[0]]):
                answer = self._call(names, (epochs,) if objective.fidelities else ())
            seconds = (time.perf_counter() - begun) / len(places)
            outcomes = read_answers(objective, answer, names)
            for place, outcome in zip(places, outcomes, strict=True):
                yield place, outcome._replace(seconds=seconds)

    def _call(self, names: list[str], epochs: tuple[int, ...]) -> Any:
        """Call the function, which may change its list; an error of it is one of ours."""
        try:
            with in_one_process():
                return self._function(list(map(self._read, names)), *epochs)
        except OptiProxyError:
            raise
        except Exception as error:
            raise EvaluationError(
                f"The batched evaluation failed: {type(error).__name__}: {error}. Where single "
                "architectures fail, give NaN for them.",
                architectures=names,
            ) from error
