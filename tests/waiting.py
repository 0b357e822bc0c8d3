"""Waiting for what another process or thread does, however busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 300.0  # seconds after which a test fails; one that passes waits for what it needs only


def wait_until(condition: Callable[[], T], tick: float = 0.01) -> T:
    """Return what a condition gives once that is true; look at it every ``tick`` seconds."""
    limit = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < limit, f"it does not hold after {PATIENCE:g} seconds"
        time.sleep(tick)
    return found
