"""Seeded inputs of the checks, exact comparison, and a watch on global random state."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from optiproxy_nas.spaces.base import Logits, SearchSpace

COUNT = 32  # architectures a check looks at
SURE = 40.0  # a logit that no noise overturns


@contextmanager
def global_randomness_untouched() -> Iterator[None]:
    """Assert that the code inside draws from no global generator."""

    def state() -> tuple[object, ...]:
        kind, keys, *rest = np.random.get_state()  # noqa: NPY002
        return (
            random.getstate(),
            torch.get_rng_state().tolist(),
            kind,
            np.asarray(keys).tolist(),
            rest,
        )

    before = state()
    yield
    assert state() == before, "a global random generator was used; use the one that is passed"


def generator(seed: int) -> torch.Generator:
    """Return a fresh generator."""
    return torch.Generator().manual_seed(seed)


def logits_of(space: SearchSpace, groups: int, seed: int) -> Logits:
    """Draw random (α, β) of ``groups`` groups: [groups, N, M] and [groups, E]."""
    stream = generator(seed)
    alpha = torch.randn(groups, space.num_nodes, len(space.operations), generator=stream)
    return Logits(alpha, torch.randn(groups, space.num_edges, generator=stream))


def point_at(space: SearchSpace, codes: Tensor) -> Logits:
    """Return logits whose every choice is practically certain: one group an architecture."""
    hard = space.encode(codes)
    return Logits(SURE * hard.operations, SURE * (2 * hard.edges - 1))


def pure(name: str, function: Callable[[pd.DataFrame], Any], table: pd.DataFrame) -> Any:
    """Return ``function(table)``; assert that it is repeatable and does not change the table."""
    before = plain(table)
    result = function(table)
    assert plain(function(table)) == plain(result), f"{name}: two calls differ"
    assert plain(table) == before, f"{name}: changes its input"
    return result


def plain(value: Any) -> Any:
    """Return the exact contents of a value, comparable by ==; NaN equals NaN."""
    if isinstance(value, pd.DataFrame):
        columns = [value.iloc[:, place] for place in range(value.shape[1])]
        return [list(value), list(map(str, value.dtypes)), plain([value.index, *columns])]
    if isinstance(value, torch.Tensor | np.ndarray | pd.Series | pd.Index):
        array = np.asarray(value)
        contents = plain(array.tolist()) if array.dtype.hasobject else array.tobytes()
        return [str(array.dtype), array.shape, contents]
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return repr(value) if isinstance(value, float) else value


def check_codes(name: str, space: SearchSpace, codes: Tensor, count: int) -> None:
    """Assert that ``codes``, named in the message, are ``count`` codes of int64."""
    shape, expected = tuple(codes.shape), (count, space.code_length)
    assert shape == expected, f"{name}: shape {shape}, not {expected}"
    assert codes.dtype == torch.int64, f"{name}: codes are {codes.dtype}, not int64"


def check_one_code_each(space: SearchSpace, codes: Tensor, where: str) -> None:
    """Assert that codes of one architecture which come out of the space are equal."""
    code_of: dict[Hashable, tuple[int, ...]] = {}
    for identity, code in zip(space.identify(codes), map(tuple, codes.tolist()), strict=True):
        assert code_of.setdefault(identity, code) == code, f"{where}: one architecture, two codes"
