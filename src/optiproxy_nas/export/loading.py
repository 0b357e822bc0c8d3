"""Loading an exported model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from optiproxy_nas.core.errors import ArtifactError, DataError, one_line
from optiproxy_nas.core.validation import path_of
from optiproxy_nas.export.folder import ARCHITECTURE, read_facts
from optiproxy_nas.export.network import (
    CHECK,
    TOLERANCE,
    WEIGHTS,
    largest_difference,
    with_weights,
)
from optiproxy_nas.problems import Problem
from optiproxy_nas.problems.building import has_build
from optiproxy_nas.problems.resolution import PROBLEMS, resolve_problem
from optiproxy_nas.spaces import get_space


def load_model(
    folder: str | Path,
    problem: str | Mapping[str, Any] | Problem | None = None,
    trusted: bool = False,
) -> nn.Module:
    """Return the network of an exported answer, on the CPU, in eval mode.

    Its problem builds it; the weights are read from safetensors, and nothing is unpickled. What it
    gives for the example is compared with what it gave when it was exported.

    Example:
        >>> from optiproxy_nas import load_model
        >>> model = load_model("model")  # doctest: +SKIP

    Args:
        folder: of ``result.export(folder)``, or ``data/07_model_output/<run_id>/model`` of a run.
        problem: that builds it, as in :func:`optiproxy_nas.search`; None: the one that the folder
            names.
        trusted: whether a problem that the folder names as ``package.module:Class`` may be
            imported, which runs its module.

    Raises:
        DataError: it is no such folder, has no network, or names a problem that is not trusted.
        ArtifactError: a file was edited, or the network gives other outputs.
        ParameterError: ``folder`` is no path; the problem cannot be imported, or cannot build the
            network.
    """
    folder = path_of("folder", folder)
    facts = read_facts(folder)
    if (reason := facts["missing"].get(WEIGHTS)) is not None:
        raise DataError(f"{str(folder)!r} has no network: {reason}", path=str(folder))
    found = _problem(folder, facts["problem"], problem, trusted)
    path = folder / ARCHITECTURE
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{str(path)!r} is no JSON: {one_line(error)}.", path=str(path)) from error
    space = get_space(found.space)
    architecture = space.architecture(written if isinstance(written, str) else json.dumps(written))
    model = with_weights(found, architecture, folder / WEIGHTS)
    if CHECK in facts["files"]:
        _check(model, folder / CHECK)
    return model


def _problem(folder: Path, name: Any, given: Any, trusted: bool) -> Problem:
    """Return the problem of a model: the one given, else the one that its folder names."""
    if given is None:
        path = name.get("name") if isinstance(name, Mapping) else name
        if not isinstance(path, str):
            raise DataError(
                f"{str(folder)!r} names no problem, but {name!r:.200}. Give it: "
                "load_model(folder, problem=...).",
                problem=name,
            )
        if path not in PROBLEMS and not trusted:
            raise DataError(
                f"{str(folder)!r} names the problem {path!r}, which would be imported. If you "
                "trust the folder, load_model(folder, trusted=True); or give the problem itself, "
                "load_model(folder, problem=...).",
                problem=name,
            )
        given = name
    problem = resolve_problem(given)
    if not has_build(problem):
        raise DataError(f"{type(problem).__name__} has no method build, so nothing can be loaded.")
    return problem


def _check(model: nn.Module, path: Path) -> None:
    """Compare what a network gives for the example with what it gave."""
    try:
        difference = largest_difference(model, load_file(path))
    except Exception as error:  # of a file that another program wrote, or of a user's network
        raise DataError(
            f"{str(path)!r} cannot be compared with what the network gives: {one_line(error)}.",
            path=str(path),
        ) from error
    if not difference <= TOLERANCE:
        raise ArtifactError(
            f"The network of {str(path.parent)!r} gives other outputs than when it was exported, "
            f"by {difference:.2g} of the largest. Has the problem's build changed since?",
            path=str(path),
            difference=difference,
        )
