"""From sections to documents: run, render, write."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import pandas as pd

from evidence import RENDERERS
from evidence.collect import Evidence, collect
from evidence.pages import Rendered, Renderer, update_page
from evidence.sections import Section, load_sections, with_seeds
from evidence.smoke import miniature
from evidence.stored import from_text, stored_path, to_text, why_not
from evidence.table import with_notes
from optiproxy_nas.core.errors import DataError
from optiproxy_nas.report.documents import document_page
from optiproxy_nas.runs.atomic_files import write_atomically

SECTIONS = Path("conf") / "base" / "evidence"
REPORTING = Path("data") / "08_reporting"
SMOKE, PREVIEW = "evidence_smoke", "evidence_preview"
NOTICES = {
    SMOKE: "> Written by `kedro evidence --smoke`: searches in miniature, of no meaning.",
    PREVIEW: "> Written by `kedro evidence --seeds`: fewer seeds than the text below says.",
}
FIGURES = Path("docs") / "images" / "results"


def choose(
    project: Path, names: Sequence[str] = (), seeds: int | None = None, smoke: bool = False
) -> list[Section]:
    """The sections named, or all but those ``on_request``; cut to ``seeds``, or to miniatures.

    Raises:
        UnknownNameError: no section of that name.
        DataError: a file is not a section.
    """
    sections = load_sections(project / SECTIONS, names)
    sections = [section for section in sections if names or not section.on_request]
    if smoke:
        return [miniature(section) for section in sections]
    return sections if seeds is None else [with_seeds(section, seeds) for section in sections]


def regenerate(
    project: Path,
    sections: Sequence[Section],
    preview: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    gather: Callable[..., Evidence] = collect,
    **options: Any,
) -> list[Path]:
    """Run what is missing, render every section and write it where it belongs.

    Results by seed are written first, and the tables are computed from what was written.

    Args:
        project: the project's folder.
        sections: of :func:`choose`.
        preview: write to this folder of data/08_reporting, and nothing to the documents; why it
            is none is written on top.
        say: told of each section that is written.
        gather: runs the searches; :func:`evidence.collect.collect`.
        **options: of ``run_sweep``.

    Returns:
        The files written.

    Raises:
        DataError: searches failed, or a page lacks a marker.
    """
    if preview:  # prose that has changed since is not to stay
        shutil.rmtree(project / REPORTING / preview, ignore_errors=True)
    sections, left_out = _to_do(sections)
    renderers: list[Renderer] = [RENDERERS.load(section.render) for section in sections]
    evidence = gather(project, sections, **options)
    target = project / REPORTING / preview if preview else project
    written: list[Path] = []
    pages: dict[Path, str] = {}  # titles
    for section, renderer in zip(sections, renderers, strict=True):
        shown = evidence
        if section.rows:
            text = to_text(section, evidence)
            write_atomically(stored_path(target, section), text.encode())
            written.append(stored_path(target, section))
            if not why_not(target, section):
                shown = from_text(section, text, project)
        rendered = renderer(section, shown)
        if rendered.searches is not None:
            write_atomically(stored_path(target, section), rendered.searches)
            written.append(stored_path(target, section))
        written += _write(project, target, section, rendered, shown, preview)
        page = (target / section.page).with_suffix(".html" if preview else ".md")
        pages[page] = section.title
        say(f"{section.name}: {page.relative_to(project)}")
    if preview:
        written += _write_pages(project, target, pages)
    for section in left_out:
        say(f"{section.name}: left out: {section.options['left_out']}.")
    return written


def regenerate_from_stored(
    project: Path,
    sections: Sequence[Section],
    say: Callable[[str], None] = lambda _: None,
    must: bool = False,
) -> list[Path]:
    """Write the pages and figures of sections from their results by seed: nothing is searched.

    Args:
        project: the project's folder.
        sections: of :func:`choose`.
        say: told of each section.
        must: whether it is an error if the tables of a section need more than these results;
            otherwise the section is left out, with the reason.

    Returns:
        The files written.

    Raises:
        DataError: a file is not that of its section, or a page lacks a marker.
    """
    written: list[Path] = []
    for section in sections:
        if reason := why_not(project, section):
            if must:
                raise DataError(
                    f"Stored results are not enough for section {section.name!r}: {reason}. "
                    f"Run it: kedro evidence {section.name}.",
                    section=section.name,
                )
            say(f"{section.name}: left out: {reason}.")
            continue
        evidence, rendered = render_stored(project, section)
        written += _write(project, project, section, rendered, evidence)
        say(f"{section.name}: {section.page}")
    return written


def render_stored(project: Path, section: Section) -> tuple[Evidence, Rendered]:
    """Return the evidence in a section's file, and what is rendered of it.

    Raises:
        DataError: it is not the file of this section.
    """
    data = stored_path(project, section).read_bytes()
    if section.rows:
        evidence = from_text(section, data.decode(), project)
    else:
        evidence = Evidence(pd.DataFrame(), pd.DataFrame(), {}, project, stored=data)
    render: Renderer = RENDERERS.load(section.render)
    return evidence, render(section, evidence)


def texts_of(section: Section, rendered: Rendered, evidence: Evidence) -> dict[str, str]:
    """Return marker -> what stands behind it in the section's page, notes included."""
    notes = evidence.cautions(section)
    return {
        marker: with_notes(text, rendered.notes.get(marker, notes))
        for marker, text in rendered.texts.items()
    }


def _write(
    project: Path,
    target: Path,
    section: Section,
    rendered: Rendered,
    evidence: Evidence,
    preview: str | None = None,
) -> list[Path]:
    """Write the figures and the page of a section below ``target``, and return what was written."""
    interactive = target if preview else project / REPORTING / "evidence"
    files = {target / FIGURES / name: data for name, data in rendered.figures.items()}
    files |= {interactive / name: text.encode() for name, text in rendered.pages.items()}
    for path, data in files.items():
        write_atomically(path, data)
    page, notice = target / section.page, NOTICES.get(preview or "", "")
    update_page(project / section.page, page, texts_of(section, rendered, evidence), notice)
    return [*files, page]


def _write_pages(project: Path, target: Path, pages: Mapping[Path, str]) -> list[Path]:
    """Write the documents of a preview as pages, by their paths and titles; return the paths.

    A link leads to what the preview has, and where it has nothing to the project's own file.
    """
    for page, title in pages.items():

        def address(link: str, page: Path = page) -> str:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not parts.path:
                return link
            path = Path(os.path.normpath(page.parent / unquote(parts.path)))
            shown = path.with_suffix(".html") if path.suffix == ".md" else path
            if shown not in pages and (shown != path or not shown.exists()):
                shown = Path(os.path.normpath(project / os.path.relpath(path, target)))
            found = Path(os.path.relpath(shown, page.parent)).as_posix()
            return urlunsplit(("", "", quote(found), "", parts.fragment))

        text = page.with_suffix(".md").read_text("utf-8")
        write_atomically(page, document_page(text, title, address).encode())
    return [*pages]


def _to_do(sections: Sequence[Section]) -> tuple[list[Section], list[Section]]:
    """The sections to render, and those that ``miniature`` left out."""
    done: tuple[list[Section], list[Section]] = [], []
    for section in sections:
        done["left_out" in section.options].append(section)
    return done
