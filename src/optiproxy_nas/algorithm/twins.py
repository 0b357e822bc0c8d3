"""Twins: architectures that compute the same function, of which one was queried (ours).

Each is trained by itself, so their values differ by noise. With ``selection.twin_noise`` above 0
the twins of the best architectures stay candidates: of one the proxy's mean is believed, and, in
the place of the proxy's deviation, that which twins in the archive show, since its function is no
longer unknown. So no twin is queried while a new function promises more, and the best ones are once
none does. With 0 they are skipped for good.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.algorithm.candidates import Pool
from optiproxy_nas.algorithm.listing import list_twins, may_list
from optiproxy_nas.algorithm.pending import archive_targets
from optiproxy_nas.algorithm.search_parameters import SearchParameters
from optiproxy_nas.core.parameters import SelectionSettings
from optiproxy_nas.spaces.base import SearchSpace


def twin_spread(functions: Sequence[Hashable], targets: Tensor, prior: float) -> float:
    """Return the deviation of an architecture's target from the mean of its function.

    The variance within the functions of the archive is pooled; ``prior``² counts as one degree of
    freedom.

    Args:
        functions: that the rows of the archive compute [n].
        targets: of the rows [n]; NaN: not observed.
        prior: the deviation that is believed before two architectures of a function were queried.
    """
    groups: dict[Hashable, list[float]] = defaultdict(list)
    for function, target in zip(functions, targets.tolist(), strict=True):
        if target == target:
            groups[function].append(target)
    squares = sum((it - sum(group) / len(group)) ** 2 for group in groups.values() for it in group)
    freedom = sum(len(group) - 1 for group in groups.values())
    return float(((prior**2 + squares) / (1 + freedom)) ** 0.5)


def with_spread(predictions: Tensor, rows: Sequence[int], spread: float) -> Tensor:
    """Return predictions [E, H, n] whose value head has the deviation ``spread`` at ``rows``.

    The mean over the members E stays that of the proxy.
    """
    members = torch.arange(len(predictions), dtype=predictions.dtype)
    if len(members) > 1:
        members = (members - members.mean()) / members.std()
    changed = predictions.clone()
    changed[:, 0, rows] = predictions[:, 0, rows].mean(0) + spread * members.unsqueeze(-1)
    return changed


def with_twins(
    space: SearchSpace,
    pool: Pool,
    predict: Callable[[Tensor], Tensor],
    archive: pd.DataFrame,
    parameters: SearchParameters,
    unavailable: pd.DataFrame | None = None,
) -> tuple[Pool, Tensor]:
    """Return the pool with the twins of the best architectures, and predictions [E, H, q] of all.

    Of each function it is the twin that the proxy scores best; of one with a pending or failed
    trial, none.

    Args:
        space: the search space.
        pool: candidates outside the archive.
        predict: codes [n, L] -> predictions of the proxy [E, H, n].
        archive: D.
        parameters: of the search.
        unavailable: pending and failed trials.
    """
    selection, objective = parameters.selection, parameters.objective
    predictions = predict(pool.codes)
    if not (selection.skip_twins and selection.twin_noise and selection.use_proxy):
        return pool, predictions
    codes = codes_of(space, archive)
    taken = codes[:0]
    if unavailable is not None and len(unavailable):
        taken = codes_of(space, unavailable)
    functions = space.canonical(codes)
    best = torch.from_numpy(objective.order.ranks(archive)).argsort(descending=True, stable=True)
    best = best[: selection.local_moves]
    taken_functions = set(space.canonical(taken))
    wanted = {functions[row] for row in best.tolist()} - taken_functions
    twins = _twins(space, codes[best], wanted, torch.cat([codes, taken, pool.codes]), selection)
    if len(twins):
        found = predict(twins)
        order = objective.task.score(archive, selection)(found).argsort(
            descending=True, stable=True
        )
        first: dict[Hashable, int] = {}
        keys = space.canonical(twins)
        for row in order.tolist():
            first.setdefault(keys[row], row)
        chosen = torch.tensor(list(first.values()))
        predictions = torch.cat([predictions, found[..., chosen]], -1)
        pool = pool._replace(
            codes=torch.cat([pool.codes, twins[chosen]]),
            group=torch.cat([pool.group, torch.full_like(chosen, -1)]),
        )
    targets = archive_targets(archive, parameters)[0]
    spread = twin_spread(functions, targets, selection.twin_noise)
    known, computed = set(functions), space.canonical(pool.codes)
    rows = [row for row, function in enumerate(computed) if function in known]
    return pool, with_spread(predictions, rows, spread)


def _twins(
    space: SearchSpace,
    codes: Tensor,
    functions: set[Hashable],
    taken: Tensor,
    settings: SelectionSettings,
) -> Tensor:
    """Return architectures that compute one of ``functions`` and are not ``taken``: [t, L].

    In a space that is listed all of them, in others those one change away from ``codes`` [b, L].
    """
    if not functions:
        return codes[:0]
    if may_list(space, settings.listed):
        found = list_twins(space, functions)
    else:
        found = space.neighbours(codes)
    seen, kept = set(space.identify(taken)), []
    computed = space.canonical(found)
    for row, (identity, function) in enumerate(zip(space.identify(found), computed, strict=True)):
        if function in functions and identity not in seen:
            kept.append(row)
            seen.add(identity)
    return found[kept]
