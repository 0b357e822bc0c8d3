"""What a method proposes: checked, cut to what the budget affords, and made into trials."""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import make_batch
from optiproxy_nas.algorithm.budget import QueryLedger, check_budget
from optiproxy_nas.core.errors import (
    BudgetError,
    InvalidArchitectureError,
    MethodError,
    SamplingError,
)
from optiproxy_nas.evaluation.trial_book import Entry, TrialBook
from optiproxy_nas.evaluation.trials import Asked
from optiproxy_nas.methods import Method, Proposals, Records, Unavailable
from optiproxy_nas.objectives.base import COLUMNS, Objective
from optiproxy_nas.spaces.base import SearchSpace

REPEATS = 1000  # proposals in a row without a new architecture, before the search is stopped


class Abandoned(BaseException):
    """Nobody waits any more for what the method proposes."""


class Proposer:
    """The method of a search, asked within the budget; what it proposes becomes trials of a book.

    Args:
        space: the search space.
        objective: what a trial costs.
        method: ready to be asked.
        budget: in all, in the objective's unit.
        book: of the search.

    Raises:
        BudgetError: the space has fewer architectures than the budget.
    """

    def __init__(
        self,
        space: SearchSpace,
        objective: Objective,
        method: Method,
        budget: int,
        book: TrialBook,
    ) -> None:
        check_budget(objective.price, budget, space.size)
        self.ledger = QueryLedger(budget)
        self._space, self._objective, self._method, self._book = space, objective, method, book
        self._least = objective.price.cheapest  # what the next trial costs at least
        self._round = self._repeats = 0
        self._broken = ""  # what ended the method's work in the middle
        self._lock = threading.Lock()  # held while the book is changed
        self._works = self._is_abandoned = False

    @property
    def can_pay(self) -> bool:
        """Whether the budget pays for another trial."""
        return self.ledger.remaining >= self._least

    def start_from_book(self) -> None:
        """Let the method take the trials of the book, which were made before."""
        self._method.start_from(self._book.take_answers(), self._book.unavailable())
        self._round = 1

    def propose(self, wanted: int = 0) -> tuple[int, list[Entry]]:
        """Tell the method what it was not told yet, ask it once, and make trials of what is new.

        Args:
            wanted: as of :class:`~optiproxy_nas.methods.Unavailable`.

        Returns:
            how many of its proposals were kept, and the trials of those that are new.

        Raises:
            OptiProxyError: as of :meth:`AskTell.ask`.
        """
        book = self._book
        with self._lock:
            self._check_awaited()
            unavailable = book.unavailable(wanted)
            answers = book.take_answers() if book.has_answers else None
            self._broken = f"{type(self._method).__name__} did not finish its proposals"
            self._works = True
        try:
            if answers is not None:
                self._method.tell(answers)
            proposals = _ask_method(self._space, self._objective, self._method, unavailable)
        finally:
            self._works = False
            self._check_awaited()
        with self._lock:
            self._check_awaited()
            self._broken = ""
            return self._add(proposals, wanted)

    def abandon(self) -> bool:
        """Let a thread that asks the method change nothing more; return whether it works on."""
        with self._lock:
            self._is_abandoned = True
            return self._works

    def _check_awaited(self) -> None:
        if self._is_abandoned:
            raise Abandoned

    def _add(self, proposals: Proposals, wanted: int) -> tuple[int, list[Entry]]:
        """Make trials of what is new of a method's proposals; returns and raises as of propose."""
        space, objective, ledger = self._space, self._objective, self.ledger
        book, added = self._book, []
        codes, columns = proposals
        book.events.append(Asked(wanted))
        whole = objective.price.full_columns(len(codes))
        batch = make_batch(space, codes, self._round, **{**whole, **columns})
        if not columns:  # whole evaluations, from now on too
            self._least = objective.price.full_cost
        identities = objective.price.identities(space, batch, codes)
        costs = objective.price.costs(batch).tolist()
        kept, new = _affordable(identities, costs, book.by_identity, ledger.remaining)
        if not kept:
            if not book.entries:
                name = type(self._method).__name__
                raise MethodError(f"{name} proposed nothing at all, so there is no answer.")
            return 0, []
        if new:
            ledger.charge({identities[row]: costs[row] for row in new})
            added = book.add(batch, codes, identities, new, costs)
        book.note(identities[:kept], set(new))
        self._round += 1
        self._repeats = 0 if new else self._repeats + kept
        if self._repeats >= REPEATS:
            raise SamplingError(
                f"{type(self._method).__name__} proposed {self._repeats} architectures in a row "
                f"that it had proposed already, after {ledger.spent} of {ledger.budget} "
                f"{objective.price.unit}. Lower the budget, or choose settings that explore "
                "more.",
                spent=ledger.spent,
                budget=ledger.budget,
            )
        return kept, added

    def records(self, done: bool) -> Records:
        """Return what the method kept of its work; where the search is done, of all of it."""
        if done and not self._broken and self._book.has_answers:
            self._method.tell(self._book.take_answers())
        found = self._method.records()
        # What is abandoned may still work, and add to them.
        return replace(found, traces=dict(found.traces), steps=dict(found.steps))

    def check_what_is_left(self, codes: Tensor) -> None:
        """Refuse a budget that cannot be spent beside trials made before [n, L].

        Raises:
            BudgetError: they leave fewer architectures of the space.
        """
        if self._space.size is None or self._objective.fidelities:
            return  # what was trained a little may be trained in full
        left = self._space.size - len(set(self._space.identify(codes)))
        if self.ledger.budget > self._objective.price.capacity(left):
            raise BudgetError(
                f"The trials to start from leave {left} of the {self._space.size} architectures of "
                f"the space; a budget of {self.ledger.budget} {self._objective.price.unit} cannot "
                "be spent on them. Lower budget, or start from fewer trials.",
                left=left,
                budget=self.ledger.budget,
            )

    def check_unbroken(self, has_journal: bool = False) -> None:
        """Refuse to ask a method that was ended in the middle of its work.

        Args:
            has_journal: whether the search goes on with its journal.

        Raises:
            MethodError: it was; what it would propose now is no part of this search.
        """
        if self._broken:
            again = "journal=the same path" if has_journal else "initial=search.result()"
            raise MethodError(
                f"This search cannot be asked any more: {self._broken}, for Ctrl-C or an error. "
                f"Its trials are kept; with equal arguments, Search(..., {again}) goes on."
            )


def _ask_method(
    space: SearchSpace, objective: Objective, method: Method, unavailable: Unavailable
) -> Proposals:
    """Ask a method, and return its proposals if they are codes of the space, with their columns.

    Raises:
        InvalidArchitectureError: they are no codes of the space.
        MethodError: a column cannot be used.
    """
    proposals = method.ask(unavailable)
    codes = getattr(proposals, "codes", None)
    shape = tuple(getattr(codes, "shape", ()))
    integer = isinstance(codes, Tensor) and codes.dtype == torch.int64
    if not integer or len(shape) != 2 or shape[1] != space.code_length:
        raise InvalidArchitectureError(
            f"{type(method).__name__}.ask gave {proposals!r}; it must give Proposals(codes) with "
            f"int64 codes [n, {space.code_length}] of space {space.name!r}.",
            space=space.name,
        )
    _check_columns(space, objective, proposals, type(method).__name__)
    return proposals


def _check_columns(
    space: SearchSpace, objective: Objective, proposals: Proposals, method: str
) -> None:
    """Refuse columns that only the loop or the evaluation fills, and those that do not fit."""
    count, types = len(proposals.codes), {**COLUMNS, **objective.columns}
    reserved = {"order", "step", "architecture", "value", "best", *objective.metrics}
    reserved |= {f"code_{i}" for i in range(space.code_length)}
    for name, column in proposals.columns.items():
        if name in reserved:
            why = "a name that is the loop's own or the evaluation's to fill"
        elif np.shape(column) != (count,):
            why = f"of shape {list(np.shape(column))}; it must hold one entry a proposal, [{count}]"
        elif name in types and not np.can_cast(
            np.asarray(column).dtype, np.dtype(types[name]), "same_kind"
        ):
            why = f"of {np.asarray(column).dtype}; the archive holds {types[name]} there"
        else:
            continue
        raise MethodError(f"{method}.ask gave a column {name!r}, {why}.", column=name)


def _affordable(
    identities: list[Hashable], costs: list[int], paid: Collection[Hashable], remaining: int
) -> tuple[int, list[int]]:
    """Return how many proposals to keep, and the positions of those that are new queries.

    Proposals are kept in order up to the first that ``remaining`` cannot pay for, and up to the
    query that leaves less than any of them costs, which ends the search.

    Args:
        identities: of the proposals, as they are charged: [n].
        costs: [n].
        paid: the identities that were charged before.
        remaining: what is left of the budget.
    """
    least = min(costs, default=0)
    if remaining < least:
        return 0, []
    new: dict[Hashable, int] = {}
    for position, (identity, cost) in enumerate(zip(identities, costs, strict=True)):
        if identity in paid or identity in new:
            continue
        if cost > remaining:
            return position, list(new.values())
        new[identity] = position
        remaining -= cost
        if remaining < least:
            return position + 1, list(new.values())
    return len(identities), list(new.values())
