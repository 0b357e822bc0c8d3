"""Nested mappings: parameters as they are written in files and recorded in manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optiproxy_nas.core.errors import ParameterError

# Parameters that are a name, or a mapping of it and settings.
NAMED = ("objective", "problem")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` updated with ``over``, level by level; neither argument is changed."""
    merged = dict(base)
    for key, value in over.items():
        present = merged.get(key)
        if isinstance(value, Mapping) and isinstance(present, Mapping):
            merged[key] = merge(present, value)
        else:
            merged[key] = value
    return merged


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one: ``{"fit": {"lr": 1}}`` becomes ``{"fit.lr": 1}``."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(flatten(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"fit.lr": 1}`` as ``{"fit": {"lr": 1}}``.

    A problem and an objective may be named beside their settings, ``{"problem": "mnist1d",
    "problem.epochs": 3}``, which is short for ``"problem.name"``.

    Raises:
        ParameterError: one name is a part of another.
    """
    tree: dict[str, Any] = {}
    for name in NAMED:
        if name in flat and f"{name}.name" not in flat and _parts(flat, name):
            flat = {f"{name}.name" if key == name else key: flat[key] for key in flat}
    for name, value in flat.items():
        *path, last = name.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                break
        if not isinstance(place, dict) or last in place:
            whole = name if _parts(flat, name) else next(n for n in flat if name in _parts(flat, n))
            raise ParameterError(
                f"{whole!r} and a part of it, {_parts(flat, whole)[0]!r}, are both given; give one "
                "of the two.",
                name=whole,
            )
        place[last] = value
    return tree


def _parts(flat: Mapping[str, Any], name: str) -> list[str]:
    return [key for key in flat if key.startswith(f"{name}.")]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what ``after`` changes of ``before``: ``["selection.batch = 5 (2)", ...]``."""
    old, new = flatten(before), flatten(after)
    return [f"{key} = {new[key]} ({old[key]})" for key in old if new[key] != old[key]]
