"""The datasets of a problem: those that are given, and those that it loads itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optiproxy_nas.core.errors import DataError, OptiProxyError, ParameterError
from optiproxy_nas.core.random_streams import seeded_globals
from optiproxy_nas.problems import Problem


def data_of(problem: Problem, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the datasets of a problem by name: those given, else what it loads.

    Raises:
        ParameterError: one that it needs is missing, or one is given that it does not name.
        DataError: its ``load`` raised, or gave no mapping.
    """
    data, name = dict(given or {}), type(problem).__name__
    if unknown := [key for key in data if key not in problem.datasets]:
        raise ParameterError(
            f"data has {unknown[0]!r}, which is no dataset of problem {name!r}; it names "
            f"{', '.join(problem.datasets) or 'none'}.",
            unknown=unknown,
        )
    if not problem.datasets or any(key not in data for key in problem.datasets):
        data = {**_loaded(problem), **data}
    if missing := [key for key in problem.datasets if key not in data]:
        raise ParameterError(
            f"Problem {name!r} needs the datasets {', '.join(problem.datasets)}; "
            f"{', '.join(missing)} is neither given, as data={{{missing[0]!r}: ...}}, nor does its "
            "load() give it.",
            missing=missing,
        )
    return data


def _loaded(problem: Problem) -> dict[str, Any]:
    """Return what a problem loads."""
    try:
        with seeded_globals(0):
            loaded = problem.load()
        return dict(loaded)
    except OptiProxyError:
        raise
    except Exception as error:
        name = type(problem).__name__
        raise DataError(f"{name}.load() failed: {type(error).__name__}: {error}") from error
