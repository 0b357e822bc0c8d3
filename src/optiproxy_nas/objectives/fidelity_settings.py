"""Settings of the objective with two fidelities."""

from __future__ import annotations

from pydantic import Field, model_validator

from optiproxy_nas.objectives.base import ObjectiveSettings


class MultiFidelitySettings(ObjectiveSettings):
    """Settings of :class:`~optiproxy_nas.objectives.multi_fidelity.MultiFidelity`.

    ``full_epochs``, ``step_epochs`` and ``continues`` are here those of NAS-Bench-201; where they
    are not given they follow the source (``MultiFidelity.defaults``).
    """

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
    def _fidelities_rise(self) -> MultiFidelitySettings:
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
