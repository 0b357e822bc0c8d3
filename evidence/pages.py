"""Text between the markers of a page, replaced whole; the prose around it is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from optiproxy_nas.core.errors import DataError
from optiproxy_nas.runs.datasets.atomic import write_atomically


def replace_between(page: str, marker: str, text: str) -> str:
    """The page with ``text`` between the lines ``<!-- marker -->`` and ``<!-- end marker -->``.

    Raises:
        DataError: the page lacks a marker, has it twice, or has them the wrong way round.
    """
    start, end = f"<!-- {marker} -->", f"<!-- end {marker} -->"
    if page.count(start) != 1 or page.count(end) != 1 or page.index(start) > page.index(end):
        raise DataError(
            f"The page must have the markers {start} and {end} once each, in this order.",
            marker=marker,
        )
    before, rest = page.split(start)
    after = rest.split(end)[1]
    return f"{before}{start}\n{text.strip()}\n{end}{after}"


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
