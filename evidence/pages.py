"""What a renderer returns, and how it gets into a page: text between markers, replaced whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from evidence.collect import Evidence
from evidence.sections import Section
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.runs.atomic_files import write_atomically


@dataclass(frozen=True)
class Rendered:
    """The parts of a section.

    Attributes:
        texts: marker -> Markdown that goes between ``<!-- marker -->`` and its end.
        notes: marker -> what is told below its text; by default the cautions of the section.
        figures: file name -> PNG bytes, for docs/images/results/.
        pages: file name -> HTML of an interactive figure, for data/08_reporting/.
        searches: the file that the texts are computed from, of a section that searches by itself.
    """

    texts: dict[str, str]
    notes: dict[str, list[str]] = field(default_factory=dict)
    figures: dict[str, bytes] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    searches: bytes | None = None


class Renderer(Protocol):
    """A function in the table of renderers."""

    def __call__(self, section: Section, evidence: Evidence) -> Rendered:
        """Numbers to text and pictures; it searches only what a section without rows lacks."""
        ...


def replace_between(page: str, marker: str, text: str) -> str:
    """The page with ``text`` between the lines ``<!-- marker -->`` and ``<!-- end marker -->``.

    Raises:
        DataError: the page lacks a marker, has it twice, or has them the wrong way round.
    """
    before, _, after = _split(page, marker)
    return f"{before}\n{text.strip()}\n{after}"


def text_between(page: str, marker: str) -> str:
    """Return what stands between the lines ``<!-- marker -->`` and ``<!-- end marker -->``.

    Raises:
        DataError: as of :func:`replace_between`.
    """
    return _split(page, marker)[1]


def _split(page: str, marker: str) -> tuple[str, str, str]:
    """Return what stands before, between and behind the markers; they go with the outer parts."""
    start, end = f"<!-- {marker} -->", f"<!-- end {marker} -->"
    if page.count(start) != 1 or page.count(end) != 1 or page.index(start) > page.index(end):
        raise DataError(
            f"The page must have the markers {start} and {end} once each, in this order.",
            marker=marker,
        )
    before, rest = page.split(start)
    between, after = rest.split(end)
    return before + start, between, end + after


def update_page(source: Path, target: Path, texts: Mapping[str, str], notice: str = "") -> None:
    """Write ``source`` with its marked parts replaced to ``target``, whole or not at all.

    Args:
        source: the page.
        target: where it goes; if it is there already, its other marked parts are kept.
        texts: marker -> text.
        notice: first line of a target that is a copy.

    Raises:
        DataError: see ``replace_between``; nothing is written then.
    """
    if target.exists():
        page = target.read_text(encoding="utf-8")
    else:
        page = (f"{notice}\n\n" if notice else "") + source.read_text(encoding="utf-8")
    for marker, text in texts.items():
        try:
            page = replace_between(page, marker, text)
        except DataError as error:
            raise DataError(f"{source}: {error.message}", **error.data) from error
    write_atomically(target, page.encode())
