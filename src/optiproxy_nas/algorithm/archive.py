"""The archive D of evaluated architectures.

D is a table (pandas), one row a query, in query order; it is what is stored, resumed and audited,
so it holds nothing that differs between two equal runs (no times).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.core.errors import ArtifactError
from optiproxy_nas.objectives.base import COLUMNS, Objective
from optiproxy_nas.objectives.trial_order import STOPPED
from optiproxy_nas.spaces.base import SearchSpace

FEW_COLUMNS = 50  # pandas warns of a fragmented table where a hundred are added one by one


def codes_of(space: SearchSpace, table: pd.DataFrame) -> Tensor:
    """Return integer codes [n, L] of a table with columns code_0 .. code_{L-1}."""
    names = [f"code_{i}" for i in range(space.code_length)]
    # A slice, since pandas takes many times as long to find a list of columns.
    first: Any = table.columns.get_loc(names[0])
    codes = table.iloc[:, first : first + len(names)]
    if codes.columns.tolist() != names:  # edited
        codes = table[names]
    return torch.as_tensor(codes.to_numpy(dtype=np.int64).copy())


def make_batch(space: SearchSpace, codes: Tensor, step: int, **columns: Any) -> pd.DataFrame:
    """Return a table of architectures to be queried, without the results of the queries.

    Args:
        space: the search space.
        codes: [n, L].
        step: the step that chose them.
        **columns: known before the query, [n] each: ``predicted``,
            ``predicted_sd``, ``score`` (NaN where not given), ``group``, the (α, β) group (-1
            where not given), and the objective's own.
    """
    count = len(codes)
    missing = np.full(count, np.nan)
    return pd.DataFrame(
        {
            "step": np.full(count, step, dtype=np.int64),
            "architecture": pd.array(space.to_string(codes), dtype="str"),
            "predicted": missing,
            "predicted_sd": missing,
            "score": missing,
            "group": np.full(count, -1),
            **columns,
            **{f"code_{i}": column for i, column in enumerate(codes.T.numpy())},
        }
    )


def with_columns(table: pd.DataFrame, columns: Mapping[str, Any]) -> pd.DataFrame:
    """Return ``table.assign(**columns)``, without a warning where a hundred columns are new."""
    if len(columns) < FEW_COLUMNS:  # the quicker way, taken at each query
        return table.assign(**columns)
    new = {name: column for name, column in columns.items() if name not in table}
    replaced = {name: column for name, column in columns.items() if name in table}
    return pd.concat([table.assign(**replaced), pd.DataFrame(new, index=table.index)], axis=1)


def empty_archive(space: SearchSpace, objective: Objective) -> pd.DataFrame:
    """Return D before the first query: all columns, no row."""
    batch = make_batch(space, torch.empty(0, space.code_length).long(), step=0)
    columns = dict.fromkeys(["value", *objective.columns], np.empty(0))
    return extend(None, with_columns(batch, columns), objective)


def extend(
    archive: pd.DataFrame | None, evaluations: pd.DataFrame, objective: Objective
) -> pd.DataFrame:
    """Return 𝒟 ∪ {(𝒜_b, f(𝒜_b))} (Algorithm 2, line 10): a new table, in query order.

    Args:
        archive: D so far, or None before the initial sample.
        evaluations: an evaluated batch, with ``value`` and the columns of the objective.
        objective: defines further columns, and which value is best.
    """
    grown = evaluations
    if archive is not None:
        grown = pd.concat([archive, grown], ignore_index=True)
    codes = [name for name in grown.columns if name.startswith("code_")]
    missing = {name: np.nan for name in objective.columns if name not in grown}
    grown = with_columns(grown, {"order": np.arange(len(grown)), **missing})
    grown["best"] = objective.order.best(grown)
    stopped = {STOPPED: "bool"} if STOPPED in grown else {}  # where trainings may be ended early
    types = {**COLUMNS, **objective.columns, **stopped, **dict.fromkeys(codes, "int64")}
    if list(grown.columns) != list(types):
        grown = grown[list(types)]
    kinds = zip(types.items(), grown.dtypes, strict=True)
    other = {name: kind for (name, kind), present in kinds if present != kind}
    return grown.astype(other) if other else grown  # of all columns it takes milliseconds


def check_archive(space: SearchSpace, archive: pd.DataFrame, objective: Objective) -> pd.DataFrame:
    """Return ``archive`` if it is valid.

    Raises:
        ArtifactError: missing columns, or rows that contradict each other.
    """
    codes = {f"code_{i}" for i in range(space.code_length)}
    missing = ({*COLUMNS, *objective.columns} | codes) - set(archive.columns)
    problems = (
        [f"columns missing: {sorted(missing)}"]
        if missing
        else _contradictions(space, archive, objective)
    )
    if problems:
        raise ArtifactError(
            f"Not a valid archive of space {space.name!r}: {'; '.join(problems)}. It was edited "
            "or written by something else; run the search anew.",
            problems=problems,
        )
    return archive


def _contradictions(space: SearchSpace, archive: pd.DataFrame, objective: Objective) -> list[str]:
    problems = []
    if (codes := _matching_codes(space, archive)) is None:
        problems.append("codes and architecture strings disagree")
    else:
        charged = objective.price.identities(space, archive, codes)
        if len(set(charged)) < len(charged):
            problems.append("architectures queried twice")
    numeric = [name for name, kind in objective.columns.items() if kind != "str"]
    if any(not pd.api.types.is_numeric_dtype(archive[name]) for name in numeric):
        problems.append(f"something else than numbers in {', '.join(numeric)}")
        return problems
    numbers = {
        name: pd.to_numeric(archive[name], errors="coerce").to_numpy(dtype=np.float64)
        for name in ("value", "order", "step")
    }
    if not all(np.isfinite(column).all() for column in numbers.values()):
        problems.append("values, orders or steps that are not finite numbers")
    elif not np.array_equal(objective.order.best(archive), archive["best"], equal_nan=True):
        problems.append("'best' is not the best of 'value' so far")
    elif not np.array_equal(numbers["order"], np.arange(len(archive))):
        problems.append("'order' does not count the queries from 0")
    elif not (numbers["step"] >= 0).all():
        problems.append("steps below 0")
    return problems


def _matching_codes(space: SearchSpace, archive: pd.DataFrame) -> Tensor | None:
    """Return the codes, if these and the strings name the same architectures."""
    try:
        codes = codes_of(space, archive)
        named = space.to_string(codes) if bool((codes >= 0).all()) else None
    except (IndexError, TypeError, ValueError):
        return None  # a code outside the space, or not a number
    return codes if named == archive["architecture"].tolist() else None
