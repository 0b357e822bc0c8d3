"""What trials at rungs are charged, in the unit of the rungs."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from optiproxy_nas.core.arrays import Integers
from optiproxy_nas.objectives.pricing import Pricing
from optiproxy_nas.objectives.rungs import Rungs
from optiproxy_nas.spaces.base import SearchSpace


@dataclass(frozen=True)
class RungPricing(Pricing):
    """Amounts of training.

    Attributes:
        rungs: of the search.
        step: what a step may spend, at least a full training.
        unit: of the rungs, such as epochs.
    """

    rungs: Rungs
    step: int
    unit: str = "epochs"  # type: ignore[misc]

    @property
    def cheapest(self) -> int:
        """Return the cost of an architecture at the lowest rung."""
        return self.rungs.epochs[0]

    @property
    def full_cost(self) -> int:
        """Return the cost of full training from nothing."""
        return self.rungs.epochs[-1]

    @property
    def terms(self) -> str:
        """Return the settings of rungs, steps and first looks."""
        epochs = list(self.rungs.epochs)
        names = f"objective.rungs = {epochs}"
        if len(epochs) == 2:
            names = f"objective.low_epochs = {epochs[0]}, full_epochs = {epochs[1]}"
        return f"{names}, step_epochs = {self.step}, low_first = {self.rungs.first}"

    def costs(self, table: pd.DataFrame) -> Integers:
        """Return what was charged: [n]."""
        return table["cost"].to_numpy(dtype=np.int64)

    def identities(self, space: SearchSpace, table: pd.DataFrame, codes: Tensor) -> list[Hashable]:
        """Return architecture and rung: one may be charged once at each."""
        return list(zip(space.identify(codes), table["epochs"].tolist(), strict=True))

    def initial_columns(self, count: int) -> dict[str, Any]:
        """Return trials of the lowest rung."""
        return self.fidelity_columns(np.full(count, self.cheapest))

    def full_columns(self, count: int) -> dict[str, Any]:
        """Return full trainings from nothing."""
        return self.fidelity_columns(np.full(count, self.full_cost))

    def fidelity_columns(self, epochs: Integers) -> dict[str, Any]:
        """Return trainings from nothing."""
        return {"epochs": epochs, "cost": epochs}

    def promotion_columns(self, rows: pd.DataFrame) -> dict[str, Any]:
        """Return trainings to the next rung."""
        reached = self.rungs.of(rows) + 1
        return {
            "epochs": np.array(self.rungs.epochs)[reached],
            "cost": np.array(self.rungs.costs)[reached],
        }

    def least_budget(self, initial_samples: int) -> int:
        """Return the cost of the initial sample and of the steps up to the first full training."""
        steps = self.rungs.steps_to_answer(initial_samples, self.step)
        return self.initial_cost(initial_samples) + steps * self.step

    def initial_sample(self, count: int) -> int:
        """Return no more than are needed before the first promotion."""
        return min(count, max(2, self.rungs.first))

    def step_cost(self, batch: int) -> int:
        """Return what a step may spend."""
        return self.step

    def fewest(self, allowance: int) -> int:
        """Return 1: what cannot be spent for lack of new ones is left to the next step."""
        return 1

    def capacity(self, size: int) -> int:
        """Return the cost of every architecture at every rung."""
        return size * sum(self.rungs.costs)
