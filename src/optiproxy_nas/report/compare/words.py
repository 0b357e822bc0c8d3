"""Numbers of a comparison as the page writes them."""

from __future__ import annotations

import math

from optiproxy_nas.core.numbers import value_text
from optiproxy_nas.report.compare.tables import FEWEST_PAIRS

DIGITS = 3  # tables differ in the second


def number(value: float) -> str:
    """``91.607``, with a true minus."""
    return "–" if math.isnan(value) else f"{value:.{DIGITS}f}".replace("-", "−")


def value(metric: str, value: float) -> str:
    """``91.607 %``: a value of the metric that was maximised."""
    return (
        number(value)
        if math.isnan(value)
        else value_text(metric, value, digits=DIGITS).replace("-", "−")
    )


def interval(low: float, high: float, digits: int = 3) -> str:
    """``91.52 to 91.61``."""
    if math.isnan(low):
        return "–"
    return f"{low:.{digits}f} to {high:.{digits}f}".replace("-", "−")


def difference(value: float) -> str:
    """With its sign, a true minus."""
    return f"{value:+.3f}".replace("-", "−")


def share(hits: float, low: float, high: float) -> str:
    """``98 % (93 to 99)``."""
    return f"{100 * hits:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def queries(value: float) -> str:
    """A median; inf where half of the seeds never got there."""
    return f"{value:g}" if math.isfinite(value) else "never"


def p_value(value: float, seeds: int) -> str:
    """A p-value, or why there is none."""
    if seeds < FEWEST_PAIRS:
        return "too few seeds"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def answered(found: int, seeds: int) -> str:
    """``8``, or ``6 of 8`` where some found nothing that may be the answer."""
    return str(seeds) if found == seeds else f"{found} of {seeds}"


def margin(value: float) -> str:
    """A distance to a bound, in the metric's unit."""
    return f"{value:+.3g}".replace("-", "−")


def seeds(count: int) -> str:
    """``1 seed``, ``10 seeds``."""
    return f"{count} seed{'' if count == 1 else 's'}"
