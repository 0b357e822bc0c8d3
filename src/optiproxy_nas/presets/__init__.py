"""Presets are parameter files (``<name>.yml`` here); a search is a preset plus overrides."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from importlib import resources
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from optiproxy_nas.errors import BudgetError, ParameterError, unknown_name
from optiproxy_nas.parameters import SearchParameters
from optiproxy_nas.proxies import PROXIES
from optiproxy_nas.proxies.targets import TARGETS
from optiproxy_nas.spaces import get_space

_Model = TypeVar("_Model", bound=BaseModel)


def preset_names() -> list[str]:
    """Names of the presets that are installed."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".yml") for file in files if file.name.endswith(".yml"))


def load_preset(name: str) -> dict[str, Any]:
    """The parameter file of a preset as a nested mapping.

    Raises:
        UnknownNameError: with the list and the nearest name.
    """
    if name not in preset_names():
        raise unknown_name("preset", name, preset_names())
    return deepcopy(_read(name))


@lru_cache
def _read(name: str) -> dict[str, Any]:
    text = resources.files(__name__).joinpath(f"{name}.yml").read_text(encoding="utf-8")
    preset: dict[str, Any] = yaml.safe_load(text)
    return preset


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings merged, ``over`` winning; neither argument is changed."""
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(known, Mapping)
        merged[key] = merge(known, value) if both else value  # type: ignore[arg-type]
    return merged


def resolve(values: Mapping[str, Any], also: Iterable[str] = ()) -> SearchParameters:
    """Preset plus overrides, typed and checked before any query is spent.

    Args:
        values: run settings (space, benchmark, source, dataset, preset, seed, budget) and any
            overrides of the preset's own keys, nested.
        also: names that the caller takes too, for the suggestions.

    Raises:
        ParameterError: an unknown name (with the nearest allowed one), a wrong type or value.
        UnknownNameError: an unregistered preset, space, proxy or target.
        BudgetError: the budget is below the initial sample or above the size of the space.
    """
    preset = load_preset(str(values.get("preset", "default")))
    parameters = validate(SearchParameters, merge(preset, values), also)
    space = get_space(parameters.space)
    PROXIES.load(parameters.proxy.name)
    if parameters.fit.targets not in TARGETS:
        raise unknown_name("target", parameters.fit.targets, TARGETS)
    check_budget(parameters.budget, parameters.initial_samples, space.size)
    return parameters


def validate(model: type[_Model], values: Mapping[str, Any], also: Iterable[str] = ()) -> _Model:
    """``values`` as a typed model.

    Raises:
        ParameterError: an unknown name (with the nearest allowed one), a wrong type or value.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ParameterError(_explain(model, error, also), errors=error.error_count()) from None


def overrides(parameters: SearchParameters) -> list[str]:
    """What differs from the preset's own values: ``["selection.batch = 5 (2)", ...]``."""
    return changes(load_preset(parameters.preset), parameters.model_dump())


def changes(own: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What of ``own`` has another value in ``now``: ``["selection.batch = 5 (2)", ...]``."""
    before, after = flatten(own), flatten(now)
    return [f"{key} = {after[key]} ({before[key]})" for key in before if after[key] != before[key]]


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one: ``{"fit": {"lr": 1}}`` -> ``{"fit.lr": 1}``."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(flatten(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def check_budget(budget: int, initial_samples: int, size: int | None) -> None:
    """Refuse a budget that cannot be spent.

    Raises:
        BudgetError: below the initial sample, or above the size of the space.
    """
    if budget < initial_samples:
        raise BudgetError(
            f"The budget of {budget} queries is smaller than the initial sample of "
            f"{initial_samples}, which counts. Raise budget or lower initial_samples.",
            budget=budget,
            initial_samples=initial_samples,
        )
    if size is not None and budget > size:
        raise BudgetError(
            f"The budget of {budget} queries is larger than the space, which has {size} "
            f"architectures; each is charged once. Lower budget to at most {size}.",
            budget=budget,
            size=size,
        )


def _fields(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """The field names allowed at a path of nested models."""
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def _explain(model: type[BaseModel], error: ValidationError, also: Iterable[str]) -> str:
    """A pydantic error as one message: what is wrong, where, what is allowed."""
    lines = []
    for detail in error.errors():
        location = detail["loc"]
        where = ".".join(str(part) for part in location)
        if detail["type"] == "extra_forbidden":
            allowed = _fields(model, location[:-1]) + list(also) * (len(location) == 1)
            near = difflib.get_close_matches(str(location[-1]), allowed, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            lines.append(
                f"Unknown parameter {where!r}.{hint} Allowed here: {', '.join(sorted(allowed))}."
            )
        elif detail["type"] == "missing":
            lines.append(f"Parameter {where!r} is missing.")
        else:
            text = detail["msg"].removeprefix("Value error, ")
            at = f"Parameter {where!r} = {detail['input']!r}: " if where else ""
            lines.append(f"{at}{text}.")
    return "\n".join(lines)
