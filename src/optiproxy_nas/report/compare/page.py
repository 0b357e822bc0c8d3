"""A comparison as one HTML page that needs no network: plotly.js is in it, once.

The same comparison gives the same page, byte for byte. Without scripts, and in print, pictures
stand in the place of the interactive figures.
"""

from __future__ import annotations

import html

import pandas as pd

from optiproxy_nas.core.numbers import difference_unit, metric_label
from optiproxy_nas.report.compare import markup, sections, words
from optiproxy_nas.report.compare.compare import Comparison, PanelTables
from optiproxy_nas.report.compare.groups import Panel
from optiproxy_nas.report.curves import BEST, REACHED, draw
from optiproxy_nas.report.interactive_curves import figure
from optiproxy_nas.report.page import STYLE
from optiproxy_nas.report.style import png
from optiproxy_nas.spaces.base import SearchSpace

_MORE_STYLE = """
body{max-width:66rem}h2{border-top:1px solid #ddd;padding-top:1.4rem;margin-top:2.6rem}
h3{font-size:1.02rem;margin:1.8rem 0 .5rem}.wide{overflow-x:auto}
.caution{background:#fff6e6;border-left:4px solid #d9731a;padding:.7rem 1rem;margin:1rem 0}
.caution ul{margin:.3rem 0 0;padding-left:1.2rem}.headline ul{margin:.2rem 0 0;padding-left:1.2rem}
details{margin:.6rem 0}summary{cursor:pointer;color:#1f5fa8}td.weak{color:#777}
thead th,thead th.num{white-space:normal;vertical-align:bottom}td.name{white-space:nowrap}
th.num,td.num{padding-left:.6rem}tr.first td,tr.first th{border-top:2px solid #bbb}
.swatch{vertical-align:middle;
margin-right:.5rem}.plot{display:none;overflow:hidden}
html.js .plot{display:block}html.js .still{display:none}
figure.cell{margin:.4rem 0 1.6rem;max-width:58rem}
figure.cell img{width:100%;min-width:48rem;max-width:none}
@media print{html.js .plot{display:none;overflow:hidden}html.js .still{display:block}}
"""
_DRAW = """
document.querySelectorAll('.plot').forEach(function (box) {
  var figure = JSON.parse(document.getElementById(box.dataset.figure).textContent);
  var layout = figure.layout, names = figure.data.map(function (trace) { return trace.name; });
  var margin = layout.margin, plot = layout.height - margin.t - margin.b, width = 0;
  // The legend stands below the title of the axis, however many lines it takes.
  function fit() {
    if (!box.clientWidth || box.clientWidth === width) return;
    width = box.clientWidth;
    var narrow = width < 600;
    Plotly.restyle(box, {name: names.map(function (name) {
      return name && narrow ? name.replace(/, /g, ',<br>') : name;
    })});
    Plotly.relayout(box, {width: width, height: 3000, 'margin.b': 2000,
      'margin.l': narrow ? 50 : margin.l, 'margin.r': narrow ? 8 : margin.r,
      'font.size': narrow ? 11 : 13, 'legend.orientation': narrow ? 'v' : 'h',
      'legend.maxheight': 1900}).then(function () {
      var legend = box.querySelector('.legend .bg');
      var below = 58 + (legend ? legend.getBBox().height : 0);
      Plotly.relayout(box, {height: plot + margin.t + below, 'margin.b': below,
        'legend.y': -54 / plot});
    });
  }
  Plotly.newPlot(box, figure.data, layout,
    {displaylogo: false,
     modeBarButtons: [['toImage', 'zoom2d', 'pan2d', 'resetScale2d']]}).then(fit);
  window.addEventListener('resize', fit);
});
"""


def comparison_page(comparison: Comparison, space: SearchSpace) -> str:
    """The page of a comparison.

    Args:
        comparison: of :func:`optiproxy_nas.report.compare.compare.compare`.
        space: the search space of its runs, which draws their cells.
    """
    safe = html.escape
    count = len(comparison.runs)
    body = [
        f"<h1>Comparison {safe(comparison.name)}</h1>",
        f'<p class="sub">OptiProxy-NAS, {count} finished run{"" if count == 1 else "s"}: '
        f"{safe(comparison.selection)}</p>",
        f'<div class="headline">{markup.listed(headlines(comparison))}</div>',
    ]
    if comparison.cautions:
        listed = markup.listed(comparison.cautions)
        body.append(f'<div class="caution"><b>Before you trust the numbers</b>{listed}</div>')
    scripts: list[str] = []
    for number, (panel, tables) in enumerate(
        zip(comparison.panels, comparison.tables, strict=True), start=1
    ):
        body += _panel(number, panel, tables, space, scripts)
    body += [
        "<h2>All runs</h2>",
        *sections.agreed(comparison),
        *sections.runs(comparison.panels, comparison.runs),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Comparison {safe(comparison.name)}</title>\n<style>{STYLE}{_MORE_STYLE}</style>\n"
        "<script>document.documentElement.classList.add('js')</script>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n"
        + "\n".join(scripts)
        + f"\n<script>{markup.plotly()}</script>\n<script>{_DRAW}</script>\n</body>\n</html>\n"
    )


def headlines(comparison: Comparison) -> list[str]:
    """One sentence a panel: the highest mean, and whether a test sets it apart."""
    told = []
    for panel, tables in zip(comparison.panels, comparison.tables, strict=True):
        budget = min(tables.results["budget"])
        rows = tables.results[tables.results["budget"] == budget]
        if rows["mean"].isna().all():
            told.append(f"{panel.title}, {budget} {panel.unit}: no run found an answer.")
            continue
        best = rows.loc[rows["mean"].idxmax()]
        sentence = (
            f"{panel.title}, {budget} {panel.unit}: {best['group']} has "
            f"{words.value(panel.metric, best['mean'])} on average over "
            f"{words.seeds(best['answered'])}"
        )
        if len(rows) > 1:
            sentence += f", the highest mean of {len(rows)} groups" + _apart(
                tables.paired, budget, str(best["group"]), len(rows)
            )
        told.append(f"{sentence}.")
    return told


def _apart(paired: pd.DataFrame, budget: int, best: str, groups: int) -> str:
    if paired.empty:
        return "; no two groups share a seed"
    rows = paired[(paired["budget"] == budget)]
    rows = rows[(rows["first"] == best) | (rows["second"] == best)]
    apart = int((rows["p_holm"] < 0.05).sum())
    if not rows["meaningful"].any():
        return "; too few common seeds for a test"
    return f"; paired tests set it apart (p < 0.05) from {apart} of the other {groups - 1}"


def _panel(
    number: int, panel: Panel, tables: PanelTables, space: SearchSpace, scripts: list[str]
) -> list[str]:
    target, is_optimum = panel.target
    what = "the optimum of the table" if is_optimum else "the best value that any run found"
    if panel.objective:
        what += f" for {html.escape(panel.objective)}"
    place = f"source {panel.source}, " if panel.source else ""
    body = [
        f"<h2>{html.escape(panel.title)}</h2>",
        f'<p class="note">{html.escape(place)}table {panel.table[:12] or "not recorded"}; '
        f"{what} is {words.value(panel.metric, target)}. Values: {metric_label(panel.metric)}; "
        f"differences: {difference_unit(panel.metric) or 'in the same unit'}.</p>",
        *(f'<p class="caution">{html.escape(text)}</p>' for text in panel.cautions),
        *sections.settings(panel, tables.settings),
        "<h3>Best so far</h3>",
        markup.figure(
            f"best-{number}",
            figure([panel.curves], [BEST]),
            png(draw([panel.curves], [BEST])),
            "Mean over seeds of the best value found so far; the band is one standard error. "
            "In brackets: seeds. A line begins where each of its seeds has an answer.",
            scripts,
        ),
        "<h3>Results</h3>",
        sections.results(panel, tables.results, is_optimum),
    ]
    body += sections.paired(panel, tables.paired)
    body.append("<h3>Run length</h3>")
    if tables.results["at_target"].any():
        body.append(
            markup.figure(
                f"length-{number}",
                figure([panel.curves], [REACHED]),
                png(draw([panel.curves], [REACHED])),
                f"Share of seeds that had found {what} by then: further left is faster, "
                "higher is more reliable.",
                scripts,
            )
        )
    else:
        body.append(f"<p>No run found {what} within the {panel.unit} compared.</p>")
    body += sections.margins(panel, tables.margins)
    return [*body, *sections.cells(panel, tables.cells, space)]
