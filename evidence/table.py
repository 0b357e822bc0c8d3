"""Numbers as text: Markdown tables, intervals, datasets by name."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optiproxy_nas.report.html import markdown_table
from optiproxy_nas.report.statistics import Interval, PairedDifference

markdown = markdown_table
NAMES = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet16-120": "ImageNet16-120",
    "ptb": "Penn Treebank",
}
NONE = "–"  # nothing was measured, or nothing is known


def telling(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table without the columns in which every row has a dash."""
    kept = [i for i in range(len(head)) if any(row[i] != NONE for row in rows)]
    return markdown([head[i] for i in kept], [[row[i] for i in kept] for row in rows])


def with_notes(text: str, notes: Sequence[str]) -> str:
    """A table with what its reader must know, a line each below it."""
    return "\n\n".join([text, *(f"*{note}*" for note in notes)])


def name_of(dataset: str) -> str:
    """A dataset as the reader knows it."""
    return NAMES.get(dataset, dataset)


def number(value: float | None, decimals: int = 3) -> str:
    """A number of fixed decimals; a dash for nothing, and no negative zero."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def signed(value: float, decimals: int = 3) -> str:
    """As ``number``, with its sign."""
    text = number(value, decimals)
    return text if text.startswith("-") or float(text) == 0 else f"+{text}"


def interval(value: Interval, decimals: int = 3) -> str:
    """``91.607 to 91.607``."""
    return f"{number(value.low, decimals)} to {number(value.high, decimals)}"


def percent(value: float, bounds: Interval) -> str:
    """A share with its interval: ``77% (68% to 84%)``."""
    return f"{value:.0%} ({bounds.low:.0%} to {bounds.high:.0%})"


def queries(value: float, budget: int) -> str:
    """A median number of queries; ``> 100`` where half never got there."""
    return f"{value:.0f}" if math.isfinite(value) else f"> {budget}"


def p_value(value: float) -> str:
    """A p-value: two digits that mean something."""
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def difference(value: PairedDifference) -> str:
    """``+0.120 (+0.080 to +0.170)``."""
    return f"{signed(value.mean)} ({signed(value.low)} to {signed(value.high)})"


def epochs(value: float, budget: float) -> str:
    """A number of training epochs; ``> 7,250`` where that many do not suffice."""
    return f"{value:,.0f}" if math.isfinite(value) else f"> {budget:,.0f}"


ROUNDING = 0.005  # the paper prints two decimals


def relation(mean: float, bounds: Interval) -> str:
    """How a difference to a figure of two decimals stands.

    "ahead" and "behind" where the interval says so, beyond rounding; "level" within rounding;
    "above" and "below" where the mean says so and the interval does not.
    """
    if abs(mean) <= ROUNDING:
        return "level"
    if bounds.low > ROUNDING:
        return "ahead"
    if bounds.high < -ROUNDING:
        return "behind"
    return "above" if mean > 0 else "below"


LEVEL = 0.05  # of the signed-rank test


def shown(value: PairedDifference) -> bool:
    """Whether a difference is shown: the interval leaves out zero, and the ranks agree.

    Where hardly any pair differs a bootstrap alone is too sure of itself: of 100 pairs, 4 losses
    and no win leave zero outside its interval, and the signed-rank test at p = 0.125.
    """
    return (value.ahead or value.behind) and value.p_value < LEVEL


def verdict(value: PairedDifference) -> str:
    """Ahead or behind only where a difference is shown."""
    if not shown(value):
        return "not ahead: no difference shown"
    return "ahead" if value.ahead else "behind"
