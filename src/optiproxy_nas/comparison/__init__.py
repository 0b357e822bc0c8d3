"""Finished runs side by side: groups, statistics, figures and one page; all pure functions."""

from optiproxy_nas.comparison.compare import Comparison, compare
from optiproxy_nas.comparison.page import comparison_page
from optiproxy_nas.comparison.runs import ComparedRun, FoundRuns
from optiproxy_nas.reporting.curves import best_so_far, run_lengths

__all__ = [
    "ComparedRun",
    "Comparison",
    "FoundRuns",
    "best_so_far",
    "compare",
    "comparison_page",
    "run_lengths",
]
