"""A search by ask and tell: it hands out trials, and takes what they gave in any order.

It owns the budget, the trials and the archive; a method owns its proposals. Each architecture (at
each fidelity) is charged and handed out once. A method that proposes it again gets its answer
again, or nothing where it is still open or has failed.

What a search proposes follows from its arguments and from the order in which it was asked and told,
and from nothing else. Answers reach the method when it has to propose again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import codes_of, empty_archive, extend, make_batch
from optiproxy_nas.algorithm.budget import QueryLedger, check_budget
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import (
    MethodError,
    OptiProxyError,
    SamplingError,
    TrialError,
)
from optiproxy_nas.core.parameters import FailureSettings
from optiproxy_nas.core.random_streams import derive_seed, isolated
from optiproxy_nas.evaluation.answers import Outcome, read_answer
from optiproxy_nas.evaluation.evaluator import evaluated_rows, failed_rows
from optiproxy_nas.evaluation.proposals import affordable, ask_method
from optiproxy_nas.evaluation.trials import Trial, TrialState, check_failures
from optiproxy_nas.methods import Answers, Method, Records, Unavailable
from optiproxy_nas.objectives.base import Objective, fitness_of
from optiproxy_nas.spaces.base import SearchSpace

REPEATS = 1000  # proposals in a row without a new architecture, before the search is stopped


_NOTHING = Outcome({})


@dataclass
class _Entry:
    """A trial as the search keeps it."""

    number: int
    identity: Hashable
    batch: pd.DataFrame  # of the round that proposed it
    place: int  # its row there
    code: Tensor  # [L]
    cost: int
    state: TrialState = "waiting"
    attempts: int = 0
    outcome: Outcome = _NOTHING
    row: int = -1  # of the archive; -1 while it is not in it


class AskTell:
    """One search.

    Args:
        space: the search space.
        objective: what a trial reveals and costs, and which is the best.
        method: ready to be asked.
        budget: in all, in the objective's unit.
        seed: from which each trial's own follows.
        failures: when failed trials end the search.

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
    ) -> None:
        check_budget(objective.price, budget, space.size)
        self.space, self.objective, self.method = space, objective, method
        self.stopped = ""  # why it was ended before its budget
        self._ledger = QueryLedger(budget)
        self._seed = seed
        self._failures = failures or FailureSettings()
        self._least = objective.price.cheapest  # what the next trial costs at least
        self._round = self._repeats = 0
        self._entries: list[_Entry] = []  # by number
        self._by_identity: dict[Hashable, _Entry] = {}
        self._waiting: deque[_Entry] = deque()
        self._unfinished: dict[int, _Entry] = {}  # by number; waiting or running
        self._failed: list[_Entry] = []
        self._over: list[_Entry] = []  # complete or failed, in the order told
        self._collected = 0  # how many of them are in the archive, or have failed
        self._rows: list[pd.DataFrame] = []  # evaluated, in the order of the archive
        self._places: list[tuple[int, int]] = []  # of each row of the archive: table, row of it
        self._keys: list[Floats] = []  # of each of the tables [k, m]
        self._fresh: list[_Entry] = []  # complete, of which the method was not told
        self._proposals: list[tuple[_Entry, bool]] = []  # with whether it was charged for this one
        self._free = 0  # trials that were made before, by number the first
        self._recorded: dict[Hashable, Outcome] = {}  # of this search as it was run before

    def ask(self, count: int | None = None) -> list[Trial]:
        """Return trials to evaluate; fewer than ``count``, or none, where there are no more.

        None may come because answers are missing: :attr:`done` tells.

        Args:
            count: how many; None: all that the method proposes at a time.

        Raises:
            FailedTrialsError: too many trials failed.
            InvalidArchitectureError: the method proposed something that is no code of the space.
            MethodError: the method raised, gave columns that cannot be used, or nothing at all.
            SamplingError: the method proposes nothing new any more.
        """
        asked: list[_Entry] = []
        with self._keeping_trials(), isolated():
            self.check_failures()
            while not self.stopped and (count is None or len(asked) < count):
                if not self._waiting and ((asked and count is None) or not self._propose()):
                    break
                entry = self._waiting.popleft()
                entry.state, entry.attempts = "running", entry.attempts + 1
                if (outcome := self._recorded.pop(entry.identity, None)) is not None:
                    self._settle(entry, outcome)
                else:
                    asked.append(entry)
        return [self._trial(entry) for entry in asked]

    def tell(
        self,
        trial: Trial | int,
        answer: Any = None,
        *,
        failed: str = "",
        seconds: float | None = None,
    ) -> Trial:
        """Take what a trial gave, and return the trial as it is now.

        Args:
            trial: that was asked for, or its number.
            answer: a number, or ``{metric: number}`` with ``value`` and the objective's metrics.
                NaN, None or an infinite value: it failed.
            failed: why it failed, in place of an answer.
            seconds: that the evaluation took.

        Raises:
            EvaluationError: the answer is of a type that cannot be used; the trial stays open.
            TrialError: the trial is not open.
        """
        entry = self._open(trial)
        if failed:
            outcome = Outcome({}, str(failed))
        else:
            outcome = read_answer(self.objective, answer, self._architecture(entry))
        return self._settle(entry, outcome._replace(seconds=seconds))

    def take(self, trial: Trial, outcome: Outcome) -> Trial:
        """Take an outcome of :func:`evaluation.evaluator.outcomes`, as :meth:`tell` an answer."""
        return self._settle(self._open(trial), outcome)

    def stop(self, reason: str) -> None:
        """Ask for no further trial; open ones may still be told."""
        self.stopped = self.stopped or reason

    def start_from(self, table: pd.DataFrame, outcomes: Sequence[Outcome]) -> None:
        """Take trials that were made before, which are not charged; before the first ``ask``.

        Args:
            table: of ``make_batch`` [n].
            outcomes: of each.
        """
        codes = codes_of(self.space, table)
        identities = self.objective.price.identities(self.space, table, codes)
        for entry in self._add(table, codes, identities, range(len(table)), [0] * len(table)):
            entry.state, entry.attempts = "running", 1
        for entry, outcome in zip(self._entries, outcomes, strict=True):
            self._settle(entry, outcome)
        self._free = len(table)
        self._collect()
        if self._fresh:
            with self._keeping_trials(), isolated():
                self.method.start_from(self._take_fresh(), self._unavailable())
        self._round = 1

    def replay(self, table: pd.DataFrame, outcomes: Sequence[Outcome]) -> None:
        """Give the outcomes of this same search as it was run before; before the first ``ask``.

        A trial that has one is charged and told as it was then, and not handed out.

        Args:
            table: of ``make_batch`` [n].
            outcomes: of each.
        """
        codes = codes_of(self.space, table)
        identities = self.objective.price.identities(self.space, table, codes)
        self._recorded = dict(zip(identities, outcomes, strict=True))

    @property
    def unused(self) -> int:
        """How many outcomes of :meth:`replay` were not asked for yet."""
        return len(self._recorded)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials so far, by number."""
        self._collect()
        return tuple(map(self._trial, self._entries))

    @property
    def pending(self) -> tuple[Trial, ...]:
        """The trials that are waiting or running."""
        return tuple(map(self._trial, self._unfinished.values()))

    @property
    def spent(self) -> int:
        """What was charged, in the objective's unit; open and failed trials included."""
        return self._ledger.spent

    @property
    def budget(self) -> int:
        """What may be charged in all."""
        return self._ledger.budget

    @property
    def done(self) -> str:
        """Why there is nothing more to ask for, "" if there may be."""
        if self.stopped:
            return self.stopped
        if self._waiting or self._ledger.remaining >= self._least:
            return ""
        return f"the budget of {self.budget} {self.objective.price.unit} is spent"

    @property
    def best(self) -> float:
        """The best eligible value so far, NaN while there is none."""
        archive = self.archive()
        return float(archive["best"].iloc[-1]) if len(archive) else float("nan")

    def archive(self) -> pd.DataFrame:
        """Return D: the complete trials, in the order told."""
        self._collect()
        if not self._rows:
            return empty_archive(self.space, self.objective)
        return extend(None, pd.concat(self._rows, ignore_index=True), self.objective)

    def failed(self) -> pd.DataFrame:
        """Return the failed trials in the order told (``evaluation.evaluator.failed_rows``)."""
        after, complete = [], 0
        for entry in self._over:
            if entry.state == "failed":
                after.append(complete)
            complete += entry.state == "complete"
        if not after:
            empty = empty_archive(self.space, self.objective)
            return failed_rows(empty.drop(columns=["order", "value", "best"]), [], [])
        errors = [entry.outcome.error for entry in self._failed]
        return failed_rows(self._rows_of(self._failed), after, errors)

    def proposals(self) -> pd.DataFrame:
        """Return one row a proposal, in order, repeats included.

        ``trial`` counts them from 0; ``order`` is the row of the archive that has the architecture
        (-1: none); ``charged`` tells whether this proposal was the one that was paid for.
        """
        self._collect()
        return pd.DataFrame(
            {
                "trial": np.arange(len(self._proposals)),
                "order": np.array([entry.row for entry, _ in self._proposals], dtype=np.int64),
                "charged": np.array([charged for _, charged in self._proposals], dtype=bool),
            }
        )

    def records(self) -> Records:
        """Return what the method kept of its work; where the search is done, of all of it."""
        with self._keeping_trials(), isolated():
            self._collect()
            if self.done and self._fresh:
                self.method.tell(self._take_fresh())
            return self.method.records()

    def _propose(self) -> bool:
        """Ask the method until it proposes something new; return whether it does."""
        space, objective, ledger = self.space, self.objective, self._ledger
        while ledger.remaining >= self._least:
            self._collect()
            unavailable = self._unavailable()
            if self._fresh:
                self.method.tell(self._take_fresh())
            codes, columns = ask_method(space, objective, self.method, unavailable)
            whole = objective.price.full_columns(len(codes))
            batch = make_batch(space, codes, self._round, **{**whole, **columns})
            if not columns:  # whole evaluations, from now on too
                self._least = objective.price.full_cost
            identities = objective.price.identities(space, batch, codes)
            costs = objective.price.costs(batch).tolist()
            kept, new = affordable(identities, costs, self._by_identity, ledger.remaining)
            if not kept:
                if not self._entries:
                    name = type(self.method).__name__
                    raise MethodError(f"{name} proposed nothing at all, so there is no answer.")
                if not unavailable.pending:
                    self.stop("the method has nothing more to propose")
                return False
            if new:
                ledger.charge({identities[row]: costs[row] for row in new})
                self._waiting.extend(self._add(batch, codes, identities, new, costs))
            self._note(identities[:kept], set(new))
            self._round += 1
            self._repeats = 0 if new else self._repeats + kept
            if self._repeats >= REPEATS:
                raise SamplingError(
                    f"{type(self.method).__name__} proposed {self._repeats} architectures in a row "
                    f"that it had proposed already, after {ledger.spent} of {ledger.budget} "
                    f"{objective.price.unit}. Lower the budget, or choose settings that explore "
                    "more.",
                    spent=ledger.spent,
                    budget=ledger.budget,
                )
            if new:
                return True
        return False

    def _add(
        self,
        batch: pd.DataFrame,
        codes: Tensor,
        identities: Sequence[Hashable],
        rows: Sequence[int],
        costs: Sequence[int],
    ) -> list[_Entry]:
        """Make the trials of some rows of a batch."""
        added = []
        for row in rows:
            entry = _Entry(len(self._entries), identities[row], batch, row, codes[row], costs[row])
            self._entries.append(entry)
            self._unfinished[entry.number] = entry
            self._by_identity[identities[row]] = entry
            added.append(entry)
        return added

    def _note(self, identities: Sequence[Hashable], new: set[int]) -> None:
        """Note the proposals of a round; those that were answered before are told again."""
        for position, identity in enumerate(identities):
            entry = self._by_identity[identity]
            self._proposals.append((entry, position in new))
            if entry.row >= 0:
                self._fresh.append(entry)

    def _settle(self, entry: _Entry, outcome: Outcome) -> Trial:
        """Let a running trial end, or wait to be tried again."""
        entry.outcome = outcome
        if outcome.error and entry.attempts <= self._failures.retries:
            entry.state = "waiting"
            self._waiting.append(entry)
        else:
            entry.state = "failed" if outcome.error else "complete"
            del self._unfinished[entry.number]
            self._over.append(entry)
            if outcome.error:
                self._failed.append(entry)
        return self._trial(entry)

    def _collect(self) -> None:
        """Add the trials that were told since to the archive."""
        told, self._collected = self._over[self._collected :], len(self._over)
        complete = [entry for entry in told if entry.state == "complete"]
        if not complete:
            return
        batches: list[pd.DataFrame] = []
        begin = 0
        for end in range(1, len(complete) + 1):
            batch = complete[begin].batch
            if end == len(complete) or complete[end].batch is not batch:
                places = [entry.place for entry in complete[begin:end]]
                whole = places == list(range(len(batch)))
                batches.append(batch if whole else batch.iloc[places])
                begin = end
        table = batches[0] if len(batches) == 1 else pd.concat(batches)
        table = table.reset_index(drop=True)
        rows = evaluated_rows(self.objective, table, [entry.outcome.metrics for entry in complete])
        for place, entry in enumerate(complete):
            entry.row = len(self._places)
            self._places.append((len(self._rows), place))
        self._rows.append(rows)
        self._keys.append(self.objective.order.keys(rows))
        self._fresh += complete

    def _take_fresh(self) -> Answers:
        """Return the answers that the method was not told yet."""
        entries, self._fresh = self._fresh, []
        numbers = [entry.row for entry in entries]
        table, place = self._places[numbers[0]]
        if place == 0 and [self._places[row] for row in numbers] == [
            (table, place) for place in range(len(self._rows[table]))
        ]:
            rows = self._rows[table]
        else:
            places = [self._places[row] for row in numbers]
            found = [self._rows[table].iloc[place : place + 1] for table, place in places]
            rows = pd.concat(found, ignore_index=True)
        keys = np.concatenate(self._keys, axis=1)
        codes = torch.stack([entry.code for entry in entries])
        return Answers(codes, fitness_of(keys)[numbers], keys[:, numbers], rows)

    def _unavailable(self) -> Unavailable:
        """Return the pending trials, then the failed ones."""
        entries = [*self._unfinished.values(), *self._failed]
        if not entries:
            codes = torch.empty(0, self.space.code_length, dtype=torch.int64)
            return Unavailable(codes, pd.DataFrame(), 0)
        rows = pd.concat(
            [entry.batch.iloc[entry.place : entry.place + 1] for entry in entries],
            ignore_index=True,
        )
        return Unavailable(
            torch.stack([entry.code for entry in entries]), rows, len(self._unfinished)
        )

    def _rows_of(self, entries: Sequence[_Entry]) -> pd.DataFrame:
        """Return the trials as they were proposed; at least one."""
        rows = [entry.batch.iloc[entry.place : entry.place + 1] for entry in entries]
        return pd.concat(rows, ignore_index=True)

    def check_failures(self) -> None:
        """End the search if too many trials failed.

        Raises:
            FailedTrialsError: of :func:`evaluation.trials.check_failures`.
        """
        if self._over and self._over[-1].state == "failed":
            flags = [entry.state == "failed" for entry in self._over[self._free :]]
            check_failures(self._failures, flags, self._over[-1].outcome.error)

    def _open(self, trial: Trial | int) -> _Entry:
        """Return the running trial that is meant."""
        number = trial.number if isinstance(trial, Trial) else trial
        if not isinstance(number, int) or not 0 <= number < len(self._entries):
            raise TrialError(
                f"There is no trial {number!r}: this search has {len(self._entries)}, from 0.",
                trial=number,
            )
        entry = self._entries[number]
        if isinstance(trial, Trial) and trial.architecture != self._architecture(entry):
            raise TrialError(f"Trial {number} of {trial.architecture} is of another search.")
        if entry.state != "running":
            was = "was not asked for yet" if entry.state == "waiting" else "was told already"
            raise TrialError(f"Trial {number} {was}; its state is {entry.state!r}.", trial=number)
        return entry

    def _architecture(self, entry: _Entry) -> str:
        return str(entry.batch["architecture"].iat[entry.place])

    def _trial(self, entry: _Entry) -> Trial:
        fidelities = self.objective.fidelities
        return Trial(
            number=entry.number,
            architecture=self._architecture(entry),
            epochs=int(str(entry.batch["epochs"].iat[entry.place])) if fidelities else None,
            state=entry.state,
            metrics=entry.outcome.metrics if entry.state == "complete" else {},
            seed=derive_seed(self._seed, entry.number, "trial") % 2**31,
            seconds=entry.outcome.seconds,
            error=entry.outcome.error if entry.state == "failed" else "",
            order=entry.row if entry.row >= 0 else None,
            charged=entry.number >= self._free,
        )

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
            count = sum(entry.state == "complete" for entry in self._entries)
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
