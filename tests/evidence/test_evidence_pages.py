"""Text between markers, and what a regeneration writes where."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from synthetic import synthetic

from evidence.pages import replace_between, update_page
from evidence.regenerate import SMOKE, choose, regenerate
from optiproxy_nas.core.errors import DataError

PAGE = "before\n<!-- x -->\nold\n<!-- end x -->\nbetween\n<!-- y -->\n<!-- end y -->\nafter\n"

SECTION = """
title: T
order: 1
render: comparison
page: docs/page.md
common: {source: v1_0, dataset: cifar10, budget: 280}
budgets: [100]
rows:
  - {label: a, seeds: 0-3, blocks: [{method: a}]}
  - {label: b, seeds: 0-3, blocks: [{method: b}]}
options: {figures: [best_so_far, run_lengths]}
"""


def test_a_part_is_replaced_and_the_rest_kept() -> None:
    assert replace_between(PAGE, "x", "\nnew\n") == PAGE.replace("old", "new")
    assert replace_between(replace_between(PAGE, "y", "1"), "y", "") == PAGE.replace(
        "<!-- y -->\n", "<!-- y -->\n\n"
    )


@pytest.mark.parametrize(
    "page",
    [
        "nothing",
        "<!-- x -->",
        "<!-- end x --><!-- x -->",
        "<!-- x --><!-- x --><!-- end x -->",
    ],
)
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    with pytest.raises(DataError, match="<!-- x --> and <!-- end x -->"):
        replace_between(page, "x", "new")


def test_nothing_is_written_if_one_marker_is_missing(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with pytest.raises(DataError, match=r"page\.md"):
        update_page(page, page, {"x": "new", "z": "lost"})
    assert page.read_text() == PAGE
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]  # nothing half-written


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one section and its page."""
    (tmp_path / "conf" / "base" / "evidence").mkdir(parents=True)
    (tmp_path / "conf" / "base" / "evidence" / "made.yml").write_text(SECTION)
    (tmp_path / "docs").mkdir()
    markers = "".join(f"<!-- {m} -->\n<!-- end {m} -->\n" for m in ("made", "made-differences"))
    links = "[a](other.md#a-b) [b](#page) [c](page.md#page) [d](https://example.org/x.md)\n"
    picture = "![e](images/results/made_best_so_far.png)\n"
    (tmp_path / "docs" / "page.md").write_text(f"# Page\n{markers}{links}{picture}## A *b*\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n## A b\n")
    return tmp_path


def gather(asked: Any) -> Any:
    """Synthetic searches in the place of real ones; notes what was asked for."""

    def run(project: Path, sections: Any, **options: Any) -> Any:
        asked.append((sections, options))
        return synthetic(sections, project=project)

    return run


@pytest.mark.heavy
def test_a_regeneration_writes_page_figures_and_interactive_page(project: Path) -> None:
    asked: list[Any] = []
    said: list[Any] = []
    written = regenerate(project, choose(project), say=said.append, gather=gather(asked), workers=2)
    assert {path.relative_to(project).as_posix() for path in written} == {
        "docs/evidence/made.csv",
        "docs/page.md",
        "docs/images/results/made_best_so_far.png",
        "docs/images/results/made_run_lengths.png",
        "data/08_reporting/evidence/made.html",
    }
    assert all(path.stat().st_size > 0 for path in written)
    assert "| 100 | a |" in (project / "docs" / "page.md").read_text()
    assert asked[0][1] == {"workers": 2}
    assert said == ["made: docs/page.md"]


@pytest.mark.heavy
def test_a_second_regeneration_changes_nothing(project: Path) -> None:
    regenerate(project, choose(project), gather=gather([]))
    before = (project / "docs" / "page.md").read_bytes()
    regenerate(project, choose(project), gather=gather([]))
    assert (project / "docs" / "page.md").read_bytes() == before


def test_a_smoke_run_never_touches_the_documents(project: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    asked: list[Any] = []
    written = regenerate(project, choose(project, smoke=True), preview=SMOKE, gather=gather(asked))
    folder = project / "data" / "08_reporting" / "evidence_smoke"
    assert all(path.is_relative_to(folder) for path in written)
    assert {path: path.read_bytes() for path in before} == before
    page = (folder / "docs" / "page.md").read_text()
    assert page.startswith("> Written by `kedro evidence --smoke`")
    assert page.count("> Written by") == 1
    text = (folder / "docs" / "page.html").read_text()
    assert "<h1>Page</h1>" in text
    assert '<h2 id="a-b">' in text
    links = re.findall(r'(?:href|src)="(?!data:)([^"]+)"', text)
    assert {"#page", "https://example.org/x.md", "page.html#page"} <= {*links}
    assert 'id="page"' in text
    for link in links:
        if not link.startswith(("#", "https:")):
            assert (folder / "docs" / link.partition("#")[0]).exists(), link
    ((sections, _),) = asked
    assert {row.seeds for row in sections[0].rows} == {"0-1"}


def test_fewer_seeds_on_request(project: Path) -> None:
    (section,) = choose(project, seeds=3)
    assert {row.seeds for row in section.rows} == {"0-2"}
