"""The report of one run: pure functions from its data to figures, pages and a few lines."""

from optiproxy_nas.report.cell import draw_cell
from optiproxy_nas.report.run_data import RunData
from optiproxy_nas.report.run_report import (
    draw_figures,
    figures_of,
    html_page,
    markdown_page,
)
from optiproxy_nas.report.run_summary import summary_of
from optiproxy_nas.report.style import ReportFigure, png
from optiproxy_nas.report.terminal import terminal_summary

__all__ = [
    "ReportFigure",
    "RunData",
    "draw_cell",
    "draw_figures",
    "figures_of",
    "html_page",
    "markdown_page",
    "png",
    "summary_of",
    "terminal_summary",
]
