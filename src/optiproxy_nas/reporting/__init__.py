"""The report of one run: pure functions from its data to figures, pages and a few lines."""

from optiproxy_nas.reporting.bundle import run_figures
from optiproxy_nas.reporting.cell import draw_cell
from optiproxy_nas.reporting.page import html_page, markdown_page
from optiproxy_nas.reporting.style import png
from optiproxy_nas.reporting.terminal import terminal_summary

__all__ = ["draw_cell", "html_page", "markdown_page", "png", "run_figures", "terminal_summary"]
