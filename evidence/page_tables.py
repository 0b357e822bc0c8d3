"""The Markdown tables of a page, read back: rows as cells, and the numbers in a cell."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_CAPTION = re.compile(r"\*\*(.+)\*\*")
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
_RANGE = re.compile(rf"({_NUMBER.pattern})%? to ({_NUMBER.pattern})%?")
_BARS = re.compile(r"(?<!\\)\|")

Cells = Mapping[str, str]  # column -> text


def tables_in(text: str) -> dict[str, list[Cells]]:
    """Return caption ("" where it has none) -> rows of the Markdown tables of a text.

    A column whose name stands twice is called after the one before, too: "regret: difference".
    """
    found: dict[str, list[Cells]] = {}
    caption, head = "", list[str]()
    for line in text.splitlines():
        if bold := _CAPTION.fullmatch(line.strip()):
            caption = bold[1]
        if not line.startswith("|"):
            head = []
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in _BARS.split(line)[1:-1]]
        if not head:
            head = [
                cell if cells.count(cell) == 1 else f"{cells[place - 1]}: {cell}"
                for place, cell in enumerate(cells)
            ]
            found[caption] = []
        elif set(cells) != {"---"}:
            found[caption].append(dict(zip(head, cells, strict=True)))
    return found


def number_in(text: str) -> float:
    """Return the first number of a cell; NaN where it has none."""
    found = _NUMBER.search(text)
    return float(found[0].replace(",", "")) if found else math.nan


def decimals_in(text: str) -> int:
    """Return how many decimals the first number of a cell has; 0 where it has none."""
    return len((_NUMBER.search(text) or [""])[0].partition(".")[2])


def range_in(text: str) -> tuple[float, float] | None:
    """Return the ends of "low to high" in a cell; None where it has no range."""
    if (found := _RANGE.search(text)) is None:
        return None
    low, high = (float(it.replace(",", "")) for it in found.groups())
    return low, high
