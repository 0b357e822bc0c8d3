"""Reproducibility: random streams without global state, and a fixed number of threads.

One generator per (run seed, step, purpose).

Because a stream depends on nothing but its three names, a resumed run, a threaded run and a
whole run draw the same numbers, in whatever order their nodes happen to be executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(seed: int, step: int, purpose: str) -> int:
    """Hash (run seed, step, purpose) to an integer in [0, 2**63); torch uses its lower 32 bits."""
    digest = hashlib.sha256(f"{seed}/{step}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def torch_generator(seed: int, step: int, purpose: str) -> torch.Generator:
    """A CPU ``torch.Generator`` for one purpose of one step of one run."""
    generator = torch.Generator()
    generator.manual_seed(derive_seed(seed, step, purpose))
    return generator


def numpy_generator(seed: int, step: int, purpose: str) -> np.random.Generator:
    """A ``numpy.random.Generator`` for one purpose of one step of one run."""
    return np.random.default_rng(derive_seed(seed, step, purpose))


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread inside: the proxies are too small to gain by more.

    Sums are then added in one order, whatever machine or runner; and two searches side by side
    do not fight for cores. The setting is the process's: searches in threads of one process share
    it, so give each its own process.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
