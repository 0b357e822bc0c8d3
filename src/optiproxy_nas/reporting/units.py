"""Units of metrics, which are the last word of their names (``edgegpu_latency_ms``)."""

from __future__ import annotations

import math

NAMES = {
    "edgegpu": "EdgeGPU",
    "edgetpu": "EdgeTPU",
    "eyeriss": "Eyeriss",
    "fpga": "FPGA",
    "pixel3": "Pixel3",
    "raspi4": "Raspi4",
}
UNITS = {
    "ms": "ms",
    "mj": "mJ",
    "seconds": "s",
    "millions": "million",
    "accuracy": "%",
    "loss": "nats",
}
_NAMED = ("accuracy", "loss")  # units that are words of the name too


def unit(metric: str) -> str:
    """The unit of a metric, empty where its name has none."""
    return UNITS.get(metric.rsplit("_", 1)[-1], "")


def words(metric: str) -> str:
    """A metric without its unit: ``EdgeGPU latency``."""
    parts = metric.split("_")
    if unit(metric) and parts[-1] not in _NAMED and len(parts) > 1:
        parts.pop()
    return " ".join(NAMES.get(part, part) for part in parts)


def label(metric: str) -> str:
    """A metric as the label of an axis: ``EdgeGPU latency (ms)``."""
    return words(metric) + (f" ({unit(metric)})" if unit(metric) else "")


def capitalised(phrase: str) -> str:
    """A phrase with its first letter a capital, as the devices' names have theirs already."""
    return phrase[:1].upper() + phrase[1:]


def quantity(metric: str, value: float | str) -> str:
    """A value with its unit; an infinite one is of a cell that cannot run there."""
    if isinstance(value, str):
        return value
    if math.isinf(value):
        return "cannot run there"
    return f"{value:.3g} {unit(metric)}".rstrip()
