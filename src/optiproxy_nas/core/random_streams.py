"""Random streams without global state, and a fixed number of threads, for reproducible runs.

There is one generator per (run seed, step, purpose). A stream depends on nothing but these three,
so a resumed run, a threaded run and a whole run draw the same numbers, in whatever order their
steps are executed.
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
    """Return a CPU ``torch.Generator`` for one purpose of one step of one run."""
    generator = torch.Generator()
    generator.manual_seed(derive_seed(seed, step, purpose))
    return generator


def numpy_generator(seed: int, step: int, purpose: str) -> np.random.Generator:
    """Return a ``numpy.random.Generator`` for one purpose of one step of one run."""
    return np.random.default_rng(derive_seed(seed, step, purpose))


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread inside; restore the number of threads afterwards.

    Sums are then added in one order on every machine and by every runner, and two searches side by
    side do not compete for cores. The proxies are too small to gain from more threads. The setting
    belongs to the process, so searches in threads of one process share it: give each a process.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
