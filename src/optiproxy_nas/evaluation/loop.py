"""The loop of every search: ask a method, evaluate what it proposes, charge it, and tell it.

The loop owns the budget and the archive; a method owns its proposals. Each architecture (at each
fidelity) is charged and evaluated once. Repeated proposals are answered from the archive.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import empty_archive, extend, make_batch
from optiproxy_nas.algorithm.budget import QueryLedger, check_budget
from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.errors import (
    InvalidArchitectureError,
    MethodError,
    OptiProxyError,
    SamplingError,
)
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.evaluation.evaluator import Evaluate, charge_and_evaluate, keeping_answers
from optiproxy_nas.methods import METHODS, Answers, Method, Proposals
from optiproxy_nas.methods.result import SearchResult
from optiproxy_nas.objectives import Objective, resolve_objective
from optiproxy_nas.objectives.base import COLUMNS, fitness_of
from optiproxy_nas.spaces.base import SearchSpace

PATIENCE = 1000  # proposals in a row without a new architecture, before the search is stopped


class Progress(NamedTuple):
    """Where a search stands after one round of asking and telling."""

    step: int  # the round, from 0
    spent: int  # in the objective's unit
    queries: int  # rows of the archive
    proposals: int  # repeats included
    best: float  # best eligible value so far, NaN while there is none


OnProgress = Callable[[Progress], None]


def run_search(
    space: SearchSpace,
    evaluate: Evaluate,
    parameters: RunParameters,
    on_progress: OnProgress | None = None,
) -> SearchResult:
    """Search by the method that the parameters name, until it or the budget ends.

    Args:
        space: the search space.
        evaluate: what the objective asks for; of the plain one, architecture strings [n] ->
            values [n], higher is better.
        parameters: of :func:`optiproxy_nas.methods.resolve_method`.
        on_progress: called after each round.

    Raises:
        OptiProxyError: as of :func:`run_method`.
    """
    with isolated():
        method: Method = METHODS.load(parameters.method).build(space, parameters)
    archive, trials = run_method(
        space, evaluate, method, parameters.budget, on_progress, parameters.objective
    )
    return SearchResult(parameters, archive, trials, **vars(method.records()))


def run_method(
    space: SearchSpace,
    evaluate: Evaluate,
    method: Method,
    budget: int,
    on_progress: OnProgress | None = None,
    objective: Objective | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask, evaluate and tell until the budget is spent or the method proposes nothing.

    A batch is cut after the query that spends the budget.

    Args:
        space: the search space.
        evaluate: as of :func:`run_search`.
        method: ready to be asked.
        budget: in all, in the objective's unit.
        on_progress: called after each round.
        objective: what a query reveals and costs, and which values the method is told; by default
            the value itself.

    Returns:
        archive: as of :mod:`optiproxy_nas.algorithm.archive`; ``step`` is the round, from 0.
        trials: one row a proposal, in order: ``trial`` (from 0), ``order`` (the row of the archive
            that holds its architecture), ``charged`` (whether this proposal was the query).

    Raises:
        BudgetError: the space has fewer architectures than the budget; nothing was queried.
        EvaluationError: ``evaluate`` failed; the answers of the failing batch, as far as there
            are any, are in ``data["answers"]``.
        InvalidArchitectureError: the method proposed something that is no code of the space.
        MethodError: the method raised, or gave columns that cannot be used, or nothing at all.
        SamplingError: the method proposes nothing new any more.
        All but the first have the archive so far in ``data["archive"]``.
    """
    objective = objective or resolve_objective("accuracy")
    check_budget(objective.price, budget, space.size)
    ledger = QueryLedger(budget)
    record = _Record(space, objective, ledger)
    least, idle, step = objective.price.cheapest, 0, 0
    while ledger.remaining >= least:
        with _keeping_archive(record), isolated():
            codes, columns = _checked(space, objective, method)
            whole = objective.price.full_columns(len(codes))
            batch = make_batch(space, codes, step, **{**whole, **columns})
            identities = objective.price.identities(space, batch, codes)
        if not columns:  # whole evaluations, from now on too
            least = objective.price.full_cost
        costs = objective.price.costs(batch).tolist()
        kept, new = _affordable(identities, costs, record.rows, ledger.remaining)
        if not kept and record.rows:
            break
        if not kept:
            text = f"{type(method).__name__} proposed nothing at all, so there is no answer."
            raise MethodError(text, archive=record.archive())
        if new:
            queries = batch if len(new) == len(batch) else batch.iloc[new].reset_index(drop=True)
            record.query(queries, evaluate, {identities[row]: costs[row] for row in new})
        idle = 0 if new else idle + kept
        if idle >= PATIENCE:
            raise SamplingError(
                f"{type(method).__name__} proposed {idle} architectures in a row that it had been "
                f"told already, after {ledger.spent} of {budget} {objective.price.unit}. Lower the "
                "budget, or choose settings that explore more.",
                archive=record.archive(),
                spent=ledger.spent,
                budget=budget,
            )
        with _keeping_archive(record), isolated():
            method.tell(record.answers(codes[:kept], identities[:kept], new))
        if on_progress is not None:
            queries_made, proposals = len(record.places), len(record.order)
            on_progress(Progress(step, ledger.spent, queries_made, proposals, record.best))
        step += 1
    return record.archive(), record.trials()


class _Record:
    """What was proposed and what its evaluation gave; made into tables at the end."""

    def __init__(self, space: SearchSpace, objective: Objective, ledger: QueryLedger) -> None:
        self.space, self.objective, self.ledger = space, objective, ledger
        self.rows: dict[Hashable, int] = {}  # identity of a query -> row of the archive
        self.evaluated: list[pd.DataFrame] = []
        self.places: list[tuple[int, int]] = []  # of each row of the archive: batch, row of it
        self.keys: list[Floats] = []  # of each batch [k, m]
        self.best = float("nan")  # best eligible value
        self.order: list[int] = []  # of each proposal, its row of the archive
        self.charged: list[bool] = []  # of each proposal

    def query(self, batch: pd.DataFrame, evaluate: Evaluate, costs: dict[Hashable, int]) -> None:
        """Charge and evaluate a batch of new queries (identity -> cost), and add it."""
        with keeping_answers(evaluate, batch, self.archive) as ask:
            evaluated = charge_and_evaluate(self.objective, batch, ask, self.ledger, costs)
        self.rows |= {identity: len(self.places) + i for i, identity in enumerate(costs)}
        self.places += [(len(self.evaluated), place) for place in range(len(evaluated))]
        self.evaluated.append(evaluated)
        self.keys.append(self.objective.order.keys(evaluated))
        eligible = evaluated["value"].to_numpy()[self.objective.order.eligible(evaluated)]
        self.best = float(np.fmax.reduce([self.best, *eligible]))

    def answers(self, codes: Tensor, identities: list[Hashable], new: list[int]) -> Answers:
        """Note the proposals of a round, and return what the method is told of them.

        Args:
            codes: [n, L].
            identities: of these queries, all evaluated by now.
            new: the positions that were charged in this round, ascending.
        """
        order = [self.rows[identity] for identity in identities]
        charged = set(new)
        self.order += order
        self.charged += [position in charged for position in range(len(order))]
        if len(new) == len(order):
            rows = self.evaluated[-1]
        else:
            places = [self.places[row] for row in order]
            found = [self.evaluated[batch].iloc[place : place + 1] for batch, place in places]
            rows = pd.concat(found, ignore_index=True)
        keys = np.concatenate(self.keys, axis=1)
        return Answers(codes, fitness_of(keys)[order], keys[:, order], rows)

    def archive(self) -> pd.DataFrame:
        """Return D so far."""
        if self.evaluated:
            return extend(None, pd.concat(self.evaluated, ignore_index=True), self.objective)
        return empty_archive(self.space, self.objective)

    def trials(self) -> pd.DataFrame:
        """Return the proposals so far, one row each."""
        return pd.DataFrame(
            {
                "trial": np.arange(len(self.order)),
                "order": np.array(self.order, dtype=np.int64),
                "charged": np.array(self.charged, dtype=bool),
            }
        )


def _checked(space: SearchSpace, objective: Objective, method: Method) -> Proposals:
    """Ask a method, and return its proposals if they are codes of the space, with their columns."""
    proposals = method.ask()
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
    identities: list[Hashable], costs: list[int], paid: Mapping[Hashable, int], remaining: int
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


@contextmanager
def _keeping_archive(record: _Record) -> Iterator[None]:
    """Give an error of the method the archive of what was paid for.

    Raises:
        MethodError: in place of an error that is none of the project's.
    """
    try:
        yield
    except OptiProxyError as error:
        error.data.setdefault("archive", record.archive())
        raise
    except Exception as error:
        archive = record.archive()
        raise MethodError(
            f"The method failed after {len(archive)} queries, which are kept in this error's "
            f"data['archive']: {type(error).__name__}: {error}",
            archive=archive,
        ) from error
