"""How fast the machine is while a latency is measured, compared with how fast it usually is.

A processor is slower now and then, for milliseconds to minutes: a neighbour works on the same core,
or it is hot. A small computation that always is the same, the probe, is slowed with the networks,
see docs/latency.md. What it usually takes on this machine is kept in a file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from optiproxy_nas.measuring.machine import measurements_file

Run = Callable[[], Any]
Timer = Callable[[Run], tuple[float, float]]  # seconds that a run took, and that are its own

USUAL = 1.08  # times the usual seconds: up to that the machine is as fast as usual
REPEATS = 4  # of the probe, of which the fastest counts: the first ones have cold caches
LEVEL = 0.1  # the quantile of the probes of a measurement that says how fast it could be
# Of so many measurements the fastest quarter is usual: slow ones are a minority, and a machine that
# has become slower for good is a usual one after three quarters of them.
KEPT, FAST = 40, 0.25
MACHINES = 20  # in the file
_LARGEST = 100_000  # bytes of a file that is read


class Speed:
    """The speed of the machine during one measurement.

    Args:
        timer: of the probe.
        usual: seconds that the probe usually takes on this machine; None: not known.

    Attributes:
        probes: seconds of the probes, in order.
    """

    def __init__(self, timer: Timer, usual: float | None = None) -> None:
        self._timer, self._usual, self._probe = timer, usual, _probe()
        self.probes: list[float] = []

    def probe(self) -> float:
        """Run the probe a few times, and return the seconds of the fastest one."""
        self.probes.append(min(self._timer(self._probe)[1] for _ in range(REPEATS)))
        return self.probes[-1]

    @property
    def level(self) -> float:
        """Seconds of the probe where the machine was at its fastest in this measurement."""
        return float(np.quantile(self.probes, LEVEL))

    @property
    def limit(self) -> float:
        """Seconds of the probe up to which the machine is as fast as usual.

        Processes differ a little, so that the level of this one is its usual one where it can be.
        """
        level = self.level
        usual = level if self._usual is None else self._usual
        return USUAL * (level if level <= USUAL * usual else usual)


@contextmanager
def speed_beside_file(timer: Timer, key: str) -> Iterator[Speed]:
    """Compare the speed with that of the last measurements, and add this one to them in the end.

    Only who holds the lock of the measurements may do that.

    Args:
        timer: of the probe.
        key: names what the probe depends on.
    """
    speed = Speed(timer, usual_seconds(key))
    try:
        yield speed
    finally:
        if speed.probes:
            remember(key, speed.level)


def usual_seconds(key: str) -> float | None:
    """Return the seconds that the probe usually takes on this machine; None where not known.

    Args:
        key: names what the probe depends on.
    """
    levels = _read().get(key)
    return float(np.quantile(levels, FAST)) if levels else None


def remember(key: str, level: float) -> None:
    """Add the level of a measurement to the file, or do nothing where it cannot be written.

    Args:
        key: names what the probe depends on.
        level: of the probe in the measurement, in seconds.
    """
    levels = _read()
    last = [*levels.pop(key, []), level][-KEPT:]
    kept = dict([*levels.items(), (key, last)][-MACHINES:])
    path = measurements_file(".json")
    with suppress(OSError):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(kept, file)
            os.replace(name, path)
        except OSError:
            os.unlink(name)


def _read() -> dict[str, list[float]]:
    """Return the levels of the last measurements by key, as far as the file has such."""
    path = measurements_file(".json")
    try:
        if not path.is_file():  # a pipe would be waited for
            return {}
        with path.open("rb") as file:
            found = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        key: [one for one in levels if isinstance(one, float) and 0 < one < 1][-KEPT:]
        for key, levels in found.items()
        if isinstance(levels, list)
    }


def _probe() -> Run:
    """Return a computation of 0.03 ms like those of networks, in 0.1 MB of memory."""
    draws = torch.Generator().manual_seed(0)
    signal, weight = (torch.randn(16, 16, size, generator=draws) for size in (32, 3))
    signal, bias = signal[:1], torch.zeros(16)

    def run() -> None:
        values = signal
        for _ in range(2):
            values = functional.conv1d(values, weight, bias, padding=1).relu()
        small = bias
        for _ in range(6):
            small = small + bias

    return run
