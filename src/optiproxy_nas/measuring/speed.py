"""How fast the machine is while a latency is measured, compared with how fast it usually is.

A processor is slower now and then, for milliseconds to minutes: a neighbour works on the same core
or has the caches, or it is hot. Two small computations that always are the same, the probes, are
slowed with the networks, see docs/latency.md: one within the nearest cache, one beyond it. What
they usually take on this machine is kept in a file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.measuring.machine import user_file

Run = Callable[[], Any]
Timer = Callable[[Run], tuple[float, float]]  # seconds that a run took, and that are its own

USUAL = 1.08  # times the usual pace: up to that the machine is as fast as usual
# By about the square root of what an addition of 1.5 MB becomes slower, a network of 1 ms does, and
# smaller ones by less. Measured, see docs/latency.md.
MEMORY = 0.5
REPEATS = 4  # of a probe, of which the fastest counts: the first ones have cold caches
LEVEL = 0.1  # the quantile of the probes of a measurement that says how fast it could be
# Of so many measurements the fastest quarter is usual: slow ones are a minority, and a machine that
# has become slower for good is a usual one after three quarters of them.
KEPT, FAST = 40, 0.25
MACHINES = 20  # in the file
_LARGEST = 100_000  # bytes of a file that is read


class Probe:
    """A small computation that is timed again and again.

    Args:
        timer: of the computation.
        run: the computation.
        usual: what it usually takes on this machine; None: not known.
        power: of its seconds by which networks become slower.

    Attributes:
        paces: seconds to the power, in order.
    """

    def __init__(
        self, timer: Timer, run: Run, usual: float | None = None, power: float = 1.0
    ) -> None:
        self._timer, self._run, self._usual, self._power = timer, run, usual, power
        self.paces: list[float] = []

    def pace(self) -> float:
        """Run it a few times, and return the seconds of the fastest one, to the power."""
        seconds = min(self._timer(self._run)[1] for _ in range(REPEATS))
        self.paces.append(seconds**self._power)
        return self.paces[-1]

    @property
    def level(self) -> float:
        """The pace where the machine was at its fastest in this measurement."""
        return float(np.quantile(self.paces, LEVEL))

    @property
    def limit(self) -> float:
        """The pace up to which the machine is as fast as usual.

        Processes differ a little, so that the level of this one is its usual one where it can be.
        """
        level = self.level
        usual = level if self._usual is None else self._usual
        return USUAL * (level if level <= USUAL * usual else usual)


class Speed:
    """The speed of the machine during one measurement: of its cores, and of its memory.

    Args:
        timer: of the probes.
        usual: paces of the two probes that are usual on this machine; None: not known.
    """

    def __init__(self, timer: Timer, *usual: float | None) -> None:
        cores, memory = [*usual, None, None][:2]
        self.cores = Probe(timer, _computation(), cores)
        self.memory = Probe(timer, _addition(), memory, MEMORY)

    def slowness(self, cores: Sequence[float], memory: Sequence[float]) -> Floats:
        """Return paces [n] of both as shares of their limits: the greater of the two [n].

        Up to 1 the machine is as fast as usual.
        """
        found: Floats = np.maximum(
            np.divide(cores, self.cores.limit), np.divide(memory, self.memory.limit)
        )
        return found


@contextmanager
def speed_beside_file(timer: Timer, key: str) -> Iterator[Speed]:
    """Compare the speed with that of the last measurements, and add this one to them in the end.

    Only who holds the lock of the measurements may do that.

    Args:
        timer: of the probe.
        key: names the probe and what it depends on.
    """
    keys = key, f"{key}, memory"
    speed = Speed(timer, *map(usual_pace, keys))
    try:
        yield speed
    finally:
        if speed.cores.paces:
            for name, probe in zip(keys, (speed.cores, speed.memory), strict=True):
                remember(name, probe.level)


def usual_pace(key: str) -> float | None:
    """Return the pace that a probe usually has on this machine; None where not known.

    Args:
        key: names the probe and what it depends on.
    """
    levels = _read().get(key)
    return float(np.quantile(levels, FAST)) if levels else None


def remember(key: str, level: float) -> None:
    """Add the level of a measurement to the file, or do nothing where it cannot be written.

    Args:
        key: names the probe and what it depends on.
        level: of the probe in the measurement.
    """
    levels = _read()
    last = [*levels.pop(key, []), level][-KEPT:]
    kept = dict([*levels.items(), (key, last)][-MACHINES:])
    path = user_file("latency.json")
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
    path = user_file("latency.json")
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


def _computation() -> Run:
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


def _addition() -> Run:
    """Return an addition of 0.02 ms in 1.5 MB of memory, more than the caches of one core."""
    first, second, total = torch.zeros(3, 131_072)
    return lambda: torch.add(first, second, out=total)
