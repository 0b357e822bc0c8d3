"""Pictures of few dots, where a test is about a page and not about what is drawn on it."""

from __future__ import annotations

from types import ModuleType

import pytest

from optiproxy_nas.report.style import png

DPI = 25


def coarse_pictures(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """Draw all pictures of these modules at 25 dots an inch, which is quick."""
    for module in modules:
        monkeypatch.setattr(module, "png", lambda figure: png(figure, DPI))
