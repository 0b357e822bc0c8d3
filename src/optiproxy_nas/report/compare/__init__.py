"""Finished runs side by side: groups, statistics, figures and one page; all pure functions."""

from optiproxy_nas.report.compare.comparison import Comparison, compare
from optiproxy_nas.report.compare.comparison_html import comparison_page
from optiproxy_nas.report.curves import best_so_far, run_lengths

__all__ = ["Comparison", "best_so_far", "compare", "comparison_page", "run_lengths"]
