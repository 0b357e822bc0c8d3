"""How a search by ask and tell stands: its trials, its archive, what it has spent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np
import pandas as pd

from optiproxy_nas.core.errors import MethodError, OptiProxyError, TrialError
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.core.run_settings import FailureSettings
from optiproxy_nas.core.stop_line import Curve
from optiproxy_nas.core.validation import curve_points
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.proposals import Proposer
from optiproxy_nas.evaluation.trial_book import Entry, TrialBook
from optiproxy_nas.evaluation.trials import Asked, Event, Trial, check_failures
from optiproxy_nas.methods import Records
from optiproxy_nas.objectives.base import Objective


class SearchState:
    """What can be read of a search; :class:`~optiproxy_nas.evaluation.ask_tell.AskTell` goes on."""

    objective: Objective
    stopped: str
    kept_back: int = 0  # of the budget in all, what ``budget`` does not hold: it is to confirm
    has_journal: bool = False  # by which it goes on
    retries: int  # of a trial that failed
    confirmations: pd.DataFrame
    _failures: FailureSettings
    _book: TrialBook
    _proposer: Proposer
    _waiting: deque[Entry]

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials so far, by number."""
        return self._book.trials

    @property
    def trial_count(self) -> int:
        """How many trials there are so far."""
        return len(self._book.entries)

    @property
    def requests(self) -> tuple[Request, ...]:
        """What all trials so far are asked for, by number."""
        return tuple(map(self._book.request, self._book.entries))

    @property
    def pending(self) -> tuple[Trial, ...]:
        """The trials that are waiting or running."""
        return tuple(map(self._book.trial, self._book.open.values()))

    @property
    def waiting(self) -> int:
        """How many trials wait to be handed out."""
        return len(self._waiting)

    def upcoming(self, count: int | None = None) -> list[Request]:
        """Return what the trials that wait will be asked for, in the order of being handed out.

        Args:
            count: of the first ones; None: all.
        """
        return [
            entry.request._replace(attempt=entry.attempts + 1)
            for entry in islice(self._waiting, count)
        ]

    def request(self, trial: Trial) -> Request:
        """Return what is asked of an evaluator for a trial that :meth:`ask` gave."""
        return self._book.request(self._open(trial))

    def trained(self, trial: Trial) -> Request:
        """Return what was asked of an evaluator for a trial of this search."""
        return self._book.request(self._book.entries[trial.number])

    @property
    def spent(self) -> int:
        """What was charged, in the objective's unit; open and failed trials included."""
        return self._proposer.ledger.spent

    @property
    def spent_on_ended(self) -> int:
        """What of it was charged for trials that are complete or failed."""
        return self.spent - sum(entry.cost for entry in self._book.open.values())

    @property
    def budget(self) -> int:
        """What may be charged in all."""
        return self._proposer.ledger.budget

    @property
    def can_ask(self) -> bool:
        """Whether the method may be asked again: it goes on, and the budget pays for a trial."""
        return not self.stopped and self._proposer.can_pay

    @property
    def done(self) -> str:
        """Why there is nothing more to ask for, "" if there may be."""
        if self.stopped:
            return self.stopped
        if self._waiting or self._proposer.can_pay:
            return ""
        budget, unit = self.budget + self.kept_back, self.objective.price.unit
        if self.kept_back and self.confirmations.empty:
            return (
                f"{self.budget} of the budget of {budget} {unit} are spent; the others are kept "
                "back to confirm the best"
            )
        of_it = f", {self.kept_back} of them to confirm the best" if self.kept_back else ""
        return f"the budget of {budget} {unit} is spent{of_it}"

    @property
    def best(self) -> float:
        """The best eligible value so far, NaN while there is none."""
        archive = self.archive()
        return float(archive["best"].iloc[-1]) if len(archive) else float("nan")

    def should_stop(self, trial: Trial | int, curve: Curve) -> bool:
        """Return whether an open trial is to be ended now and told what it has reached.

        Args:
            trial: that was asked for, or its number.
            curve: (step, value) that it has reported so far, in order, from the first step on.

        Raises:
            ParameterError: a point of the curve is none.
            TrialError: the trial is not open.
        """
        line = self._book.request(self._open(trial)).stop_line
        return line is not None and line.is_crossed_by(curve_points(curve))

    def archive(self) -> pd.DataFrame:
        """Return D: the complete trials, in the order told."""
        return self._book.archive()

    def failed(self) -> pd.DataFrame:
        """Return the failed trials in the order told (``evaluation.batch.failed_rows``)."""
        return self._book.failed()

    def proposals(self) -> pd.DataFrame:
        """Return one row a proposal, repeats included, as of :meth:`TrialBook.proposals`."""
        return self._book.proposals()

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened, in order: the number of a trial that was over, or the method was asked.

        Equal arguments and events give equal searches. Trials made before are not among them.
        """
        return tuple(self._book.events)

    @property
    def times_asked(self) -> int:
        """How often the method was asked."""
        return sum(isinstance(event, Asked) for event in self._book.events)

    def records(self) -> Records:
        """Return what the method kept of its work; where the search is done, of all of it."""
        with self._keeping_trials(), isolated():
            return self._proposer.records(bool(self.done))

    @property
    def failures(self) -> list[bool]:
        """Of each trial that is over and was paid for, in the order told, whether it failed."""
        return [entry.state == "failed" for entry in self._book.over[self._book.free :]]

    def check_failures(self) -> None:
        """End the search if too many trials failed.

        Raises:
            FailedTrialsError: of :func:`evaluation.trials.check_failures`.
        """
        over = self._book.over
        if over and over[-1].state == "failed":
            error = over[-1].outcome.error
            check_failures(self._failures, self.failures, error, self.has_journal)

    @contextmanager
    def _keeping_trials(self) -> Iterator[None]:
        """Give an error of the method, or of ours, the trials that were paid for.

        Raises:
            MethodError: in place of an error that is none of the project's.
        """
        try:
            yield
        except OptiProxyError as error:
            self.keep_trials(error)
            raise
        except Exception as error:
            count = sum(entry.state == "complete" for entry in self._book.entries)
            failure = MethodError(
                f"The method failed after {count} queries, which are kept in this error's "
                f"data['archive']: {type(error).__name__}: {error}"
            )
            self.keep_trials(failure)
            raise failure from error

    def keep_trials(self, error: OptiProxyError) -> None:
        """Give an error the archive and the trials so far, unless it has them."""
        if "archive" not in error.data:
            error.data |= {"archive": self.archive(), "trials": self.trials}

    def _open(self, trial: Trial | int) -> Entry:
        """Return the running trial that is meant."""
        entry = self._entry(trial)
        number = entry.number
        if isinstance(trial, Trial) and trial.text != entry.architecture:
            raise TrialError(f"Trial {number} of {trial.text} is of another search.", trial=number)
        if entry.state != "running":
            was = "was not asked for yet" if entry.state == "waiting" else "was told already"
            message = f"Trial {number} {was}; its state is {entry.state!r}."
            raise TrialError(message, trial=number, state=entry.state)
        return entry

    def _entry(self, trial: Trial | int) -> Entry:
        """Return the trial that is meant, as the search keeps it."""
        number = trial.number if isinstance(trial, Trial) else trial
        if isinstance(number, np.integer):  # of a table
            number = int(number)
        is_number = isinstance(number, int) and not isinstance(number, bool)
        if not is_number or not 0 <= number < len(self._book.entries):
            raise TrialError(
                f"There is no trial {number!r}: this search has {len(self._book.entries)}, from 0.",
                trial=number,
            )
        return self._book.entries[number]
