"""What evaluates a search: its name, and digests of its code and data, which a journal keeps."""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

import pandas as pd
from joblib.hashing import NumpyHasher
from torch import Tensor

from optiproxy_nas.core.code_digest import (
    NOT_FOUND,
    PACKAGE,
    combined,
    digest_of_text,
    imported_code,
)
from optiproxy_nas.evaluation.function_evaluator import Batched
from optiproxy_nas.problems import Problem

_log = logging.getLogger("optiproxy_nas")  # a warning of it is a line on standard error
Digests = dict[str, str | None]
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def identity_of(evaluate: Any, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a journal keeps of an evaluation.

    Args:
        evaluate: a problem, or a user's function or evaluator.
        data: datasets by name.

    Returns:
        ``code``, a digest of its code, None where that cannot be read; ``data``, the digests of the
        datasets; and ``evaluate``, the name of what is no problem (that is in the parameters).
    """
    function = _unwrapped(evaluate)
    facts = {"code": code_digest(function), "data": digests_of(data or {})}
    if isinstance(evaluate, Problem):
        return facts
    return {"evaluate": f"{function.__module__}:{function.__qualname__}", **facts}


def code_digest(function: Any) -> str | None:
    """Return a digest of the code of a function or class: of its module and what that imports.

    Of what is in no file that can be imported, as of a notebook or a script, it is that of the
    function and of what it uses there. Comments and docstrings do not count, nor does this package.

    Returns:
        SHA-256; None of what is not written in Python.
    """
    if isinstance(function, BuiltinFunctionType):
        return None
    module = function.__module__ or "__main__"
    digests = {} if module == "__main__" else imported_code([module])
    if digests.get(module, NOT_FOUND) == NOT_FOUND:
        return combined(_used_code(function))
    counted = {name: it for name, it in digests.items() if not _of_package(name)}
    return combined(counted | _enclosed(function)[0])


def digests_of(data: Mapping[str, Any]) -> Digests:
    """Return a digest of each dataset; None, with a warning, where it is of a type that has none.

    Parts that are loaded when they are asked for, as those of Kedro's ``PartitionedDataset``, are
    loaded for it, one at a time.
    """
    digests = {name: _digest(value) for name, value in data.items()}
    if unchecked := [name for name, digest in digests.items() if digest is None]:
        _log.warning(
            "%s cannot be pickled, so that a search that goes on cannot tell whether it changed.",
            ", ".join(unchecked),
        )
    return digests


def _unwrapped(evaluate: Any) -> Any:
    """Return the function, or the class, that holds the code of an evaluation."""
    if isinstance(evaluate, Batched):
        return _unwrapped(evaluate.function)
    if isinstance(evaluate, functools.partial):
        return _unwrapped(evaluate.func)
    if isinstance(evaluate, MethodType):
        return evaluate.__func__
    is_named = isinstance(evaluate, FunctionType | BuiltinFunctionType | type)
    return evaluate if is_named else type(evaluate)


def _used_code(root: Any) -> dict[str, str]:
    """Return the digests of a function or class and of those of its module that it uses.

    Numbers and texts of the module that they read are among them.
    """
    found: dict[str, str] = {}
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if item.__qualname__ in found:
            continue
        found[item.__qualname__] = _source_digest(item)
        module = getattr(sys.modules.get(item.__module__), "__dict__", {})
        module = getattr(item, "__globals__", module)
        values, functions = _enclosed(item)
        found |= values
        waiting += functions
        for name in {name for code in _codes(item) for name in code.co_names}:
            value = module.get(name)
            if isinstance(value, FunctionType | type) and value.__module__ == item.__module__:
                waiting.append(value)
            elif name in module and _is_plain(value):
                found[name] = repr(value)
    return found


def _enclosed(item: Any) -> tuple[dict[str, str], list[Any]]:
    """Return the numbers and texts, and the functions, that a closure holds."""
    names = item.__code__.co_freevars if isinstance(item, FunctionType) else ()
    values: dict[str, str] = {}
    functions = []
    for name, cell in zip(names, getattr(item, "__closure__", None) or (), strict=False):
        with suppress(ValueError):  # a cell that is empty yet
            value = cell.cell_contents
            if _is_plain(value):
                values[name] = repr(value)
            elif isinstance(value, FunctionType | type) and value.__module__ == item.__module__:
                functions.append(value)
    return values, functions


def _is_plain(value: Any) -> bool:
    """Return whether a value is a number or a text, or a tuple of these."""
    return all(map(_is_plain, value)) if isinstance(value, tuple) else isinstance(value, _PLAIN)


def _source_digest(item: Any) -> str:
    """Return the digest of the source of one function or class; else of its byte code."""
    if item.__qualname__.rpartition(".")[2] != "<lambda>":  # whose source is that of its statement
        with suppress(OSError, TypeError, SyntaxError):
            return digest_of_text(textwrap.dedent(inspect.getsource(item)))
    parts = [part for code in _codes(item) for part in _parts(code)]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _codes(item: Any) -> Iterator[CodeType]:
    """Give the code of a function, or of the methods of a class, and of what is defined inside."""
    members = vars(item).values() if isinstance(item, type) else [item]
    for member in members:
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if isinstance(function, FunctionType):
            yield from _nested(function.__code__)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _parts(code: CodeType) -> tuple[Any, ...]:
    """Return what code means; not its first constant where that may be a docstring."""
    constants = [it for it in code.co_consts if not isinstance(it, CodeType)]
    if constants and isinstance(constants[0], str) and code.co_name != "<lambda>":
        constants = constants[1:]
    return code.co_code, constants, code.co_names


def _of_package(module: str) -> bool:
    """Return whether a module is of this package, but for its problems."""
    return f"{module}.".startswith(f"{PACKAGE}.") and not module.startswith(f"{PACKAGE}.problems.")


class _Hasher(NumpyHasher):  # type: ignore[misc]
    """Hashes tensors and tables by what they hold: equal ones have different pickles."""

    def save(self, obj: Any) -> None:
        """Add an object."""
        if isinstance(obj, Tensor):
            numbers = obj.detach().cpu()
            numbers = numbers.double() if numbers.is_floating_point() else numbers
            obj = ("tensor", str(obj.dtype), numbers.numpy())
        elif isinstance(obj, pd.DataFrame | pd.Series):
            with suppress(TypeError):  # cells that cannot be hashed, such as lists
                rows = pd.util.hash_pandas_object(obj).to_numpy()
                obj = (rows, [str(name) for name in pd.DataFrame(obj).columns])
        elif isinstance(obj, dict) and any(map(_loads, obj.values())):
            obj = {name: _digest_of_part(part) for name, part in obj.items()}
        super().save(obj)


def _loads(part: Any) -> bool:
    """Return whether a part of a dataset is a method that loads it."""
    return isinstance(part, MethodType) and part.__name__ == "load"


def _digest_of_part(part: Any) -> str:
    return str(_Hasher(hash_name="sha1").hash(part() if _loads(part) else part))


def _digest(value: Any) -> str | None:
    try:
        return str(_Hasher(hash_name="sha1").hash(value))
    except Exception:  # of an object that cannot be pickled: of any kind
        return None
