"""The loop that asks a method, pays for what it proposes, and tells it the values."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import empty_archive, extend, make_batch
from optiproxy_nas.algorithm.budget import QueryLedger
from optiproxy_nas.core.errors import (
    BudgetError,
    InvalidArchitectureError,
    SamplingError,
)
from optiproxy_nas.core.random_streams import one_thread
from optiproxy_nas.evaluation.answers import keeping_answers
from optiproxy_nas.methods.base import Method
from optiproxy_nas.objectives.accuracy import Accuracy
from optiproxy_nas.objectives.base import Evaluate, Objective
from optiproxy_nas.spaces.base import SearchSpace

PATIENCE = 1000  # proposals in a row without a new architecture


class _Record:
    """What was queried and what was proposed; made into tables once, at the end."""

    def __init__(self, space: SearchSpace, objective: Objective) -> None:
        self.space = space
        self.objective = objective
        self.row: dict[Hashable, int] = {}  # identity -> row of the archive
        self.evaluations: list[pd.DataFrame] = []
        self.fitness: list[float] = []
        self.best = math.nan
        self.order: list[int] = []  # of each proposal, its row of the archive
        self.charged: list[bool] = []

    def query(self, batch: pd.DataFrame, evaluate: Evaluate, identities: list[Hashable]) -> None:
        """Evaluate what is new: one row of the archive each."""
        with keeping_answers(evaluate, batch, self.archive) as ask:
            evaluated = self.objective.query(batch, ask)
        for row, identity in enumerate(identities, start=len(self.fitness)):
            self.row[identity] = row
        self.evaluations.append(evaluated)
        self.fitness += self.objective.fitness(evaluated).tolist()

    def propose(self, identities: list[Hashable], charged: set[int]) -> list[int]:
        """Note the proposals of one round; the row of the archive of each."""
        rows = [self.row[identity] for identity in identities]
        self.order += rows
        self.charged += [row in charged for row in range(len(rows))]
        return rows

    def events(self, trials: list[int]) -> Iterator[dict[str, Any]]:
        """What ``on_query`` is told of the last batch; ``trials``: the proposals at each query."""
        batch = self.evaluations[-1]
        eligible = self.objective.eligible(batch)
        for row, (_, query) in enumerate(batch.iterrows()):
            if eligible[row]:
                self.best = np.fmax(self.best, query["value"])
            yield {
                "query": len(self.fitness) - len(batch) + row + 1,
                "trials": trials[row],
                **{name: query[name] for name in ("step", "architecture", "value")},
                "best": float(self.best),
            }

    def archive(self) -> pd.DataFrame:
        if self.evaluations:
            return extend(None, pd.concat(self.evaluations, ignore_index=True), self.objective)
        return empty_archive(self.space, self.objective)

    def trials(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "trial": np.arange(len(self.order)),
                "order": np.array(self.order, dtype=np.int64),
                "charged": np.array(self.charged, dtype=bool),
            }
        )


@one_thread()
def run_method(
    space: SearchSpace,
    evaluate: Evaluate,
    method: Method,
    budget: int,
    on_query: Callable[[dict[str, Any]], None] | None = None,
    objective: Objective | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask, evaluate and tell until the budget is spent.

    Each architecture is charged and evaluated once (``space.identify``); a repeat is answered
    from the archive. A batch is cut after the query that spends the budget.

    Args:
        space: the search space.
        evaluate: what the objective asks for; of the plain one, architecture strings [n] ->
            values [n], percent, higher is better.
        method: of :func:`optiproxy_nas.methods.build_method`.
        budget: in all, in the objective's unit.
        on_query: called after each query with {query (from 1), trials, step, architecture, value,
            best}.
        objective: what a query reveals and costs, and what the method is told of it
            (``Objective.fitness``); by default the value itself.

    Returns:
        archive: as of :mod:`optiproxy_nas.algorithm.archive`; ``step`` is the round of asking,
            from 0; ``predicted`` and ``score`` are NaN.
        trials: one row a proposal, in order: ``trial`` (from 0), ``order`` (the row of the archive
            that holds its architecture), ``charged`` (whether this proposal was the query).

    Raises:
        BudgetError: the space has fewer architectures than the budget; nothing was queried.
        EvaluationError: ``evaluate`` failed; the archive so far is in ``data["archive"]``, the
            answers after it in ``data["answers"]``.
        InvalidArchitectureError: the method proposed something that is no code of the space.
        SamplingError: the method proposes nothing new any more; the archive is in the data, too.
    """
    objective = objective or Accuracy()
    if space.size is not None and budget > objective.capacity(space.size):
        raise BudgetError(
            f"The budget of {budget} {objective.unit} is larger than the space, which has "
            f"{space.size} architectures; each is charged once. Lower budget to at most "
            f"{objective.capacity(space.size)}.",
            budget=budget,
            size=space.size,
        )
    ledger, record, price = QueryLedger(budget), _Record(space, objective), objective.price
    step = idle = 0
    while ledger.remaining >= price:
        try:
            codes = _checked(space, method)
        except SamplingError as error:
            error.data.setdefault("archive", record.archive())
            raise
        identities = space.identify(codes)
        affordable = ledger.remaining // price
        new = _first_rows(identities, record.row, affordable)
        if len(new) == affordable:  # the last query ends the search
            identities = identities[: max(new.values()) + 1]
        before = len(record.order)
        if new:
            ledger.charge(dict.fromkeys(new, price))
            chosen = codes[list(new.values())]
            batch = make_batch(space, chosen, step, **objective.whole_queries(len(chosen)))
            record.query(batch, evaluate, list(new))
        rows = record.propose(identities, set(new.values()))
        if new and on_query is not None:
            for event in record.events([before + row + 1 for row in new.values()]):
                on_query(event)
        idle = 0 if new else idle + len(identities)
        if idle >= PATIENCE:
            raise SamplingError(
                f"{type(method).__name__} proposed {idle} architectures in a row that it had been "
                f"told already, after {ledger.spent} of {budget} queries. Lower the budget, or "
                "choose settings that explore more.",
                archive=record.archive(),
                spent=ledger.spent,
                budget=budget,
            )
        method.tell(codes[: len(rows)], np.array([record.fitness[row] for row in rows]))
        step += 1
    return record.archive(), record.trials()


def _checked(space: SearchSpace, method: Method) -> Tensor:
    codes = method.ask()
    shape = tuple(getattr(codes, "shape", ()))
    integer = isinstance(codes, Tensor) and codes.dtype == torch.int64
    if not integer or len(shape) != 2 or shape[1] != space.code_length or not len(codes):
        raise InvalidArchitectureError(
            f"{type(method).__name__}.ask gave {codes!r}; it must give int64 codes "
            f"[n, {space.code_length}] of space {space.name!r}, n >= 1.",
            space=space.name,
        )
    return codes


def _first_rows(
    identities: list[Hashable], known: dict[Hashable, int], most: int
) -> dict[Hashable, int]:
    """The first ``most`` identities that are new, and the row in which each occurs first."""
    new: dict[Hashable, int] = {}
    for row, identity in enumerate(identities):
        if len(new) == most:
            break
        if identity not in known:
            new.setdefault(identity, row)
    return new
