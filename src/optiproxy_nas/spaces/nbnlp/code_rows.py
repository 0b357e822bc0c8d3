"""Codes as bytes, a row each: keys of dictionaries, and a cache of functions of single rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps

import torch
from torch import Tensor

RowFunction = Callable[[Tensor], list[bytes]]  # codes [n, L] -> a value of each


def remember_rows(limit: int, idempotent: bool = False) -> Callable[[RowFunction], RowFunction]:
    """Cache a function of codes row by row, as ``functools.lru_cache`` caches whole calls.

    Threads may share the cache.

    Args:
        limit: rows to remember; the cache is emptied when it would exceed this.
        idempotent: values are rows that the function maps to themselves; remember these, too.
    """

    def decorate(function: RowFunction) -> RowFunction:
        cache: dict[bytes, bytes] = {}

        @wraps(function)
        def cached(codes: Tensor) -> list[bytes]:
            rows = code_bytes(codes)
            # Each row is looked up once: another thread may empty the cache at any time.
            values = [*map(cache.get, rows)]
            missing = {row: i for i, row in enumerate(rows) if values[i] is None}
            if missing:
                computed = function(codes[[*missing.values()]])
                fresh = dict(zip(missing, computed, strict=True))
                if len(cache) + len(missing) > limit:
                    cache.clear()
                cache.update(fresh)
                if idempotent:
                    cache.update(zip(computed, computed, strict=True))
            pairs = zip(rows, values, strict=True)
            return [fresh[row] if value is None else value for row, value in pairs]

        return cached

    return decorate


def code_bytes(codes: Tensor) -> list[bytes]:
    """Return each of codes [n, L] as L bytes."""
    width = codes.shape[1]
    flat = codes.to(torch.int8).contiguous().numpy().tobytes()
    return [flat[i : i + width] for i in range(0, len(flat), width)]


def codes_of_bytes(rows: Iterable[bytes], width: int) -> Tensor:
    """Return the codes [n, width] of ``code_bytes``, of which some may be joined."""
    joined = bytearray().join(rows)
    flat = torch.frombuffer(joined, dtype=torch.int8) if joined else torch.empty(0)
    return flat.reshape(-1, width).long()
