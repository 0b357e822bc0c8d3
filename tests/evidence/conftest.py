from __future__ import annotations

from collections.abc import Iterator

import pytest

from coarse import coarse_pictures
from evidence import comparison, constrained_tables, fidelity_tables, workers


@pytest.fixture(autouse=True, scope="module")
def coarse_evidence() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        coarse_pictures(monkeypatch, comparison, constrained_tables, fidelity_tables, workers)
        yield
