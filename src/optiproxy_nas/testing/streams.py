"""Random inputs of the checks, and the watch on global random state."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from optiproxy_nas.spaces.base import Logits, SearchSpace

COUNT = 32  # architectures a check looks at


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
