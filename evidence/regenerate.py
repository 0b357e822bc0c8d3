"""From sections to documents: run, render, write."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evidence import RENDERERS
from evidence.collect import Evidence, collect
from evidence.pages import Renderer, update_page
from evidence.sections import Section, load_sections, with_seeds
from evidence.smoke import miniature
from evidence.table import with_notes
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
    interactive = target if preview else project / REPORTING / "evidence"
    written: list[Path] = []
    for section, renderer in zip(sections, renderers, strict=True):
        rendered = renderer(section, evidence)
        files = {target / FIGURES / name: data for name, data in rendered.figures.items()}
        files |= {interactive / name: text.encode() for name, text in rendered.pages.items()}
        for path, data in files.items():
            write_atomically(path, data)
        notes = evidence.cautions(section)
        update_page(
            project / section.page,
            target / section.page,
            {
                marker: with_notes(text, rendered.notes.get(marker, notes))
                for marker, text in rendered.texts.items()
            },
            NOTICES.get(preview or "", ""),
        )
        written += [*files, target / section.page]
        say(f"{section.name}: {(target / section.page).relative_to(project)}")
    for section in left_out:
        say(f"{section.name}: left out: {section.options['left_out']}.")
    return written


def _to_do(sections: Sequence[Section]) -> tuple[list[Section], list[Section]]:
    """The sections to render, and those that ``miniature`` left out."""
    done: tuple[list[Section], list[Section]] = [], []
    for section in sections:
        done["left_out" in section.options].append(section)
    return done
