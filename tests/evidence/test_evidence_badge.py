"""The badge: claims read from a page beside the same cells measured anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from synthetic import Curve, random_walk, synthetic

from evidence import badge
from evidence.badge import allowed_range, measure_badge
from evidence.page_tables import tables_in
from evidence.pages import text_between
from evidence.regenerate import choose, regenerate
from optiproxy_nas.benchmarks.raw_files import DATA_DIRECTORY_VARIABLE
from optiproxy_nas.core.errors import DataError

SECTION = """
title: T
order: 1
render: comparison
page: docs/page.md
common: {source: v1_0, dataset: [cifar10, cifar100], budget: 40}
budgets: [20, 40]
rows:
  - {label: a, seeds: 0-3, blocks: [{method: a}]}
  - {label: b, seeds: 0-3, blocks: [{method: b}]}
  - {label: c, seeds: 0-3, blocks: [{method: c}]}
options:
  told: []
  badge:
    rows: [a, b]
    budget: 20
    claims:
      - table: made
        captions: [CIFAR-10]
        where: {queries: [20], method: [a, b]}
        columns: [mean]
        allowed: equal
      - table: made
        where: {queries: [20], method: [a]}
        columns: [at the optimum]
        allowed: spread
"""
PAGE = Path("docs") / "page.md"


def gather(curve: Curve = random_walk) -> Any:
    return lambda project, sections, **_: synthetic(sections, curve, project=project)


def worse(point: dict[str, Any]) -> Any:
    return [value - 1 for value in random_walk(point)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose page says what the synthetic searches give."""
    folder = tmp_path / "conf" / "base" / "evidence"
    folder.mkdir(parents=True)
    (folder / "made.yml").write_text(SECTION)
    (tmp_path / "docs").mkdir()
    names = ("made", "made-differences")
    markers = "".join(f"<!-- {name} -->\n<!-- end {name} -->\n" for name in names)
    (tmp_path / PAGE).write_text(markers)
    regenerate(tmp_path, choose(tmp_path), gather=gather())
    return tmp_path


def test_claims_that_are_measured_again_hold(project: Path) -> None:
    before = (project / PAGE).read_text()
    said: list[str] = []
    lines = measure_badge(project, choose(project), said.append, gather())
    assert [line.holds for line in lines] == [True] * 4
    mean = tables_in(text_between(before, "made"))["CIFAR-10"][0]["mean"]
    assert lines[0][1:4] == (mean, "equal", mean)
    assert "4 of 4 claims hold" in said[-1]
    assert (project / PAGE).read_text() == before


def test_another_figure_does_not_hold(project: Path) -> None:
    lines = measure_badge(project, choose(project), gather=gather(worse))
    assert [line.holds for line in lines[:2]] == [False, False]


def test_only_what_is_claimed_is_searched(project: Path) -> None:
    asked: list[Any] = []

    def note(project: Path, sections: Any, **options: Any) -> Any:
        asked.extend([*sections, options])
        return gather()(project, sections)

    measure_badge(project, choose(project), gather=note, workers=3)
    section, options = asked
    assert [row.label for row in section.rows] == ["a", "b"]
    assert section.common["budget"] == 20
    assert options == {"name": badge.NAME, "workers": 3}


def test_what_needs_data_is_skipped_with_the_reason(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project / "conf" / "base" / "evidence" / "made.yml"
    path.write_text(SECTION.replace("    budget: 20\n", "    budget: 20\n    needs_data: true\n"))
    monkeypatch.delenv(DATA_DIRECTORY_VARIABLE, raising=False)
    lines = measure_badge(project, choose(project), gather=gather(worse))
    assert {line.holds for line in lines} == {None}
    assert all(DATA_DIRECTORY_VARIABLE in line.measured for line in lines)


@pytest.mark.parametrize(
    ("old", "new"), [("method: [a, b]", "method: [d]"), ("rows: [a, b]", "rows: [a, d]")]
)
def test_a_claim_of_what_is_not_there_is_refused(project: Path, old: str, new: str) -> None:
    path = project / "conf" / "base" / "evidence" / "made.yml"
    path.write_text(SECTION.replace(old, new))
    with pytest.raises(DataError, match="'d'"):
        measure_badge(project, choose(project), gather=gather())


def test_the_table_is_put_into_the_appendix(project: Path) -> None:
    page = project / badge.PAGE
    page.write_text("before\n<!-- badge -->\n<!-- end badge -->\nafter\n")
    with pytest.raises(DataError, match="kedro evidence --badge"):
        badge.main(project)
    measure_badge(project, choose(project), gather=gather())
    badge.main(project)
    assert "| T: CIFAR-10, 20, a: mean |" in text_between(page.read_text(), "badge")


@pytest.mark.parametrize(
    ("claimed", "interval", "ratio", "expected"),
    [
        ("+7.0 (+5.0 to +8.0)", "+7.0 (+5.0 to +8.0)", 0.0, (5.0, 8.0)),
        ("100%", "(72% to 100%)", 3.0, (44.0, 100.0)),
        ("2", "-1,000 to 4", 0.0, (-1000.0, 4.0)),
    ],
)
def test_an_interval_is_widened_by_the_seeds_that_were_measured(
    claimed: str, interval: str, ratio: float, expected: tuple[float, float]
) -> None:
    assert allowed_range(claimed, interval, ratio) == pytest.approx(expected)


def test_columns_of_one_name_are_told_apart() -> None:
    rows = tables_in("| a | x | b | x |\n| --- | --- | --- | --- |\n| 1 | 2 | 3 | 4\\|5 |")[""]
    assert rows == [{"a": "1", "a: x": "2", "b": "3", "b: x": "4|5"}]
