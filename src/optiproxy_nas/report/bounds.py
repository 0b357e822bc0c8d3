"""How far a cell is from a bound, in words; the facts are those of a run's summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optiproxy_nas.core.numbers import capitalised, metric_name, unit


def bound_sentence(bound: Mapping[str, Any]) -> str:
    """``EdgeGPU latency 3.71 < 4: 0.29 ms (7.3 %) below the bound``.

    Args:
        bound: constraint (its text), metric, bound, value, margin, margin_percent; the margin is
            positive inside, and these three are None where the cell cannot run.
    """
    metric, operator, limit = str(bound["constraint"]).split(maxsplit=2)
    name = capitalised(metric_name(metric))
    value, margin = bound.get("value"), bound.get("margin")
    if value is None or margin is None:
        return f"{name} {operator} {limit}: broken, the cell cannot run there"
    kept = margin > 0 or (margin == 0 and operator.endswith("="))
    shown = f"{name} {float(value):.4g}{'' if kept else ', not'} {operator} {limit}"
    if margin == 0:
        return f"{shown}: at the bound"
    side = "below" if (margin > 0) == operator.startswith("<") else "above"
    distance = f"{abs(margin):.2g} {unit(metric)}".rstrip()
    return f"{shown}: {distance} ({abs(bound['margin_percent']):.1f} %) {side} the bound"
