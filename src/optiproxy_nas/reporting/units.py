"""Units of metrics, which are the last word of their names (``edgegpu_latency_ms``)."""

from __future__ import annotations

import math

UNITS = {"ms": "ms", "mj": "mJ", "seconds": "s", "millions": "million", "accuracy": "%"}


def unit(metric: str) -> str:
    """The unit of a metric, empty where its name has none."""
    return UNITS.get(metric.rsplit("_", 1)[-1], "")


def words(metric: str) -> str:
    """A metric without its unit: ``edgegpu latency``."""
    parts = metric.split("_")
    if unit(metric) and parts[-1] != "accuracy" and len(parts) > 1:
        parts.pop()
    return " ".join(parts)


def label(metric: str) -> str:
    """A metric as the label of an axis: ``edgegpu latency (ms)``."""
    return words(metric) + (f" ({unit(metric)})" if unit(metric) else "")


def quantity(metric: str, value: float) -> str:
    """A value with its unit; an infinite one is of a cell that cannot run there."""
    if math.isinf(value):
        return "cannot run there"
    return f"{value:.3g} {unit(metric)}".rstrip()
