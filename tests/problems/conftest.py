"""What the tests of problems share."""

from __future__ import annotations

import pytest

from plain_optimizers import plain_optimizers


@pytest.fixture(autouse=True)
def _plain_optimizers(monkeypatch: pytest.MonkeyPatch) -> None:
    plain_optimizers(monkeypatch)
