"""A search from Python as a crate."""

from __future__ import annotations

from pathlib import Path

import pytest

from optiproxy_nas import ParameterError, ResumeError, search
from optiproxy_nas.proof.crate_audit import audit_crate
from optiproxy_nas.proof.verification import verify_crate
from optiproxy_nas.proof.verify import FAILED, OK


def count(architecture: str) -> float:
    return float(architecture.count("conv"))


def test_a_search_with_a_journal_is_a_crate_that_holds(tmp_path: Path) -> None:
    journal = tmp_path / "search.jsonl"
    result = search(evaluate=count, budget=12, method="random_search", journal=journal)
    crate = result.export_crate(tmp_path / "crate", journal=journal)
    found = {check.name: check.state for check in verify_crate(crate)}
    assert found["journal"] == found["archive"] == found["parameters"] == OK
    assert FAILED not in found.values()
    with pytest.raises(ResumeError, match="called from Python"):
        audit_crate(crate, Path(), lambda *_: None)
    with pytest.raises(ParameterError, match="is no journal"):
        result.export_crate(tmp_path / "other", journal=Path(__file__))
    with pytest.raises(ParameterError, match="There is something at"):
        result.export_crate(crate)
