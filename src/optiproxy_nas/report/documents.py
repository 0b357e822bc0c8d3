"""Markdown documents as pages of the one design: the model card, a preview of the evidence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise

from markdown_it import MarkdownIt
from markupsafe import Markup

from optiproxy_nas.core.secrets import masked_by_form
from optiproxy_nas.export.folder import CARD, PAGE
from optiproxy_nas.report.html import render

_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)  # markers of evidence
_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)


def document_page(text: str, title: str, address: Callable[[str], str] = str) -> str:
    """Return a Markdown document as a page; equal documents give equal pages.

    HTML in it is shown as text. Its headings have the anchors that GitHub gives them.

    Args:
        text: the document.
        title: of the page, where the document has no heading.
        address: gives the address in the page of a link or picture of the document; by default
            the same, for a page that lies beside the document.
    """
    text = masked_by_form(_COMMENT.sub("", text))
    heading = _HEADING.search(text)
    if heading is not None:
        text = text[: heading.start()] + text[heading.end() :]
        title = _parser().renderInline(heading[1])
        title = Markup(re.sub("<[^>]+>", "", title)).unescape()
    parser = _parser()
    tokens = parser.parse(text)
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            before.attrSet("id", _anchor(token.content))
        for child in token.children or ():
            for name in ("href", "src"):
                if name in child.attrs:
                    child.attrSet(name, address(str(child.attrs[name])))
    body = parser.renderer.render(tokens, parser.options, {})
    return render("document.html.j2", title=title, anchor=_anchor(title), body=Markup(body))


def with_page(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of an exported answer, and its model card as a page."""
    page = document_page(files[CARD].decode(), "Model card")
    return {**files, PAGE: page.encode()}


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@cache
def _parser() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    wide = '<div class="wide" tabindex="0" role="region" aria-label="Table"><table>\n'
    made.add_render_rule("table_open", lambda self, *_: wide)
    made.add_render_rule("table_close", lambda self, *_: "</table></div>\n")
    made.add_render_rule("th_open", lambda self, *_: '<th scope="col">')
    return made
