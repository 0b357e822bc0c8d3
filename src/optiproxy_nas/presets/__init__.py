"""Presets are parameter files (``<name>.yml`` here); a search is a preset plus overrides.

A file holds the parameters and, under ``made_for``, the objectives that they were tuned for, each
with the spaces. The presets of the paper and of its code have none: they are as published,
whatever is searched for. ``by_objective`` holds what differs under an objective, settings of the
objective itself among it. A file that ``extends`` another preset holds what differs from it,
and what itself was made for.
"""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.benchmarks.source_registry import families
from optiproxy_nas.core.errors import unknown_name
from optiproxy_nas.core.mappings import merge
from optiproxy_nas.objectives import DEFAULT as DEFAULT_OBJECTIVE
from optiproxy_nas.spaces import SpaceLike, get_space, space_parameter
from optiproxy_nas.spaces.choices import Space

DEFAULT = "default"  # of the plain objective, on any space
DECLARED = "declared spaces"  # in ``made_for``


def preset_names() -> list[str]:
    """Return the names of the presets that are installed; stray files beside them are none."""
    files = (file.name.rpartition(".") for file in resources.files(__name__).iterdir())
    return sorted(stem for stem, _, suffix in files if suffix == "yml" and stem.isidentifier())


def load_preset(name: str, objective: str = DEFAULT_OBJECTIVE) -> dict[str, Any]:
    """Return the parameters of a preset under an objective as a nested mapping.

    Raises:
        UnknownNameError: with the list and the nearest name.
    """
    if name not in preset_names():
        raise unknown_name("preset", name, preset_names())
    parameters = deepcopy(_read(name))
    parameters.pop("made_for", None)
    differing = parameters.pop("by_objective", {}).get(objective, {})
    differing.pop("objective", None)
    return merge(parameters, differing)


def objective_defaults(name: str, objective: str) -> dict[str, Any]:
    """Return the settings of an objective that a preset gives where the user does not.

    Nothing for what is no preset.
    """
    if name not in preset_names():
        return {}
    differing = _read(name).get("by_objective", {}).get(objective, {})
    return dict(differing.get("objective", {}))


def made_for(name: str) -> dict[str, tuple[str, ...]]:
    """Return the objectives that a preset was tuned for, each with the spaces.

    Nothing for those of the paper and its published code, and for what is no preset.
    """
    found = _read(name).get("made_for", {}) if name in preset_names() else {}
    return {objective: tuple(spaces) for objective, spaces in found.items()}


@lru_cache
def _read(name: str) -> dict[str, Any]:
    text = resources.files(__name__).joinpath(f"{name}.yml").read_text(encoding="utf-8")
    preset: dict[str, Any] = yaml.safe_load(text)
    base = preset.pop("extends", None)
    if base is None:
        return preset
    inherited = {key: value for key, value in _read(base).items() if key != "made_for"}
    return merge(inherited, preset)


def preset_for(space: SpaceLike, objective: str) -> str | None:
    """Return the preset that was tuned for an objective on a space, else one that may fit.

    Where no preset was tuned on the space, it is ``default``, or for other objectives than the
    plain one what was tuned on other spaces; None where none was. A benchmark that is brought by an
    installed package names its own.

    Args:
        space: its registered name, ``package.module:Class``, its declaration, or itself.
        objective: its registered name.

    Raises:
        UnknownNameError: no such space.
        ParameterError: the space cannot be built.
    """
    if (preset := _tuned_for(space, objective)) is not None:
        return preset
    if objective == DEFAULT_OBJECTIVE:
        return DEFAULT
    tuned = (name for name in (DEFAULT, *preset_names()) if objective in made_for(name))
    return next(tuned, None)


def _tuned_for(space: SpaceLike, objective: str) -> str | None:
    """Return the preset that was tuned for an objective on a space; None where none was."""
    spaces = _names_of(space)
    named = [family.preset for family in families().values() if family.space in spaces]
    if objective == DEFAULT_OBJECTIVE and any(named):
        return next(filter(None, named))
    fitting = (n for n in preset_names() if spaces & {*made_for(n).get(objective, ())})
    return next(fitting, None)


def _names_of(space: SpaceLike) -> set[str]:
    """Return what a space may be called in ``made_for``."""
    parameter = space_parameter(space)
    if not isinstance(parameter, str):
        return {DECLARED}
    found = get_space(parameter)
    names = {parameter, found.name} if ":" in parameter else {parameter}
    return names | {DECLARED} if isinstance(found, Space) else names


def misfit(parameters: RunParameters) -> str:
    """Return a sentence where another preset was made for the run's objective or space, else ""."""
    preset, space, name = parameters.preset_name, parameters.space, parameters.space_name
    objective = parameters.objective.name
    better = preset_for(space, objective)
    tuned, best = made_for(preset), made_for(better or "")
    if not tuned or not best:
        return ""
    if better == preset:
        return ""
    if objective not in tuned:
        return (
            f"Preset {preset!r} was made for objective {' and '.join(map(repr, tuned))}; for "
            f"{objective!r} there is preset={better}."
        )
    names = _names_of(space)
    if names & {*tuned[objective]} or not names & {*best[objective]}:  # or neither was tuned on it
        return ""
    return (
        f"Preset {preset!r} was tuned on {' and '.join(tuned[objective])}; for space {name!r} "
        f"there is preset={better}."
    )
