"""How the latency of networks is measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, model_validator

from optiproxy_nas.core.parameters import StrictModel
from optiproxy_nas.core.validation import refusal
from optiproxy_nas.measuring.timing import least_precision


class LatencySettings(StrictModel):
    """How the latency of networks is measured.

    Raises:
        ParameterError: an unknown name, or a wrong value.
    """

    runtime: Literal["torch", "onnxruntime"] = Field(
        default="torch", description="what runs the network: torch in inference mode, or ONNX"
    )
    threads: int = Field(default=1, ge=1, description="that work on one run")
    quantile: float = Field(
        default=0.9, ge=0.55, le=0.99, description="of the runs, measured beside their median"
    )
    precision: float = Field(
        default=0.25, gt=0, le=1, description="half of the interval, as a share of the value"
    )
    confidence: float = Field(
        default=0.95, ge=0.5, lt=1, description="with which another timing falls in the interval"
    )
    least_seconds: float = Field(default=1.0, gt=0, description="a network is measured for")
    seconds: float = Field(
        default=5.0, gt=0, description="it is at most (ten times so where runs are slow)"
    )
    noisy: Literal["warn", "fail"] = Field(
        default="warn", description="where it is wider than asked for: warn, or fail the trial"
    )

    if not TYPE_CHECKING:  # which reads the arguments off the fields

        def __init__(self, **settings: Any) -> None:
            """Check the settings, which users give as arguments."""
            try:
                super().__init__(**settings)
            except ValidationError as error:
                raise refusal(type(self), error) from None

    @model_validator(mode="before")
    @classmethod
    def _shorter_than_the_least(cls, values: Any) -> Any:
        """Lower the default of ``least_seconds`` to ``seconds`` where these are fewer."""
        if not isinstance(values, Mapping) or "least_seconds" in values:
            return values
        seconds, least = values.get("seconds"), cls.model_fields["least_seconds"].default
        is_less = isinstance(seconds, int | float) and 0 < seconds < least
        return {**values, "least_seconds": seconds} if is_less else values

    @model_validator(mode="after")
    def _least_is_not_more(self) -> LatencySettings:
        if self.least_seconds > self.seconds:
            raise ValueError(
                f"least_seconds = {self.least_seconds:g} is more than seconds = {self.seconds:g}"
            )
        return self

    @model_validator(mode="after")
    def _precision_can_be_reached(self) -> LatencySettings:
        if self.precision < (least := least_precision(self.confidence, self.quantile)):
            raise ValueError(
                f"precision = {self.precision:g} is less than the {least:.3f} by which timings in "
                f"two processes differ at the confidence {self.confidence:g}"
            )
        return self

    @property
    def metrics(self) -> tuple[str, str, str]:
        """The names of median, quantile and reached precision as metrics."""
        return "latency_ms", f"latency_p{100 * self.quantile:g}_ms", "latency_precision"
