"""The report of one run as a page: Markdown beside its figures, or one HTML file with all of it.

Nothing here reads a clock or a file: the same run gives the same page, byte for byte.
"""

from __future__ import annotations

import base64
import html
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optiproxy_nas.core.numbers import metric_label, with_unit
from optiproxy_nas.report.captions import CAPTIONS
from optiproxy_nas.report.style import png
from optiproxy_nas.report.summary import (
    MISSING,
    Summary,
    headline,
    known,
    result_rows,
    settings_rows,
    target_of,
)

__all__ = ["html_page", "markdown_page", "png"]

Mask = NDArray[np.bool_]

TOP = 10
TOP_HEADER = ("Rank", "Value", "Predicted", "Query", "Step", "Architecture")
HONEST = (
    "Optimum and regret, where given, are computed after the search from the benchmark's table, "
    "to judge the run, and so is the test accuracy of a cell chosen by another value. The search "
    "itself sees only the values that it queried, and each counts in the budget."
)

STYLE = """
body{font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
color:#222;background:#fff;max-width:60rem;margin:2rem auto;padding:0 1.2rem}
h1{font-size:1.6rem;margin:0 0 .2rem}h2{font-size:1.2rem;margin:2.2rem 0 .6rem}
.sub{color:#666;margin:0 0 1.2rem}.headline{font-size:1.15rem;background:#eef4fb;
border-left:4px solid #1f5fa8;padding:.8rem 1rem;margin:1rem 0}
code,pre{font:.85rem/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
code{overflow-wrap:anywhere}pre{background:#f6f6f6;padding:.8rem 1rem;overflow-x:auto}
table{border-collapse:collapse;font-size:.92rem}th,td{text-align:left;padding:.3rem .9rem .3rem 0;
border-bottom:1px solid #e4e4e4;vertical-align:top}th{font-weight:600}
thead th{white-space:nowrap}.num{text-align:right;white-space:nowrap;
font-variant-numeric:tabular-nums}.pair{display:flex;flex-wrap:wrap;gap:0 3.5rem}
figure{margin:0 0 2rem}figure img{max-width:100%;height:auto}figcaption{color:#444;
font-size:.92rem;max-width:48rem}figcaption b{color:#222}.note{color:#444}
"""


def markdown_page(
    summary: Summary,
    archive: pd.DataFrame,
    figure_files: Mapping[str, str],
    eligible: Mask | None = None,
) -> str:
    """The report as Markdown.

    Args:
        summary: the run's facts.
        archive: one row per query.
        figure_files: title -> file name of the picture, relative to the page.
        eligible: the rows that can be the answer [n]; None: all.
    """
    parts = [f"# {_escape(_title(summary))}", f"**{_escape(headline(summary))}**"]
    if summary.get("best_architecture"):
        parts.append(_code(str(summary["best_architecture"])))
    if summary.get("best_drawing"):
        parts.append(_fence(str(summary["best_drawing"])))
    parts += ["## Result", _table(("Quantity", "Value"), result_rows(summary)), f"*{HONEST}*"]
    parts += ["## Settings", _table(("Setting", "Value"), settings_rows(summary))]
    if figure_files:
        parts.append("## Figures")
    for title, name in figure_files.items():
        parts.append(f"### {_escape(title)}\n\n![{_escape(title)}]({quote(name)})")
        if title in CAPTIONS:
            parts.append(_escape(CAPTIONS[title]))
    header, rows = _top_rows(summary, archive, eligible)
    if rows:
        cells = [(*map(_escape, row[:-1]), _code(row[-1])) for row in rows]
        parts += [f"## {_top_title(rows, eligible)}", markdown_table(header, cells)]
    parts.append("## Audit and reproduce")
    for sentence, command in _commands(summary):
        parts += [_escape(sentence)] + ([_fence(command)] if command else [])
    return "\n\n".join(parts) + "\n"


def html_page(
    summary: Summary,
    archive: pd.DataFrame,
    figures: Mapping[str, bytes],
    eligible: Mask | None = None,
) -> str:
    """The report as one self-contained HTML page.

    Args:
        summary: the run's facts.
        archive: one row per query.
        figures: title -> PNG bytes, embedded in the page.
        eligible: the rows that can be the answer [n]; None: all.
    """
    title, safe = _title(summary), html.escape
    body = [f"<h1>{safe(title)}</h1>", '<p class="sub">OptiProxy-NAS run report</p>']
    body.append(f'<p class="headline">{safe(headline(summary))}</p>')
    if summary.get("best_architecture"):
        body.append(f"<p><code>{safe(str(summary['best_architecture']))}</code></p>")
    if summary.get("best_drawing"):
        body.append(f"<pre>{safe(str(summary['best_drawing']))}</pre>")
    body.append('<div class="pair">')
    for heading, pairs in (
        ("Result", result_rows(summary)),
        ("Settings", settings_rows(summary)),
    ):
        lines = "".join(
            f'<tr><th scope="row">{safe(label)}</th><td>{safe(value)}</td></tr>\n'
            for label, value in pairs
        )
        body.append(f"<section><h2>{heading}</h2>\n<table>\n{lines}</table></section>")
    body += ["</div>", f'<p class="note">{safe(HONEST)}</p>']
    if figures:
        body.append("<h2>Figures</h2>")
    for name, data in figures.items():
        source = base64.b64encode(data).decode("ascii")
        caption = f"<b>{safe(name)}.</b> {safe(CAPTIONS.get(name, ''))}"
        body.append(
            f'<figure><img alt="{safe(name)}" src="data:image/png;base64,{source}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    header, rows = _top_rows(summary, archive, eligible)
    if rows:
        last = len(header) - 1
        head = "".join(f"<th{_numeric(i, last)}>{safe(h)}</th>" for i, h in enumerate(header))
        lines = "".join(
            "<tr>"
            + "".join(f"<td{_numeric(i, last)}>{safe(v)}</td>" for i, v in enumerate(row[:-1]))
            # A long cell string may break after a bar, and nowhere else.
            + f"<td><code>{safe(row[-1]).replace('|', '|<wbr>')}</code></td></tr>\n"
            for row in rows
        )
        body.append(f"<h2>{_top_title(rows, eligible)}</h2>")
        body.append(f"<table>\n<thead><tr>{head}</tr></thead>")
        body.append(f"<tbody>\n{lines}</tbody></table>")
    body.append("<h2>Audit and reproduce</h2>")
    for sentence, command in _commands(summary):
        body.append(f"<p>{safe(sentence)}</p>")
        if command:
            body.append(f"<pre>{safe(command)}</pre>")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown; a bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _numeric(column: int, last: int) -> str:
    return ' class="num"' if 0 < column < last else ""


def _title(summary: Summary) -> str:
    return f"Run {summary['run_id']}" if known(summary.get("run_id")) else "Run report"


def _top_title(rows: Sequence[object], eligible: Mask | None) -> str:
    title = f"Top {len(rows)} cells"
    if eligible is None or eligible.all():
        return title
    return f"{title} of the {int(eligible.sum())} that can be the answer"


def _top_rows(
    summary: Summary, archive: pd.DataFrame, eligible: Mask | None
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Header and rows of the best cells, earlier queries first among equals.

    Constrained metrics stand after the value, and the architecture comes last.
    """
    bounded = dict.fromkeys(str(bound["metric"]) for bound in summary.get("constraints") or ())
    metrics = [metric for metric in bounded if metric in archive]
    value = with_unit(TOP_HEADER[1], target_of(summary))
    header = [TOP_HEADER[0], value, *map(metric_label, metrics), *TOP_HEADER[2:]]
    cells = archive if eligible is None else archive[eligible]
    best = cells.sort_values(["value", "order"], ascending=[False, True]).head(TOP)
    rows: list[tuple[str, ...]] = []
    digits = _digits(best["value"].tolist())
    for rank, row in enumerate(best.to_dict("records"), start=1):
        predicted, spread = float(row["predicted"]), float(row["predicted_sd"])
        guess = "initial sample" if int(row["step"]) == 0 else MISSING
        if not math.isnan(predicted):
            guess = f"{predicted:.{digits}f}"
            guess += "" if math.isnan(spread) else f" ± {spread:.{digits}f}"
        measured = [f"{float(row[metric]):.3g}" for metric in metrics]
        numbers = (
            f"{float(row['value']):.{digits}f}",
            *measured,
            guess,
            str(int(row["order"]) + 1),
        )
        rows.append((str(rank), *numbers, str(int(row["step"])), str(row["architecture"])))
    return header, rows


def _digits(values: Sequence[float]) -> int:
    """Decimals, of two to four, at which values that differ look different."""
    distinct = set(values)
    return next((d for d in (2, 3) if len({f"{v:.{d}f}" for v in distinct}) == len(distinct)), 4)


def _commands(summary: Summary) -> list[tuple[str, str]]:
    """(sentence, command or "") of how to check this run and how to repeat it."""
    rows: list[tuple[str, str]] = []
    if known(summary.get("run_id")):
        command = f"kedro audit {shlex.quote(str(summary['run_id']))}"
        rows.append(("To check the stored run against what it recorded of itself:", command))
    if known(summary.get("run_command")):
        rows.append(("To repeat it:", str(summary["run_command"])))
    else:
        rows.append(("To repeat it, run the search again with the settings and seed above.", ""))
    if known(summary.get("mlflow_command")):
        rows.append(("To compare it with other runs:", str(summary["mlflow_command"])))
    return rows


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line; a table sees to its bars."""
    return re.sub(r"([\\`*_<>\[\]#])", r"\\\1", " ".join(text.split())).replace("&", "&amp;")


def _code(text: str) -> str:
    """A code span."""
    text = " ".join(text.split())
    ticks = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if "`" in text else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def _fence(text: str) -> str:
    ticks = "`" * max(3, max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{ticks}text\n{text}\n{ticks}"


def _table(header: tuple[str, ...], rows: list[tuple[str, str]]) -> str:
    return markdown_table(header, [list(map(_escape, row)) for row in rows])
