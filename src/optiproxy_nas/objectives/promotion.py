"""What two fidelities of a cell say about each other, and which cells are worth full training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import Tensor

from optiproxy_nas.core.arrays import Floats, Integers, Mask
from optiproxy_nas.core.parameters import SelectionSettings
from optiproxy_nas.objectives.base import PredictRows, ProxyTask, Score
from optiproxy_nas.objectives.trial_order import TrialOrder
from optiproxy_nas.proxies.targets import acquisition_score, make_targets, value_columns


@dataclass(frozen=True)
class FullyTrainedFirst(TrialOrder):
    """Fully trained cells by value, then the others by theirs."""

    full_epochs: int

    def eligible(self, archive: pd.DataFrame) -> Mask:
        """Return the fully trained rows."""
        trained: Mask = archive["epochs"].to_numpy() == self.full_epochs
        return trained

    def judged(self, archive: pd.DataFrame) -> Mask:
        """Return the rows of low fidelity, of which there are many."""
        return ~self.eligible(archive)


@dataclass(frozen=True)
class FidelityTask(ProxyTask):
    """Two heads: the value after few epochs, and the correction to full training."""

    order: FullyTrainedFirst
    low_first: int  # cells at low fidelity before the first promotion
    measured: float  # weight of a cell's own low value beside the proxy's

    @property
    def heads(self) -> int:
        """Return 2."""
        return 2

    def targets(self, archive: pd.DataFrame, name: str) -> Tensor:
        """Return targets [2, n]: the low value where a row is one; the correction of a pair.

        The two fidelities are on scales of their own, and few cells have both, so not values but
        ranks are compared: the promoted cells' low targets, dealt out anew in the order of their
        full values, are their final targets. The correction is the difference. NaN elsewhere.
        """
        full, values = self.order.eligible(archive), self.order.goodness(archive)
        low = torch.full((len(archive),), torch.nan)
        correction = low.clone()
        if not full.all():
            low[torch.from_numpy(~full)] = make_targets(values[~full], name)
        pairs = pairs_of(archive, full)
        if len(pairs):
            low_targets = low[pairs[:, 0]].numpy()
            ranks = rankdata(values[pairs[:, 1]], method="ordinal") - 1  # of equals, by row
            final = np.sort(low_targets)[ranks]
            correction[pairs[:, 1]] = torch.from_numpy(final - low_targets)
        return torch.stack([low, correction])

    def score(self, archive: pd.DataFrame, selection: SelectionSettings) -> Score:
        """Return the acquisition of the predicted final value."""
        return lambda predictions: acquisition_score(predictions.sum(1), selection)

    def predicted(self, predictions: Tensor, archive: pd.DataFrame, name: str) -> dict[str, Floats]:
        """Return the final value: on the line through the cells that have both values."""
        final = predictions.sum(1).double().numpy()
        targets = self.targets(archive, name)
        pairs = pairs_of(archive, self.order.eligible(archive))
        full = archive["value"].to_numpy()[pairs[:, 1]]
        at = (targets[0, pairs[:, 0]] + targets[1, pairs[:, 1]]).double().numpy()
        if len(pairs) < 3 or np.ptp(at) == 0:
            missing = np.full(final.shape[1], np.nan)
            return {"predicted": missing, "predicted_sd": missing}
        slope, intercept = np.polyfit(at, full, 1)
        return {
            "predicted": intercept + slope * final.mean(0),
            "predicted_sd": abs(slope) * final.std(0, ddof=min(1, len(final) - 1)),
        }

    def revealed(self, predictions: Tensor, archive: pd.DataFrame, name: str) -> dict[str, Floats]:
        """Return the low value."""
        low = self.order.goodness(archive)[~self.order.eligible(archive)]
        return value_columns(predictions[:, 0], low, name, sign=self.order.sign)

    def promotions(
        self, archive: pd.DataFrame, predict: PredictRows, name: str, count: int
    ) -> Integers:
        """Return up to ``count`` rows to train fully: the best predicted after full training."""
        full = self.order.eligible(archive)
        low = np.flatnonzero(~full)
        waiting = np.setdiff1d(low, pairs_of(archive, full)[:, 0])
        if not count or not len(waiting) or len(low) < self.low_first:
            return waiting[:0]
        measured = self.targets(archive, name)[0, waiting].double()
        predictions = predict(waiting).double()  # [E, 2, n]
        weight = self.measured
        final = weight * measured + (1 - weight) * predictions[:, 0] + predictions[:, 1]
        order = np.argsort(-final.mean(0).numpy(), kind="stable")[:count]
        return waiting[order]


def pairs_of(archive: pd.DataFrame, full: Mask) -> Integers:
    """Return (row of the low value, row of the full one) of each cell that has both: [p, 2].

    Args:
        archive: D with n queries.
        full: [n], which of them were full trainings.
    """
    names = archive["architecture"].to_numpy()
    low_rows = {name: row for row, name in enumerate(names) if not full[row]}
    rows = [(low_rows[names[row]], row) for row in np.flatnonzero(full) if names[row] in low_rows]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)
