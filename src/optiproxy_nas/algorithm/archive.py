"""The archive D of evaluated architectures, and the ledger that charges queries to the budget.

D is a table (pandas), one row a query, in query order; it is what is stored, resumed and audited,
so it holds nothing that differs between two equal runs (no times).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.errors import ArtifactError, BudgetError
from optiproxy_nas.spaces.base import SearchSpace

# Columns beside code_0 .. code_{L-1}, the architecture's integer code.
COLUMNS = {
    "order": "int64",  # 0-based query number
    "step": "int64",  # 0: initial sample; 1..S: search step
    "architecture": "str",  # the benchmark's notation
    "value": "float64",  # f(𝒜): validation accuracy, percent
    "predicted": "float64",  # f̂(𝒜) before the query, percent; NaN in the initial sample
    "predicted_sd": "float64",  # spread of the ensemble, percent; NaN in the initial sample
    "score": "float64",  # what the selection maximised, in target units
    "group": "int64",  # the (α, β) group it was drawn from; -1: not from a group
    "best": "float64",  # best value so far, percent
}


class QueryLedger:
    """Charges each distinct architecture once and never more than the budget.

    Args:
        budget: C, queries in all.
        charged: identities already paid for (of an archive that goes on).
    """

    def __init__(self, budget: int, charged: Iterable[Hashable] = ()) -> None:
        self.budget = budget
        self._charged = set(charged)

    def __contains__(self, identity: object) -> bool:
        return identity in self._charged

    @property
    def spent(self) -> int:
        """Queries charged so far."""
        return len(self._charged)

    @property
    def remaining(self) -> int:
        """Queries left."""
        return self.budget - self.spent

    def charge(self, identities: Sequence[Hashable]) -> int:
        """Charge what is new among ``identities``; all of it or nothing.

        Returns:
            The number of queries charged.

        Raises:
            BudgetError: the budget would be exceeded; nothing is charged.
        """
        new = set(identities) - self._charged
        if len(new) > self.remaining:
            raise BudgetError(
                f"{len(new)} queries asked for, {self.remaining} of {self.budget} left; none of "
                "them was made.",
                asked=len(new),
                remaining=self.remaining,
                budget=self.budget,
            )
        self._charged |= new
        return len(new)


def codes_of(space: SearchSpace, table: pd.DataFrame) -> Tensor:
    """Integer codes [n, L] of a table with columns code_0 .. code_{L-1}."""
    columns = [f"code_{i}" for i in range(space.code_length)]
    return torch.as_tensor(table[columns].to_numpy(dtype=np.int64, copy=True))


def make_batch(
    space: SearchSpace,
    codes: Tensor,
    step: int,
    group: Tensor | None = None,
    predicted: np.ndarray | None = None,
    predicted_sd: np.ndarray | None = None,
    score: np.ndarray | None = None,
) -> pd.DataFrame:
    """A table of architectures chosen to be queried, without ``value``, ``order`` and ``best``."""
    count = len(codes)
    missing = np.full(count, np.nan)
    table = pd.DataFrame(
        {
            "step": np.full(count, step, dtype=np.int64),
            "architecture": pd.array(space.to_string(codes), dtype="str"),
            "predicted": missing if predicted is None else predicted,
            "predicted_sd": missing if predicted_sd is None else predicted_sd,
            "score": missing if score is None else score,
            "group": np.full(count, -1) if group is None else group.numpy(),
        }
    )
    for i, column in enumerate(codes.T.numpy()):
        table[f"code_{i}"] = column
    return table


def extend(archive: pd.DataFrame | None, batch: pd.DataFrame, values: np.ndarray) -> pd.DataFrame:
    """𝒟 ∪ {(𝒜_b, f(𝒜_b))} (Algorithm 2, line 10): a new table, in query order.

    Args:
        archive: D so far, or None before the initial sample.
        batch: of :func:`make_batch`, n rows.
        values: f(𝒜), percent [n].
    """
    grown = batch.assign(value=np.asarray(values, dtype=np.float64))
    if archive is not None:
        grown = pd.concat([archive, grown], ignore_index=True)
    grown["order"] = np.arange(len(grown))
    grown["best"] = grown["value"].cummax()
    codes = [name for name in grown.columns if name.startswith("code_")]
    return grown[list(COLUMNS) + codes].astype({**COLUMNS, **dict.fromkeys(codes, "int64")})


def check_archive(space: SearchSpace, archive: pd.DataFrame) -> pd.DataFrame:
    """Return ``archive`` if it is one, else say what is wrong with it.

    Raises:
        ArtifactError: missing columns, or rows that contradict each other.
    """
    needed = set(COLUMNS) | {f"code_{i}" for i in range(space.code_length)}
    problems = []
    if needed - set(archive.columns):
        problems.append(f"columns missing: {sorted(needed - set(archive.columns))}")
    else:
        if not _strings_match(space, archive):
            problems.append("codes and architecture strings disagree")
        if archive["architecture"].duplicated().any():
            problems.append("architectures queried twice")
        numbers = archive[["value", "best", "order", "step"]].apply(pd.to_numeric, errors="coerce")
        if not np.isfinite(numbers.to_numpy(dtype=np.float64)).all():
            problems.append("values, orders or steps that are not finite numbers")
        elif not np.array_equal(numbers["value"].cummax(), numbers["best"]):
            problems.append("'best' is not the running maximum of 'value'")
        elif not np.array_equal(numbers["order"], np.arange(len(archive))):
            problems.append("'order' does not count the queries from 0")
        elif not (numbers["step"].is_monotonic_increasing and (numbers["step"] >= 0).all()):
            problems.append("'step' falls")
    if problems:
        raise ArtifactError(
            f"Not a valid archive of space {space.name!r}: {'; '.join(problems)}. It was edited "
            "or written by something else; run the search anew.",
            problems=problems,
        )
    return archive


def _strings_match(space: SearchSpace, archive: pd.DataFrame) -> bool:
    """Whether codes and strings name the same architectures."""
    try:
        codes = codes_of(space, archive)
        return bool((codes >= 0).all()) and space.to_string(codes) == list(archive["architecture"])
    except (IndexError, TypeError, ValueError):
        return False  # a code outside the space, or not a number
