"""Typed settings of a search by any method: failed trials, confirmation, and when to stop."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from optiproxy_nas.core.parameters import StrictModel


class FailureSettings(StrictModel):
    """What failed trials do to a search. Each is charged, and none is proposed again."""

    in_a_row: int | None = Field(
        default=10, ge=1, description="so many failures one after the other end it; null: never"
    )
    share: float | None = Field(
        default=0.75, gt=0, le=1, description="a greater share of all ends it; null: never"
    )
    retries: int = Field(default=0, ge=0, description="of a failed trial, not charged again")


class ConfirmSettings(StrictModel):
    """Training the best of a search again: by the means of these trainings it ends.

    They are charged: their cost is kept back of the budget, and the search has the rest.
    """

    best: int = Field(ge=1, description="so many of the best are trained again")
    seeds: int = Field(ge=1, description="each of them so many times, with fresh seeds")

    @property
    def trainings(self) -> int:
        """Return how many trainings that are."""
        return self.best * self.seeds


class StoppingSettings(StrictModel):
    """Ending a running training early, by what it and the complete trials before it reported."""

    rule: Literal["median"] | None = Field(
        default=None,
        description="median: that of the complete trials' best values up to the same step; null: "
        "none is ended",
    )
    warmup_steps: int = Field(default=3, ge=0, description="a training is not ended up to this one")
    least_trials: int = Field(
        default=8, ge=1, description="complete trials, of as many epochs, before any is ended"
    )
    reported: Literal["target", "opposite"] = Field(
        default="target",
        description="what is reported is better as the target is, or (a loss beside an accuracy) "
        "in the opposite direction",
    )

    @model_validator(mode="after")
    def _settings_are_of_a_rule(self) -> StoppingSettings:
        if self.rule is None and (others := self.model_fields_set - {"rule"}):
            raise ValueError(
                f"stopping.{min(others)} would change nothing without stopping.rule = median"
            )
        return self


class RegretSettings(StrictModel):
    """Ending a search before its budget, once little regret is likely to be left."""

    epsilon: float = Field(
        gt=0, allow_inf_nan=False, description="ε, in the unit of the value: less is no loss"
    )
    confidence: float = Field(
        default=0.95, gt=0, lt=1, description="the search ends once regret <= ε is as likely"
    )
