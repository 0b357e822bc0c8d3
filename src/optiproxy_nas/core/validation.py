"""Validation by pydantic, with errors that say what is wrong, where, and what is allowed."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.mappings import flatten
from optiproxy_nas.core.secrets import secrets_in

_ALIKE = 0.8  # of names that differ by a letter or two
_SYNONYMS = {  # what other libraries call a parameter
    **dict.fromkeys(
        ("n_trials", "num_trials", "max_trials", "max_evals", "n_iter", "n_calls", "num_samples"),
        "budget",
    ),
    "random_state": "seed",
    "search_space": "space",
}
_RULES = {  # pydantic's type of an error -> what it broke, with the names of its ``ctx``
    "greater_than_equal": "it must be at least {ge}",
    "greater_than": "it must be more than {gt}",
    "less_than_equal": "it must be at most {le}",
    "less_than": "it must be less than {lt}",
    "multiple_of": "it must be a multiple of {multiple_of}",
    "finite_number": "it must be a finite number",
    "too_short": "it must have at least {min_length} entries, and has {actual_length}",
    "too_long": "it must have at most {max_length} entries, and has {actual_length}",
    "string_too_short": "it must have at least {min_length} letters",
    "string_too_long": "it must have at most {max_length} letters",
    "literal_error": "it must be {expected}",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "it must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "it must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "it must be true or false"),
    **dict.fromkeys(("list_type", "tuple_type"), "it must be a list"),
    **dict.fromkeys(("dict_type", "mapping_type"), "it must be a mapping"),
    "string_type": "it must be text",
}
_Model = TypeVar("_Model", bound=BaseModel)


class Problem(NamedTuple):
    """One thing that is wrong with values; its text is what a person reads.

    Attributes:
        parameter: the dotted name.
        value: what was given for it.
        kind: pydantic's type of the error, such as "extra_forbidden".
        message: what is wrong.
        allowed: the names that are allowed there, where the name is unknown.
    """

    parameter: str
    value: Any
    kind: str
    message: str
    allowed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the message with what is allowed."""
        allowed = f" Allowed here: {', '.join(self.allowed)}." if self.allowed else ""
        return self.message + allowed


def validate(
    model: type[_Model],
    values: Mapping[str, Any],
    also: Iterable[str] = (),
    nested_names: Callable[[], Iterable[str]] = tuple,
) -> _Model:
    """Return ``values`` as a typed model.

    Args:
        model: the type.
        values: nested.
        also: names that the caller takes, too, for messages.
        nested_names: returns further dotted names beneath the model, for messages.

    Raises:
        ParameterError: an unknown name (with the nearest allowed one), a wrong type or value;
            ``data["problems"]`` has a :class:`Problem` for each.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise refusal(model, error, also, nested_names) from None


def refusal(
    model: type[BaseModel],
    error: ValidationError,
    also: Iterable[str] = (),
    nested_names: Callable[[], Iterable[str]] = tuple,
) -> ParameterError:
    """Return the error that :func:`validate` raises in the place of pydantic's."""
    problems = _problems(model, error, also, nested_names)
    message = "\n".join(map(str, problems))
    return ParameterError(message, errors=len(problems), problems=problems)


def refuse_secrets(values: Mapping[str, Any]) -> None:
    """Refuse parameters with a secret among them: they are written down wherever a run is.

    Raises:
        ParameterError: the name of the parameter, without its value.
    """
    if found := secrets_in(flatten(values)):
        raise ParameterError(
            f"Parameter {found[0]!r} holds a password, key or token. Parameters are written into "
            "manifests, journals, pages and MLflow: leave it out, and have the code read it from "
            "an environment variable.",
            name=found[0],
        )


def whole_number(name: str, value: Any, least: int = 0) -> int:
    """Return an argument as an int.

    Raises:
        ParameterError: it is no whole number (a bool is none), or below ``least``.
    """
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least:
        return int(value)
    raise ParameterError(
        f"{name} = {value!r:.200}: it must be a whole number, at least {least}.",
        name=name,
        value=value,
    )


def finite_number(name: str, value: Any, least: float = -math.inf) -> float:
    """Return an argument as a float.

    Raises:
        ParameterError: it is no finite number (a bool is none), or below ``least``.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number) and number >= least:
            return number
    raise ParameterError(
        f"{name} = {value!r:.200}: it must be a finite number"
        + (f", at least {least:g}." if least > -math.inf else "."),
        name=name,
        value=value,
    )


def path_of(name: str, value: Any) -> Path:
    """Return an argument as a path.

    Raises:
        ParameterError: it is none.
    """
    try:
        return Path(value)
    except TypeError:
        raise ParameterError(f"{name} = {value!r:.200}: it must be a path.", name=name) from None


def curve_points(curve: Any) -> tuple[tuple[int, float], ...]:
    """Return what a training reported as (step, value) of plain numbers.

    Raises:
        ParameterError: it is something else.
    """
    try:
        points = tuple((int(step), float(value)) for step, value in curve)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"curve = {curve!r:.200}: it must be pairs of a step and a value, as [(1, 0.5)].",
            name="curve",
        ) from error
    return points


def _fields(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Return the field names allowed at a path of nested models."""
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        kinds = (annotation, *get_args(annotation))  # ``Model | None`` is one, too
        models = [it for it in kinds if isinstance(it, type) and issubclass(it, BaseModel)]
        if not models:
            return []
        model = models[0]
    return list(model.model_fields)


def _nested(model: type[BaseModel]) -> list[str]:
    """Return the dotted names one level below: ``proxy.hidden``."""
    return [f"{name}.{inner}" for name in model.model_fields for inner in _fields(model, (name,))]


def _suggestion(name: str, allowed: list[str], dotted: Iterable[str]) -> str:
    """Return a hint at the nearest name, also of nested ones written without their path."""
    if (synonym := _SYNONYMS.get(name)) in allowed:
        return f" Did you mean {synonym!r}?"
    leaves: dict[str, list[str]] = {}
    for path in dotted:
        leaves.setdefault(path.rpartition(".")[2], []).append(path)
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=_ALIKE if leaves else 0.5)
    found = near or leaves.get((difflib.get_close_matches(name, leaves, 1, _ALIKE) or [""])[0], [])
    found = found or difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    return f" Did you mean {' or '.join(map(repr, found))}?" if found else ""


def _rule(detail: ErrorDetails) -> str:
    """Return which rule a value broke, in pydantic's words where there are none of ours."""
    rule = _RULES.get(detail["type"])
    facts = {
        name: f"{value:g}" if isinstance(value, float) else value
        for name, value in detail.get("ctx", {}).items()
    }
    return detail["msg"] if rule is None else rule.format(**facts)


def _problems(
    model: type[BaseModel],
    error: ValidationError,
    also: Iterable[str],
    nested_names: Callable[[], Iterable[str]],
) -> list[Problem]:
    """Return what a pydantic error says: what is wrong, where, what is allowed."""
    problems = []
    for detail in error.errors():
        location = detail["loc"]
        where, allowed = ".".join(str(part) for part in location), []
        if detail["type"] == "extra_forbidden":
            allowed = _fields(model, location[:-1]) + list(also) * (len(location) == 1)
            dotted = [*_nested(model), *nested_names()] if len(location) == 1 else []
            hint = _suggestion(str(location[-1]), allowed, dotted)
            message = f"Unknown parameter {where!r}.{hint}"
        elif detail["type"] == "missing":
            message = f"Parameter {where!r} is missing."
        elif detail["type"] == "model_type" and where:
            parts = ", ".join(f"{where}.{name}" for name in _fields(model, location))
            message = f"Parameter {where!r} = {detail['input']!r:.200}: it has parts: {parts}."
        else:
            raised = detail.get("ctx", {}).get("error")  # by a validator of ours
            text = str(raised) if isinstance(raised, Exception) else _rule(detail)
            at = f"Parameter {where!r} = {detail['input']!r}: " if where else ""
            message = f"{at}{text}."
        names = tuple(sorted({*allowed}))
        problems.append(Problem(where, detail["input"], detail["type"], message, names))
    return problems
