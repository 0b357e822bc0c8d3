"""A search by ask and tell: it hands out trials, and takes what they gave in any order.

It owns the budget, the trials and the archive; a method owns its proposals. Each architecture (at
each fidelity) is charged and handed out once. A method that proposes it again gets its answer
again, or nothing where it is still open or has failed.

What a search proposes follows from its arguments and from the order in which it was asked and told,
and from nothing else. Answers reach the method when it has to propose again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.core.run_settings import FailureSettings, StoppingSettings
from optiproxy_nas.core.secrets import masked
from optiproxy_nas.core.stop_line import Curve
from optiproxy_nas.core.validation import curve_points, finite_number, whole_number
from optiproxy_nas.evaluation.answers import Outcome, read_answer
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.proposals import Proposer
from optiproxy_nas.evaluation.search_steps import SearchSteps
from optiproxy_nas.evaluation.trial_book import Entry, TrialBook
from optiproxy_nas.evaluation.trials import Asked, Event, Trial
from optiproxy_nas.methods import Method
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.problems import VALUE
from optiproxy_nas.spaces.base import SearchSpace


class AskTell(SearchSteps):
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
        self.retries = self._failures.retries
        self._book = TrialBook(space, objective, seed, stopping)
        self._proposer = Proposer(space, objective, method, budget, self._book)
        self._waiting: deque[Entry] = deque()
        # Of this search as it was run before: the outcome of each trial, and its events.
        self._recorded: dict[Hashable, Outcome] = {}
        self._past: deque[Hashable | Asked] = deque()
        self._unproposed = set()

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
            self._proposer.check_unbroken(self.has_journal)
            self._repeat_past()
            while not self.stopped and (count is None or len(asked) < count):
                if not self._waiting and ((asked and count is None) or not self._propose()):
                    break
                entry = self._waiting.popleft()
                self._begin(entry)
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
            outcome = Outcome({}, masked(str(failed)))
        else:
            outcome = read_answer(self.objective, answer, entry.architecture, self.target_name)
        points, request = curve_points(curve), self._book.request(entry)
        stopped = not outcome.error and request.has_stopped(points)
        outcome = outcome._replace(seconds=seconds, curve=points, stopped=stopped)
        self._keep(request, outcome)
        return self._settle(entry, outcome)

    def _keep(self, request: Request, outcome: Outcome) -> None:
        """Keep what was told, before it counts; here nowhere."""

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
        outcomes: Sequence[Outcome],
        events: Sequence[Event] = (),
    ) -> None:
        """Give the outcomes of this same search as it was run before; before the first ``ask``.

        A trial that has one is charged and told as it was then, and not handed out; what failed is
        not tried again.

        Args:
            table: of ``make_batch`` [n].
            outcomes: of each.
            events: in order, a row of the table that was told, or the method was asked; the first
                ``ask`` repeats them. Without them trials are told as they are proposed.
        """
        identities = self.expect(table)
        self._recorded = dict(zip(identities, outcomes, strict=True))
        self._past = deque(identities[it] if isinstance(it, int) else it for it in events)

    def _propose(self) -> bool:
        """Ask the method until it proposes something new; return whether it does."""
        while self._proposer.can_pay:
            kept, new = self._ask_method()
            if new or not kept:
                return bool(new)
        return False

    def _repeat_past(self) -> None:
        """Ask the method, and tell the trials, in the order in which that was done before."""
        if not self._past:
            return
        while self._past:
            event = self._past.popleft()
            if isinstance(event, Asked):
                if self._proposer.can_pay:
                    self._ask_method(event.wanted)
            elif event in self._recorded and event in self._book.by_identity:
                entry = self._book.by_identity[event]
                self.begin(entry.number)
                self._settle_recorded(entry)
        self.end_repeating(len(self._recorded))

    def _settle_recorded(self, entry: Entry) -> bool:
        """Let a trial end as it did before; return whether that is recorded."""
        if (outcome := self._recorded.pop(entry.identity, None)) is None:
            return False
        self._settle(entry, outcome, final=True)
        return True
