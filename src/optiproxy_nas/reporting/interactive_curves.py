"""The views of :mod:`optiproxy_nas.reporting.curves` for plotly.js: values on hover."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from optiproxy_nas.reporting.curves import BEST, REACHED, REGRET, CurvePanel, Line, View, entries
from optiproxy_nas.reporting.style import INK, Floats, LineStyle

PlotlyFigure = dict[str, Any]
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
_AXIS = {
    "linecolor": INK,
    "showline": True,
    "ticks": "outside",
    "gridcolor": "#eeeeee",
    "zeroline": False,
}


def page(title: str, panels: Sequence[CurvePanel]) -> str:
    """HTML that needs no network: all views of all panels. Equal panels give equal pages."""
    from plotly.io import to_html

    made = figure(panels, [BEST, REGRET, REACHED])
    made["layout"]["title"] = {"text": title}
    made["layout"]["margin"]["t"] = 84
    html: str = to_html(made, include_plotlyjs=True, full_html=True, div_id="curves")
    return html


def figure(panels: Sequence[CurvePanel], views: Sequence[View]) -> PlotlyFigure:
    """Data and layout, as plain dicts of plotly's schema: a column a panel, a row a view."""
    height = 140 + 300 * len(views)
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "height": height,
        "margin": {"l": 64, "r": 16, "t": 28, "b": 84},
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "hovermode": "x unified",
        "grid": {"rows": len(views), "columns": max(len(panels), 1), "pattern": "independent"},
        # 66 pixels below the plots, as a part of their height.
        "legend": {"orientation": "h", "yanchor": "top", "y": -66 / (height - 112), "x": 0},
        "shapes": [],
        "annotations": [],
    }
    legend = entries(panels)
    listed: set[str] = set()
    for row, view in enumerate(views):
        for column, panel in enumerate(panels):
            cell = row * len(panels) + column
            number = str(cell + 1) if cell else ""  # plotly's first axes have none
            place = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
            for order, curve in enumerate(panel.curves):
                name, style = legend[curve.label]
                about = {**place, "legendgroup": name, "mode": "lines"}
                line = {
                    "name": name,
                    "showlegend": name not in listed,  # one entry, not one a panel
                    "hovertemplate": view.hover,
                    "zorder": len(panel.curves) - order,  # the first on top
                }
                listed.add(name)
                data += _traces(view.line(curve, panel.target), style, about, line)
            layout[f"xaxis{number}"] = {
                **_AXIS,
                "title": {"text": "queries" if row == len(views) - 1 else "", "standoff": 8},
                "range": [0, panel.budget + 1],
                **({"matches": f"x{column + 1}".removesuffix("1")} if row else {}),
            }
            label = view.label.format(target=panel.target_name) if column == 0 else ""
            limits = view.limits(panel)
            layout[f"yaxis{number}"] = {
                **_AXIS,
                "title": {"text": label, "standoff": 8},
                "type": "log" if view.log else "linear",
                "range": [math.log10(limit) for limit in limits] if view.log else list(limits),
            }
            if row == 0:
                layout["annotations"].append(_text(f"<b>{panel.title}</b>", place, "y domain", 1))
            if view.target:
                text = f"{panel.target_name} {panel.target:.2f}"
                layout["annotations"].append(_text(text, place, "y", panel.target))
                layout["shapes"].append(_level(panel.target, place))
    return {"data": data, "layout": layout}
