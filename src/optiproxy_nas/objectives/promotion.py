"""What two fidelities of a cell say about each other, and which cells are worth full training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from optiproxy_nas.algorithm.archive import codes_of
from optiproxy_nas.algorithm.selection import Predict
from optiproxy_nas.objectives.values import Values
from optiproxy_nas.proxies.targets import make_targets
from optiproxy_nas.spaces.base import SearchSpace

if TYPE_CHECKING:
    from optiproxy_nas.objectives.multi_fidelity import MultiFidelity


def pairs_of(archive: pd.DataFrame, full: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(row of the low value, row of the full one) of each cell that has both: [p, 2].

    Args:
        archive: D with n queries.
        full: [n], which of them were full trainings.
    """
    names = archive["architecture"].to_numpy()
    at = {name: row for row, name in enumerate(names) if not full[row]}
    rows = [(at[names[row]], row) for row in np.flatnonzero(full) if names[row] in at]
    return np.array(rows, dtype=np.intp).reshape(-1, 2)


def fidelity_targets(archive: pd.DataFrame, full: NDArray[np.bool_], name: str) -> Tensor:
    """Targets [2, n]: the low value where a row is one; the correction where a cell has both.

    The two fidelities are on scales of their own, and few cells have both, so values are not
    compared but ranks: the promoted cells' low targets, dealt out anew in the order of their full
    values, are their final targets. The correction is the difference. NaN elsewhere.
    """
    low = torch.full((len(archive),), torch.nan)
    correction = low.clone()
    values = archive["value"].to_numpy()
    if not full.all():
        low[torch.from_numpy(~full)] = make_targets(values[~full], name)
    pairs = pairs_of(archive, full)
    if len(pairs):
        known = low[pairs[:, 0]].numpy()
        final = np.sort(known)[_ranks(values[pairs[:, 1]])]
        correction[pairs[:, 1]] = torch.from_numpy(final - known)
    return torch.stack([low, correction])


def promotions(
    space: SearchSpace,
    predict: Predict,
    archive: pd.DataFrame,
    full: NDArray[np.bool_],
    name: str,
    settings: MultiFidelity,
    count: int,
) -> NDArray[np.intp]:
    """Up to ``count`` rows of the archive to train fully, most promising first.

    Args:
        space: the search space.
        predict: codes [n, L] -> predictions [E, 2, n].
        archive: D.
        full: [n], which rows were full trainings.
        name: of the targets (``proxies.targets``).
        settings: how many cells come before the first promotion, and what weight a cell's own low
            value has beside the proxy's.
        count: how many the step's epochs pay for.
    """
    low = np.flatnonzero(~full)
    waiting = np.setdiff1d(low, pairs_of(archive, full)[:, 0])
    if not count or not len(waiting) or len(low) < settings.low_first:
        return waiting[:0]
    measured = fidelity_targets(archive, full, name)[0, waiting].double()
    predictions = predict(codes_of(space, archive.iloc[waiting])).double()  # [E, 2, n]
    weight = settings.measured
    final = weight * measured + (1 - weight) * predictions[:, 0] + predictions[:, 1]
    order = np.argsort(-final.mean(0).numpy(), kind="stable")[:count]
    return waiting[order]


def _ranks(values: Values) -> NDArray[np.intp]:
    """0 for the least of values [n], n - 1 for the greatest (ties: the first is less)."""
    ranks = np.empty(len(values), dtype=np.intp)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks
