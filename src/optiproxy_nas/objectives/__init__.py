"""Objectives: one file each, named in ``OBJECTIVES``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.parameters import RunParameters
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.core.validation import validate
from optiproxy_nas.objectives.base import Objective, ObjectiveSettings

OBJECTIVES = Registry(
    "objective",
    {
        "accuracy": "optiproxy_nas.objectives.accuracy:Accuracy",
        "constrained": "optiproxy_nas.objectives.constrained:Constrained",
        "multi_fidelity": "optiproxy_nas.objectives.multi_fidelity:MultiFidelity",
    },
    group="optiproxy_nas.objectives",
)
DEFAULT = "accuracy"


def name_of(values: Any) -> str:
    """The objective that values name, as :func:`resolve_objective` takes them."""
    return values if isinstance(values, str) else str((values or {}).get("name", DEFAULT))


def setting_names() -> list[str]:
    """The settings of all registered objectives: ``["objective.constraints", ...]``."""
    fields = [field for name in OBJECTIVES for field in OBJECTIVES.load(name).Settings.model_fields]
    return [f"objective.{field}" for field in dict.fromkeys(fields)]


def owner_of(setting: str) -> str | None:
    """The registered objective that has a setting, the first of several."""
    having = (n for n in OBJECTIVES if setting in OBJECTIVES.load(n).Settings.model_fields)
    return next(having, None)


def resolve_objective(values: Any, source: Any = "") -> dict[str, Any]:
    """An objective's name and all its settings, of a name alone or a name with some of them.

    Args:
        values: the name, or a mapping of it and settings.
        source: of the benchmark, which some settings follow where they are not given.

    Raises:
        UnknownNameError: no such objective.
        ParameterError: an unknown setting (with the nearest allowed one), a wrong type or value.
    """
    given = {"name": values} if isinstance(values, str) else dict(values or {})
    name = given.pop("name", DEFAULT)
    kind = OBJECTIVES.load(name)
    try:
        following = kind.defaults(str(source), given)
        settings = validate(kind.Settings, {**following, **given}, also=("name",))
    except ParameterError as error:
        told = [f"Settings of objective {name!r}: {error.message}"]
        owners = {}
        for setting in given.keys() - kind.Settings.model_fields.keys():
            if owner := owner_of(setting):
                owners[setting] = owner
                told.append(
                    f"{setting!r} is a setting of objective {owner!r}: add objective.name={owner}, "
                    "or leave it out."
                )
        raise ParameterError(" ".join(told), objective=name, owners=owners) from None
    return {"name": name, **settings.model_dump(mode="json")}


def build_objective(values: Mapping[str, Any]) -> Objective:
    """The objective of resolved values."""
    settings = dict(values)
    kind = OBJECTIVES.load(settings.pop("name"))
    objective: Objective = kind(kind.Settings.model_validate(settings))
    return objective


def objective_of(parameters: RunParameters) -> Objective:
    """The objective that a search's parameters name."""
    return build_objective(parameters.objective)


__all__ = [
    "OBJECTIVES",
    "Objective",
    "ObjectiveSettings",
    "build_objective",
    "name_of",
    "objective_of",
    "resolve_objective",
    "setting_names",
]
