"""The result of a search, as a Python user or a notebook sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiproxy_nas.api.result_lines import answer_line, search_line, trials_line
from optiproxy_nas.evaluation.record import SearchRecord

if TYPE_CHECKING:
    from optiproxy_nas.api.result_views import ResultPlots


class SearchResult(SearchRecord):
    """What a search found, and everything it did; ``print`` tells the answer."""

    @property
    def plot(self) -> ResultPlots:
        """Its figures: ``best_so_far()``, ``predictions()``, ``logits()``."""
        from optiproxy_nas.api.result_views import ResultPlots  # matplotlib is slow to import

        return ResultPlots(self)

    def __repr__(self) -> str:
        """Return what was searched, what was found, its other metrics, and how it went."""
        found = "" if self.archive.empty else f": {self.best.text}"
        metrics = [] if self.archive.empty else [", ".join(self.metric_lines)]
        lines = [f"best  {answer_line(self)}{found}", *filter(None, metrics), trials_line(self)]
        return "\n  ".join([f"SearchResult of {search_line(self.parameters)}", *lines])

    def _repr_html_(self) -> str:
        """Return what notebooks show."""
        from optiproxy_nas.api.result_views import result_html  # matplotlib is slow to import

        return result_html(self)
