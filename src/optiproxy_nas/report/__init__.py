"""The report of one run: pure functions from its data to figures, pages and a few lines."""

from optiproxy_nas.report.bundle import run_figures
from optiproxy_nas.report.cell import draw_cell
from optiproxy_nas.report.page import html_page, markdown_page
from optiproxy_nas.report.style import png
from optiproxy_nas.report.terminal import terminal_summary

__all__ = ["draw_cell", "html_page", "markdown_page", "png", "run_figures", "terminal_summary"]
