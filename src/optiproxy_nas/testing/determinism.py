"""Random inputs of the checks, and the watch on global random state."""

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
    """Assert that what runs inside draws from no global generator."""

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
    assert state() == before, "a global random generator was used; use the one that is given"


def generator(seed: int) -> torch.Generator:
    """A fresh stream of random numbers."""
    return torch.Generator().manual_seed(seed)


def logits_of(space: SearchSpace, groups: int, seed: int) -> Logits:
    """Random (α, β) of ``groups`` groups."""
    stream = generator(seed)
    alpha = torch.randn(groups, space.num_nodes, len(space.operations), generator=stream)
    return Logits(alpha, torch.randn(groups, space.num_edges, generator=stream))


def point_at(space: SearchSpace, codes: Tensor) -> Logits:
    """Logits whose every choice is as good as certain: one group an architecture."""
    hard = space.encode(codes)
    return Logits(SURE * hard.operations, SURE * (2 * hard.edges - 1))


def pure(name: str, function: Callable[[pd.DataFrame], Any], table: pd.DataFrame) -> Any:
    """``function(table)``, which gives the same twice and leaves the table as it was."""
    before = plain(table)
    result = function(table)
    assert plain(function(table)) == plain(result), f"{name}: the second time something else"
    assert plain(table) == before, f"{name}: changes its input"
    return result


def plain(value: Any) -> Any:
    """Exact contents, comparable by ==; NaN equals NaN."""
    if isinstance(value, pd.DataFrame):
        return [list(value), list(map(str, value.dtypes)), value.to_csv()]
    if isinstance(value, torch.Tensor | np.ndarray):
        array = np.asarray(value)
        return [str(array.dtype), array.shape, array.tobytes()]
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return repr(value) if isinstance(value, float) else value


def check_one_code_each(space: SearchSpace, codes: Tensor, where: str) -> None:
    """Assert that codes which come out of the space are the same where the architecture is."""
    seen: dict[Hashable, tuple[int, ...]] = {}
    for identity, code in zip(space.identify(codes), map(tuple, codes.tolist()), strict=True):
        assert seen.setdefault(identity, code) == code, f"{where}: one architecture, two codes"
