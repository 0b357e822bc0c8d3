"""Presets are parameter files (``<name>.yml`` here); a search is a preset plus overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

import yaml

from optiproxy_nas.algorithm.search_parameters import RunParameters, SearchParameters
from optiproxy_nas.benchmarks.source_registry import get_source
from optiproxy_nas.core.errors import BudgetError, ParameterError, unknown_name
from optiproxy_nas.core.mappings import changes, merge
from optiproxy_nas.core.validation import validate
from optiproxy_nas.objectives import Objective, Training, resolve_objective, setting_names
from optiproxy_nas.proxies import PROXIES
from optiproxy_nas.proxies.targets import TARGETS
from optiproxy_nas.spaces import get_space


class Tuned(NamedTuple):
    """What a preset was tuned for."""

    objective: str
    spaces: tuple[str, ...]


# The paper's preset is as published, whatever is searched for.
MADE_FOR = {
    "default": Tuned("accuracy", ("nb201",)),
    "large": Tuned("accuracy", ("nb101", "nb301")),
    "nlp": Tuned("accuracy", ("nbnlp",)),
    "hardware": Tuned("constrained", ("nb201",)),
    "low_fidelity": Tuned("multi_fidelity", ("nb201",)),
}


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


def resolve(values: Mapping[str, Any], also: Iterable[str] = ()) -> SearchParameters:
    """Return preset plus overrides, checked against the space before any query is spent.

    Args:
        values: as of :func:`complete`.
        also: names that the caller takes too, for the suggestions.

    Raises:
        ParameterError, UnknownNameError: as of :func:`complete`; an unregistered space.
        BudgetError: the budget is below the initial sample or above the size of the space.
    """
    parameters = complete(values, also)
    objective = parameters.objective
    least = objective.price.least_budget(parameters.initial_samples)
    check_budget(objective, parameters.budget, least, get_space(parameters.space).size)
    return parameters


def complete(values: Mapping[str, Any], also: Iterable[str] = ()) -> SearchParameters:
    """Return preset plus overrides as typed parameters.

    Args:
        values: run settings (space, benchmark, source, dataset, preset, seed, budget) and any
            overrides of the preset's own keys, nested.
        also: names that the caller takes too, for the suggestions.

    Raises:
        ParameterError: an unknown name (with the nearest allowed one), a wrong type or value.
        UnknownNameError: an unregistered preset, objective, proxy or target.
    """
    name = str(values.get("preset", "default"))
    merged = merge(load_preset(name), {**values, "preset": name})
    merged["objective"] = resolve_objective(
        merged.get("objective"), training_of(str(merged.get("source")))
    )
    parameters = validate(SearchParameters, merged, also, setting_names)
    PROXIES.load(parameters.proxy.name)
    if parameters.fit.targets not in TARGETS:
        raise unknown_name("target", parameters.fit.targets, TARGETS)
    return parameters


def training_of(source: str) -> Training | None:
    """Return what a registered source tells of its full training.

    None where there is no such source: a user's own evaluation, or a name that is refused later,
    with the run's facts.
    """
    try:
        found = get_source(source)
    except ParameterError:
        return None
    return Training(found.full_epochs, found.continues)


def preset_for(space: str, objective: str) -> str | None:
    """The preset that was tuned for an objective on a space, else on other spaces; None: none was.

    Args:
        space: its registered name.
        objective: its registered name.
    """
    fitting = [name for name, tuned in MADE_FOR.items() if tuned.objective == objective]
    on_space = [name for name in fitting if space in MADE_FOR[name].spaces]
    return next(iter(on_space or fitting), None)


def misfit(parameters: RunParameters) -> str:
    """A sentence where another preset was made for the run's objective or space, else ""."""
    preset, space = parameters.preset_name, parameters.space
    objective = parameters.objective.name
    better = preset_for(space, objective)
    if preset not in MADE_FOR or better is None or better == preset:
        return ""
    made_for, best = MADE_FOR[preset], MADE_FOR[better]
    if made_for.objective != objective:
        return (
            f"Preset {preset!r} was made for objective {made_for.objective!r}; for {objective!r} "
            f"there is preset={better}."
        )
    if space not in best.spaces:  # tuned on other spaces, too
        return ""
    return (
        f"Preset {preset!r} was tuned on {' and '.join(made_for.spaces)}; for space {space!r} "
        f"there is preset={better}."
    )


def overrides(parameters: SearchParameters) -> list[str]:
    """What differs from the preset's own values: ``["selection.batch = 5 (2)", ...]``."""
    return changes(load_preset(parameters.preset), parameters.model_dump())


def check_budget(objective: Objective, budget: int, least: int, size: int | None) -> None:
    """Refuse a budget that cannot be spent, or that cannot pay for an answer.

    Raises:
        BudgetError: below ``least``, or above what the whole space costs.
    """
    unit, terms = objective.price.unit, objective.price.terms
    if budget < least:
        raise BudgetError(
            f"The budget of {budget} {unit} is too small: with these settings the initial sample, "
            f"which counts, and what a search needs to give an answer cost {least} {unit}"
            f"{f' ({terms})' if terms else ''}. Raise budget, or lower "
            "initial_samples.",
            budget=budget,
            least=least,
        )
    if size is not None and budget > objective.price.capacity(size):
        raise BudgetError(
            f"The budget of {budget} {unit} is larger than the space, which has {size} "
            f"architectures; each is charged once. Lower budget to at most "
            f"{objective.price.capacity(size)}.",
            budget=budget,
            size=size,
        )
