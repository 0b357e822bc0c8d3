"""The best fully trained value for an amount of training (section 3.3).

A trial is an architecture and a rung: how long it is trained (or on how much data). The proxy has
a head for the value at the lowest rung, of which the archive holds many, and one for the correction
to each rung above, of which it holds fewer. Their sum is the predicted final value (an
autoregressive model of several fidelities, Kennedy & O'Hagan 2000). In each step the architectures
that are predicted best after full training are raised by a rung; what is left of the step goes to
new ones. What a promotion gives is fed back into the corrections.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from math import ceil
from operator import index
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from optiproxy_nas.core.arrays import Mask
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.objectives.base import Fidelity, Objective, Training
from optiproxy_nas.objectives.promotion import FidelityTask, FullyTrainedFirst, pairs_of
from optiproxy_nas.objectives.rung_pricing import RungPricing
from optiproxy_nas.objectives.rungs import Rungs, check_rungs, default_rungs, read_rungs

_LOW, _FULL = 12, 200  # of NAS-Bench-201
_SPARE = 24  # epochs that a step may spend beside one full training, of a benchmark
_PAIR_LOOKS = 4.8  # full trainings that the trials below cost before the first one; two rungs
_LOOKS, _STEP, _SHARE = 3.6, 1.5, 1 / 3  # of more rungs: this too, that a step may spend, share


class MultiFidelity(Objective):
    """Find the best value after full training, with cheap looks at architectures before it.

    ``rungs`` are whole numbers in ``unit``, ascending; the last counts. Two of them may be written
    ``low_epochs`` and ``full_epochs``. The defaults are those of NAS-Bench-201; where settings are
    not given they follow the source, or a problem's full training (:meth:`defaults`).
    """

    name: str = "multi_fidelity"
    rungs: tuple[int, ...] = Field(
        default=(_LOW, _FULL),
        description="how long trials are trained, in unit, ascending; the last counts",
    )
    low_epochs: int = Field(default=_LOW, ge=1, description="the lowest rung")
    full_epochs: int = Field(default=_FULL, ge=2, description="the last rung, which counts")
    unit: str = Field(
        default="epochs",
        min_length=1,
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
            rungs = read_rungs((values.get("low_epochs", _LOW), values.get("full_epochs", _FULL)))
        if not isinstance(rungs, list | tuple) or any(type(rung) is not int for rung in rungs):
            if is_pair:
                return values  # refused as what it is
            raise ValueError(
                f"objective.rungs = {rungs!r:.200}: they must be two whole numbers or more, as in "
                "3;9;27"
            )
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

    @model_serializer(mode="wrap")
    def _two_rungs_as_ever(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what follows from the rest: two rungs are stored as they always were."""
        stored: dict[str, Any] = dump(self)
        if len(self.rungs) == 2:
            stored.pop("rungs", None)
            if self.share == 1:
                stored.pop("share", None)
        if self.unit == "epochs":
            stored.pop("unit", None)
        return stored

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
            ParameterError: neither the problem nor the settings give its full training.
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
            rungs = read_rungs((given["low_epochs"], _FULL if full is None else full))
        elif rungs is None and type(full) is int and full > 0:
            rungs = found["rungs"] = default_rungs(full)
        try:
            check_rungs(rungs or ())
            low, full = map(index, (rungs[0], rungs[-1]))
        except (TypeError, ValueError):
            return found  # the settings themselves are refused
        if len(rungs) == 2:
            looks, found["step_epochs"] = _PAIR_LOOKS, full + 2 * low
        else:
            looks, found["step_epochs"], found["share"] = _LOOKS, round(_STEP * full), _SHARE
        found["low_first"] = ceil(looks / (len(rungs) - 1) * full / low)
        return found

    def within(self, size: int, given: Collection[str] = ()) -> Self:
        """Return the objective with first looks at no more than half of a small space.

        Raises:
            ParameterError: ``low_first`` is given, and the space has fewer architectures.
        """
        if "low_first" in given and self.low_first > size:
            raise ParameterError(
                f"objective.low_first = {self.low_first}, but the space has {size} architectures: "
                "none would ever be promoted. Leave it out, which means half of the space.",
                low_first=self.low_first,
                size=size,
            )
        if "low_first" in given or self.low_first <= size // 2:
            return self
        return type(self).model_validate({**dict(self), "low_first": max(1, size // 2)})

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
    def price(self) -> RungPricing:
        """Return the amount of training."""
        return RungPricing(self.ladder, self.step_epochs, self.unit)

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
        agreement = float(scipy.stats.spearmanr(low, full).statistic) if defined else None
        return {
            "promoted": int(self.order.eligible(evaluations).sum()),
            "spent_epochs": int(archive["cost"].sum()),
            "fidelity_spearman": agreement,
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
