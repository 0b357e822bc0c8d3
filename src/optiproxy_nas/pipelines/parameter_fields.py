"""The parameters of each kind of pipeline: fields by the dotted names of ``--params``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

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
