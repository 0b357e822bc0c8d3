"""What trials are charged, and what a search with a budget follows from that."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from torch import Tensor

from optiproxy_nas.core.arrays import Integers
from optiproxy_nas.spaces.base import SearchSpace


class Pricing:
    """What trials are charged, counted in ``unit``: one query each."""

    unit: ClassVar[str] = "queries"

    @property
    def cheapest(self) -> int:
        """Return the cost of the cheapest trial, of which the initial sample is made."""
        return 1

    @property
    def full_cost(self) -> int:
        """Return the cost of a trial as the baselines make it."""
        return 1

    @property
    def terms(self) -> str:
        """Return the settings that costs follow from, for messages about the budget."""
        return ""

    def costs(self, table: pd.DataFrame) -> Integers:
        """Return what each trial of a batch, or of an archive, is charged: [n]."""
        return np.ones(len(table), dtype=np.int64)

    def identities(self, space: SearchSpace, table: pd.DataFrame, codes: Tensor) -> list[Hashable]:
        """Return what is charged once: one per row of ``table``, whose codes [n, L] are given."""
        return space.identify(codes)

    def initial_columns(self, count: int) -> dict[str, Any]:
        """Return the columns that make ``count`` architectures of a batch the cheapest trials."""
        return {}

    def full_columns(self, count: int) -> dict[str, Any]:
        """Return the columns that make ``count`` architectures of a batch full trials."""
        return {}

    def fidelity_columns(self, epochs: Integers) -> dict[str, Any]:
        """Return the columns of trials of these fidelities [n], each from nothing."""
        return {}

    def promotion_columns(self, rows: pd.DataFrame) -> dict[str, Any]:
        """Return the columns of trials that raise rows of D to the next fidelity."""
        return self.full_columns(len(rows))

    def initial_cost(self, count: int) -> int:
        """Return what ``count`` initial architectures cost."""
        return count * self.cheapest

    def least_budget(self, initial_samples: int) -> int:
        """Return the least budget of a search that can end with an answer."""
        return self.initial_cost(initial_samples)

    def initial_sample(self, count: int) -> int:
        """Return how many architectures a search starts from where a preset has ``count``."""
        return count

    def step_cost(self, batch: int) -> int:
        """Return what a step may spend; B is ``batch``."""
        return batch

    def fewest(self, allowance: int) -> int:
        """Return how many candidates a step needs at least, to spend its ``allowance``."""
        return allowance

    def capacity(self, size: int) -> int:
        """Return the cost of all trials of a space of ``size`` architectures."""
        return size
