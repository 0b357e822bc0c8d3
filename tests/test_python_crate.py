"""A search from Python as a crate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from optiproxy_nas import DataError, ParameterError, ResumeError, search
from optiproxy_nas.benchmarks.table_digests import SHIPPED
from optiproxy_nas.proof import crate_reading
from optiproxy_nas.proof.crate_audit import audit_crate
from optiproxy_nas.proof.verification import verify_crate
from optiproxy_nas.proof.verify import FAILED, OK


def count(architecture: str) -> float:
    return float(architecture.count("conv"))


def test_a_search_on_a_table_says_which_table_answered(tmp_path: Path) -> None:
    result = search("cifar100", budget=5, method="random_search")
    crate = result.export_crate(tmp_path / "crate")
    data = crate_reading.manifest_of(crate)["data"]
    assert data == {"source": "embedded", "table_sha256": SHIPPED["embedded"]}
    found = {check.name: check.state for check in verify_crate(crate)}
    assert found["description"] == OK
    assert FAILED not in found.values()
    cards = {path.name for path in (crate / "data" / "03_primary" / "nb201").iterdir()}
    assert cards == {"embedded.json", "embedded.croissant.json"}
    forged = replace(result, archive=result.archive.assign(value=99.0))
    with pytest.raises(DataError, match="another table answered"):
        forged.export_crate(tmp_path / "forged")


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
