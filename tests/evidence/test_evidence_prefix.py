"""One run a seed serves several budgets: what the rows at 100, 192 and 280 queries rest on."""

from __future__ import annotations

from typing import Any

import pytest

from optiproxy_nas import search

pytestmark = pytest.mark.heavy

QUICK: dict[str, Any] = {"fit": {"epochs": 5, "first_epochs": 5}, "gradient": {"epochs": 5}}


def test_a_larger_budget_begins_with_the_same_queries() -> None:
    short = search("cifar10", budget=21, seed=1000, **QUICK).archive
    long = search("cifar10", budget=34, seed=1000, **QUICK).archive
    assert long["architecture"].tolist()[:21] == short["architecture"].tolist()
    assert long["architecture"].is_unique
