"""Parameters of a search by any registered method, typed and checked before any query is spent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field

from optiproxy_nas.algorithm.search_parameters import OPTIPROXY, RunParameters, SearchParameters
from optiproxy_nas.core.errors import ParameterError, unknown_name
from optiproxy_nas.core.mappings import changes
from optiproxy_nas.core.validation import validate
from optiproxy_nas.methods import METHODS
from optiproxy_nas.objectives import (
    resolve_objective,
    setting_names,
)
from optiproxy_nas.presets import check_budget, overrides, resolve, training_of
from optiproxy_nas.spaces import get_space


class BaselineParameters(RunParameters):
    """Everything that decides a search by a registered baseline."""

    settings: dict[str, Any] = Field(description="the method's own, all of them")


def resolve_method(values: Mapping[str, Any], also: Iterable[str] = ()) -> RunParameters:
    """What decides a search: the preset plus overrides of OptiProxy-NAS, or a baseline's settings.

    Args:
        values: run settings with ``method``; for OptiProxy-NAS as of
            :func:`optiproxy_nas.presets.resolve`, for a baseline ``settings``, nested.
        also: names that the caller takes too, for the suggestions.

    Raises:
        ParameterError: an unknown name (with the nearest allowed one), a wrong type or value.
        UnknownNameError: an unregistered method, preset, space, proxy or target.
        BudgetError: the budget is above the size of the space.
    """
    if values.get("method", OPTIPROXY) == OPTIPROXY:
        return resolve(values, also)
    name = values["method"]
    if name not in METHODS and ":" not in str(name):
        raise unknown_name("method", name, [OPTIPROXY, *METHODS])
    given = {key: value for key, value in values.items() if key != "preset"}
    given["objective"] = resolve_objective(
        given.get("objective"), training_of(str(given.get("source")))
    )
    parameters = validate(BaselineParameters, {"settings": {}, **given}, also, setting_names)
    method = METHODS.load(parameters.method)
    try:
        settings = validate(method.Settings, parameters.settings)
    except ParameterError as error:
        raise ParameterError(
            f"Settings of method {parameters.method!r}: {error.message}", method=parameters.method
        ) from None
    objective = parameters.objective
    check_budget(objective, parameters.budget, objective.price, get_space(parameters.space).size)
    return parameters.model_copy(update={"settings": settings.model_dump()})


def parameters_of(values: Mapping[str, Any]) -> RunParameters:
    """The typed parameters that were dumped as ``values``."""
    model = SearchParameters if values["method"] == OPTIPROXY else BaselineParameters
    return model.model_validate(values)


def label_of(parameters: RunParameters) -> str:
    """The preset of OptiProxy-NAS, the name of any other method."""
    if isinstance(parameters, SearchParameters):
        return parameters.preset
    return parameters.method.rpartition(":")[2]


def reference_of(parameters: RunParameters) -> str:
    """The paper, and the library, that the method follows."""
    if isinstance(parameters, SearchParameters):
        return "Lyu, Cui, Shi & Li 2025, OptiProxy-NAS (arXiv 2509.05656)"
    return str(METHODS.load(parameters.method).reference)


def setting_of(parameters: RunParameters) -> list[str]:
    """What differs from the preset or the method's defaults, and from the objective's:
    ``["selection.batch = 5 (2)"]``. What has no default, as bounds, is no difference."""
    if isinstance(parameters, SearchParameters):
        own = overrides(parameters)
    else:
        assert isinstance(parameters, BaselineParameters)
        defaults = METHODS.load(parameters.method).Settings().model_dump()
        own = changes(defaults, parameters.settings)
    objective = parameters.objective
    usual = {
        f"objective.{name}": field.get_default(call_default_factory=True)
        for name, field in type(objective).model_fields.items()
        if name != "name" and not field.is_required()
    }
    following = objective.defaults(training_of(parameters.source), {})
    usual |= {f"objective.{name}": value for name, value in following.items()}
    settings = objective.model_dump(mode="json")
    return own + changes(usual, {f"objective.{k}": v for k, v in settings.items()})
