"""A search by ask and tell: it hands out trials, and takes what they gave in any order.

It owns the budget, the trials and the archive; a method owns its proposals. Each architecture (at
each fidelity) is charged and handed out once. A method that proposes it again gets its answer
again, or nothing where it is still open or has failed.

What a search proposes follows from its arguments and from the order in which it was asked and told,
and from nothing else. Answers reach the method when it has to propose again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import FailureSettings, StoppingSettings
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.core.stop_line import Curve
from optiproxy_nas.core.validation import curve_points, finite_number, whole_number
from optiproxy_nas.evaluation.answers import Outcome, read_answer
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.proposals import Proposer
from optiproxy_nas.evaluation.search_state import SearchState
from optiproxy_nas.evaluation.trial_book import Entry, TrialBook
from optiproxy_nas.evaluation.trials import Trial, check_failures
from optiproxy_nas.methods import Method
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.problems import VALUE
from optiproxy_nas.spaces.base import SearchSpace

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error


class AskTell(SearchState):
    """One search.

    Args:
        space: the search space.
        objective: what a trial reveals and costs, and which is the best.
        method: ready to be asked.
        budget: in all, in the objective's unit.
        seed: from which each trial's own follows.
        failures: when failed trials end the search.
        stopping: when running trainings are ended early.

    Raises:
        BudgetError: the space has fewer architectures than the budget.
    """

    def __init__(
        self,
        space: SearchSpace,
        objective: Objective,
        method: Method,
        budget: int,
        seed: int = 0,
        failures: FailureSettings | None = None,
        stopping: StoppingSettings | None = None,
    ) -> None:
        self.space, self.objective, self.method = space, objective, method
        self.target_name = VALUE  # of the metric that is searched for, as it is told
        self.stopped = ""  # why it was ended before its budget
        # Of an answer of this search as it was run before, by its text, epochs and repeat.
        self.tests: dict[tuple[str, int | None, int], Mapping[str, float]] = {}
        self.confirmations = pd.DataFrame()  # of ``confirmation.tabulate``, also of before
        self._failures = failures or FailureSettings()
        self._book = TrialBook(space, objective, seed, stopping)
        self._proposer = Proposer(space, objective, method, budget, self._book)
        self._waiting: deque[Entry] = deque()
        # Of this search as it was run before: outcomes of each trial's attempts, and whether the
        # last of them is final.
        self._recorded: dict[Hashable, deque[Outcome]] = {}
        self._is_final = True
        self._unproposed: set[Hashable] = set()  # of these, what is to be proposed again
        self._past: deque[Hashable | None] = deque()  # its events: None where the method was asked

    def ask(self, count: int | None = None) -> list[Trial]:
        """Return trials to evaluate; fewer than ``count``, or none, where there are no more.

        None may come because answers are missing: :attr:`done` tells.

        Args:
            count: how many; None: all that the method proposes at a time.

        Raises:
            FailedTrialsError: too many trials failed.
            InvalidArchitectureError: the method proposed something that is no code of the space.
            MethodError: the method raised, gave columns that cannot be used, or nothing at all; or
                an earlier ``ask`` was ended in the middle, by Ctrl-C or an error.
            ParameterError: ``count`` is no whole number from 0.
            SamplingError: the method proposes nothing new any more.
        """
        if count is not None:
            count = whole_number("count", count)
        asked: list[Entry] = []
        with self._keeping_trials(), isolated():
            self.check_failures()
            self._proposer.check_unbroken()
            self._repeat_past()
            while not self.stopped and (count is None or len(asked) < count):
                if not self._waiting and ((asked and count is None) or not self._propose()):
                    break
                entry = self._waiting.popleft()
                entry.state, entry.attempts = "running", entry.attempts + 1
                if not self._settle_recorded(entry):
                    asked.append(entry)
        return [self._book.trial(entry) for entry in asked]

    def tell(
        self,
        trial: Trial | int,
        answer: Any = None,
        *,
        failed: str = "",
        seconds: float | None = None,
        curve: Curve = (),
    ) -> Trial:
        """Take what a trial gave, and return the trial as it is now.

        Args:
            trial: that was asked for, or its number.
            answer: a number, or ``{metric: number}`` with ``value`` (of a problem, its target) and
                the objective's metrics. NaN, None or an infinite value: it failed.
            failed: why it failed, in place of an answer.
            seconds: that the evaluation took.
            curve: (step, value) that it reported, in order, from the first step on; what trials are
                ended early by (:meth:`should_stop`).

        Raises:
            EvaluationError: the answer is of a type that cannot be used; the trial stays open.
            ParameterError: an answer and ``failed`` are given, ``seconds`` is no number from 0, or
                ``curve`` has other than a whole number and a number a point.
            TrialError: the trial is not open.
        """
        entry = self._open(trial)
        if seconds is not None:
            seconds = finite_number("seconds", seconds, least=0)
        if failed and answer is not None:
            raise ParameterError(
                f"Trial {entry.number} was told an answer, {answer!r:.200}, and that it failed: "
                f"{str(failed)[:200]}. Give one of them."
            )
        if failed:
            outcome = Outcome({}, str(failed))
        else:
            outcome = read_answer(self.objective, answer, entry.architecture, self.target_name)
        points, request = curve_points(curve), self._book.request(entry)
        stopped = not outcome.error and request.has_stopped(points)
        outcome = outcome._replace(seconds=seconds, curve=points, stopped=stopped)
        self._keep(request, outcome)
        return self._settle(entry, outcome)

    def _keep(self, request: Request, outcome: Outcome) -> None:
        """Keep what was told, before it counts; here nowhere."""

    def take(self, trial: Trial, outcome: Outcome) -> Trial:
        """Take an outcome of an evaluator, as :meth:`tell` an answer."""
        return self._settle(self._open(trial), outcome)

    def request(self, trial: Trial) -> Request:
        """Return what is asked of an evaluator for a trial that :meth:`ask` gave."""
        return self._book.request(self._open(trial))

    def trained(self, trial: Trial) -> Request:
        """Return what was asked of an evaluator for a trial of this search."""
        return self._book.request(self._book.entries[trial.number])

    def stop(self, reason: str) -> None:
        """Ask for no further trial; open ones may still be told."""
        self.stopped = self.stopped or str(reason or "it was stopped")

    def start_from(self, table: pd.DataFrame, outcomes: Sequence[Outcome]) -> None:
        """Take trials that were made before, which are not charged; before the first ``ask``.

        Args:
            table: of ``make_batch`` [n].
            outcomes: of each.

        Raises:
            BudgetError: they leave fewer architectures of the space than the budget.
        """
        codes = codes_of(self.space, table)
        identities = self.objective.price.identities(self.space, table, codes)
        self._proposer.check_what_is_left(codes)
        added = self._book.add(table, codes, identities, range(len(table)), [0] * len(table))
        self._book.free = len(added)
        for entry, outcome in zip(added, outcomes, strict=True):
            self._settle(entry, outcome, final=True)
        with self._keeping_trials(), isolated():
            self._proposer.start_from_book()

    def replay(
        self,
        table: pd.DataFrame,
        attempts: Sequence[Sequence[Outcome]],
        events: Sequence[int | None] = (),
        final: bool = True,
    ) -> None:
        """Give the outcomes of this same search as it was run before; before the first ``ask``.

        A trial that has one is charged and told as it was then, and not handed out.

        Args:
            table: of ``make_batch`` [n].
            attempts: the outcomes of each.
            events: in order, a row of the table that was told, or None where the method was asked;
                the first ``ask`` repeats them. Without them trials are told as they are proposed.
            final: whether failed trials are over, however often they may be tried again.
        """
        identities = self.expect(table)
        self._recorded = dict(zip(identities, map(deque, attempts), strict=True))
        self._is_final = final
        self._past = deque(None if event is None else identities[event] for event in events)

    def expect(self, table: pd.DataFrame) -> list[Hashable]:
        """Let no rule of the method end the search before these [n] are proposed; identify them."""
        codes = codes_of(self.space, table)
        identities = self.objective.price.identities(self.space, table, codes)
        self._unproposed = set(identities)
        return identities

    def _propose(self) -> bool:
        """Ask the method until it proposes something new; return whether it does."""
        while self._proposer.can_pay:
            kept, new = self._ask_method()
            self._waiting.extend(new)
            if new:
                return True
            if not kept:
                if not self._book.open:
                    self.stop(self.method.ended or "the method has nothing more to propose")
                return False
        return False

    def _ask_method(self) -> tuple[int, list[Entry]]:
        """Ask the method once; it does not end while trials made before are missing."""
        self._unproposed -= self._book.by_identity.keys()
        self.method.is_repeating = bool(self._unproposed)
        return self._proposer.propose()

    def _repeat_past(self) -> None:
        """Ask the method, and tell the trials, in the order in which that was done before."""
        if not self._past:
            return
        while self._past:
            identity = self._past.popleft()
            if identity is None:
                if self._proposer.can_pay:
                    self._waiting.extend(self._ask_method()[1])
            elif identity in self._recorded and identity in self._book.by_identity:
                entry = self._book.by_identity[identity]
                self._waiting.remove(entry)
                entry.attempts += 1
                self._settle_recorded(entry)
        self._unproposed.clear()  # what is missing now may never be proposed
        if self._recorded and self._proposer.can_pay:
            _log.warning(
                "%d trials made before are not proposed again: another machine or version searches "
                "on in another way. initial=result.trials starts warm from all of them.",
                len(self._recorded),
            )

    def _settle_recorded(self, entry: Entry) -> bool:
        """Let a trial end as its next attempt did before; return whether that is recorded."""
        if not (outcomes := self._recorded.get(entry.identity)):
            return False
        outcome = outcomes.popleft()
        if not outcomes:
            del self._recorded[entry.identity]
        self._settle(entry, outcome, self._is_final)
        return True

    def _settle(self, entry: Entry, outcome: Outcome, final: bool = False) -> Trial:
        """Let an open trial end, or wait to be tried again unless that is final."""
        entry.outcome = outcome
        if outcome.error and not final and entry.attempts <= self._failures.retries:
            entry.state = "waiting"
            self._waiting.append(entry)
        else:
            self._book.close(entry)
        return self._book.trial(entry)

    def check_failures(self) -> None:
        """End the search if too many trials failed.

        Raises:
            FailedTrialsError: of :func:`evaluation.trials.check_failures`.
        """
        over = self._book.over
        if over and over[-1].state == "failed":
            flags = [entry.state == "failed" for entry in over[self._book.free :]]
            check_failures(self._failures, flags, over[-1].outcome.error)
