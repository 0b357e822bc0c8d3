"""A pickle reader for plain data from strangers: no code runs, and time and memory are bounded.

A pickle is a program. The values that we read are dicts, lists, strings and floats, for which no
global is ever looked up; the exceptions are numpy's scalars, and those are rebuilt by stand-ins
instead of numpy's own constructors, which were not written for hostile input. Plain data can be
hostile, too: a tuple within itself by reference takes exponential time to hash or to print. So the
reader counts, refuses long keys, and walks over what it has read.
"""

from __future__ import annotations

import gc
import io
import pickle
import pickletools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from optiproxy_nas.core.bounded_files import LIMITS, Limits
from optiproxy_nas.core.errors import UnsafePickleError

_PLAIN = re.compile(r"[fiu][1248]|b1")
_CONTAINERS = (dict, list, tuple, set, frozenset)


class _PlainDtype:
    """Stands in for ``numpy.dtype``: a plain number's kind, width and byte order."""

    def __init__(self, code: str, *_flags: bool) -> None:
        if not _PLAIN.fullmatch(code):
            raise UnsafePickleError(f"asks for numpy.dtype({code!r}), which is no plain number")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise UnsafePickleError(f"asks for numpy.dtype of byte order {order!r}")
        self.code = order + self.code


def _scalar(dtype: _PlainDtype, content: bytes) -> Any:
    """Stands in for numpy's ``scalar``: a Python number."""
    return np.frombuffer(content, dtype.code)[0].item()


# What a pickle of numpy scalars names (numpy 1 and 2), and what it gets instead.
NUMPY_SCALARS: Mapping[str, Any] = {
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.dtype": _PlainDtype,
}


def load_plain(content: bytes, allowed: Mapping[str, Any], limits: Limits = LIMITS) -> Any:
    """Load plain data from a pickle.

    Args:
        content: of the file.
        allowed: "module.name" -> the object that the pickle gets for it.
        limits: of what it may hold.

    Raises:
        UnsafePickleError: it names another global, or exceeds a limit; its message has no subject.
        Exception: of any kind, where it is truncated or no pickle.
    """
    if len(content) > limits.size:
        raise UnsafePickleError(f"has {len(content)} bytes, more than {limits.size}")
    with _uncollected():
        value = _PlainUnpickler(content, allowed, limits).load()
    _check(value, limits.nodes, limits.objects, limits.depth)
    return value


@contextmanager
def _uncollected() -> Iterator[None]:
    """Do without the collector of cycles, which walks over all that is read, again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


# In Python, since that of C neither counts nor lets anyone look at a key before it is hashed.
class _PlainUnpickler(pickle._Unpickler):
    stack: list[Any]
    metastack: list[list[Any]]

    def __init__(self, content: bytes, allowed: Mapping[str, Any], limits: Limits) -> None:
        super().__init__(io.BytesIO(content))
        self._allowed, self._limits = allowed, limits
        self._objects = 0

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of an allowed global; refuse every other global."""
        if f"{module}.{name}" not in self._allowed:
            raise UnsafePickleError(
                f"asks for {module}.{name}, which plain benchmark values never need",
                requested=f"{module}.{name}",
            )
        return self._allowed[f"{module}.{name}"]

    def count(self) -> None:
        self._objects += 1
        if self._objects > self._limits.objects or len(self.metastack) > self._limits.depth:
            raise UnsafePickleError("has more objects than any file of benchmark values")

    def check_built(self) -> None:
        if callable(self.stack[-2]):  # one of the allowed globals, which is ours
            raise UnsafePickleError("sets attributes of a function or class")

    def check_keys(self, keys: Any) -> None:
        for key in keys:
            if isinstance(key, _CONTAINERS):
                _check(key, self._limits.key, self._limits.key, self._limits.depth)


def _check(value: Any, nodes: int, containers: int, depth: int) -> None:
    """Walk over a value as often as it is referred to.

    Raises:
        UnsafePickleError: it has more values than ``nodes``, or more containers than that, or is
            nested deeper than ``depth``.
    """
    level = [value] if isinstance(value, _CONTAINERS) else []
    for _ in range(depth):
        below: list[Any] = []
        for container in level:
            nodes -= len(container)
            if nodes < 0 or len(below) > containers:
                raise UnsafePickleError("has more values than any file of benchmark values")
            below += [it for it in container if isinstance(it, _CONTAINERS)]
            if isinstance(container, dict):
                below += [it for it in container.values() if isinstance(it, _CONTAINERS)]
        level, containers = below, containers - len(below)
        if not level:
            return
    raise UnsafePickleError(f"is nested deeper than {depth}")


def _dispatch() -> dict[int, Callable[[Any], None]]:
    """Return what each opcode does: as pickle has it, counted and checked."""
    codes = {code.name: ord(code.code) for code in pickletools.opcodes}
    made: dict[int, Callable[[Any], None]] = dict(_PlainUnpickler.dispatch)
    refused = ("DUP", "BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER", "PERSID", "BINPERSID")
    for name in (*refused, "EXT1", "EXT2", "EXT4", "INST", "OBJ"):
        del made[codes[name]]

    def first(name: str, check: Callable[[Any], None]) -> None:
        done = made[codes[name]]

        def checked(unpickler: Any) -> None:
            check(unpickler)
            done(unpickler)

        made[codes[name]] = checked

    for name in (
        *("MARK", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "EMPTY_TUPLE", "LIST", "DICT", "TUPLE"),
        *("TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"),
        *("REDUCE", "NEWOBJ", "NEWOBJ_EX"),
    ):
        first(name, _PlainUnpickler.count)
    first("BUILD", _PlainUnpickler.check_built)
    first("SETITEM", lambda it: it.check_keys(it.stack[-2:-1]))
    for name in ("SETITEMS", "DICT"):
        first(name, lambda it: it.check_keys(it.stack[::2]))
    for name in ("ADDITEMS", "FROZENSET"):
        first(name, lambda it: it.check_keys(it.stack))
    for name in ("REDUCE", "NEWOBJ"):
        first(name, lambda it: it.check_keys(it.stack[-1:]))
    first("NEWOBJ_EX", lambda it: it.check_keys(it.stack[-2:]))
    return made


_PlainUnpickler.dispatch = _dispatch()
