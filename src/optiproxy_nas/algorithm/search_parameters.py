"""The typed parameters of a run, and those of OptiProxy-NAS.

The names are the paper's (Tables 5 and 6 of the appendix) where it has one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_serializer, field_validator, model_validator

from optiproxy_nas.algorithm.alarms import AlarmSettings
from optiproxy_nas.core.parameters import (
    EvolutionSettings,
    FitSettings,
    GradientSettings,
    ProxySettings,
    SelectionSettings,
    StrictModel,
    source_name,
)
from optiproxy_nas.core.run_settings import (
    ConfirmSettings,
    FailureSettings,
    RegretSettings,
    StoppingSettings,
)
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.spaces import space_name, space_parameter

OWN_EVALUATION = "custom"  # benchmark, source and dataset where a user's function answers


# What may differ in a search that goes on from what it was.
_MAY_CHANGE = {"alarms", "budget", "failures", "confirm", "stop_regret"}


def _names(value: Any) -> Any:
    """Return the names, which may be one text with semicolons; None: there are none."""
    if value is None or value == ():
        return ()
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list | tuple) or not all(isinstance(it, str) for it in value):
        raise ValueError(
            "no earlier runs, which are RUN_ID;RUN_ID, experiment:NAME, sweep:NAME, "
            "filter:CONDITION, or files"
        )
    names = (part.strip() for text in value for part in text.split(";"))
    if not (found := tuple(dict.fromkeys(name for name in names if name))):
        raise ValueError(
            "names no earlier run; leave prior out (null in a file) for a search without any"
        )
    return found


class RunParameters(StrictModel):
    """The parameters of a search by any method."""

    space: Annotated[str | dict[str, Any], BeforeValidator(space_parameter)] = Field(
        description="registered search space, package.module:Class, or a declaration: {choices: "
        "{name: options}}"
    )
    benchmark: str = Field(
        default=OWN_EVALUATION, min_length=1, description="whose values are searched"
    )
    source: str = Field(
        default=OWN_EVALUATION,
        min_length=1,
        description="registered source of the benchmark's values, or several joined by +",
    )
    dataset: str = Field(
        default=OWN_EVALUATION, min_length=1, description="of the source: cifar10, ptb, ..."
    )
    problem: str | dict[str, Any] | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="whose training answers: registered, or package.module:Class, or a mapping of "
        "its name and settings; null: a benchmark",
    )
    method: str = Field(description="registered search method, or package.module:Class")
    objective: Annotated[Objective, BeforeValidator(resolve_objective)] = Field(
        description="its name and all its settings"
    )
    seed: int = Field(ge=0, description="decides the search together with all the others")
    budget: int = Field(
        ge=1,
        description="C, in all, the initial sample included: queries, or what the objective "
        "charges for them (epochs)",
    )
    failures: FailureSettings = Field(
        default_factory=FailureSettings, description="what failed trials do to the search"
    )
    stopping: StoppingSettings = Field(
        default_factory=StoppingSettings,
        exclude_if=lambda value: value.rule is None,
        description="which running trainings are ended early",
    )

    confirm: ConfirmSettings | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="training the best again before the answer is chosen; null: not",
    )

    @field_validator("source")
    @classmethod
    def _one_spelling(cls, source: str) -> str:
        return source_name(source)

    @field_serializer("objective")
    def _with_its_settings(self, objective: Objective) -> dict[str, Any]:
        return objective.model_dump(mode="json")

    @property
    def space_name(self) -> str:
        """Return the name of the search space; that in its declaration, where it is declared."""
        return space_name(self.space)

    @property
    def label(self) -> str:
        """Return a short name of the search: the method's name without its module."""
        return self.method.rpartition(":")[2]

    @property
    def decisive(self) -> dict[str, Any]:
        """Return what decides the search, without what may change where it goes on."""
        return self.model_dump(mode="json", exclude=_MAY_CHANGE)

    @property
    def kept_back(self) -> int:
        """Return what of the budget is kept back to confirm the best."""
        return self.confirm.trainings * self.objective.price.full_cost if self.confirm else 0

    @property
    def search_budget(self) -> int:
        """Return what the search itself may spend: the budget without what is kept back."""
        return self.budget - self.kept_back

    @property
    def may_end_early(self) -> bool:
        """Return whether a rule of the method may end the search before its budget."""
        return False

    @property
    def preset_name(self) -> str:
        """Return the preset that the parameters start from; "" where the method has none."""
        return ""


class SearchParameters(RunParameters):
    """The parameters of OptiProxy-NAS; two runs with equal values give equal archives."""

    method: Literal["optiproxy"] = Field(
        default="optiproxy", description="the only one of the pipelines *_search"
    )
    preset: str = Field(description="what the others start from: default, paper, large, ...")
    initial_samples: int = Field(ge=2, description="random architectures (num_sample_init)")
    proxy: ProxySettings
    fit: FitSettings
    gradient: GradientSettings
    selection: SelectionSettings
    evolution: EvolutionSettings | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="of architectures on the frozen proxy, in the place of gradient search; null: "
        "not",
    )
    alarms: AlarmSettings = Field(
        default_factory=AlarmSettings,
        exclude_if=lambda value: value == AlarmSettings(),
        description="when the run warns of its proxy, its groups, or of bounds that are broken",
    )
    stop_regret: RegretSettings | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="ending before the budget, once little regret is likely to be left; null: not",
    )
    prior: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        default=(),
        exclude_if=lambda value: not value,
        description="earlier runs that guide the search: RUN_ID;RUN_ID, experiment:NAME, "
        "sweep:NAME, filter:CONDITION, files, and scores without a training: parameters, flops, "
        "package.module:function",
    )

    @field_serializer("prior")
    def _as_json(self, prior: tuple[str, ...]) -> list[str]:
        return list(prior)

    @property
    def groups(self) -> int:
        """Return K; 1 where evolution has one population in the place of the groups."""
        return self.gradient.groups if self.evolution is None else 1

    @property
    def label(self) -> str:
        """Return the preset."""
        return self.preset

    @property
    def may_end_early(self) -> bool:
        """Return whether the search may end for the regret that is left."""
        return self.stop_regret is not None

    @property
    def preset_name(self) -> str:
        """Return the preset that the parameters start from."""
        return self.preset

    @model_validator(mode="after")
    def _one_fidelity(self) -> SearchParameters:
        if self.stop_regret is not None and self.objective.fidelities:
            raise ValueError(
                f"stop_regret says nothing of objective {self.objective.name!r}: its trials are of "
                "several fidelities, and the regret that is left is known of one only. Leave it out"
            )
        return self

    @model_validator(mode="after")
    def _candidates_suffice(self) -> SearchParameters:
        samples, groups = self.selection.samples, self.gradient.groups
        if groups > samples:
            raise ValueError(
                f"gradient.groups K = {groups} is greater than selection.samples Q = {samples}: "
                "each group draws Q/K candidates, at least one"
            )
        if self.selection.batch > samples:
            raise ValueError(
                f"selection.batch B = {self.selection.batch} is greater than selection.samples "
                f"Q = {samples}: the batch is chosen among the samples"
            )
        return self
