"""The documentation names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOTS = (ROOT, ROOT / "src" / "optiproxy_nas", ROOT / "src", ROOT / "tests")
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


def named_modules(text: str) -> set[str]:
    """Return the paths of Python files in a page; ``{a,b}`` stands for several."""
    paths = set()
    for name in re.findall(r"`([\w./{},-]+/[\w./{},-]+\.py)`", text):
        head, brace, rest = name.partition("{")
        inner, _, tail = rest.partition("}")
        paths |= {head + choice + tail for choice in inner.split(",")} if brace else {name}
    return paths


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_that_a_page_names_exist(page: Path) -> None:
    paths = named_modules(page.read_text(encoding="utf-8"))
    missing = {path for path in paths if not any((root / path).is_file() for root in ROOTS)}
    assert not missing
