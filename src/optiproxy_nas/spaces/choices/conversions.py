"""Translate the spaces of ConfigSpace and Optuna, whose ranges are discretised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.validation import whole_number
from optiproxy_nas.spaces.choices.choice import Choice
from optiproxy_nas.spaces.choices.declaration import in_order
from optiproxy_nas.spaces.choices.json_values import plain_value, value_key
from optiproxy_nas.spaces.choices.ranges import spaced


def from_configspace(configuration_space: Any, steps: int) -> dict[str, Any]:
    """Return the arguments of ``Space`` for a ConfigSpace ``ConfigurationSpace``.

    Raises:
        ParameterError: what cannot be translated, by its name; ConfigSpace is not installed.
    """
    library = _library("ConfigSpace", "ConfigSpace")
    if not isinstance(configuration_space, library.ConfigurationSpace):
        raise ParameterError(
            f"from_configspace takes a ConfigSpace.ConfigurationSpace, not a "
            f"{type(configuration_space).__name__}.",
            type=type(configuration_space).__name__,
        )
    parameters = {str(name): parameter for name, parameter in configuration_space.items()}
    options = {
        name: _configspace_options(name, parameter, steps, library)
        for name, parameter in parameters.items()
    }
    when: dict[str, dict[str, list[Any]]] = {name: {} for name in parameters}
    for condition in configuration_space.conditions:
        for part in _conjuncts(condition, library):
            child, parent = part.child.name, part.parent.name
            values = when[child].get(parent, options[parent])
            kept = [value for value in values if part.satisfied_by_value({parent: value})]
            if not kept:
                raise _untranslated(
                    f"the condition {part!r}", f"{parent!r} has no such option; raise steps"
                )
            when[child][parent] = kept
    forbidden = [
        _forbidden_clause(clause, options, library)
        for clause in configuration_space.forbidden_clauses
    ]
    choices = {
        name: Choice(
            options[name],
            ordered=not isinstance(parameter, library.CategoricalHyperparameter | library.Constant),
            when=when[name],
            default=_nearest(options[name], parameter.default_value),
        )
        for name, parameter in parameters.items()
    }
    arguments: dict[str, Any] = {"choices": in_order(choices)}
    if clauses := [clause for clause in forbidden if all(clause.values())]:
        arguments["constraint"] = {"forbidden": clauses}
    if configuration_space.name:
        arguments["name"] = str(configuration_space.name)
    return arguments


def from_optuna(distributions: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Return the arguments of ``Space`` for Optuna distributions, {name: distribution}.

    Raises:
        ParameterError: what cannot be translated, by its name; Optuna is not installed.
    """
    library = _library("optuna.distributions", "optuna")
    if not isinstance(distributions, Mapping):
        raise ParameterError(
            f"from_optuna takes a mapping {{name: distribution}}, not {distributions!r:.100}.",
            type=type(distributions).__name__,
        )
    choices = {}
    for name, given in distributions.items():
        if isinstance(given, library.CategoricalDistribution):
            choices[name] = Choice(given.choices)
        elif isinstance(given, library.IntDistribution):
            choices[name] = Choice(
                _integers(given.low, given.high, given.step, given.log, steps), ordered=True
            )
        elif isinstance(given, library.FloatDistribution):
            count = steps
            if given.step is not None:
                count = round((given.high - given.low) / given.step) + 1
            values = _floats(given.low, given.high, count, given.log)
            choices[name] = Choice(values, ordered=True)
        else:
            raise _untranslated(
                f"{name!r}",
                f"it is a {type(given).__name__}, not a categorical, integer or float distribution",
            )
    return {"choices": choices}


def _configspace_options(name: str, parameter: Any, steps: int, library: Any) -> list[Any]:
    """Return the values of a hyperparameter, as ConfigSpace itself compares them."""
    if isinstance(parameter, library.Constant):
        return [parameter.value]
    if isinstance(parameter, library.OrdinalHyperparameter):
        return list(parameter.sequence)
    if isinstance(parameter, library.CategoricalHyperparameter):
        if parameter.weights is not None:
            raise _untranslated(f"{name!r}", "it has weights; leave them away")
        return list(parameter.choices)
    if isinstance(parameter, library.UniformIntegerHyperparameter):
        return _integers(parameter.lower, parameter.upper, 1, parameter.log, steps)
    if isinstance(parameter, library.UniformFloatHyperparameter):
        return _floats(parameter.lower, parameter.upper, steps, parameter.log)
    raise _untranslated(
        f"{name!r}",
        f"it is a {type(parameter).__name__}; categorical, ordinal, constant, uniform integer and "
        "uniform float hyperparameters can be",
    )


def _conjuncts(condition: Any, library: Any) -> Iterator[Any]:
    """Yield conditions on one parent each, all of which must hold."""
    if isinstance(condition, library.AndConjunction):
        for part in condition.components:
            yield from _conjuncts(part, library)
    elif hasattr(condition, "parent"):
        yield condition
    else:
        raise _untranslated(
            f"the condition {condition!r}", "only conditions joined by 'and' can be"
        )


def _forbidden_clause(
    clause: Any, options: Mapping[str, list[Any]], library: Any
) -> dict[str, list[Any]]:
    """Return {choice: values} that are forbidden together; without values where none is hit."""
    together = isinstance(clause, library.ForbiddenAndConjunction)
    forbidden: dict[str, list[Any]] = {}
    for part in clause.components if together else [clause]:
        if not hasattr(part, "hyperparameter"):
            raise _untranslated(
                f"the forbidden clause {part!r}",
                "only values of single hyperparameters, and these joined by 'and', can be",
            )
        name = part.hyperparameter.name
        values = forbidden.get(name, options[name])
        hit = [value for value in values if part.is_forbidden_value({name: value})]
        forbidden[name] = hit
    return forbidden


def _integers(low: int, high: int, step: int, log: bool, steps: int) -> list[int]:
    """Return all integers of a range if they are ``steps`` at most, else so many of them."""
    count = whole_number("steps", steps, 2)
    every = range(low, high + 1, step)
    if len(every) <= count or low == high:
        return list(every)
    spread = spaced(float(low), float(high), count, log=log)
    return sorted({low + round((value - low) / step) * step for value in spread})


def _floats(low: float, high: float, steps: int, log: bool) -> list[float]:
    if low == high:
        return [low]
    return [float(value) for value in spaced(low, high, whole_number("steps", steps, 2), log=log)]


def _nearest(options: list[Any], default: Any) -> Any:
    """Return the option that is the default, or nearest to it in a discretised range."""
    keys = [value_key(plain_value(option)) for option in options]
    if value_key(plain_value(default)) in keys:
        return options[keys.index(value_key(plain_value(default)))]
    return min(options, key=lambda option: abs(option - default))


def _library(module: str, package: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise ParameterError(
            f"{package} is not installed ({error}); install it by pip install {package}.",
            package=package,
        ) from error


def _untranslated(what: str, reason: str) -> ParameterError:
    return ParameterError(
        f"Cannot translate {what}: {reason}. Declare it by Choice(...) instead.", part=what
    )
