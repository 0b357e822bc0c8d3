"""The objective of a run that a store describes by flat parameters, all of them text."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from optiproxy_nas.core.errors import ArtifactError, OptiProxyError
from optiproxy_nas.objectives import resolve_objective
from optiproxy_nas.objectives.base import Objective

PREFIX = "objective."


def naming(objective: Objective) -> frozenset[str]:
    """The parameters that make an objective another one, and so the panel.

    What else it has, as its mode, is a setting like any other.
    """
    return frozenset(PREFIX + setting for setting in ("name", *objective.task_settings))


def objective_of_text(parameters: Mapping[str, str], run_id: str) -> Objective:
    """The objective of ``{"objective.name": "constrained", ...}``; plain where nothing is said.

    Raises:
        ArtifactError: there is no such objective here, or it has no such settings any more.
    """
    values = {
        name.removeprefix(PREFIX): _value(text)
        for name, text in parameters.items()
        if name.startswith(PREFIX)
    }
    try:
        return resolve_objective(values)
    except OptiProxyError as error:
        raise ArtifactError(
            f"Run {run_id!r} cannot be compared: its objective is not known here "
            f"({error.message}). It is of another version of the project or of a plug-in that is "
            "not installed; leave it out.",
            run_id=run_id,
        ) from error


def _value(text: str) -> Any:
    """A value as ``str`` wrote it: numbers and lists as such, all else as text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
