"""The trials of one search, and the archive, answers and tables that are made of them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import empty_archive, extend
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.run_settings import StoppingSettings
from optiproxy_nas.evaluation.answers import Outcome
from optiproxy_nas.evaluation.batch import evaluated_rows, failed_rows
from optiproxy_nas.evaluation.earlier_trials import EarlierTrials
from optiproxy_nas.evaluation.evaluator import Request
from optiproxy_nas.evaluation.stacked_rows import Place, StackedRows
from optiproxy_nas.evaluation.trials import Event, Trial, TrialState, trial_seed
from optiproxy_nas.execution.jobs import folder_name
from optiproxy_nas.methods import Answers, Unavailable
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.objectives.trial_order import fitness_of
from optiproxy_nas.spaces.base import SearchSpace

_NOTHING = Outcome({})


@dataclass(eq=False)
class Entry:
    """A trial as the search keeps it."""

    number: int
    identity: Hashable
    batch: pd.DataFrame  # of the round that proposed it
    place: int  # its row there
    architecture: str
    code: Tensor  # [L]
    cost: int
    request: Request  # of its first attempt
    proposed: Place  # of its row among those that were proposed
    state: TrialState = "waiting"
    attempts: int = 0
    outcome: Outcome = _NOTHING
    row: int = -1  # of the archive; -1 while it is not in it


class TrialBook:
    """What was proposed, what is open, and what is over, in the order told.

    Args:
        space: the search space.
        objective: of the search.
        seed: from which each trial's own follows.
        stopping: when running trainings are ended early.
    """

    def __init__(
        self,
        space: SearchSpace,
        objective: Objective,
        seed: int,
        stopping: StoppingSettings | None = None,
    ) -> None:
        self.entries: list[Entry] = []  # by number
        self.by_identity: dict[Hashable, Entry] = {}
        self.open: dict[int, Entry] = {}  # by number; waiting or running
        self.over: list[Entry] = []  # complete or failed, in the order told
        self.free = 0  # trials that were made before, by number the first
        self.events: list[Event] = []
        self._space, self._objective, self._seed = space, objective, seed
        self._can_stop = stopping is not None and stopping.rule is not None
        self._earlier = EarlierTrials(objective, stopping)
        self._failed: list[Entry] = []
        self._collected = 0  # how many of ``over`` are in the archive, or have failed
        self._proposed = StackedRows()
        self._evaluated = StackedRows()
        self._places: list[Place] = []  # of each row of the archive, among those evaluated
        self._keys: list[Floats] = []  # of each of the tables [k, m]
        self._fresh: list[Entry] = []  # complete, and not taken as answers yet
        self._proposals: list[tuple[Entry, bool]] = []  # with whether it was charged for this one

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials so far, by number."""
        self._collect()
        return tuple(map(self.trial, self.entries))

    def add(
        self,
        batch: pd.DataFrame,
        codes: Tensor,
        identities: Sequence[Hashable],
        rows: Sequence[int],
        costs: Sequence[int],
    ) -> list[Entry]:
        """Make the trials of some rows of a batch."""
        added, texts = [], batch["architecture"].tolist()
        places = self._proposed.add(batch) if rows else []
        epochs = batch["epochs"].tolist() if self._objective.fidelities else [None] * len(batch)
        for row in rows:
            number = len(self.entries)
            seed = trial_seed(self._seed, number)
            request = self._earlier.prepared(Request(number, 1, texts[row], epochs[row], seed))
            entry = Entry(
                *(number, identities[row], batch, row, texts[row], codes[row], costs[row]),
                request,
                places[row],
            )
            self.entries.append(entry)
            self.open[number] = entry
            self.by_identity[identities[row]] = entry
            added.append(entry)
        return added

    def note(self, identities: Sequence[Hashable], new: set[int]) -> None:
        """Note the proposals of a round; those that were answered before are told again."""
        for position, identity in enumerate(identities):
            entry = self.by_identity[identity]
            self._proposals.append((entry, position in new))
            if entry.row >= 0:
                self._fresh.append(entry)

    def close(self, entry: Entry) -> None:
        """Move an open trial to those that are over."""
        entry.state = "failed" if entry.outcome.error else "complete"
        del self.open[entry.number]
        self.over.append(entry)
        if entry.number >= self.free:
            self.events.append(entry.number)
        if entry.outcome.error:
            self._failed.append(entry)
        elif entry.number >= self.free:  # this search has the files of those that it trained
            self._earlier.add(entry.request, entry.outcome)

    def reopen(self, retries: int, first: int) -> list[Entry]:
        """Let trials that have failed wait again, and return them.

        Args:
            retries: after which a trial is tried no more.
            first: number of the first trial that is.
        """
        again = [it for it in self._failed if it.number >= first and it.attempts <= retries]
        for entry in again:
            self._collected -= self.over.index(entry) < self._collected
            self.over.remove(entry)
            self._failed.remove(entry)
            self.events.remove(entry.number)
            entry.state, self.open[entry.number] = "waiting", entry
        return again

    def archive(self) -> pd.DataFrame:
        """Return D: the complete trials, in the order told."""
        self._collect()
        if not self._places:
            return empty_archive(self._space, self._objective)
        return extend(None, self._evaluated.rows(self._places), self._objective)

    def failed(self) -> pd.DataFrame:
        """Return the failed trials in the order told (``evaluation.batch.failed_rows``)."""
        after, complete = [], 0
        for entry in self.over:
            if entry.state == "failed":
                after.append(complete)
            complete += entry.state == "complete"
        if not after:
            empty = empty_archive(self._space, self._objective)
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

    def trial(self, entry: Entry) -> Trial:
        """Return a trial as it is now; ``order`` is set by :meth:`archive`."""
        return Trial(
            number=entry.number,
            architecture=self._space.architecture(entry.architecture),
            epochs=entry.request.epochs,
            state=entry.state,
            metrics=dict(entry.outcome.metrics) if entry.state == "complete" else {},
            seed=entry.request.seed,
            seconds=entry.outcome.seconds,
            error=entry.outcome.error if entry.state == "failed" else "",
            order=entry.row if entry.row >= 0 else None,
            charged=entry.number >= self.free,
            curve=entry.outcome.curve,
            output=entry.outcome.output,
            folder=folder_name(entry.number, entry.request.folder),
            stopped=entry.outcome.stopped,
        )

    def request(self, entry: Entry) -> Request:
        """Return what is asked of an evaluator for a running trial."""
        return entry.request._replace(attempt=entry.attempts)

    def _collect(self) -> None:
        """Add the trials that were told since to the archive."""
        count = len(self.over)
        complete = [entry for entry in self.over[self._collected :] if entry.state == "complete"]
        if not complete:
            self._collected = count
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
        metrics = [entry.outcome.metrics for entry in complete]
        stopped = [entry.outcome.stopped for entry in complete] if self._can_stop else None
        rows = evaluated_rows(self._objective, table, metrics, stopped)
        keys = self._objective.order.keys(rows)
        self._collected = count  # from here on in no time, so that Ctrl-C comes before or after
        for entry, place in zip(complete, self._evaluated.add(rows), strict=True):
            entry.row = len(self._places)
            self._places.append(place)
        self._keys.append(keys)
        self._fresh += complete

    @property
    def has_answers(self) -> bool:
        """Whether there are answers to be taken."""
        self._collect()
        return bool(self._fresh)

    def take_answers(self) -> Answers:
        """Return the answers that were not taken yet; there may be none."""
        self._collect()
        if not self._fresh:
            return self._no_answers()
        entries, self._fresh = self._fresh, []
        numbers = [entry.row for entry in entries]
        rows = self._evaluated.rows([self._places[row] for row in numbers])
        keys = np.concatenate(self._keys, axis=1)
        codes = torch.stack([entry.code for entry in entries])
        return Answers(codes, fitness_of(keys)[numbers], keys[:, numbers], rows)

    def _no_answers(self) -> Answers:
        rows = empty_archive(self._space, self._objective).drop(columns=["order", "best"])
        codes = torch.empty(0, self._space.code_length, dtype=torch.int64)
        return Answers(codes, np.empty(0), self._objective.order.keys(rows), rows)

    def unavailable(self, wanted: int = 0) -> Unavailable:
        """Return the pending trials, then the failed ones, and how many proposals are wanted."""
        entries = [*self.open.values(), *self._failed]
        if not entries:
            codes = torch.empty(0, self._space.code_length, dtype=torch.int64)
            return Unavailable(codes, pd.DataFrame(), 0, wanted)
        codes = torch.stack([entry.code for entry in entries])
        return Unavailable(codes, self._rows_of(entries), len(self.open), wanted)

    def _rows_of(self, entries: Sequence[Entry]) -> pd.DataFrame:
        """Return the trials as they were proposed; at least one."""
        return self._proposed.rows([entry.proposed for entry in entries])
