"""A constraint between choices: a predicate on architectures, checked and remembered."""

from __future__ import annotations

import hashlib
import json
import marshal
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from operator import attrgetter
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from optiproxy_nas.core.errors import OptiProxyError, ParameterError, unknown_name
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.spaces.choices.choice import Choice, shown
from optiproxy_nas.spaces.choices.json_values import (
    one_or_several,
    plain_value,
    value_key,
    value_text,
)

Predicate = Callable[[dict[str, Any]], bool]

_CONSTRAINTS = Registry("constraint", {})
_REMEMBERED = 200_000  # verdicts
_LOCAL = "local:"
# Functions that cannot be imported, by the names that parameters of searches have for them.
_WITHOUT_PATH: WeakValueDictionary[str, Any] = WeakValueDictionary()


class Forbidden:
    """The constraint that some combinations of values do not occur.

    Args:
        clauses: each a mapping {choice: values}. An architecture is forbidden where all choices of
            a clause exist and have one of its values.
    """

    def __init__(self, clauses: Sequence[Mapping[str, Sequence[Any]]]) -> None:
        self.clauses = [{name: list(values) for name, values in c.items()} for c in clauses]
        self._keys = [
            {name: set(map(value_key, values)) for name, values in clause.items()}
            for clause in self.clauses
        ]

    def __call__(self, architecture: Mapping[str, Any]) -> bool:
        """Return whether no clause forbids the architecture."""
        return not any(
            all(
                name in architecture and value_key(architecture[name]) in keys
                for name, keys in clause.items()
            )
            for clause in self._keys
        )

    def resolved(self, choices: Mapping[str, Choice]) -> Forbidden:
        """Return the constraint with all values as the choices have them.

        Raises:
            ParameterError: which name or value there is not.
        """
        clauses = []
        for clause in self.clauses:
            named = {}
            for name, given in clause.items():
                if name not in choices:
                    raise unknown_name("choice", name, choices, where="in a forbidden clause")
                options = {value_key(option): option for option in choices[name].options}
                values = one_or_several(given, choices[name].options)
                for value in values:
                    if value_key(value) not in options:
                        raise ParameterError(
                            f"A forbidden clause names {value!r:.100} of choice {name!r}, which is "
                            f"none of its options: {shown(options.values())}.",
                            choice=name,
                            value=value,
                        )
                named[name] = [options[value_key(value)] for value in values]
            clauses.append(named)
        return Forbidden(clauses)


def read_constraint(constraint: Any) -> Predicate | None:
    """Return the predicate of a function, "module:function", {"forbidden": [...]} or None.

    Raises:
        ParameterError: it is none of these, or cannot be imported.
    """
    if isinstance(constraint, Mapping):
        clauses = constraint.get("forbidden")
        if set(constraint) != {"forbidden"} or not isinstance(clauses, Sequence):
            raise _no_constraint(constraint)
        plain = [plain_value(clause) for clause in clauses]
        if not all(isinstance(clause, dict) and clause for clause in plain):
            raise _no_constraint(constraint)
        return Forbidden(
            [
                {name: v if isinstance(v, list) else [v] for name, v in clause.items()}
                for clause in plain
            ]
        )
    if isinstance(constraint, str):
        constraint = _WITHOUT_PATH.get(constraint) or _imported(constraint)
    if constraint is not None and not callable(constraint):
        raise _no_constraint(constraint)
    predicate: Predicate | None = constraint
    return predicate


def _imported(path: str) -> Any:
    if path.startswith(_LOCAL):
        raise ParameterError(
            f"The constraint {path.removeprefix(_LOCAL)} was a function of another process that "
            "cannot be imported (a lambda, say). Define it by def at the top of a module.",
            constraint=path,
        )
    if ":" not in path:
        raise _no_constraint(path)
    return _CONSTRAINTS.load(path)


def constraint_path(predicate: Any, importable: bool = True) -> str | None:
    """Return "module:function" if the predicate is found so, else None.

    Args:
        predicate: of a space.
        importable: whether other processes must find it, too, which have another ``__main__``.
    """
    module, name = (getattr(predicate, field, None) for field in ("__module__", "__qualname__"))
    if not module or not name or (importable and module == "__main__"):
        return None
    try:
        found = attrgetter(name)(sys.modules[module])
    except (AttributeError, KeyError):
        return None
    return f"{module}:{name}" if found is predicate else None


def constraint_declaration(predicate: Predicate | None) -> Any:
    """Return a constraint as JSON, the inverse of :func:`read_constraint`.

    Raises:
        ParameterError: another process cannot import the function.
    """
    if predicate is None:
        return None
    if isinstance(predicate, Forbidden):
        return {"forbidden": predicate.clauses}
    if (path := constraint_path(predicate)) is None:
        raise ParameterError(
            f"The constraint {predicate!r:.200} cannot be declared, because another process "
            "could not import it (a lambda, a function in a function, in a notebook or in a "
            "script). Define it by def at the top of a module that can be imported, and give it "
            "as 'package.module:function'.",
            constraint=repr(predicate),
        )
    return path


def constraint_key(predicate: Predicate | None) -> Hashable:
    """Return what equal constraints have in common; a function without a path equals itself."""
    if isinstance(predicate, Forbidden):
        return value_text(predicate.clauses)
    return None if predicate is None else constraint_path(predicate) or id(predicate)


def constraint_parameter(predicate: Predicate | None) -> Any:
    """Return a constraint as JSON that this process reads, equal for equal code.

    It is the declaration where there is one. Other functions are found as long as they live.
    """
    path = constraint_path(predicate, importable=False)
    if predicate is None or isinstance(predicate, Forbidden) or path:
        return path or constraint_declaration(predicate)
    code = getattr(predicate, "__code__", None)
    if code is None:  # an object
        digest = f"{id(predicate):x}"
    else:
        bound = [getattr(predicate, name) for name in ("__defaults__", "__kwdefaults__")]
        bound += [cell.cell_contents for cell in getattr(predicate, "__closure__", None) or ()]
        digest = hashlib.sha256(marshal.dumps(code) + repr(bound).encode()).hexdigest()[:8]
    name = getattr(predicate, "__qualname__", type(predicate).__qualname__)
    parameter = f"{_LOCAL}{name}@{digest}"
    _WITHOUT_PATH[parameter] = predicate
    return parameter


class Verdicts:
    """What the predicate says of architectures; each is asked about once.

    Args:
        predicate: architecture -> whether it is valid.
        architectures: codes [n, N] -> dicts.
    """

    def __init__(
        self, predicate: Predicate, architectures: Callable[[Tensor], list[dict[str, Any]]]
    ) -> None:
        self._predicate = predicate
        self._architectures = architectures
        self._remembered: dict[bytes, bool] = {}

    def of(self, codes: Tensor) -> Tensor:
        """Return which of codes [n, N] are valid: bool [n].

        Raises:
            ParameterError: the predicate raised, or returned no bool.
        """
        rows = row_bytes(codes)
        remembered = self._remembered
        new = {row: i for i, row in enumerate(rows) if row not in remembered}
        if len(remembered) + len(new) > _REMEMBERED:
            remembered = {row: remembered[row] for row in rows if row in remembered}
        asked = self._architectures(codes[list(new.values())])
        remembered |= zip(new, map(self._ask, asked), strict=True)
        self._remembered = remembered
        return torch.tensor([remembered[row] for row in rows], dtype=torch.bool)

    def _ask(self, architecture: dict[str, Any]) -> bool:
        text = json.dumps(architecture, ensure_ascii=False)
        try:
            verdict = self._predicate(architecture)
        except OptiProxyError:
            raise
        except Exception as error:  # a user's function can raise anything
            raise ParameterError(
                f"The constraint raises {type(error).__name__}: {error}, for {text}. Choices that "
                "do not exist are not in an architecture: read them by architecture.get(name).",
                architecture=text,
            ) from error
        if not isinstance(verdict, bool | np.bool_):
            raise ParameterError(
                f"The constraint returns {verdict!r:.100} for {text}; it returns True where the "
                "architecture is valid, else False.",
                architecture=text,
            )
        return bool(verdict)


def row_bytes(codes: Tensor) -> list[bytes]:
    """Return each of codes [n, N] as bytes."""
    flat = codes.to(torch.int16).contiguous().numpy().tobytes()
    width = 2 * codes.shape[1]
    return [flat[i : i + width] for i in range(0, len(flat), width)]


def _no_constraint(constraint: Any) -> ParameterError:
    return ParameterError(
        f"constraint = {constraint!r:.200}: it is a function of an architecture (a dict) that "
        "returns whether it is valid, its path as 'package.module:function', or {'forbidden': "
        "[{choice: values, ...}, ...]}.",
        constraint=repr(constraint),
    )
