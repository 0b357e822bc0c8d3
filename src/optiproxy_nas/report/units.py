"""Units of metrics, which are the last word of their names (``edgegpu_latency_ms``)."""

from __future__ import annotations

import math

NAMES = {
    "edgegpu": "EdgeGPU",
    "edgetpu": "EdgeTPU",
    "eyeriss": "Eyeriss",
    "flops": "FLOPs",
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
    "nats": "nats",
}
WORDS = {"training_seconds": "training time"}  # where the parts of the name do not say it
SURROGATE = "A surrogate's value"  # how the caution of every surrogate source begins
_NAMED = ("accuracy", "loss")  # units that are words of the name too


def unit(metric: str) -> str:
    """The unit of a metric, empty where its name has none."""
    return UNITS.get(metric.rsplit("_", 1)[-1], "")


def words(metric: str) -> str:
    """A metric without its unit: ``EdgeGPU latency``."""
    if metric in WORDS:
        return WORDS[metric]
    parts = metric.split("_")
    if unit(metric) and parts[-1] not in _NAMED and len(parts) > 1:
        parts.pop()
    return " ".join(NAMES.get(part, part) for part in parts)


def label(metric: str, caution: str = "") -> str:
    """A metric as the label of an axis: ``EdgeGPU latency (ms)``.

    ``caution``: the benchmark's; values of a surrogate are labelled as such.
    """
    surrogate = ", surrogate" if caution.startswith(SURROGATE) else ""
    return with_unit(words(metric) + surrogate, metric)


def with_unit(phrase: str, metric: str) -> str:
    """A phrase about values of a metric, with the unit: ``true value (%)``."""
    return f"{phrase} ({unit(metric)})" if unit(metric) else phrase


def difference_unit(metric: str) -> str:
    """The unit of differences of values: of percentages these are points."""
    return "points" if unit(metric) == "%" else unit(metric)


def regret_label(metric: str) -> str:
    """The label of an axis of differences to the best value."""
    name = "percentage points" if unit(metric) == "%" else unit(metric)
    return f"regret ({name})" if name else "regret"


def value_text(metric: str, value: float, digits: int = 2) -> str:
    """A value of what was searched for, as the tables round it: ``91.61 %``."""
    return f"{value:.{digits}f} {unit(metric)}".rstrip()


def difference_text(metric: str, value: float, digits: int = 2) -> str:
    """A difference of two such values: ``0.33 points``."""
    return f"{value:.{digits}f} {difference_unit(metric)}".rstrip()


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
