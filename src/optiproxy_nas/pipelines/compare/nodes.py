"""Nodes of the compare pipeline: pure functions from runs to tables, pictures and the page."""

from __future__ import annotations

from typing import Any

import pandas as pd

from optiproxy_nas.evaluation.finished_run import FoundRuns
from optiproxy_nas.report import compare as domain
from optiproxy_nas.report.compare import Comparison
from optiproxy_nas.report.style import png
from optiproxy_nas.spaces import get_space


def compare(found: FoundRuns, compare: dict[str, Any]) -> Comparison:
    """The runs sorted into panels and groups, with all tables."""
    return domain.compare(found, compare["budgets"], compare["name"])


def tables(comparison: Comparison) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The results and the paired tests of all panels, as numbers for other programs."""
    return comparison.table("results"), comparison.table("paired")


def draw(comparison: Comparison) -> tuple[bytes, bytes]:
    """Best so far and run length of all panels side by side, as PNG."""
    panels = comparison.curves
    return png(domain.best_so_far(panels)), png(domain.run_lengths(panels))


def page(comparison: Comparison) -> str:
    """The page, whole."""
    return domain.comparison_page(comparison, get_space(comparison.panels[0].space))
