"""A search from Python as a crate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from optiproxy_nas import (
    ArtifactError,
    DataError,
    ParameterError,
    ResumeError,
    SearchResult,
    search,
)
from optiproxy_nas.benchmarks.table_digests import SHIPPED
from optiproxy_nas.proof import crate_reading
from optiproxy_nas.proof.crate_audit import audit_crate
from optiproxy_nas.proof.verification import verify_crate
from optiproxy_nas.proof.verify import FAILED, OK

pytestmark = pytest.mark.heavy


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


def test_a_journal_of_another_search_is_refused(tmp_path: Path) -> None:
    """Of another function, or without the last trials: the archive is not its answers."""

    def searched(name: str, sign: int = 1, budget: int = 4) -> SearchResult:
        return search(
            evaluate=lambda text: sign * count(text),
            budget=budget,
            method="random_search",
            journal=tmp_path / name,
        )

    result = searched("mine")
    searched("other", sign=-1)
    searched("short", budget=3)
    for name in ("other", "short"):
        with pytest.raises(ArtifactError) as caught:
            result.export_crate(tmp_path / "crate", journal=tmp_path / name)
        assert caught.value.data["checks"] == ["archive"]
    result.save(tmp_path / "mine.search")
    more = search(
        evaluate=count,
        budget=6,
        method="random_search",
        initial=tmp_path / "mine.search",
        journal=tmp_path / "more",
    )
    crate = more.export_crate(tmp_path / "crate", journal=tmp_path / "more")
    assert FAILED not in {check.state for check in verify_crate(crate)}


def test_what_is_stated_is_a_line_and_any_folder_can_be_named(tmp_path: Path) -> None:
    result = search(evaluate=count, budget=2, method="random_search")
    for author in ("", "A\nB", "A\u202eB", 5):
        with pytest.raises(ParameterError, match=r"author = .*line of text"):
            result.export_crate(tmp_path / "crate", author=author)  # type: ignore[arg-type]
    crate = result.export_crate(tmp_path / "odd\n\x1b[2J", author="A. Author")
    assert FAILED not in {check.state for check in verify_crate(crate)}
