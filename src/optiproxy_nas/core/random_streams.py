"""Random streams without global state, and isolation from it, for reproducible runs.

There is one generator per (run seed, step, purpose). A stream depends on nothing but these three,
so a resumed run, a threaded run and a whole run draw the same numbers, in whatever order their
steps are executed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import numpy as np
import scipy.linalg.blas  # noqa: F401  it brings a BLAS beside numpy's
import torch
from threadpoolctl import ThreadpoolController


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
def isolated() -> Iterator[None]:
    """Run with torch and numpy set as in a fresh process, on one thread; restore them afterwards.

    What a caller, a notebook cell or a training has set for the process changes no search then:
    the default dtype and device, a grad mode, autocast, the rounding of matrix products. Sums are
    added in one order on every machine and by every runner, and two searches side by side do not
    compete for cores: the proxies are too small to gain from more threads.

    Most of it belongs to the process, so searches in threads of one process share it: give each a
    process. An evaluation runs outside, with the caller's settings.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast("cpu", enabled=False))
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        if torch.get_default_device() != _CPU:
            stack.enter_context(_CPU)
        for read, write, value in _SETTINGS:
            stack.callback(_change, read, write, read())
            _change(read, write, value)
        # The setting of torch does not reach the BLAS of numpy and scipy.
        stack.enter_context(_linear_algebra().limit(limits=1, user_api="blas"))
        yield


@cache
def _linear_algebra() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def kept_globals() -> Iterator[None]:
    """Give the global generators of Python, numpy and torch back as they were."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    uses_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    on_cuda = torch.cuda.get_rng_state_all() if uses_cuda else []
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        if on_cuda:
            torch.cuda.set_rng_state_all(on_cuda)


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch, and give them back as they were.

    What a training draws from them follows from its seed then, and changes nothing outside.

    Args:
        seed: in [0, 2**32).
    """
    with kept_globals():
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        yield


def _change(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> None:
    """Write a setting where it differs, which it seldom does: some are slow to write."""
    if read() != value:
        write(value)


def _flushes_subnormals() -> bool:
    """Return whether this thread rounds tiny numbers to 0: torch can set that, but not read it."""
    return _SUBNORMAL * 1.0 == 0.0


_CPU = torch.device("cpu")
_SUBNORMAL = 5e-324
# (read, write, value of a fresh process) of what has no context manager in torch.
_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any], Any], ...] = (
    (torch.get_num_threads, torch.set_num_threads, 1),
    (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 0),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    (_flushes_subnormals, torch.set_flush_denormal, False),
)
