"""The diagnosis of one run as one self-contained HTML page."""

from __future__ import annotations

import base64
import html
import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd

from optiproxy_nas.core.numbers import difference_text, value_text
from optiproxy_nas.report.diagnose.captions import CAPTIONS, FIGURES
from optiproxy_nas.report.diagnose.gap import METRIC_TAU
from optiproxy_nas.report.html import STYLE

# Column of the table of steps -> its heading.
COLUMNS = {
    "step": "Step",
    "fitted_on": "Fitted on",
    "next_kendall_tau": "τ next",
    "probe_kendall_tau": "τ probe",
    "probe_top_kendall_tau": "τ top",
    "probe_regret": "Favourite's regret",
    "optimism": "Optimism",
    "spread": "Spread",
    "distance": "Distance",
    "modes": "Modes",
    "stagnation": "Since best",
    "alarm": "Alarm",
}
_WHOLE = {"step", "fitted_on", "modes", "stagnation"}
_MORE = """
.alarm{background:#fdf0ee;border-left:4px solid #b3261e;padding:.8rem 1rem;margin:1rem 0}
.calm{background:#eef6f1;border-left:4px solid #2c7f5b;padding:.8rem 1rem;margin:1rem 0}
.scroll{overflow-x:auto}td,th{padding-right:.9rem}details{margin:1rem 0}summary{cursor:pointer}
.turn{display:none}html.webgl .turn{display:revert}html.webgl .still{display:none}
@media print{html.webgl .turn{display:none}html.webgl .still{display:block}}
"""
# The picture gives way to the landscape that can be turned only where the browser can draw that.
_WEBGL = """
(function (page) {
  var canvas = document.createElement('canvas');
  if (!window.WebGLRenderingContext || !canvas.getContext('webgl')) return;
  page.classList.add('webgl');
  ['error', 'unhandledrejection'].forEach(function (failure) {
    window.addEventListener(failure, function () { page.classList.remove('webgl'); });
  });
})(document.documentElement);
"""
HONEST = (
    "Values of cells that the run did not query are asked of the benchmark now, after the search, "
    "to judge it; the search itself never saw them."
)


def diagnosis_page(
    numbers: Mapping[str, Any],
    steps: pd.DataFrame,
    pictures: Mapping[str, bytes],
    landscape: str,
) -> str:
    """The page.

    Args:
        numbers: what ``numbers.json`` holds.
        steps: one row a step.
        pictures: file name (of ``FIGURES``) -> PNG bytes.
        landscape: the interactive landscape, an HTML fragment with its scripts.
    """
    safe = html.escape
    run_id = str(numbers["run_id"])
    body = [
        f"<h1>Diagnosis of run {safe(run_id)}</h1>",
        f'<p class="sub">{safe(_what(numbers))}</p>',
        f'<p class="headline">{safe(headline(numbers))}</p>',
    ]
    alarms = numbers["alarms"]
    if alarms:
        texts = "".join(f"<li>{safe(alarm['text'])}</li>" for alarm in alarms)
        body.append(f'<div class="alarm"><b>Mode-collapse alarm.</b><ul>{texts}</ul></div>')
    else:
        body.append('<p class="calm">No mode collapse: the alarm did not fire.</p>')
    body.append(f'<p class="note">{HONEST}</p>')
    if numbers["caution"]:
        body.append(f'<p class="note"><b>Note:</b> {safe(numbers["caution"])}</p>')
    for name, title in FIGURES.items():
        body.append(f"<h2>{safe(title)}</h2>")
        source = base64.b64encode(pictures[name]).decode("ascii")
        picture = f'<img alt="{safe(title)}" src="data:image/png;base64,{source}">'
        caption = safe(CAPTIONS[name].format(cells=numbers["cells"]))
        if name == "landscape_3d":
            picture = f'<div class="turn">{landscape}</div><div class="still">{picture}</div>'
            caption += '<span class="turn"> Drag to turn it, scroll to come closer.</span>'
        body.append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")
    body += ["<h2>Numbers by step</h2>", _table(steps)]
    command = f"kedro run --pipeline=nb201_diagnose --params=run={shlex.quote(run_id)}"
    body += ["<h2>Make this page again</h2>", f"<pre>{safe(command)}</pre>"]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Diagnosis of run {safe(run_id)}</title>\n<style>{STYLE}{_MORE}</style>\n"
        f"<script>{_WEBGL}</script>\n</head>\n<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def headline(numbers: Mapping[str, Any]) -> str:
    """The diagnosis in one sentence or two."""
    last = numbers["last_step"]
    tau = "not defined" if last["probe_kendall_tau"] is None else f"{last['probe_kendall_tau']:.2f}"
    goal = f" for {numbers['objective']}" if numbers["objective"] else ""
    metric = numbers["target"]
    if numbers["best"] is None:
        start = f"Nothing{goal} was found in {numbers['queries']} queries"
        if numbers["optimum"] is not None:
            start += f"; the table's optimum is {value_text(metric, numbers['optimum'])}"
    else:
        start = (
            f"Best {value_text(metric, numbers['best'])} at query {numbers['queries_to_best']} of "
            f"{numbers['queries']}"
        )
        if numbers["regret"] is not None:
            start += f", {difference_text(metric, numbers['regret'])} from the table's optimum"
        start += goal
    return (
        f"{start}. The last "
        f"proxy ranks random cells with τ = {tau}, its favourite among them is "
        f"{difference_text(metric, last['probe_regret'])} below the best of them, and the batches "
        f"were predicted {difference_text(metric, abs(numbers['median_optimism']))} too "
        f"{'high' if numbers['median_optimism'] >= 0 else 'low'} (median)."
    )


def _what(numbers: Mapping[str, Any]) -> str:
    return (
        f"{numbers['dataset']}, source {numbers['source']}, preset {numbers['preset']}, seed "
        f"{numbers['seed']}, {numbers['queries']} queries in {numbers['steps']} steps"
    )


def _table(steps: pd.DataFrame) -> str:
    heads = {f"{METRIC_TAU}{m}": f"τ {m}" for m in _metrics(steps)}
    columns = {**{n: h for n, h in COLUMNS.items() if n != "alarm"}, **heads, "alarm": "Alarm"}
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in columns.values())
    rows = "".join(
        "<tr>"
        + "".join(f'<td class="num">{_cell(name, row[name])}</td>' for name in columns)
        + "</tr>\n"
        for row in steps.to_dict("records")
    )
    return (
        "<details><summary>All steps; steps.csv has more columns</summary>"
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>'
        "</table></div></details>"
    )


def _metrics(steps: pd.DataFrame) -> list[str]:
    """Metrics that the proxy predicts beside the value."""
    return [n.removeprefix(METRIC_TAU) for n in map(str, steps) if n.startswith(METRIC_TAU)]


def _cell(name: str, value: Any) -> str:
    if isinstance(value, str):
        return html.escape(value)
    if pd.isna(value):
        return "–"
    return str(int(value)) if name in _WHOLE else f"{float(value):.2f}"
