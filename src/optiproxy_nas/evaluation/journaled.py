"""An evaluator that answers from a journal, and adds to it what it trains."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from optiproxy_nas.core.errors import JournalError
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Evaluator, Request
from optiproxy_nas.evaluation.journal import Journal
from optiproxy_nas.objectives.base import Objective

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class Journaled(Evaluator):
    """An evaluator whose outcomes go to a journal, and are not trained again if they are in it.

    Args:
        evaluator: trains what the journal lacks.
        journal: that is open.
        replay_only: train nothing.
    """

    def __init__(self, evaluator: Evaluator, journal: Journal, replay_only: bool = False) -> None:
        self._evaluator, self._journal, self._replay_only = evaluator, journal, replay_only
        self.at_once = evaluator.at_once
        evaluator.keep_handles({it[0].key: it for it in journal.history.begun}, self._begin)

    def ended(
        self, objective: Objective, requests: Sequence[Request]
    ) -> Iterator[tuple[int, Outcome]]:
        """Give what the journal has, and what its evaluator gives for the others.

        Raises:
            JournalError: an outcome cannot be written; it is raised after that outcome was given.
                Or one is missing, and nothing is to be trained.
            OptiProxyError: as of the evaluator.
        """
        missing = []
        for place, request in enumerate(requests):
            if (found := self._journal.find(request)) is not None:
                yield place, found
            elif self._replay_only:
                raise JournalError(
                    f"The journal {str(self._journal.path)!r} has no answer for "
                    f"{request.architecture} (attempt {request.attempt}): the search is not the "
                    "one that it was written by.",
                    path=str(self._journal.path),
                    architecture=request.architecture,
                )
            else:
                missing.append(place)
        asked = [requests[place] for place in missing]
        for index, outcome in self._evaluator.ended(objective, asked) if asked else ():
            lost = None
            try:
                self._record(asked[index], outcome)
            except JournalError as error:
                lost = error
            try:
                yield missing[index], outcome
            except GeneratorExit:  # the search was stopped by this very outcome
                if lost is None:
                    lost = self._record_rest(asked)
                if lost is not None:
                    _log.warning(lost.message)
                raise
            if lost is not None:
                raise lost

    def _record_rest(self, requests: Sequence[Request]) -> JournalError | None:
        """Add what has ended and is not taken any more; return the error if that cannot be."""
        try:
            for place, outcome in self._evaluator.take_rest():
                self._record(requests[place], outcome)
        except JournalError as error:
            return error
        return None

    def _begin(self, request: Request, handle: str) -> None:
        with self._leaving():
            self._journal.record_begun(request, handle)

    def _record(self, request: Request, outcome: Outcome) -> None:
        with self._leaving():
            self._journal.record(request, outcome)
        self._evaluator.release(request)

    @contextmanager
    def _leaving(self) -> Iterator[None]:
        """Where the journal cannot be written, leave to a later process what it can rejoin."""
        try:
            yield
        except JournalError:
            self._evaluator.leave()
            raise

    def close(self) -> None:
        """Release what its evaluator holds; the journal stays open."""
        self._evaluator.close()
