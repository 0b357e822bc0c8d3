"""Values as typed models, with errors that say what was wrong, where, and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from optiproxy_nas.errors import ParameterError

_Model = TypeVar("_Model", bound=BaseModel)


def validate(model: type[_Model], values: Mapping[str, Any], also: Iterable[str] = ()) -> _Model:
    """``values`` as a typed model.

    Raises:
        ParameterError: an unknown name (with the nearest allowed one), a wrong type or value.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ParameterError(_explain(model, error, also), errors=error.error_count()) from None


def _fields(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """The field names allowed at a path of nested models."""
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)


def _explain(model: type[BaseModel], error: ValidationError, also: Iterable[str]) -> str:
    """A pydantic error as one message: what is wrong, where, what is allowed."""
    lines = []
    for detail in error.errors():
        location = detail["loc"]
        where = ".".join(str(part) for part in location)
        if detail["type"] == "extra_forbidden":
            allowed = _fields(model, location[:-1]) + list(also) * (len(location) == 1)
            near = difflib.get_close_matches(str(location[-1]), allowed, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            lines.append(
                f"Unknown parameter {where!r}.{hint} Allowed here: {', '.join(sorted(allowed))}."
            )
        elif detail["type"] == "missing":
            lines.append(f"Parameter {where!r} is missing.")
        else:
            text = detail["msg"].removeprefix("Value error, ")
            at = f"Parameter {where!r} = {detail['input']!r}: " if where else ""
            lines.append(f"{at}{text}.")
    return "\n".join(lines)
