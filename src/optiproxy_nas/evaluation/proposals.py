"""What a method proposes: checked, and cut to what the budget affords."""

from __future__ import annotations

from collections.abc import Collection, Hashable

import numpy as np
import torch
from torch import Tensor

from optiproxy_nas.core.errors import InvalidArchitectureError, MethodError
from optiproxy_nas.methods import Method, Proposals, Unavailable
from optiproxy_nas.objectives.base import COLUMNS, Objective
from optiproxy_nas.spaces.base import SearchSpace


def ask_method(
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


def affordable(
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
