"""Axis limits that keep the interesting part readable when a few values are far away."""

from __future__ import annotations

import numpy as np

from optiproxy_nas.report.style import Floats


def top_range(value: Floats, step: Floats, optimum: float | None) -> tuple[float, float]:
    """Limits that show the better part: the best of the initial sample and the upper 3/4."""
    top = float(value.max()) if optimum is None else max(float(value.max()), optimum)
    low = float(np.quantile(value, 0.25))
    if (step == 0).any():
        low = min(low, float(value[step == 0].max()))
    span = max(top - low, 0.1)
    # Where little lies below, cutting it off would hide more than it shows.
    if value.min() > low - 0.5 * span:
        low = float(value.min())
        span = max(top - low, 0.1)
    return low - 0.08 * span, top + 0.1 * span


def shared_range(values: Floats) -> tuple[float, float]:
    """Limits of both axes: all values but far outliers (3 interquartile ranges away)."""
    first, third = np.quantile(values, [0.25, 0.75])
    reach = max(3.0 * float(third - first), 0.1)
    inside = values[(values >= first - reach) & (values <= third + reach)]
    low, high = float(inside.min()), float(inside.max())
    pad = 0.05 * max(high - low, 0.1)
    return low - pad, high + pad
