"""Pieces of HTML: tables, pictures, interactive figures."""

from __future__ import annotations

import base64
import html
import importlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from optiproxy_nas.report.style import line_style

LONG_TABLE = 12  # rows; longer ones are folded
Cell = tuple[str, str]  # (HTML, class)


def figure(
    name: str, content: dict[str, Any], still: bytes, caption: str, scripts: list[str]
) -> str:
    """Room for a plotly figure, its picture and caption; its data go to ``scripts``."""
    # "</" would end the script element, wherever it stands.
    data = json.dumps(content, ensure_ascii=True).replace("</", "<\\/")
    scripts.append(f'<script type="application/json" id="{name}">{data}</script>')
    return (
        f'<figure><div class="plot" data-figure="{name}"></div>'
        f'<div class="still">{image(still, name)}</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def image(data: bytes, text: str) -> str:
    """A PNG within the page."""
    source = base64.b64encode(data).decode("ascii")
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{source}">'


def table(head: Sequence[Cell], rows: Iterable[Sequence[Cell]]) -> str:
    """A table; a rule above each row whose first cell differs from the one before."""
    lines, before = [], None
    for row in rows:
        new = before is not None and head[0][0] == "Queries" and row[0][0] != before
        before = row[0][0]
        lines.append(
            f"<tr{_class('first' if new else '')}>"
            + "".join(f"<td{_class(c)}>{text}</td>" for text, c in row)
            + "</tr>"
        )
    titles = "".join(f"<th{_class(c)}>{text}</th>" for text, c in head)
    return (
        f'<div class="wide"><table>\n<thead><tr>{titles}</tr></thead>\n<tbody>\n'
        + "\n".join(lines)
        + "\n</tbody></table></div>"
    )


def folded(
    head: Sequence[Cell],
    rows: Sequence[Sequence[Cell]],
    noun: str,
    which: str = "",
    always: bool = False,
) -> list[str]:
    """A table, folded where it is long under "3 settings", a noun and ``which`` of them."""
    whole = table(head, rows)
    if len(rows) <= LONG_TABLE and not always:
        return [whole]
    title = f"{len(rows)} {noun}{'' if len(rows) == 1 else 's'}{which}"
    return [f"<details><summary>{title}</summary>{whole}</details>"]


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def listed(sentences: Iterable[str]) -> str:
    """A list of sentences, escaped."""
    return "<ul>" + "".join(f"<li>{html.escape(s)}</li>" for s in sentences) + "</ul>"


def swatch(index: int) -> str:
    """A short piece of the line of the group at ``index``."""
    colour, dashes, width = line_style(index)
    pattern = " ".join(f"{width * part:g}" for part in dashes) or "none"
    return (
        f'<svg class="swatch" width="28" height="4"><path d="M0 2h28" stroke="{colour}" '
        f'stroke-width="{width}" stroke-dasharray="{pattern}"/></svg>'
    )


@lru_cache(maxsize=1)
def plotly() -> str:
    """The whole of plotly.js, as it comes with the plotly package."""
    source: str = importlib.import_module("plotly.offline").get_plotlyjs()
    return source
