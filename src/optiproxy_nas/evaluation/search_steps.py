"""The steps of a search, which a driver orders: ask the method, hand out trials, take outcomes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.core.errors import TrialError
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.search_state import SearchState
from optiproxy_nas.evaluation.trial_book import Entry
from optiproxy_nas.evaluation.trials import Trial
from optiproxy_nas.methods import Method
from optiproxy_nas.spaces.base import SearchSpace

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class SearchSteps(SearchState):
    """What a driver makes a search of; :class:`~optiproxy_nas.evaluation.ask_tell.AskTell` is one.

    Attributes:
        before_asking: called before each time that the method is asked, with how many proposals
            are wanted (``Unavailable.wanted``).
    """

    space: SearchSpace
    method: Method
    before_asking: Callable[[int], Any] | None = None
    _unproposed: set[Hashable]  # trials made before, to be proposed again

    def propose(self, wanted: int = 0) -> bool:
        """Ask the method once, where the budget pays for another trial; what is new waits.

        With :meth:`begin` it is what :meth:`ask` does, for who decides when the method is asked.

        Args:
            wanted: as of ``methods.Unavailable``.

        Returns:
            Whether it proposed anything; not all of that need be new. If not, it may propose more
            after another answer, or the search has ended (:attr:`done`).

        Raises:
            OptiProxyError: as of :meth:`ask`.
        """
        with self._keeping_trials(), isolated():
            self._proposer.check_unbroken(self.has_journal)
            return self._proposer.can_pay and bool(self._ask_method(wanted)[0])

    def abandon(self) -> bool:
        """Drop what the method, asked in another thread, proposes; return whether it works on.

        Then the search is asked no more.
        """
        return self._proposer.abandon()

    def begin(self, number: int) -> Trial:
        """Hand out a trial that waits.

        Raises:
            TrialError: the trial does not wait.
        """
        entry = self._entry(number)
        if entry.state != "waiting":
            raise TrialError(f"Trial {number} does not wait: it is {entry.state}.", trial=number)
        if self._waiting[0] is entry:
            self._waiting.popleft()
        else:
            self._waiting.remove(entry)
        self._begin(entry)
        return self._book.trial(entry)

    def next_request(self, number: int) -> Request | None:
        """Return what a trial is asked for when it begins next; None where there is no such one."""
        if number >= len(self._book.entries):
            return None
        entry = self._book.entries[number]
        return entry.request._replace(attempt=entry.attempts + 1)

    def take(self, trial: Trial, outcome: Outcome, final: bool = False) -> Trial:
        """Take an outcome of an evaluator, as :meth:`tell` an answer; one that is final stays."""
        return self._settle(self._open(trial), outcome, final)

    def allow_retries(self, retries: int, first: int = 0) -> bool:
        """Try again what fails from here on, so many times; and what has failed before.

        Args:
            retries: of each trial.
            first: number of the first trial that is tried again though it was over.

        Returns:
            Whether there are any of these.
        """
        self.retries = retries
        again = self._book.reopen(retries, first)
        self._waiting.extend(again)
        return bool(again)

    def stop(self, reason: str) -> None:
        """Ask for no further trial; open ones may still be told."""
        self.stopped = self.stopped or str(reason or "it was stopped")

    def expect(self, table: pd.DataFrame) -> list[Hashable]:
        """Let no rule of the method end the search before these [n] are proposed; identify them."""
        codes = codes_of(self.space, table)
        identities = self.objective.price.identities(self.space, table, codes)
        self._unproposed = set(identities)
        return identities

    def end_repeating(self, missing: int) -> None:
        """Note that what is missing of trials made before is not proposed again; warn of it."""
        self._unproposed.clear()
        if missing and self._proposer.can_pay:
            _log.warning(
                "%d trials made before are not proposed again: another machine or version searches "
                "on in another way. initial=result.trials starts warm from all of them.",
                missing,
            )

    def _ask_method(self, wanted: int = 0) -> tuple[int, list[Entry]]:
        """Ask the method once; it does not end while trials made before are missing.

        Returns:
            how many of its proposals were kept, and those that are new, which wait now.
        """
        if self.before_asking is not None:
            self.before_asking(wanted)
        self._unproposed -= self._book.by_identity.keys()
        self.method.is_repeating = bool(self._unproposed)
        kept, new = self._proposer.propose(wanted)
        self._waiting.extend(new)
        if not kept and not self._book.open:
            self.stop(self.method.ended or "the method has nothing more to propose")
        return kept, new

    def _begin(self, entry: Entry) -> None:
        entry.state, entry.attempts = "running", entry.attempts + 1

    def _settle(self, entry: Entry, outcome: Outcome, final: bool = False) -> Trial:
        """Let an open trial end, or wait to be tried again unless that is final."""
        entry.outcome = outcome
        if outcome.error and not final and entry.attempts <= self.retries:
            entry.state = "waiting"
            self._waiting.append(entry)
        else:
            self._book.close(entry)
        return self._book.trial(entry)
