"""Ranges of axes that show the part of the values that matters."""

from __future__ import annotations

import numpy as np

from optiproxy_nas.core.arrays import Floats


def top_range(
    value: Floats, step: Floats, optimum: float | None, sign: float = 1.0
) -> tuple[float, float]:
    """Return limits that show the better part: the best of the initial sample and the better 3/4.

    A few values that are far worse would make the interesting part unreadable.

    Args:
        value: [n].
        step: of each value [n]; 0 is the initial sample.
        optimum: the best there is; None: there is no such value.
        sign: -1 where lower values are better.
    """
    if sign < 0:
        best, worst = top_range(-value, step, None if optimum is None else -optimum)
        return -worst, -best
    top = float(value.max()) if optimum is None else max(float(value.max()), optimum)
    low = float(np.quantile(value, 0.25))
    if (step == 0).any():
        low = min(low, float(value[step == 0].max()))
    span = _span(low, top)
    # Where little lies below, cutting it off would hide more than it shows.
    if value.min() > low - 0.5 * span:
        low = float(value.min())
        span = _span(low, top)
    return low - 0.08 * span, top + 0.1 * span


def worse_end(limits: tuple[float, float], sign: float) -> tuple[float, str, str]:
    """Return the end of a range at which values get worse, the words for what is beyond it, and
    the marker that points there."""
    return (limits[0], "below", "v") if sign > 0 else (limits[1], "above", "^")


def shared_range(values: Floats) -> tuple[float, float]:
    """Return limits of both axes: all values but far outliers (3 interquartile ranges away)."""
    first, third = np.quantile(values, [0.25, 0.75])
    reach = 3.0 * _span(float(first), float(third))
    inside = values[(values >= first - reach) & (values <= third + reach)]
    low, high = float(inside.min()), float(inside.max())
    pad = 0.05 * _span(low, high)
    return low - pad, high + pad


def _span(low: float, high: float) -> float:
    """Return their distance, and never 0: at least a thousandth of the values."""
    return max(high - low, 1e-3 * max(abs(low), abs(high))) or 0.1
