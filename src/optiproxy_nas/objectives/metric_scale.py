"""The scale on which a proxy learns a bounded metric: 0 at the bound, below 0 inside."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.core.arrays import Floats, deviation
from optiproxy_nas.objectives.constraints import Constraint

ScaleName = Literal["linear", "log", "ratio"]
LEAST_RATIO = 1e-3  # of a metric to its bound, on the scale ``ratio``; below, all are equal


class MetricScale(NamedTuple):
    """Targets of a metric from its excess e over the bound, and back.

    ``linear``: e / s, where s is the standard deviation of the metric m in the archive. ``log``:
    sign(e) log(1 + |e| / s), where s is the median of |e|: as fine as linear at the bound, and
    coarser the further away, where an error decides nothing. ``ratio``: ± log(m / bound) / s, where
    s is the standard deviation of log m: products, such as depth times width, become sums.

    Attributes:
        spread: s.
        name: which scale.
        bound: of the constraint.
        sign: 1 for an upper bound, -1 for a lower one.
    """

    spread: float
    name: ScaleName
    bound: float = 1.0
    sign: float = 1.0

    @classmethod
    def of(cls, constraint: Constraint, archive: pd.DataFrame, name: ScaleName) -> MetricScale:
        """Return the scale of a constraint's metric in an archive.

        Where s is 0 it is the bound, on the scale ``ratio`` 1.
        """
        values = archive[constraint.metric].to_numpy(dtype=np.float64)
        runs = values[np.isfinite(values)]
        spread = 0.0
        if len(runs) and name == "ratio":
            spread = float(deviation(_log_ratio(runs, constraint.bound)))
        elif len(runs):
            distances = np.abs(runs - constraint.bound)
            spread = float(deviation(runs) if name == "linear" else np.median(distances))
        least = 1.0 if name == "ratio" else constraint.bound
        return cls(spread or least, name, constraint.bound, constraint.sign)

    def targets(self, constraint: Constraint, archive: pd.DataFrame) -> Tensor:
        """Return the targets [n], float32; of what cannot run the worst, and 1 at least."""
        excess = constraint.excess(archive[constraint.metric].to_numpy(dtype=np.float64))
        target = self.target(excess)
        worst = target[np.isfinite(target)].max(initial=1.0)
        return torch.as_tensor(np.minimum(target, worst)).float()

    def target(self, excess: Floats) -> Floats:
        """Return the targets of excesses [n], in the unit of the metric."""
        if self.name == "ratio":
            return self.sign * _log_ratio(self.bound + self.sign * excess, self.bound) / self.spread
        ratio = excess / self.spread
        return ratio if self.name == "linear" else np.sign(ratio) * np.log1p(np.abs(ratio))

    def excess(self, target: Floats) -> Floats:
        """Return the excesses of targets [n], in the unit of the metric."""
        if self.name == "linear":
            return target * self.spread
        # What exp cannot hold is no prediction: the archive's worst is far below.
        if self.name == "ratio":
            exponent = np.clip(self.sign * self.spread * target, -50.0, 50.0)
            found: Floats = self.sign * self.bound * np.expm1(exponent)
            return found
        ratio: Floats = np.sign(target) * np.expm1(np.minimum(np.abs(target), 50.0))
        return ratio * self.spread

    def errors(self, constraint: Constraint, archive: pd.DataFrame) -> Floats:
        """Return target minus predicted target of each row [n]; NaN where none was predicted."""
        metric = archive[constraint.metric].to_numpy(dtype=np.float64)
        predicted = archive[f"predicted_{constraint.metric}"].to_numpy(dtype=np.float64)
        if self.name == "linear":
            errors: Floats = (metric - predicted) / self.spread
            return errors
        sign, bound = constraint.sign, constraint.bound
        return self.target(sign * (metric - bound)) - self.target(sign * (predicted - bound))


def _log_ratio(values: Floats, bound: float) -> Floats:
    logarithm: Floats = np.log(np.maximum(values / bound, LEAST_RATIO))
    return logarithm
