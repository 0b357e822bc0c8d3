"""The best fully trained value for an amount of training (section 3.3).

A trial is an architecture and a rung: how long it is trained (or on how much data). The proxy has
a head for the value at the lowest rung, of which the archive holds many, and one for the correction
to each rung above, of which it holds fewer. Their sum is the predicted final value (an
autoregressive model of several fidelities, Kennedy & O'Hagan 2000). In each step the architectures
that are predicted best after full training are raised by a rung; what is left of the step goes to
new ones. What a promotion gives is fed back into the corrections.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy.stats import spearmanr
from torch import Tensor

from optiproxy_nas.core.arrays import Integers, Mask
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.objectives.base import Fidelity, Objective, Pricing, Training
from optiproxy_nas.objectives.promotion import FidelityTask, FullyTrainedFirst, pairs_of
from optiproxy_nas.objectives.rungs import Rungs, check_rungs, default_rungs, read_rungs
from optiproxy_nas.spaces.base import SearchSpace

_LOW, _FULL = 12, 200  # of NAS-Bench-201
_SPARE = 24  # epochs that a step may spend beside one full training, of a benchmark
_LOOKS = 4.8  # full trainings that the trials before the first full one cost
_STEP = 1.5  # full trainings that a step may spend, with more than two rungs


class MultiFidelity(Objective):
    """Find the best value after full training, with cheap looks at architectures before it.

    ``rungs`` are whole numbers in ``unit``, ascending; the last counts. Two of them may be written
    ``low_epochs`` and ``full_epochs``. The defaults are those of NAS-Bench-201; where settings are
    not given they follow the source, or a problem's full training (:meth:`defaults`).
    """

    name: str = "multi_fidelity"
    rungs: tuple[int, ...] = Field(
        default=(_LOW, _FULL),
        exclude_if=lambda rungs: len(rungs) == 2,
        description="how long trials are trained, in unit, ascending; the last counts",
    )
    low_epochs: int = Field(default=_LOW, ge=1, description="the lowest rung")
    full_epochs: int = Field(default=_FULL, ge=2, description="the last rung, which counts")
    unit: str = Field(
        default="epochs",
        min_length=1,
        exclude_if=lambda unit: unit == "epochs",
        description="what rungs count: epochs, percent (of the data), pixels",
    )
    continues: bool = Field(
        default=False,
        description="training to a rung goes on from the one below, so that a promotion costs "
        "only what is missing",
    )
    step_epochs: int = Field(default=_FULL + _SPARE, ge=1, description="what a step may spend")
    low_first: int = Field(
        default=80, ge=1, description="architectures at the lowest rung before the first promotion"
    )
    measured: float = Field(
        default=0.5, ge=0, le=1, description="weight of a measured value beside the proxy's"
    )
    share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        exclude_if=lambda share: share == 1,
        description="of the trials of a rung, the best, that may be raised",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, values: Any) -> Any:
        """Fill ``rungs`` from low and full epochs, or these from ``rungs``."""
        if not isinstance(values, Mapping):
            return values
        rungs = read_rungs(values.get("rungs"))
        if is_pair := rungs is None:
            rungs = values.get("low_epochs", _LOW), values.get("full_epochs", _FULL)
        if not isinstance(rungs, list | tuple) or any(type(rung) is not int for rung in rungs):
            return values  # refused as what it is
        if is_pair and rungs[0] >= rungs[1]:
            raise ValueError(
                f"objective.low_epochs ({rungs[0]}) is not below objective.full_epochs ({rungs[1]})"
            )
        check_rungs(rungs)
        ends: dict[str, Any] = {"low_epochs": rungs[0], "full_epochs": rungs[-1]}
        for name, rung in ends.items():
            if values.get(name, rung) != rung:
                raise ValueError(
                    f"objective.{name} = {values[name]!r}, but objective.rungs = {list(rungs)}; "
                    "give one of the two"
                )
        return {**values, **ends, "rungs": tuple(rungs)}

    @model_validator(mode="after")
    def _a_step_pays(self) -> MultiFidelity:
        if self.step_epochs < self.full_epochs:
            raise ValueError(
                f"objective.step_epochs ({self.step_epochs}) is below full training "
                f"({self.full_epochs} {self.unit}), so no step could train an architecture fully"
            )
        return self

    @classmethod
    def defaults(cls, training: Training | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the source's full training, and whether that goes on from a shorter one.

        A step pays for one full training, and more. Where an evaluation is the user's own, and
        ``full_epochs`` is all that is given, the rungs are about a ninth, a third and all of it;
        first looks and steps cost multiples of a full training.

        Raises:
            ParameterError: nobody tells how long a full training of a problem is.
        """
        found = {} if training is None else training._asdict()
        of_source = found.pop("full_epochs", None)
        full = given.get("full_epochs", of_source)
        rungs = read_rungs(given.get("rungs"))
        if rungs is None and full is None and training is not None:
            raise ParameterError(
                "Objective 'multi_fidelity' needs to know how long a full training of the problem "
                "is: objective.full_epochs=27, or rungs of your own, objective.rungs=3;9;27."
            )
        if of_source is not None and rungs is None:  # a benchmark with one cheap signal
            if isinstance(full, int):
                found |= {"full_epochs": full, "step_epochs": full + _SPARE}
            return found
        if rungs is None and "low_epochs" in given:
            rungs = (given["low_epochs"], _FULL if full is None else full)
        elif rungs is None and type(full) is int and full > 0:
            rungs = found["rungs"] = default_rungs(full)
        try:
            check_rungs(rungs or ())
        except (TypeError, ValueError):
            return found  # the settings themselves are refused
        low, full, between = rungs[0], rungs[-1], len(rungs) - 2
        found["low_first"] = -int(-_LOOKS * full / low // (len(rungs) - 1))
        found["step_epochs"] = round(_STEP * full) if between else full + 2 * low
        return found

    @property
    def label(self) -> str:
        """Return the rungs, and whether the value is minimised."""
        fidelities = f"{' then '.join(map(str, self.rungs))} {self.unit}"
        return "; ".join(filter(None, [super().label, fidelities]))

    @cached_property
    def order(self) -> FullyTrainedFirst:
        """Return fully trained before all others."""
        return FullyTrainedFirst(self.rungs, direction=self.direction)

    @cached_property
    def ladder(self) -> Rungs:
        """Return the rungs with their costs, and the rule by which trials are raised."""
        return Rungs(self.rungs, self.continues, self.low_first, self.share)

    @cached_property
    def price(self) -> EpochPricing:
        """Return the amount of training."""
        return EpochPricing(self)

    @cached_property
    def task(self) -> FidelityTask:
        """Return the value at the lowest rung and the corrections to those above."""
        return FidelityTask(self.order, self.ladder, self.measured)

    @property
    def fidelities(self) -> tuple[Fidelity, ...]:
        """Return the rungs."""
        pair = (
            ("low_epochs", "full_epochs") if len(self.rungs) == 2 else ("rungs",) * len(self.rungs)
        )
        return tuple(
            Fidelity(name, rung, bool(place) and self.continues)
            for place, (name, rung) in enumerate(zip(pair, self.rungs, strict=True))
        )

    def promotable(self, archive: pd.DataFrame) -> Mask:
        """Return the rows that are, and always were, in the best ``share`` of their rung."""
        return self.task.promotable(archive)

    @property
    def columns(self) -> Mapping[str, str]:
        """Return the fidelity of a query, and what it was charged."""
        return {"epochs": "int64", "cost": "int64"}

    def diagnose(self, evaluations: pd.DataFrame, archive: pd.DataFrame) -> dict[str, Any]:
        """Return promotions and costs, and how well the last two rungs agree on what has both."""
        rung = self.ladder.of(archive)
        pairs = pairs_of(archive, rung == len(self.rungs) - 2, rung == len(self.rungs) - 1)
        values = archive["value"].to_numpy()
        low, full = values[pairs[:, 0]], values[pairs[:, 1]]
        defined = len(pairs) > 2 and np.ptp(low) > 0 and np.ptp(full) > 0
        return {
            "promoted": int(self.order.eligible(evaluations).sum()),
            "spent_epochs": int(archive["cost"].sum()),
            "fidelity_spearman": float(spearmanr(low, full).statistic) if defined else None,
        }

    def summary(self, archive: pd.DataFrame) -> dict[str, Any]:
        """Return what was spent, in ``unit``, and on what."""
        full = int(self.order.eligible(archive).sum())
        found: dict[str, Any] = {
            "spent_epochs": int(archive["cost"].sum()),
            "low_queries": len(archive) - full,
            "full_queries": full,
        }
        if len(self.rungs) > 2:
            counts = [int((archive["epochs"] == rung).sum()) for rung in self.rungs]
            found["queries_by_rung"] = dict(zip(map(str, self.rungs), counts, strict=True))
        return found if self.unit == "epochs" else {**found, "unit": self.unit}


@dataclass(frozen=True, eq=False)  # it holds the objective, which holds it
class EpochPricing(Pricing):
    """Amounts of training: epochs, or the objective's unit."""

    objective: MultiFidelity

    @property
    def unit(self) -> str:  # type: ignore[override]
        """Return the unit of the rungs."""
        return self.objective.unit

    @property
    def cheapest(self) -> int:
        """Return the cost of an architecture at the lowest rung."""
        return self.objective.rungs[0]

    @property
    def full_cost(self) -> int:
        """Return the cost of full training from nothing."""
        return self.objective.rungs[-1]

    @property
    def terms(self) -> str:
        """Return the rungs and what a step may spend."""
        objective = self.objective
        rungs = f"objective.rungs = {list(objective.rungs)}"
        if len(objective.rungs) == 2:
            rungs = f"objective.low_epochs = {self.cheapest}, full_epochs = {self.full_cost}"
        return f"{rungs}, step_epochs = {objective.step_epochs}, low_first = {objective.low_first}"

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
        ladder = self.objective.ladder
        reached = ladder.of(rows) + 1
        return {
            "epochs": np.array(ladder.epochs)[reached],
            "cost": np.array(ladder.costs)[reached],
        }

    def least_budget(self, initial_samples: int) -> int:
        """Return the cost of the initial sample and of the steps up to the first full training."""
        steps = self.objective.ladder.steps_to_answer(initial_samples, self.objective.step_epochs)
        return self.initial_cost(initial_samples) + steps * self.objective.step_epochs

    def initial_sample(self, count: int) -> int:
        """Return no more than are needed before the first promotion."""
        return min(count, max(2, self.objective.low_first))

    def step_cost(self, batch: int) -> int:
        """Return what a step may spend."""
        return self.objective.step_epochs

    def fewest(self, allowance: int) -> int:
        """Return 1: what cannot be spent for lack of new ones is left to the next step."""
        return 1

    def capacity(self, size: int) -> int:
        """Return the cost of every architecture at every rung."""
        return size * sum(self.objective.ladder.costs)
