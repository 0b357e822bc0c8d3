"""The result of a search, as a Python user or a notebook sees it."""

from __future__ import annotations

from functools import cached_property

from optiproxy_nas.algorithm.search_parameters import OWN_EVALUATION
from optiproxy_nas.benchmarks.benchmark_cache import load_benchmark
from optiproxy_nas.core.numbers import difference_text, unit, value_text
from optiproxy_nas.evaluation.benchmark_problem import optimum
from optiproxy_nas.evaluation.record import SearchRecord


class SearchResult(SearchRecord):
    """What a search found, and everything it did; ``print`` tells the answer."""

    @property
    def unit(self) -> str:
        """The unit of the values, "" where it is not known."""
        return unit(self.target)

    @cached_property
    def optimum(self) -> float | None:
        """The best value of all of the space, where a table tells; never known to a search."""
        parameters = self.parameters
        if parameters.source == OWN_EVALUATION or self.target == "value":
            return None
        benchmark = load_benchmark(parameters.source, parameters.dataset, complete=True)
        return optimum(parameters.objective, benchmark)

    @property
    def regret(self) -> float | None:
        """How far the answer is from the optimum, at least 0; None where that is not known."""
        if self.optimum is None or not self.is_eligible:
            return None
        return abs(self.optimum - self.best_value)

    def __repr__(self) -> str:
        """Return three lines: what was searched, what was found, and how it went."""
        parameters = self.parameters
        what = f"{parameters.space} {parameters.dataset} by {parameters.label}"
        over = f"{len(self.archive)} complete, {len(self.failed)} failed trials"
        found = "no complete trial"
        if len(self.archive):
            value = value_text(self.target, self.best_value)
            regret = (
                ""
                if self.regret is None
                else f", regret {difference_text(self.target, self.regret)}"
            )
            found = f"{self.target} {value}{regret}: {self.best_architecture}"
        return "\n".join(
            [
                f"SearchResult of {what}, seed {parameters.seed}, budget {parameters.budget}",
                f"  best  {found}",
                f"  {over}; {self.stopped or 'it may go on'}",
            ]
        )
