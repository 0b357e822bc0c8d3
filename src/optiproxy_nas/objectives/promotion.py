"""What the rungs of an architecture say about each other, and which trials are worth raising."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
import torch
from torch import Tensor

from optiproxy_nas.core.arrays import Floats, Integers, Mask
from optiproxy_nas.core.parameters import SelectionSettings
from optiproxy_nas.objectives.base import PredictRows, ProxyTask, Score
from optiproxy_nas.objectives.rungs import Rungs
from optiproxy_nas.objectives.trial_order import TrialOrder
from optiproxy_nas.proxies.targets import acquisition_score, make_targets, value_columns


@dataclass(frozen=True)
class FullyTrainedFirst(TrialOrder):
    """Fully trained architectures by value, then the others by theirs."""

    epochs: tuple[int, ...]  # the rungs

    def may_answer(self, archive: pd.DataFrame) -> Mask:
        """Return the fully trained rows."""
        trained: Mask = archive["epochs"].to_numpy() == self.epochs[-1]
        return trained

    def judged(self, archive: pd.DataFrame) -> Mask:
        """Return the rows of the lowest rung, of which there are many."""
        lowest: Mask = archive["epochs"].to_numpy() == self.epochs[0]
        return lowest


@dataclass(frozen=True)
class FidelityTask(ProxyTask):
    """R heads: the value at the lowest rung, and a correction to each rung above."""

    order: FullyTrainedFirst
    rungs: Rungs
    measured: float  # weight of an architecture's measured value beside the proxy's

    @property
    def heads(self) -> int:
        """Return R, the number of rungs."""
        return len(self.rungs.epochs)

    def targets(self, archive: pd.DataFrame, name: str) -> Tensor:
        """Return targets [R, n]: the value of a row of the lowest rung; corrections above.

        Each rung has another scale, and few architectures have two of them, so not values
        but ranks are compared: the targets that the raised architectures have at the rung below,
        dealt out anew in the order of their values at this one, are their targets. The
        correction is the difference. NaN elsewhere. What was ended early counts by the value that
        it had reached, as in a search without rungs: it was below the median of its rung then.
        """
        return self._targets(archive, name)[0]

    def _targets(self, archive: pd.DataFrame, name: str) -> tuple[Tensor, Floats]:
        """Return the targets [R, n], and what they add up to at each row's rung: [n]."""
        rung, values = self.rungs.of(archive), self.order.goodness(archive)
        targets = np.full((self.heads, len(archive)), np.nan, dtype=np.float32)
        lowest = rung == 0
        if lowest.any():
            targets[0, lowest] = make_targets(values[lowest], name)
        reached = targets[0].copy()
        for place in range(1, self.heads):
            pairs = pairs_of(archive, rung == place - 1, rung == place)
            below, above = pairs[~np.isnan(reached[pairs[:, 0]])].T
            if len(above):
                # Of equals, by row.
                ranks = scipy.stats.rankdata(values[above], method="ordinal") - 1
                targets[place, above] = np.sort(reached[below])[ranks] - reached[below]
                reached[above] = reached[below] + targets[place, above]
        return torch.from_numpy(targets), reached

    def heads_of(self, table: pd.DataFrame) -> Mask:
        """Return the head of each row's rung."""
        of_rung: Mask = np.arange(self.heads)[:, np.newaxis] == self.rungs.of(table)
        return of_rung

    def score(self, archive: pd.DataFrame, selection: SelectionSettings) -> Score:
        """Return the acquisition of the predicted final value."""
        return lambda predictions: acquisition_score(predictions.sum(1), selection)

    def predicted(self, predictions: Tensor, archive: pd.DataFrame, name: str) -> dict[str, Floats]:
        """Return the final value."""
        return self._at(self.heads - 1, predictions, archive, name)

    def raised(
        self, predictions: Tensor, rows: Integers, archive: pd.DataFrame, name: str
    ) -> dict[str, Floats]:
        """Return the value at the rung to which each row is raised."""
        reached = self.rungs.of(archive.iloc[rows]) + 1
        columns = {key: np.full(len(rows), np.nan) for key in ("predicted", "predicted_sd")}
        for place in np.unique(reached).tolist():
            chosen = np.flatnonzero(reached == place)
            found = self._at(place, predictions[..., chosen], archive, name)
            for key, column in columns.items():
                column[chosen] = found[key]
        return columns

    def _at(
        self, place: int, predictions: Tensor, archive: pd.DataFrame, name: str
    ) -> dict[str, Floats]:
        """Return the value at a rung: on the line through the trials that have a target there."""
        final = predictions[:, : place + 1].sum(1).double().numpy()
        reached = self._targets(archive, name)[1].astype(np.float64)
        has_target = (self.rungs.of(archive) == place) & ~np.isnan(reached)
        at, values = reached[has_target], archive["value"].to_numpy()[has_target]
        if len(at) < 3 or np.ptp(at) == 0:
            missing = np.full(final.shape[1], np.nan)
            return {"predicted": missing, "predicted_sd": missing}
        slope, intercept = np.polyfit(at, values, 1)
        return {
            "predicted": intercept + slope * final.mean(0),
            "predicted_sd": abs(slope) * final.std(0, ddof=min(1, len(final) - 1)),
        }

    def revealed(self, predictions: Tensor, archive: pd.DataFrame, name: str) -> dict[str, Floats]:
        """Return the value at the lowest rung."""
        low = self.order.goodness(archive)[self.order.judged(archive)]
        return value_columns(predictions[:, 0], low, name, sign=self.order.sign)

    def promotable(self, archive: pd.DataFrame) -> Mask:
        """Return the rows that a promotion may still choose, whatever is observed later: [n]."""
        kept = self.rungs.kept(archive, self.order.goodness(archive))
        return kept & ~self.rungs.raised(archive)

    def promotions(
        self,
        archive: pd.DataFrame,
        predict: PredictRows,
        name: str,
        allowance: int,
        excluded: Collection[str] = (),
    ) -> Integers:
        """Return the rows to raise by a rung: at each, the best predicted after full training."""
        rung = self.rungs.of(archive)
        waiting = self.promotable(archive)
        if excluded:
            waiting &= ~archive["architecture"].isin(excluded).to_numpy()
        begun = [(rung == place).sum() >= self.rungs.least(place) for place in range(self.heads)]
        if not begun[0]:
            return np.empty(0, dtype=np.int64)
        rows = [np.flatnonzero(waiting & (rung == k) & begun[k]) for k in range(self.heads - 1)]
        counts = self.rungs.spread(allowance, [len(found) for found in rows])
        chosen = []
        for found, count in zip(reversed(rows), reversed(counts), strict=True):
            if count:
                final = self._final(archive, found, rung[found[0]], predict, name)
                chosen.append(found[np.argsort(-final, kind="stable")[:count]])
        return np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)

    def _final(
        self, archive: pd.DataFrame, rows: Integers, place: int, predict: PredictRows, name: str
    ) -> Floats:
        """Return the final value expected of rows of one rung, what was measured included: [m]."""
        predictions = predict(rows).double()  # [E, R, m]
        below, above = predictions[:, : place + 1].sum(1), predictions[:, place + 1 :].sum(1)
        measured = torch.from_numpy(self._targets(archive, name)[1][rows]).double()
        measured = torch.where(torch.isnan(measured), below, measured)
        final = self.measured * measured + (1 - self.measured) * below + above
        expected: Floats = final.mean(0).numpy()
        return expected


def pairs_of(archive: pd.DataFrame, low: Mask, full: Mask) -> Integers:
    """Return (row of the low value, row of the full one) of each architecture with both: [p, 2].

    Args:
        archive: D with n queries.
        low: [n], the rows of the lower rung.
        full: [n], those of the higher one.
    """
    names = archive["architecture"].to_numpy()
    low_rows = {names[row]: row for row in np.flatnonzero(low)}
    rows = [(low_rows[names[row]], row) for row in np.flatnonzero(full) if names[row] in low_rows]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)
