"""The loop that asks a method, pays for what it proposes, and tells it the values."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import QueryLedger, extend, make_batch
from optiproxy_nas.algorithm.steps import Evaluate, ask_values
from optiproxy_nas.errors import (
    BudgetError,
    EvaluationError,
    InvalidArchitectureError,
    SamplingError,
)
from optiproxy_nas.methods.base import Method
from optiproxy_nas.reproducibility import one_thread
from optiproxy_nas.spaces.base import SearchSpace

PATIENCE = 1000  # proposals in a row without a new architecture


class _Record:
    """What was queried and what was proposed; made into tables once, at the end."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.row: dict[Hashable, int] = {}  # identity -> row of the archive
        self.codes: list[Tensor] = []
        self.values: list[float] = []
        self.rounds: list[int] = []
        self.order: list[int] = []  # of each proposal, its row of the archive
        self.charged: list[bool] = []

    def query(
        self, evaluate: Evaluate, codes: Tensor, identities: list[Hashable], step: int
    ) -> None:
        """Evaluate what is new: one row of the archive each."""
        architectures = self.space.to_string(codes)
        try:
            values = ask_values(architectures, evaluate)
        except Exception as error:
            raise EvaluationError(
                f"The evaluation failed after {len(self.codes)} queries, which are kept in this "
                f"error's data['archive']: {error}",
                archive=self.archive(),
                architectures=architectures,
            ) from error
        for identity, code, value in zip(identities, codes, values.tolist(), strict=True):
            self.row[identity] = len(self.codes)
            self.codes.append(code)
            self.values.append(value)
            self.rounds.append(step)

    def propose(self, identities: list[Hashable], charged: set[int]) -> list[int]:
        """Note the proposals of one round; the row of the archive of each."""
        rows = [self.row[identity] for identity in identities]
        self.order += rows
        self.charged += [row in charged for row in range(len(rows))]
        return rows

    def event(self, row: int, trials: int) -> dict[str, Any]:
        """What ``on_query`` is told of one row of the archive."""
        return {
            "query": row + 1,
            "trials": trials,
            "step": self.rounds[row],
            "architecture": self.space.to_string(self.codes[row].unsqueeze(0))[0],
            "value": self.values[row],
            "best": max(self.values[: row + 1]),
        }

    def archive(self) -> pd.DataFrame:
        length = self.space.code_length
        codes = torch.stack(self.codes) if self.codes else torch.empty(0, length).long()
        batch = make_batch(self.space, codes, step=0)
        batch["step"] = np.array(self.rounds, dtype=np.int64)
        return extend(None, batch, np.array(self.values))

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
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask, evaluate and tell until the budget is spent.

    Each architecture is charged and evaluated once (``space.identify``); a repeat is answered
    from the archive. A batch is cut after the query that spends the budget.

    Args:
        space: the search space.
        evaluate: architecture strings [n] -> values [n], percent, higher is better.
        method: of :func:`optiproxy_nas.methods.build_method`.
        budget: queries in all.
        on_query: called after each query with {query (from 1), trials, step, architecture, value,
            best}.

    Returns:
        archive: as of :mod:`optiproxy_nas.algorithm.archive`; ``step`` is the round of asking,
            from 0; ``predicted`` and ``score`` are NaN.
        trials: one row a proposal, in order: ``trial`` (from 0), ``order`` (the row of the archive
            that holds its architecture), ``charged`` (whether this proposal was the query).

    Raises:
        BudgetError: the space has fewer architectures than the budget; nothing was queried.
        EvaluationError: ``evaluate`` failed; the archive so far is in ``data["archive"]``.
        InvalidArchitectureError: the method proposed something that is no code of the space.
        SamplingError: the method proposes nothing new any more; the archive is in the data, too.
    """
    if space.size is not None and budget > space.size:
        raise BudgetError(
            f"The budget of {budget} queries is larger than the space, which has {space.size} "
            f"architectures; each is charged once. Lower budget to at most {space.size}.",
            budget=budget,
            size=space.size,
        )
    ledger, record = QueryLedger(budget), _Record(space)
    step = idle = 0
    while ledger.remaining:
        try:
            codes = _checked(space, method)
        except SamplingError as error:
            error.data.setdefault("archive", record.archive())
            raise
        identities = space.identify(codes)
        new = _first_rows(identities, record.row, ledger.remaining)
        if len(new) == ledger.remaining:  # the last query ends the search
            identities = identities[: max(new.values()) + 1]
        before = len(record.order)
        if new:
            ledger.charge(list(new))
            record.query(evaluate, codes[list(new.values())], list(new), step)
        rows = record.propose(identities, set(new.values()))
        if on_query is not None:
            for row in new.values():
                on_query(record.event(rows[row], trials=before + row + 1))
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
        method.tell(codes[: len(rows)], np.array([record.values[row] for row in rows]))
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
