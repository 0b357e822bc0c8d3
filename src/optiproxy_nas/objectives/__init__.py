"""Objectives: one file each, named in ``OBJECTIVES``."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.core.validation import validate
from optiproxy_nas.objectives.base import Objective, Training

OBJECTIVES = Registry(
    "objective",
    {
        "accuracy": "optiproxy_nas.objectives.accuracy:Accuracy",
        "constrained": "optiproxy_nas.objectives.constrained:Constrained",
        "multi_fidelity": "optiproxy_nas.objectives.multi_fidelity:MultiFidelity",
    },
    group="optiproxy_nas.objectives",
    base=Objective,
)
DEFAULT = "accuracy"


def name_of(values: Any) -> str:
    """Return the name that ``values`` give; they are as of :func:`resolve_objective`.

    Raises:
        ParameterError: neither a name, a mapping, nor an objective.
    """
    if isinstance(values, Objective):
        return values.name
    if not isinstance(values, str | Mapping | None):
        raise ParameterError(
            f"Parameter 'objective' = {values!r}: a name, or a mapping of it and settings."
        )
    if isinstance(values, str):
        return values
    name: str = (values or {}).get("name", DEFAULT)
    return name


def given_settings(values: Any) -> set[str]:
    """Return the names of the settings in ``values``, as of :func:`resolve_objective`."""
    if isinstance(values, Objective):
        return values.model_fields_set
    return set(values) if isinstance(values, Mapping) else set()


def settings_of(name: str) -> list[str]:
    """Return the names of an objective's settings.

    Raises:
        UnknownNameError: no such objective.
    """
    return _settings(OBJECTIVES.load(name))


def setting_names() -> list[str]:
    """Return the settings of all registered objectives: ``["objective.constraints", ...]``."""
    names = chain.from_iterable(_settings_by_objective().values())
    return [f"objective.{name}" for name in dict.fromkeys(names)]


def owner_of(setting: str) -> str | None:
    """Return the registered objective that has a setting, the first of several."""
    owners = (name for name, settings in _settings_by_objective().items() if setting in settings)
    return next(owners, None)


def _settings_by_objective() -> dict[str, list[str]]:
    """Return the settings of each registered objective; one that cannot be imported is left out."""
    return {name: _settings(kind) for name, kind in OBJECTIVES.load_all().items()}


def _settings(kind: type[Objective]) -> list[str]:
    return [field for field in kind.model_fields if field != "name"]


def resolve_objective(values: Any, training: Training | None = None) -> Objective:
    """Return the objective of a name alone, or of a name and some of its settings.

    Args:
        values: the name, a mapping of it and settings, or the objective itself.
        training: of the benchmark's source, which some settings follow where they are not given.

    Raises:
        UnknownNameError: no such objective.
        ParameterError: an unknown setting (with the nearest allowed one), a wrong type or value.
    """
    if isinstance(values, Objective):
        return values
    name_of(values)  # refuses what is neither a name nor a mapping
    given = {"name": values} if isinstance(values, str) else dict(values or {})
    name = given.setdefault("name", DEFAULT)
    kind: type[Objective] = OBJECTIVES.load(name)
    try:
        return validate(kind, {**kind.defaults(training, given), **given})
    except ParameterError as error:
        messages = [f"Settings of objective {name!r}: {error.message}"]
        owners = {}
        for setting in given.keys() - kind.model_fields.keys():
            if owner := owner_of(setting):
                owners[setting] = owner
                messages.append(
                    f"{setting!r} is a setting of objective {owner!r}: add objective.name={owner}, "
                    "or leave it out."
                )
        raise ParameterError(" ".join(messages), objective=name, owners=owners) from None


def with_defaults(objective: Any, defaults: Mapping[str, Any]) -> Any:
    """Return an objective, as of :func:`resolve_objective`, with settings where it gives none."""
    if not defaults:
        return objective
    if isinstance(objective, Objective):
        given = objective.model_dump(exclude_unset=True)
        return type(objective).model_validate({**defaults, **given})
    given = dict(objective) if isinstance(objective, Mapping) else {"name": name_of(objective)}
    return {**defaults, **given}


def with_direction(objective: Any, direction: str) -> Any:
    """Return an objective, as of :func:`resolve_objective`, with a direction of the value.

    Raises:
        ParameterError: it has another one already.
    """
    if isinstance(objective, Objective):
        objective = objective.model_dump(exclude_unset=True)
    given = {"name": name_of(objective)} | dict(objective if isinstance(objective, Mapping) else {})
    if given.setdefault("direction", direction) != direction:
        raise ParameterError(
            f"direction = {direction!r}, but objective.direction = {given['direction']!r}; give "
            "one of them.",
            direction=direction,
        )
    return given


__all__ = [
    "OBJECTIVES",
    "Objective",
    "Training",
    "name_of",
    "resolve_objective",
    "setting_names",
    "settings_of",
    "with_defaults",
    "with_direction",
]
