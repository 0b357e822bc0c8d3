"""Nested mappings: parameters as they are written in files and recorded in manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optiproxy_nas.core.errors import ParameterError


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

    Raises:
        ParameterError: one name is a part of another.
    """
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                break
        if not isinstance(place, dict) or last in place:
            raise ParameterError(
                f"{name!r} and a part of it are both given; give one of the two.", name=name
            )
        place[last] = value
    return tree


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what ``after`` changes of ``before``: ``["selection.batch = 5 (2)", ...]``."""
    old, new = flatten(before), flatten(after)
    return [f"{key} = {new[key]} ({old[key]})" for key in old if new[key] != old[key]]
