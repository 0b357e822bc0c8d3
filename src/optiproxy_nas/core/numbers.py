"""Metrics and numbers as text: units, labels, and as many digits as a metric needs.

The unit of a metric is the last word of its name (``edgegpu_latency_ms``), or what stands in
brackets behind it (``error [%]``). Everything that shows a number to a reader goes through this
module: pages, figures, terminal, progress, evidence.

- ``unit``, ``metric_name``, ``metric_label``, ``regret_label``, ``with_unit``, ``capitalised``:
  the words.
- ``value_text``, ``difference_text``: a value of a metric, and a difference of two; pass the
  values that it is compared with, and those that differ look different.
- ``decimals``, ``fixed``: the same in two steps, for columns of a table.
- ``quantity``, ``significant``, ``duration``: a measurement that is compared with nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

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
    "thousandths": "10⁻³",
    "accuracy": "%",
    "loss": "nats",
    "nats": "nats",
}
# Units of what depends on the device -> how descriptions of such metrics begin.
DEVICE_UNITS = {"ms": "milliseconds", "mJ": "millijoules"}
WORDS = {"training_seconds": "training time"}  # where the parts of the name do not say it
SURROGATE = "A surrogate's value"  # how the caution of every surrogate source begins
_NAMED = ("accuracy", "loss")  # units that are words of the name too

DECIMALS = {"%": 2, "nats": 2}  # as the papers print them
SIGNIFICANT = 4  # digits of values in any other unit
MORE_DECIMALS = 3  # at most, to tell values apart
# Values of benchmarks closer than this are one value: published means of equal accuracies differ by
# up to 2e-7, and real differences are 7e-4 at least.
TIE = 1e-5
SAME = 1e-7  # values that differ by less, relative to the largest, are one value


def unit(metric: str) -> str:
    """Return the unit of a metric, empty where its name has none."""
    if metric.endswith("]"):
        return metric.rpartition(" [")[2].removesuffix("]")
    return UNITS.get(metric.rsplit("_", 1)[-1], "")


def with_explicit_unit(metric: str, its_unit: str) -> str:
    """Return a metric so that :func:`unit` gives a unit, whatever its name ends with."""
    return metric if unit(metric) == its_unit else f"{metric} [{its_unit}]"


def metric_name(metric: str) -> str:
    """Return the name of a metric without its unit: ``EdgeGPU latency``."""
    if metric.endswith("]"):
        metric = metric.rpartition(" [")[0]
        return metric if unit(metric) else metric_name(metric)
    if metric in WORDS:
        return WORDS[metric]
    words = metric.split("_")
    if unit(metric) and words[-1] not in _NAMED and len(words) > 1:
        words.pop()
    return " ".join(NAMES.get(word, word) for word in words)


def metric_label(metric: str, caution: str = "") -> str:
    """Return a metric as the label of an axis: ``EdgeGPU latency (ms)``.

    ``caution`` is the benchmark's; values of a surrogate are labelled as such.
    """
    surrogate = ", surrogate" if caution.startswith(SURROGATE) else ""
    return with_unit(metric_name(metric) + surrogate, metric)


def with_unit(phrase: str, metric: str) -> str:
    """Return a phrase about values of a metric with the unit: ``true value (%)``."""
    return f"{phrase} ({unit(metric)})" if unit(metric) else phrase


def difference_unit(metric: str) -> str:
    """Return the unit of differences of values; of percentages these are points."""
    return "points" if unit(metric) == "%" else unit(metric)


def regret_label(metric: str) -> str:
    """Return the label of an axis of differences to the best value."""
    name = "percentage points" if unit(metric) == "%" else unit(metric)
    return f"regret ({name})" if name else "regret"


def capitalised(phrase: str) -> str:
    """Return a phrase with its first letter a capital; names of devices keep theirs."""
    return phrase[:1].upper() + phrase[1:]


def decimals(metric: str, values: Iterable[float | None]) -> int:
    """Return the decimals at which values of a metric that differ look different.

    Percentages and nats have at least two, values in other units four significant digits of the
    largest. Values that differ by less than ``SAME`` of the largest are one value: published
    means of equal accuracies differ in the seventh decimal. None, NaN and infinities are ignored.
    """
    finite = sorted(float(v) for v in values if v is not None and math.isfinite(v))
    largest = max((abs(value) for value in finite), default=0.0)
    least = DECIMALS.get(unit(metric), 2)
    if unit(metric) not in DECIMALS and largest > 0:
        least = max(SIGNIFICANT - 1 - math.floor(math.log10(largest)), 0)
    differing = [(a, b) for a, b in pairwise(finite) if b - a > SAME * largest]
    for digits in range(least, least + MORE_DECIMALS):
        if all(fixed(a, digits) != fixed(b, digits) for a, b in differing):
            return digits
    return least + MORE_DECIMALS


def fixed(value: float, digits: int) -> str:
    """Return a number with so many decimals; a zero has no sign, a huge one has an exponent."""
    if abs(value) >= 1e15:
        return f"{value:.{SIGNIFICANT + 2}g}"
    return f"{value:z.{digits}f}"


def value_text(metric: str, value: float, *compared: float | None, digits: int = -1) -> str:
    """Return a value with its unit, distinguishable from those it is compared with: ``91.61 %``.

    Args:
        metric: the metric's name.
        value: the value.
        compared: values of the same metric beside it, such as the optimum.
        digits: decimals, where the caller has fixed them for a column.
    """
    digits = decimals(metric, (value, *compared)) if digits < 0 else digits
    return f"{fixed(value, digits)} {unit(metric)}".rstrip()


def difference_text(
    metric: str, difference: float, *compared: float | None, digits: int = -1
) -> str:
    """Return a difference of two values: ``0.33 points``. It reads 0 only if it is 0.

    Args:
        metric: the metric's name.
        difference: of two of its values.
        compared: the values themselves, whose decimals the difference then has.
        digits: decimals, where the caller has fixed them for a column.
    """
    if digits < 0:
        others = [value for value in compared if value is not None]
        digits = decimals(metric, others or (difference, 0.0))
    return f"{fixed(difference, digits)} {difference_unit(metric)}".rstrip()


def confirmed_text(
    metric: str, mean: float, sd: float, single: float, trainings: int, asked: int = 0
) -> str:
    """Return what a confirmed value is, "" where there is none.

    ``mean of 2 confirmations, sd 0.41 points; 92.80 % in the search``; where others failed, ``1 of
    2 confirmations``.

    Args:
        metric: the metric's name.
        mean: the value.
        sd: of the trainings that it is the mean of; NaN of one.
        single: its value in the search.
        trainings: how many these are; 0: it is not confirmed.
        asked: how many it was to be; fewer than ``trainings``: that is not known.
    """
    if not trainings:
        return ""
    of = f" of {asked}" if asked > trainings else ""
    text = "" if trainings == 1 else "mean of "
    text += f"{trainings}{of} confirmation{'s' if max(trainings, asked) > 1 else ''}"
    if not math.isnan(sd):
        text += f", sd {difference_text(metric, sd, mean, single)}"
    return f"{text}; {value_text(metric, single, mean)} in the search"


def significant(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, without trailing zeros.

    Below ten million the digits before the point are all shown.
    """
    shown = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in shown and abs(value) < 1e7 else shown


def duration(seconds: float) -> str:
    """Return seconds in the two largest units that fit: ``340 ms``, ``2 min 3 s``, ``1 d 4 h``."""
    if seconds < 1:
        return f"{significant(seconds * 1000)} ms"
    if seconds < 60:
        return f"{significant(seconds)} s"
    whole = round(seconds)
    for size, large, small, part in ((86400, "d", "h", 3600), (3600, "h", "min", 60)):
        if whole >= size:
            return f"{whole // size} {large} {whole % size // part} {small}"
    return f"{whole // 60} min {whole % 60} s"


def quantity(metric: str, value: float | str) -> str:
    """Return a measurement with its unit; an infinite one is of a cell that cannot run there."""
    if isinstance(value, str):
        return value
    if math.isinf(value):
        return "cannot run there"
    return f"{significant(value)} {unit(metric)}".rstrip()
