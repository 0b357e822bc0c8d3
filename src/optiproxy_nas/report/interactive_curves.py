"""The views of :mod:`optiproxy_nas.report.curves` for plotly.js: values on hover."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

from optiproxy_nas.core.arrays import Floats
from optiproxy_nas.core.numbers import fixed
from optiproxy_nas.report import curves
from optiproxy_nas.report.curves import CurvePanel, Line, View
from optiproxy_nas.report.style import INK, LineStyle, evenly

PlotlyFigure = dict[str, Any]
MOST = 600  # points of a line: more than a plot has pixels only make a page of megabytes
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def page(title: str, panels: Sequence[CurvePanel]) -> str:
    """Return HTML of all views of all panels that needs no network; equal panels, equal pages."""
    from plotly.io import to_html

    drawn = figure(panels, [curves.BEST, curves.REGRET, curves.REACHED])
    drawn["layout"]["title"] = {"text": as_text(title)}
    drawn["layout"]["margin"]["t"] = 84
    whole: str = to_html(drawn, include_plotlyjs=True, full_html=True, div_id="curves")
    return whole


def figure(panels: Sequence[CurvePanel], views: Sequence[View]) -> PlotlyFigure:
    """Return data and layout as dicts of plotly's schema: a column a panel, a row a view."""
    height = 140 + 300 * len(views)
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "height": height,
        "margin": {"l": 64, "r": 16, "t": 28, "b": 84},
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "hovermode": "x unified",
        "grid": {
            "rows": len(views),
            "columns": max(len(panels), 1),
            "pattern": "independent",
            "xgap": 0.15,
            "ygap": 0.2,
        },
        # 66 pixels below the plots, as a part of their height.
        "legend": {"orientation": "h", "yanchor": "top", "y": -66 / (height - 112), "x": 0},
        "shapes": [],
        "annotations": [],
    }
    legend = curves.entries(panels)
    listed: set[str] = set()
    for row, view in enumerate(views):
        for column, panel in enumerate(panels):
            number = _number(row * len(panels) + column)
            place = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
            for curve in reversed(panel.curves):  # the first on top
                name, style = legend[curve.label]
                name = as_text(name)
                entry = {
                    "name": name,
                    "showlegend": name not in listed,  # one entry, not one a panel
                    "hovertemplate": view.hover.format(digits=panel.digits),
                    "legendrank": 1 + list(legend).index(curve.label),
                }
                listed.add(name)
                shared = {**place, "mode": "lines", "legendgroup": name}
                data += _traces(view.line(curve, panel), panel.digits, style, shared, entry)
            across, up = _axes(panel, view)
            across["title"]["text"] = as_text(panel.unit) if row == len(views) - 1 else ""
            across |= {"matches": f"x{_number(column)}"} if row else {}
            label = curves.axis_label(view, panels, column, len(panels))
            up["title"]["text"] = as_text(label)
            layout |= {f"xaxis{number}": across, f"yaxis{number}": up}
            if row == 0:
                heading = f"<b>{as_text(panel.title)}</b>"
                layout["annotations"].append(_text(heading, number, 1, " domain"))
            if view.target and not math.isnan(panel.target):
                text = f"{panel.target_name} {fixed(panel.target, panel.digits - 1)}"
                layout["annotations"].append(_text(as_text(text), number, panel.target))
                layout["shapes"].append(_level(number, panel.target))
    return {"data": data, "layout": layout}


def as_text(text: str) -> str:
    """Return a text that plotly shows as it is: plotly.js reads ``<b>`` and links in texts."""
    return html.escape(text, quote=False)


def _number(cell: int) -> str:
    """Return what plotly appends to the names of axes; the first have nothing."""
    return str(cell + 1) if cell else ""


def _traces(
    line: Line, digits: int, style: LineStyle, shared: dict[str, Any], entry: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the traces of a line, after the edges of its band."""
    line = _thinned(line)
    x = _numbers(line.x, digits)
    stroke = {"color": style.colour, "width": style.width, "shape": "hv"}
    if style.dashes:
        stroke["dash"] = ",".join(f"{style.width * part:.1f}px" for part in style.dashes)
    trace = {**shared, **entry, "x": x, "y": _numbers(line.y, digits), "line": stroke}
    if line.band is None:
        return [trace]
    low, high = line.band
    border = {"line": {"width": 0, "shape": "hv"}, "hoverinfo": "skip", "showlegend": False}
    edge = {**shared, **border, "x": x}
    trace["customdata"] = _numbers(high - line.y, digits)
    trace["hovertemplate"] += f" ± %{{customdata:.{digits}f}}"
    fill = {"fill": "tonexty", "fillcolor": _transparent(style.colour)}
    low_edge = {**edge, "y": _numbers(low, digits)}
    return [low_edge, {**edge, **fill, "y": _numbers(high, digits)}, trace]


def _thinned(line: Line) -> Line:
    """Return a line of at most ``MOST`` points, evenly spaced, the first and the last among them.

    Each is where it was, so what the page says of it is exact; a step is drawn late by a pixel.
    """
    if len(line.x) <= MOST:
        return line
    kept = evenly(len(line.x), MOST)
    band = None if line.band is None else (line.band[0][kept], line.band[1][kept])
    return Line(line.x[kept], line.y[kept], band)


def _axes(panel: CurvePanel, view: View) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the two axes of a view, their titles empty."""

    def axis(low: float, high: float) -> dict[str, Any]:
        return {
            "range": [low, high],
            "linecolor": INK,
            "showline": True,
            "ticks": "outside",
            "gridcolor": "#eeeeee",
            "zeroline": False,
            "title": {"standoff": 8},
        }

    limits = view.limits(panel)
    if view.log:
        up = {**axis(*map(math.log10, limits)), "type": "log", "dtick": 1}
    else:
        up = axis(*limits)
    return axis(0, panel.budget + 1), up


def _text(text: str, number: str, height: float, units: str = "") -> dict[str, Any]:
    """Return a text at the left of a plot, above ``height``."""
    return {
        "text": text,
        "xref": f"x{number} domain",
        "yref": f"y{number}{units}",
        "x": 0,
        "y": height,
        "showarrow": False,
        "xanchor": "left",
        "yanchor": "bottom",
        "font": {"size": 11 if not units else 13, "color": INK},
    }


def _level(number: str, height: float) -> dict[str, Any]:
    """Return a dotted line across a plot."""
    return {
        "type": "line",
        "xref": f"x{number} domain",
        "yref": f"y{number}",
        "x0": 0,
        "x1": 1,
        "y0": height,
        "y1": height,
        "line": {"color": INK, "width": 1, "dash": "dot"},
    }


def _numbers(values: Floats, digits: int) -> list[float]:
    """Return numbers rounded for a page, with one decimal more than it shows."""
    return [round(float(value), digits + 1) for value in values]


def _transparent(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"
