"""Rows of many small tables, found at once however many tables there are."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import groupby
from operator import itemgetter

import pandas as pd

Place = tuple[int, int]  # of a row: the stack that has it, and its row there


class StackedRows:
    """Tables below each other; those of equal columns and types are one stack.

    Concatenating a thousand tables takes a tenth of a second, so each is concatenated once.
    """

    def __init__(self) -> None:
        self._stacks: dict[Hashable, int] = {}  # number of the stack, by columns and types
        self._tables: list[list[pd.DataFrame]] = []  # of each stack, those of before as one
        self._counts: list[int] = []  # rows of each stack

    def add(self, table: pd.DataFrame) -> list[Place]:
        """Add a table [n]; return the places of its rows."""
        kind = tuple(zip(table.columns, table.dtypes, strict=True))
        stack = self._stacks.setdefault(kind, len(self._stacks))
        if stack == len(self._tables):
            self._tables.append([])
            self._counts.append(0)
        first = self._counts[stack]
        self._tables[stack].append(table)
        self._counts[stack] += len(table)
        return [(stack, row) for row in range(first, self._counts[stack])]

    def rows(self, places: Sequence[Place]) -> pd.DataFrame:
        """Return rows [n], at least one, as the concatenation of their tables has them."""
        parts = [
            self._stack(stack).iloc[[row for _, row in run]]
            for stack, run in groupby(places, itemgetter(0))
        ]
        return (
            parts[0].reset_index(drop=True)
            if len(parts) == 1
            else pd.concat(parts, ignore_index=True)
        )

    def _stack(self, stack: int) -> pd.DataFrame:
        tables = self._tables[stack]
        if len(tables) > 1:
            tables[:] = [pd.concat(tables, ignore_index=True)]
        return tables[0]
