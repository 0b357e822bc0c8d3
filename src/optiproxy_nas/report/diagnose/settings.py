"""What can be chosen of a diagnosis."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CollapseSettings(_Settings):
    """When the mode-collapse alarm fires; see :mod:`optiproxy_nas.report.diagnose.collapse`."""

    patience: int = Field(20, ge=1, description="queries without a new best before it may fire")
    spread: float = Field(0.1, ge=0, le=1, description="alarm where the spread is below this")
    distance: float = Field(0.05, ge=0, le=1, description="alarm where the groups are closer")


class DiagnosisSettings(_Settings):
    """Everything that decides a diagnosis, beside the run itself."""

    run: str = Field(min_length=1, description="id of a finished search run")
    window: int = Field(20, ge=2, description="next and last queries that a proxy is judged on")
    probe: int = Field(500, ge=20, description="random cells that every step's proxy is judged on")
    top: float = Field(0.1, gt=0, lt=1, description="share of the probe that counts as its top")
    panels: int = Field(9, ge=1, le=25, description="steps shown one by one")
    every: int = Field(5, ge=1, description="one point of the trajectory for so many queries")
    collapse: CollapseSettings = CollapseSettings()
