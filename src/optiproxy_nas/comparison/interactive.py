"""The same figures for plotly.js, as plain dicts of its schema: data and layout."""

from __future__ import annotations

from typing import Any

from optiproxy_nas.comparison.figures import as_lists, colour_of, dash_of, value_range
from optiproxy_nas.comparison.groups import Panel
from optiproxy_nas.reporting.figures import METRIC
from optiproxy_nas.reporting.style import FAINT, INK
from optiproxy_nas.statistics import queries_to, run_length, standard_error

PlotlyFigure = dict[str, Any]
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def best_so_far(panel: Panel) -> PlotlyFigure:
    """Mean best value so far of each group, with its standard error as a band."""
    data: list[dict[str, Any]] = []
    for index, group in enumerate(panel.groups):
        curves = group.curves(group.budget)
        mean, error = curves.mean(axis=0), standard_error(curves)
        x, colour = list(range(1, curves.shape[1] + 1)), colour_of(index)
        edge = {
            "x": x,
            "mode": "lines",
            "line": {"width": 0, "shape": "hv"},
            "hoverinfo": "skip",
            "showlegend": False,
            "legendgroup": str(index),
        }
        low = {**edge, "y": as_lists(mean - error)}
        high = {
            **edge,
            "y": as_lists(mean + error),
            "fill": "tonexty",
            "fillcolor": _transparent(colour),
        }
        line = {
            "x": x,
            "y": as_lists(mean),
            "customdata": as_lists(error),
            "name": f"{group.label} ({len(group.runs)})",
            "mode": "lines",
            "line": {"color": colour, "width": 2, "shape": "hv", "dash": dash_of(index)[1]},
            "legendgroup": str(index),
            "hovertemplate": "%{y:.3f} ± %{customdata:.3f}",
        }
        data += [low, high, line]
    layout = _layout(panel, METRIC)
    target, is_optimum = panel.target
    layout["yaxis"]["range"] = list(value_range(panel))
    layout["shapes"] = [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": target,
            "y1": target,
            "line": {"color": FAINT, "width": 1, "dash": "dash"},
        }
    ]
    layout["annotations"] = [
        {
            "xref": "paper",
            "x": 0,
            "y": target,
            "text": f"{'optimum' if is_optimum else 'best known'} {target:.2f}",
            "showarrow": False,
            "xanchor": "left",
            "yanchor": "bottom",
            "font": {"size": 11, "color": "#666"},
        }
    ]
    return {"data": data, "layout": layout}


def run_lengths(panel: Panel) -> PlotlyFigure:
    """Share of seeds that had found the target by each query."""
    target, is_optimum = panel.target
    data = []
    for index, group in enumerate(panel.groups):
        x, share = run_length(queries_to(group.curves(group.budget), target), group.budget)
        data.append(
            {
                "x": [int(value) for value in x],
                "y": as_lists(100 * share, 2),
                "name": f"{group.label} ({len(group.runs)})",
                "mode": "lines",
                "cliponaxis": False,
                "line": {
                    "color": colour_of(index),
                    "width": 2,
                    "shape": "hv",
                    "dash": dash_of(index)[1],
                },
                "hovertemplate": "%{y:.0f} %",
            }
        )
    what = "optimum" if is_optimum else "best known value"
    layout = _layout(panel, f"seeds at the {what} (%)")
    layout["yaxis"]["range"] = [0, 102]
    return {"data": data, "layout": layout}


def _layout(panel: Panel, label: str) -> dict[str, Any]:
    axis = {
        "linecolor": INK,
        "showline": True,
        "ticks": "outside",
        "gridcolor": "#eeeeee",
        "zeroline": False,
        "title": {"standoff": 8},
    }
    return {
        "height": 440,
        "margin": {"l": 64, "r": 16, "t": 24, "b": 84},
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "hovermode": "x unified",
        "xaxis": {**axis, "title": {"text": "queries"}, "range": [0, panel.full_budget + 1]},
        "yaxis": {**axis, "title": {"text": label}},
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.2, "xanchor": "left", "x": 0},
    }


def _transparent(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"
