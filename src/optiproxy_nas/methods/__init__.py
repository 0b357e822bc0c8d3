"""Search methods as ask/tell plug-ins: one file each, in ``METHODS``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from optiproxy_nas.algorithm.budget import check_budget, check_confirm
from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.mappings import changes
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.core.validation import refuse_secrets
from optiproxy_nas.methods.base import (
    Answers,
    Method,
    MethodSettings,
    Proposals,
    Records,
    Unavailable,
)
from optiproxy_nas.methods.typed_parameters import training_of
from optiproxy_nas.objectives import with_direction
from optiproxy_nas.presets import load_preset, objective_defaults
from optiproxy_nas.spaces import get_space
from optiproxy_nas.spaces.base import SearchSpace

METHODS = Registry(
    "method",
    {
        "optiproxy": "optiproxy_nas.methods.optiproxy:OptiProxy",
        "bananas": "optiproxy_nas.methods.bananas:Bananas",
        "gaussian_process": "optiproxy_nas.methods.gaussian_process:GaussianProcess",
        "local_search": "optiproxy_nas.methods.local_search:LocalSearch",
        "random_search": "optiproxy_nas.methods.random_search:RandomSearch",
        "regularized_evolution": "optiproxy_nas.methods.regularized_evolution:RegularizedEvolution",
        "tpe": "optiproxy_nas.methods.tpe:TPE",
    },
    group="optiproxy_nas.methods",
    base=Method,
)
DEFAULT = "optiproxy"  # also of runs whose parameters name no method


def method_of(values: Mapping[str, Any]) -> type[Method]:
    """Return the method that parameters name, as ``method`` among their values.

    Raises:
        UnknownNameError: with the list and the nearest name.
        ParameterError: its module, or a package that it needs, cannot be imported.
    """
    method: type[Method] = METHODS.load(values.get("method", DEFAULT))
    return method


def build_method(
    name: str,
    space: SearchSpace,
    settings: Mapping[str, Any],
    budget: int,
    seed: int,
    objective: str | Mapping[str, Any] = "accuracy",
) -> Method:
    """Return a registered method (or one named ``package.module:Class``), ready to be asked.

    Args:
        name: of the method.
        space: what it searches.
        settings: what differs from the method's defaults, nested.
        budget: in all, in the objective's unit.
        seed: of the run.
        objective: a registered name, or a mapping of it and settings.

    Raises:
        UnknownNameError: with the list and the nearest name.
        ParameterError: a setting has an unknown name or an impossible value; or the method needs
            a package that is not installed (which).
    """
    method: type[Method] = METHODS.load(name)
    run = {"space": space.name, "method": name, "budget": budget, "seed": seed}
    parameters = method.complete({**method.nested(settings), **run, "objective": objective})
    return method.build(space, parameters)


def resolve_method(
    values: Mapping[str, Any], also: Iterable[str] = (), method: type[Method] | None = None
) -> RunParameters:
    """Return the typed parameters of a search, checked before any query is spent.

    Args:
        values: run settings with ``method`` and ``direction`` (the objective's, for short), and
            what differs from the method's defaults: overrides of a preset for OptiProxy-NAS, else
            ``settings``, nested.
        also: names that the caller takes too, for the suggestions.
        method: the only one that may be named; None: any.

    Raises:
        ParameterError: an unknown name (with the nearest allowed one), a wrong type or value.
        UnknownNameError: an unregistered method, preset, space, objective, proxy or target.
        BudgetError: the budget cannot pay for an answer, or is above the size of the space.
    """
    refuse_secrets(values)
    method = method or method_of(values)
    if (direction := values.get("direction")) is not None:
        objective = with_direction(values.get("objective"), direction)
        values = {**values, "objective": objective}
    values = {name: value for name, value in values.items() if name != "direction"}
    if values.get("preset") is not None:  # a wrong name is told where the method has none, too
        load_preset(str(values["preset"]))
    parameters = method.complete(values, also)
    size, least = get_space(parameters.space).size, method.least_budget(parameters)
    price, kept_back = parameters.objective.price, parameters.kept_back
    check_budget(price, parameters.search_budget, size, least, kept_back)
    check_confirm(parameters, size)
    return parameters


def parameters_of(values: Mapping[str, Any]) -> RunParameters:
    """Return the typed parameters that were dumped as ``values``."""
    return method_of(values).Parameters.model_validate(values)


def overrides_of(parameters: RunParameters) -> list[str]:
    """Return what differs from the defaults of the method and of the objective:
    ``["selection.batch = 5 (2)"]``. Settings without a default, as bounds, do not count."""
    objective = parameters.objective
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in type(objective).model_fields.items()
        if name != "name" and not field.is_required()
    }
    settings = objective.model_dump(mode="json")
    training = training_of(parameters.source, parameters.problem is not None)
    defaults |= objective.defaults(training, settings)
    defaults |= objective_defaults(parameters.preset_name, objective.name)
    defaults = {name: default for name, default in defaults.items() if name in settings}
    method: type[Method] = METHODS.load(parameters.method)
    found = method.overrides(parameters)
    found += changes({"objective": defaults}, {"objective": settings})
    confirm = parameters.confirm.model_dump() if parameters.confirm else {}
    return found + [f"confirm.{name} = {number} (none)" for name, number in confirm.items()]


__all__ = [
    "DEFAULT",
    "METHODS",
    "Answers",
    "Method",
    "MethodSettings",
    "Proposals",
    "Records",
    "Unavailable",
    "build_method",
    "method_of",
    "overrides_of",
    "parameters_of",
    "resolve_method",
]
