"""Finding and checking the problem that a search names, and what follows from it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from optiproxy_nas.algorithm.search_parameters import OWN_EVALUATION
from optiproxy_nas.core.errors import OptiProxyError, ParameterError, unknown_name
from optiproxy_nas.core.mappings import merge
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.core.validation import validate
from optiproxy_nas.measuring.latency_settings import LatencySettings
from optiproxy_nas.objectives.base import Objective
from optiproxy_nas.problems.base import VALUE, Problem, Target
from optiproxy_nas.problems.building import has_build, has_example
from optiproxy_nas.problems.latency import latency_metrics
from optiproxy_nas.spaces import SearchSpace, get_space, space_parameter

PROBLEMS = Registry(
    "problem",
    {
        "digits_cells": "optiproxy_nas.problems.digits_cells:DigitsCells",
        "mnist1d": "optiproxy_nas.problems.mnist1d:Mnist1d",
    },
    group="optiproxy_nas.problems",
    base=Problem,
)


def resolve_problem(value: Any) -> Problem:
    """Return the problem that a name, a mapping of name and settings, or an instance means.

    Raises:
        UnknownNameError: no such problem; with the list and the nearest name.
        ParameterError: it cannot be imported or built, or lacks what a search needs: which.
    """
    if isinstance(value, Problem):
        problem, name = value, type(value).__name__
    else:
        problem, name = _built(value)
    _check(problem, name)
    return problem


def name_of(problem: Problem, given: Any = None) -> str | dict[str, Any]:
    """Return how a problem is written in the parameters of a run, alike for all its spellings.

    Settings that are as its constructor has them by default are left out.

    Args:
        problem: of :func:`resolve_problem`.
        given: what it was resolved from.
    """
    if isinstance(given, str | Mapping):
        written = {"name": given} if isinstance(given, str) else given
        path = str(written["name"])
        settings = {str(key): value for key, value in written.items() if key != "name"}
    else:
        path = _path(type(problem))
        settings = dict(problem.settings)
    name = next((name for name, member in PROBLEMS.items() if member == path), path)
    parameters = inspect.signature(type(problem).__init__).parameters
    as_json = {
        key: _as_json(setting)
        for key, setting in settings.items()
        if key not in parameters or not _is_equal(setting, parameters[key].default)
    }
    return {"name": name, **as_json} if as_json else name


def with_problem(values: Mapping[str, Any], problem: Problem | None = None) -> dict[str, Any]:
    """Return the values of a search with what its ``problem`` decides, if it names one.

    That is the space and the direction; and the objective, where none is given. A mapping of an
    objective's settings without its name changes those of the problem's objective.

    Args:
        values: nested.
        problem: that they name, where it is resolved already.

    Raises:
        ParameterError: another space or direction is given; or as of :func:`resolve_problem`.
    """
    given = values.get("problem")
    if given is None:
        return dict(values)
    problem = resolve_problem(given) if problem is None else problem
    name = name_of(problem, given)
    label = str(name["name"] if isinstance(name, Mapping) else name).rpartition(":")[2]
    decided = {"space": space_parameter(problem.space), "direction": problem.target.direction}
    for key, value in decided.items():
        if values.get(key) not in (None, value):
            raise ParameterError(
                f"{key} = {values[key]!r:.80}, but problem {label!r} has {value!r:.80}. Leave it "
                "out: the problem decides it.",
                problem=label,
            )
    objective = values.get("objective")
    if objective is None:
        objective = problem.objective
    elif isinstance(objective, Mapping) and "name" not in objective:
        default = problem.objective
        default = {"name": default} if isinstance(default, str) else default
        objective = merge(default, objective)
    labels = {"benchmark": OWN_EVALUATION, "source": OWN_EVALUATION, "dataset": label}
    given_labels = {key: values[key] for key in labels if values.get(key) is not None}
    return {**values, **labels, **given_labels, **decided, "problem": name, "objective": objective}


def check_metrics(problem: Problem, objective: Objective) -> None:
    """Refuse bounds on what a problem does not measure, if it declares its metrics.

    Raises:
        UnknownNameError: with the metrics that can be bounded, and the nearest.
    """
    measured = {*problem.metrics, problem.target.name, *latency_metrics(problem)}
    for metric in objective.metrics if problem.metrics else ():
        if metric not in measured:
            error = unknown_name("metric", metric, measured)
            raise type(error)(
                f"{error.message} (These are the metrics that problem "
                f"{type(problem).__name__!r} declares; no trial was made.)",
                **error.data,
            )


def _built(value: Any) -> tuple[Problem, str]:
    """Build the problem of a name, a mapping, or a class."""
    if isinstance(value, type) and issubclass(value, Problem):
        value = _path(value)
    given = {"name": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise ParameterError(
            f"problem = {value!r:.200} ({type(value).__name__}): give 'package.module:Class', a "
            'mapping {"name": "package.module:Class", **settings}, or an instance of '
            "optiproxy_nas.Problem."
        )
    name = given["name"]
    settings = {str(key): setting for key, setting in given.items() if key != "name"}
    kind: type[Problem] = PROBLEMS.load(name)
    try:
        with isolated():
            return kind(**settings), name
    except OptiProxyError:
        raise
    except Exception as error:  # a third party's class can raise anything
        wanted = ", ".join(_arguments(kind)) or "none"
        raise ParameterError(
            f"The problem {name!r} cannot be built with {', '.join(settings) or 'no settings'}: "
            f"{type(error).__name__}: {error}. Its settings: {wanted}; they are given as "
            f'problem={{"name": {name!r}, **settings}}.',
            name=name,
            settings=list(settings),
        ) from error


def _path(kind: type[Problem]) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _arguments(kind: type[Problem]) -> list[str]:
    """Return the parameters of a class, with their defaults."""
    if kind.__init__ is object.__init__:
        return []
    _, *parameters = inspect.signature(kind.__init__).parameters.values()
    return [str(parameter) for parameter in parameters]


def _check(problem: Problem, name: str) -> None:
    """Refuse a problem that lacks what a search needs, before anything is spent.

    Raises:
        ParameterError: which member is missing or wrong, and what is allowed.
    """
    try:
        wrong = _missing(problem)
    except OptiProxyError:
        raise
    except Exception as error:  # of a property
        wrong = f"raises when it is asked for its members: {type(error).__name__}: {error}."
    if wrong:
        raise ParameterError(
            f"The problem {name!r} {wrong}", name=name, problem=type(problem).__name__
        )
    get_space(problem.space)


def _missing(problem: Problem) -> str:
    """Return what a problem lacks, "" if nothing."""
    space, target = getattr(problem, "space", None), getattr(problem, "target", None)
    if not isinstance(space, str | Mapping | SearchSpace):
        return (
            f"has space = {space!r:.200}: it must be a search space, such as Space({{...}}), or "
            "the name of one."
        )
    if not isinstance(target, Target):
        return (
            f"has target = {target!r:.200}: it must be a Target, such as "
            "target = Target('accuracy', 'maximize', '%')."
        )
    for member in ("metrics", "datasets"):
        names = getattr(problem, member)
        if isinstance(names, str) or not isinstance(names, Collection):
            return f"has {member} = {names!r:.200}: it must be a list of names."
        if wrong := [one for one in names if not isinstance(one, str)]:
            return f"has {member} with {wrong[0]!r:.200}, which is no name."
    if VALUE in problem.metrics and target.name != VALUE:
        return f"has a metric {VALUE!r}, as the target {target.name!r} is called in archives."
    latency: Any = problem.latency  # of any type
    if isinstance(latency, Mapping):
        problem.latency = validate(LatencySettings, latency)
    if problem.latency is not None:
        if not isinstance(problem.latency, LatencySettings):
            return (
                f"has latency = {problem.latency!r:.200}: it must be settings, such as "
                "LatencySettings(runtime='onnxruntime'), a mapping of them, or None."
            )
        if not (has_build(problem) and has_example(problem)):
            return (
                "has a latency, but not both methods that give the network which is measured: "
                "build(self, architecture) and example_input(self)."
            )
    if type(problem).evaluate is Problem.evaluate:
        return "has no method evaluate(self, trial)."
    for member in ("evaluate", "test"):
        try:
            inspect.signature(getattr(problem, member)).bind(None)
        except TypeError as error:
            return f"has a method {member} that cannot be called with one trial: {error}."
        except ValueError:  # of some built-in functions nobody can tell
            continue
    return ""


def _is_equal(setting: Any, default: Any) -> bool:
    """Return whether JSON writes both alike; 1 and 1.0 are one number."""
    try:
        texts = [json.dumps(it, default=_plain) for it in (setting, default)]
    except (TypeError, ValueError):
        return False
    first, second = map(json.loads, texts)
    are_numbers = {type(first), type(second)} <= {int, float}
    return texts[0] == texts[1] or (are_numbers and first == second)


def _as_json(setting: Any) -> Any:
    """Return a setting as JSON has it; of what JSON has not, its type."""
    try:
        return json.loads(json.dumps(setting, allow_nan=False, default=_plain))
    except (TypeError, ValueError):
        return f"<{type(setting).__name__}>"


def _plain(value: Any) -> Any:
    """Return a number of NumPy, or a path, as JSON writes it.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError
