"""The highest fully trained value for a number of training epochs (section 3.3).

A query is an architecture and a number of epochs: few (low fidelity, cheap), or all (full training,
what counts). The proxy has two heads with one trunk: the value after few epochs, of which the
archive holds many, and the correction from there to full training, of which it holds few. Their
sum is the predicted final value (an autoregressive model of two fidelities, Kennedy & O'Hagan
2000). In each step the cell that is predicted best after full training is promoted to it; what is
left of the step's epochs goes to new cells. The result of a promotion is fed back into the
correction.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy.stats import spearmanr
from torch import Tensor

from optiproxy_nas.core.arrays import Integers
from optiproxy_nas.objectives.base import Fidelity, Objective, Pricing, ProxyTask, Training
from optiproxy_nas.objectives.promotion import FidelityTask, FullyTrainedFirst, pairs_of
from optiproxy_nas.spaces.base import SearchSpace

_SPARE = 24  # epochs that a step may spend beside one full training, by default


class MultiFidelity(Objective):
    """Find the best value after full training, with cheap looks at cells before it.

    ``full_epochs``, ``step_epochs`` and ``continues`` are here those of NAS-Bench-201; where they
    are not given they follow the source (:meth:`defaults`).
    """

    name: str = "multi_fidelity"
    low_epochs: int = Field(default=12, ge=1, description="training epochs of the cheap signal")
    full_epochs: int = Field(default=200, ge=2, description="training epochs that count")
    continues: bool = Field(
        default=False,
        description="the low fidelity is a point of the full training's own curve, so that a "
        "promotion costs only the epochs that are missing",
    )
    step_epochs: int = Field(default=224, ge=1, description="epochs that a step may spend")
    low_first: int = Field(
        default=80, ge=1, description="cells at low fidelity before the first promotion"
    )
    measured: float = Field(
        default=0.5, ge=0, le=1, description="weight of a cell's own low value beside the proxy's"
    )

    @model_validator(mode="after")
    def _fidelities_rise(self) -> MultiFidelity:
        if self.low_epochs >= self.full_epochs:
            raise ValueError(
                f"objective.low_epochs ({self.low_epochs}) is not below objective.full_epochs "
                f"({self.full_epochs})"
            )
        if self.step_epochs < self.full_epochs:
            raise ValueError(
                f"objective.step_epochs ({self.step_epochs}) is below objective.full_epochs "
                f"({self.full_epochs}), so no step could train a cell fully"
            )
        return self

    @classmethod
    def defaults(cls, training: Training | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the source's full training, and whether that goes on from a shorter one.

        A step pays for one full training, and more.
        """
        found = {} if training is None else training._asdict()
        full = given.get("full_epochs", found.get("full_epochs"))
        if isinstance(full, int):
            found["step_epochs"] = full + _SPARE
        return found

    @property
    def label(self) -> str:
        """Return the two fidelities, and whether the value is minimised."""
        fidelities = f"{self.low_epochs} then {self.full_epochs} epochs"
        return "; ".join(filter(None, [super().label, fidelities]))

    @cached_property
    def order(self) -> FullyTrainedFirst:
        """Return fully trained before all others."""
        return FullyTrainedFirst(self.full_epochs, direction=self.direction)

    @cached_property
    def price(self) -> EpochPricing:
        """Return epochs of training."""
        return EpochPricing(self)

    @cached_property
    def task(self) -> ProxyTask:
        """Return the low-fidelity value and the correction to full training."""
        return FidelityTask(self.order, self.low_first, self.measured)

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """Return few epochs, and all."""
        return (
            Fidelity("low_epochs", self.low_epochs, False),
            Fidelity("full_epochs", self.full_epochs, self.continues),
        )

    @property
    def columns(self) -> Mapping[str, str]:
        """Return the fidelity of a query, and what it was charged."""
        return {"epochs": "int64", "cost": "int64"}

    def diagnose(self, evaluations: pd.DataFrame, archive: pd.DataFrame) -> dict[str, Any]:
        """Return promotions and epochs, and how well fidelities agree where both are measured."""
        pairs = pairs_of(archive, self.order.eligible(archive))
        values = archive["value"].to_numpy()
        low, full = values[pairs[:, 0]], values[pairs[:, 1]]
        defined = len(pairs) > 2 and np.ptp(low) > 0 and np.ptp(full) > 0
        return {
            "promoted": int(self.order.eligible(evaluations).sum()),
            "spent_epochs": int(archive["cost"].sum()),
            "fidelity_spearman": float(spearmanr(low, full).statistic) if defined else None,
        }

    def summary(self, archive: pd.DataFrame) -> dict[str, Any]:
        """Return epochs spent, and on what."""
        full = int(self.order.eligible(archive).sum())
        return {
            "spent_epochs": int(archive["cost"].sum()),
            "low_queries": len(archive) - full,
            "full_queries": full,
        }


@dataclass(frozen=True, eq=False)  # it holds the objective, which holds it
class EpochPricing(Pricing):
    """Epochs of training."""

    objective: MultiFidelity
    unit: ClassVar[str] = "epochs"

    @property
    def cheapest(self) -> int:
        """Return the cost of a cell at low fidelity."""
        return self.objective.low_epochs

    @property
    def full_cost(self) -> int:
        """Return the cost of full training from nothing."""
        return self.objective.full_epochs

    @property
    def promotion_cost(self) -> int:
        """Return the cost of training a cell fully that was trained for few epochs."""
        return self.full_cost - self.objective.continues * self.cheapest

    @property
    def terms(self) -> str:
        """Return the epochs of both fidelities and of a step."""
        names = ("low_epochs", "full_epochs", "step_epochs")
        return ", ".join(f"objective.{name} = {getattr(self.objective, name)}" for name in names)

    def costs(self, table: pd.DataFrame) -> Integers:
        """Return the epochs charged: [n]."""
        return table["cost"].to_numpy(dtype=np.int64)

    def identities(self, space: SearchSpace, table: pd.DataFrame, codes: Tensor) -> list[Hashable]:
        """Return architecture and fidelity: one may be charged once at each."""
        return list(zip(space.identify(codes), table["epochs"].tolist(), strict=True))

    def initial_columns(self, count: int) -> dict[str, Any]:
        """Return trials of low fidelity."""
        return _trials(count, self.cheapest, self.cheapest)

    def full_columns(self, count: int) -> dict[str, Any]:
        """Return full trainings from nothing."""
        return _trials(count, self.full_cost, self.full_cost)

    def promotion_columns(self, count: int) -> dict[str, Any]:
        """Return full trainings of cells that were trained for few epochs."""
        return _trials(count, self.full_cost, self.promotion_cost)

    def least_budget(self, initial_samples: int) -> int:
        """Return the cost of the initial sample, the steps until promotions begin, and one more."""
        missing = max(0, self.objective.low_first - initial_samples)
        steps = -(-missing // (self.objective.step_epochs // self.cheapest)) + 1
        return self.initial_cost(initial_samples) + steps * self.objective.step_epochs

    def step_cost(self, batch: int) -> int:
        """Return the epochs of a step."""
        return self.objective.step_epochs

    def fewest(self, allowance: int) -> int:
        """Return 1: what cannot be spent for lack of new cells is left to the next step."""
        return 1

    def capacity(self, size: int) -> int:
        """Return the cost of every architecture at both fidelities."""
        return size * (self.promotion_cost + self.cheapest)


def _trials(count: int, epochs: int, cost: int) -> dict[str, Any]:
    return {"epochs": np.full(count, epochs), "cost": np.full(count, cost)}
