"""Search spaces: one module or package each, registered in ``SPACES``; or declared by choices.

A declared space is known by its declaration, a mapping that JSON can write.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from types import FunctionType
from typing import Any

from optiproxy_nas.core.errors import OptiProxyError, ParameterError
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.core.registry import Registry
from optiproxy_nas.spaces.base import Candidates, Encoding, Graph, Logits, SearchSpace

SPACES = Registry(
    "search space",
    {
        "nb101": "optiproxy_nas.spaces.nb101:NASBench101",
        "nb201": "optiproxy_nas.spaces.nb201:NASBench201",
        "nb301": "optiproxy_nas.spaces.nb301:NASBench301",
        "nbnlp": "optiproxy_nas.spaces.nbnlp:NASBenchNLP",
        "fcnet": "optiproxy_nas.spaces.published:fcnet",
        "hpobench": "optiproxy_nas.spaces.published:hpobench",
        "hwgpt": "optiproxy_nas.spaces.published:hwgpt",
    },
    group="optiproxy_nas.spaces",
)
DECLARED = "optiproxy_nas.spaces.choices:Space"  # what a declaration builds

# A registered name or ``package.module:Class``; a declaration; the space itself.
SpaceLike = str | Mapping[str, Any] | SearchSpace


def get_space(space: SpaceLike) -> SearchSpace:
    """Return the search space of a name or a declaration; a space is returned as it is.

    Raises:
        UnknownNameError: not a registered name; with the list and the nearest one.
        ParameterError: what it names cannot be built without arguments, or is no search space; or
            the declaration is wrong: where and how.
    """
    if isinstance(space, Mapping):
        return _declared_space(space)
    if isinstance(space, str | type):  # a class is none either, though it may have all members
        return _named_space(space)
    return space if isinstance(space, SearchSpace) else _named_space(space)


@isolated()  # a space holds tensors
def _named_space(name: Any) -> SearchSpace:
    kind = SPACES.load(name)
    if not isinstance(kind, type | FunctionType) and name not in SPACES:  # os:abort would end all
        raise ParameterError(
            f"The search space {name!r} is {kind!r:.100}; it must be a class of search spaces, or "
            "a function that returns one.",
            name=name,
        )
    try:
        space = kind()
    except OptiProxyError:
        raise
    except Exception as error:  # a third party's class can raise anything
        raise ParameterError(
            f"The search space {name!r} cannot be built: {error}. Its class takes no arguments.",
            name=name,
        ) from error
    if not isinstance(space, SearchSpace):
        raise ParameterError(
            f"The search space {name!r} is a {type(space).__name__}, which does not implement "
            "optiproxy_nas.spaces.SearchSpace; testing.check_search_space says what it lacks.",
            name=name,
        )
    return space


def _declared_space(declaration: Mapping[str, Any]) -> SearchSpace:
    try:
        text = json.dumps(declaration)
    except (TypeError, ValueError):  # choices that are Python objects
        return _build(declaration)
    # JSON writes a name that is a number, or true, as a text; a declaration may not have one.
    return _cached(text) if json.loads(text) == declaration else _build(declaration)


@lru_cache(maxsize=16)  # a search asks for its space again and again
def _cached(text: str) -> SearchSpace:
    return _build(json.loads(text))


@isolated()
def _build(declaration: Mapping[str, Any]) -> SearchSpace:
    space: SearchSpace = SPACES.load(DECLARED).from_declaration(declaration)
    return space


def space_parameter(space: SpaceLike) -> str | dict[str, Any]:
    """Return what stands for a space in the parameters of a search: a name, or a declaration.

    The declaration is canonical: equal for equal spaces.

    Raises:
        ParameterError: a space that no other process could build: it is of a class within a
            function, or takes arguments.
    """
    if isinstance(space, str):
        return space
    found = get_space(space)
    if (parameter := getattr(found, "parameter", None)) is not None:
        declared: dict[str, Any] = parameter()
        return declared
    kind = type(found)
    path = f"{kind.__module__}:{kind.__qualname__}"
    if SPACES.get(found.name) == path:
        return found.name
    if "<locals>" in path or get_space(path).name != found.name:
        raise ParameterError(
            f"The space {found.name!r} is a {path}, which cannot be built by that name without "
            "arguments. Move the class to the top of a module.",
            name=path,
        )
    return path


def space_name(space: str | Mapping[str, Any]) -> str:
    """Return a short name of the space that parameters have: for titles."""
    return space if isinstance(space, str) else str(space.get("name", "choices"))


def space_label(space: str | Mapping[str, Any]) -> str:
    """Return a name that is different for different spaces: for groups, filters and tables.

    That of a declared one ends in six digits of its digest.
    """
    if isinstance(space, str):
        return space
    digest = hashlib.sha256(json.dumps(space).encode()).hexdigest()
    return f"{space_name(space)}-{digest[:6]}"


__all__ = [
    "DECLARED",
    "SPACES",
    "Candidates",
    "Encoding",
    "Graph",
    "Logits",
    "SearchSpace",
    "SpaceLike",
    "get_space",
    "space_label",
    "space_name",
    "space_parameter",
]
