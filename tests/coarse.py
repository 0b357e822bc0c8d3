"""Pictures of few dots, where a test is about a page and not about what is drawn on it."""

from __future__ import annotations

from types import ModuleType

import pytest
from matplotlib.figure import Figure

from optiproxy_nas.report.style import png

DPI = 25


def coarse_pictures(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """Draw all pictures of these modules quickly: at 25 dots an inch, and where nothing is moved
    to make room for labels, which takes most of the time."""
    for module in modules:
        monkeypatch.setattr(module, "png", _coarse)


def _coarse(figure: Figure, colours: int = 0) -> bytes:
    figure.set_layout_engine("none")
    return png(figure, DPI, colours)
