"""Pages from Jinja2 templates, in HTML and Markdown: one environment for all of them.

- ``render(template, **values)`` fills a template of ``report/templates``. Templates that end in
  ``.html.j2`` escape what they are given, those in ``.md.j2`` do not; a name that is missing is an
  error. Nothing here reads a clock: equal values give equal pages.
- ``base.html.j2`` is the page that others extend (blocks ``head``, ``header``, ``body``,
  ``scripts``), in the one design of ``base.css``, and ``macros.html.j2`` has its parts: ``figure``,
  ``picture``, ``curves``, ``table``, ``facts`` and ``listing``.
- The filter ``data_uri`` turns PNG bytes into an address, so that a page is one file; ``breakable``
  turns an architecture into code. In Markdown, ``plain`` escapes text, ``code`` and ``fence``
  quote it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from optiproxy_nas.core.secrets import masked_by_form

_ESCAPED = str.maketrans({**{c: f"\\{c}" for c in r"\`*_<>[]#"}, "&": "&amp;"})


def render(template: str, **values: Any) -> str:
    """Return a template of ``report/templates`` filled with ``values``.

    Raises:
        jinja2.UndefinedError: the template uses a name that ``values`` lacks.
    """
    return environment().get_template(template).render(**values)


@cache
def environment() -> Environment:
    """Return the environment of all templates."""
    made = Environment(
        loader=PackageLoader("optiproxy_nas.report"),
        autoescape=select_autoescape(default=True, disabled_extensions=("md.j2", "css", "js")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=without_secrets,
    )
    made.filters |= {f.__name__: f for f in (data_uri, breakable, plain, code, fence)}
    made.globals["markdown_table"] = markdown_table
    return made


def without_secrets(value: Any) -> Any:
    """Return what a template shows, without what looks like a secret."""
    return masked_by_form(value) if type(value) is str else value


def data_uri(png: bytes) -> str:
    """Return PNG bytes as the address of a picture inside a page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def breakable(architecture: str) -> Markup:
    """Return a long cell string as code that may break after a bar, and nowhere else."""
    return Markup('<code class="architecture">{}</code>').format(
        escape(architecture).replace("|", Markup("|<wbr>"))
    )


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown; a bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def plain(text: str) -> str:
    """Return text that Markdown shows as it is, on one line; a table sees to its bars."""
    return " ".join(text.split()).translate(_ESCAPED)


def code(text: str) -> str:
    """Return a Markdown code span."""
    text = " ".join(text.split())
    ticks = "`" * (_longest_ticks(text) + 1)
    pad = " " if "`" in text else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def fence(text: str) -> str:
    """Return a Markdown block of text as it is."""
    ticks = "`" * max(3, _longest_ticks(text) + 1)
    return f"{ticks}text\n{text}\n{ticks}"


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
