"""The result of a search by any method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from optiproxy_nas.algorithm.search_parameters import RunParameters
from optiproxy_nas.core.arrays import Tensors


@dataclass(frozen=True)
class SearchResult:
    """What a search found, and everything it did; ``print`` tells the answer."""

    parameters: RunParameters
    archive: pd.DataFrame  # D, one row a query
    trials: pd.DataFrame  # one row a proposal: trial, its row of D, whether it was charged
    diagnostics: pd.DataFrame  # one row a step
    # Of methods that keep them (``Method.records``):
    traces: Mapping[int, Tensors] = field(default_factory=dict)  # step -> trace of search epochs
    weights: Tensors = field(default_factory=dict)  # θ* of the last step
    logits: Tensors = field(default_factory=dict)  # (α*, β*) of the last step
    # Of a benchmark's search:
    target: str = "value"  # the metric that was maximised
    caution: str = ""  # what has to be told wherever its values are shown

    def __str__(self) -> str:
        """Return the answer, its value and what has to be known of that, in a line each."""
        value = f"{self.target} {self.best_value:.6g} after {len(self.archive)} queries"
        found = value if self.is_eligible else f"{value}, which is no answer: see is_eligible"
        return "\n".join(filter(None, [self.best_architecture, found, self.caution]))

    @property
    def best_architecture(self) -> str:
        """𝒜*: the best architecture queried (the first, of equals)."""
        return str(self.archive["architecture"].iloc[self._incumbent])

    @property
    def best_value(self) -> float:
        """f(𝒜*): its value of ``target``, higher is better, in that metric's unit."""
        return float(self.archive["value"].iloc[self._incumbent])

    @property
    def is_eligible(self) -> bool:
        """Whether it is an answer: false where no feasible architecture was found."""
        return bool(self.parameters.objective.order.eligible(self.archive)[self._incumbent])

    @property
    def _incumbent(self) -> int:
        return self.parameters.objective.order.incumbent(self.archive)
