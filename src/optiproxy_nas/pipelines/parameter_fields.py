"""The parameters of each kind of pipeline: fields by the dotted names of ``--params``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.fields import fields_of, text_names
from optiproxy_nas.core.parameters import StrictModel
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.methods import DEFAULT, METHODS, Method
from optiproxy_nas.objectives import OBJECTIVES, Objective
from optiproxy_nas.pipelines.compare import ComparisonSettings
from optiproxy_nas.pipelines.ingest import IngestSettings
from optiproxy_nas.pipelines.run_parameters import ProblemRunSettings, RunSettings
from optiproxy_nas.report.diagnose.diagnosis_html import DiagnosisSettings

Fields = dict[str, FieldInfo]
# Kinds of pipelines that make no run, and their parameters.
LOOKING: Mapping[str, type[StrictModel]] = {
    "ingest": IngestSettings,
    "compare": ComparisonSettings,
    "diagnose": DiagnosisSettings,
}


class Symbol(NamedTuple):
    """A symbol of the paper that descriptions of parameters use."""

    text: str
    parameter: str  # that has it in its description
    meaning: str


SYMBOLS = (
    Symbol("C", "budget", "the budget"),
    Symbol("K", "gradient.groups", "groups, each with logits (α, β) of its own"),
    Symbol("α, β", "gradient.groups", "logits of the operations, and of the edges"),
    Symbol("η1", "gradient.lr_alpha", "learning rate of α"),
    Symbol("η2", "gradient.lr_beta", "learning rate of β"),
    Symbol("τ", "gradient.base_temperature", "temperature of the relaxed space: low is discrete"),
    Symbol("Q", "selection.samples", "candidates, drawn from the logits in each step"),
    Symbol("B", "selection.batch", "the best candidates of a step, which are queried"),
    Symbol("λ", "fit.ranking_coefficient", "weight of the ranking loss (Eq. 4 of appendix A.4)"),
    Symbol("m", "fit.ranking_margin", "margin of the ranking loss (Eq. 5 of appendix A.4)"),
)
BRACKETS = "A name in brackets, such as (parallel_batch), is that of the authors' code."


def symbols_of(names: Collection[str]) -> list[Symbol]:
    """Return the symbols that the descriptions of the parameters of these names use."""
    return [symbol for symbol in SYMBOLS if symbol.parameter in names]


def search_fields(
    method: type[Method], objective: type[Objective], of_problem: bool = False
) -> Fields:
    """Return the fields of a recorded search: those of no group, of the objective, the others."""
    fields = fields_of(method.Parameters)
    if fields.pop("settings", None) is not None:
        fields |= fields_of(method.Settings, "settings.")
    if not of_problem:  # a benchmark trains nothing
        fields = {name: it for name, it in fields.items() if not name.startswith("confirm.")}
    plain = {name: field for name, field in fields.items() if "." not in name}
    of_run = fields_of(ProblemRunSettings if of_problem else RunSettings)
    return plain | of_run | fields_of(objective, "objective.") | fields


def names_of_texts(given: Mapping[str, Collection[Any]]) -> frozenset[str]:
    """Return the names of all parameters, of any kind of pipeline, whose values are text.

    Args:
        given: the values that are given; ``method`` and ``objective.name`` (or ``objective``)
            decide which settings there are. Where none is named, the default method and all
            registered objectives.
    """
    methods = _loaded(METHODS, given.get("method", [DEFAULT]))
    named = given.get("objective.name") or given.get("objective") or list(OBJECTIVES)
    objectives = _loaded(OBJECTIVES, named)
    fields = [field for model in LOOKING.values() for field in fields_of(model).items()]
    for method in methods or _loaded(METHODS, [DEFAULT]):
        for objective in objectives or [Objective]:
            fields += search_fields(method, objective, of_problem=True).items()
    return text_names(fields)


def _loaded(registry: Registry, names: Collection[Any]) -> list[Any]:
    """Return the members of these names; a wrong name is refused later, with its place."""
    members = []
    for name in names:
        with suppress(ParameterError):
            members.append(registry.load(name))
    return members
