"""Typed parameters of a search, its objective completed by what the source of answers tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.validation import validate
from optiproxy_nas.objectives import Training, resolve_objective, setting_names

Typed = TypeVar("Typed", bound=RunParameters)


def typed_parameters(kind: type[Typed], values: Mapping[str, Any], also: Iterable[str]) -> Typed:
    """Return values as parameters of a kind, the objective completed by what its source tells.

    Raises:
        ParameterError: an unknown name (with the nearest allowed one), a wrong type or value.
        UnknownNameError: an unregistered objective.
    """
    training = training_of(values.get("source"), values.get("problem") is not None)
    objective = resolve_objective(values.get("objective"), training)
    return validate(kind, {**values, "objective": objective}, also, setting_names)


def training_of(source: str | None, is_problem: bool = False) -> Training | None:
    """Return what a registered source tells of its full training.

    A problem's goes on from where the one before ended, in its folder. None where there is no such
    source: a user's function, or a name that is refused later, with the run's facts.
    """
    if is_problem:
        return Training(None, continues=True)
    try:
        found = get_source(str(source))
    except ParameterError:
        return None
    contents = found.contents
    return Training(found.family.full_epochs, contents.continues, contents.direction)
