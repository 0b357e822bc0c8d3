"""What a renderer returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from evidence.collect import Evidence
from evidence.sections import Section


@dataclass(frozen=True)
class Rendered:
    """The parts of a section.

    Attributes:
        texts: marker -> Markdown that goes between ``<!-- marker -->`` and its end.
        notes: marker -> what is told below its text; by default the cautions of the section.
        figures: file name -> PNG bytes, for docs/images/results/.
        pages: file name -> HTML of an interactive figure, for data/08_reporting/.
    """

    texts: dict[str, str]
    notes: dict[str, list[str]] = field(default_factory=dict)
    figures: dict[str, bytes] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)


class Renderer(Protocol):
    """A function in the table of renderers."""

    def __call__(self, section: Section, evidence: Evidence) -> Rendered:
        """Numbers to text and pictures; runs no search, though it may measure what is no search."""
        ...
